"""Which notebook and which cell: every host's way to tell it, and what is made of nonsense."""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgpt_magic.notebook.place import (
    BIGGEST_NOTEBOOK,
    RANDOM_ID,
    Cell,
    Origin,
    Place,
    _CellAddress,
    cell_id,
    cell_ids,
    closest_origin,
    elsewhere,
    find_place,
    is_stranger,
    likely_origin,
    resolved,
    script,
)
from flowgpt_magic.text import short_path

KERNEL = "8f14e45f-ceea-467f-a8d3-5f2b1c9e7a10"
CONNECTION = f"/run/user/1000/jupyter/kernel-{KERNEL}.json"
LAB_CELL = "1e9aac6b-cee9-4786-813b-df30c0debc38"
FIRST, SECOND, THIRD, FOURTH = (f"{letter}1{letter * 6}" for letter in "abcd")


def request(*, allow_stdin: bool = True, **metadata: Any) -> dict[str, Any]:
    """What a front end sends with a cell."""
    return {"header": {"msg_id": "1"}, "content": {"code": "1", "allow_stdin": allow_stdin}, "metadata": metadata}


def address(path: str, number: str = "W2", scheme: str = "file", machine: str = "") -> str:
    """A cell's address as VS Code writes it."""
    where = f"//{quote(machine, safe='')}" if machine else ""
    encoded = quote(urlsafe_b64encode(scheme.encode()).decode(), safe="")
    return f"vscode-notebook-cell:{where}{quote(path)}#{number}s{encoded}"


def place(
    names: dict[str, object] | None = None,
    asked: dict[str, Any] | None = None,
    session: str = "",
    cwd: str = "/nowhere/at/all",
    connection_file: str = CONNECTION,
    **more: Any,
) -> Place:
    environ = {**({"JPY_SESSION_NAME": session} if session else {}), **more.pop("environ", {})}
    asked = request() if asked is None else asked
    return find_place(names or {}, asked, environ, cwd, connection_file=connection_file, **more)


def save(path: Path, *ids: str, **notebook: Any) -> str:
    """A notebook with these cell ids; returns its path as the history knows it."""
    cells = [{"cell_type": "code", "id": each, "metadata": {}, "source": ""} for each in ids]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells, **notebook}))
    return os.path.realpath(path)


class TestJupyterServer:
    def test_it_tells_the_absolute_path(self, tmp_path):
        path = save(tmp_path / "analysis.ipynb")

        assert place(session=path) == Place("jupyter", path, "analysis.ipynb", path)

    def test_links_are_followed_so_that_one_file_has_one_key(self, tmp_path):
        path = save(tmp_path / "real" / "analysis.ipynb")
        (tmp_path / "link").symlink_to(tmp_path / "real")

        assert place(session=str(tmp_path / "link" / "analysis.ipynb")).key == path

    def test_a_notebook_that_this_machine_does_not_see_keeps_its_path(self):
        assert place(session="/remote/disk/analysis.ipynb").key == "/remote/disk/analysis.ipynb"

    def test_a_path_relative_to_the_root_is_looked_for_from_the_kernels_folder_upward(self, tmp_path):
        path = save(tmp_path / "course" / "week1" / "lab.ipynb")

        found = place(session="course/week1/lab.ipynb", cwd=str(tmp_path / "course" / "week1"))

        assert found.key == path

    @pytest.mark.parametrize("name", ["script.py", "notes.md"])
    def test_a_file_of_another_kind_is_a_notebook_kept_as_text(self, tmp_path, name):
        (tmp_path / name).write_text("# %%\n1\n")

        assert place(session=str(tmp_path / name)).label == name

    @pytest.mark.parametrize("session", ["/home/me/work/Console 1", f"work/{KERNEL}", "console-1", "\0", "x" * 5000])
    def test_a_console_belongs_to_its_folder(self, tmp_path, session):
        folder = os.path.realpath(tmp_path)

        found = place(session=session, cwd=str(tmp_path))

        assert found == Place("folder", "", f"folder {folder}", f"folder:{folder}")

    def test_a_headless_run_started_from_a_notebook_is_not_that_notebook(self, tmp_path):
        path = save(tmp_path / "outer.ipynb")

        inner = place(asked=request(allow_stdin=False), session=path, connection_file="/tmp/tmpq3_x9.json")

        assert inner.kind == "nbclient"

    def test_a_shell_started_from_a_notebook_is_not_that_notebook(self, tmp_path):
        path = save(tmp_path / "outer.ipynb")

        assert place(asked={}, session=path, connection_file="").kind == "terminal"

    def test_a_client_that_cannot_type_still_runs_the_servers_notebook(self, tmp_path):
        path = save(tmp_path / "agent.ipynb")

        assert place(asked=request(allow_stdin=False), session=path).key == path


class TestVsCode:
    def test_it_writes_the_path_into_the_users_names(self, tmp_path):
        path = save(tmp_path / "analysis.ipynb")

        found = place({"__vsc_ipynb_file__": path}, request(cellId=address(path)))

        assert found == Place("vscode", path, "analysis.ipynb", path)

    def test_the_cells_address_alone_is_enough(self, tmp_path):
        path = save(tmp_path / "März & co #1.ipynb")

        assert place(asked=request(cellId=address(path))).key == path

    def test_the_cells_address_knows_of_a_rename_that_the_name_missed(self, tmp_path):
        old, new = str(tmp_path / "old.ipynb"), save(tmp_path / "new.ipynb")

        assert place({"__vsc_ipynb_file__": old}, request(cellId=address(new))).key == new

    def test_it_comes_before_the_name_a_remote_jupyter_server_made_up(self, tmp_path):
        session = save(tmp_path / "analysis-jvsc-0a1b2c.ipynb")

        found = place({"__vsc_ipynb_file__": "c:\\Users\\me\\analysis.ipynb"}, session=session)

        assert found == Place("vscode", r"C:\Users\me\analysis.ipynb", "analysis.ipynb", r"C:\Users\me\analysis.ipynb")

    def test_a_windows_path_in_the_cells_address_is_the_same_as_in_the_name(self):
        asked = request(cellId="vscode-notebook-cell:/c%3A/Users/me/My%20work/a.ipynb#W0sZmlsZQ%3D%3D")

        assert place(asked=asked) == place({"__vsc_ipynb_file__": r"c:\Users\me\My work\a.ipynb"}, asked)
        assert place(asked=asked).key == r"C:\Users\me\My work\a.ipynb"

    def test_a_share_keeps_its_server(self):
        found = place(asked=request(cellId=address("/share/a.ipynb", machine="disks")))

        assert (found.key, found.label) == (r"\\disks\share\a.ipynb", "a.ipynb")

    def test_a_file_on_the_remote_machine_is_the_one_the_kernel_sees(self, tmp_path):
        path = save(tmp_path / "a.ipynb")

        found = place(asked=request(cellId=address(path, scheme="vscode-remote", machine="ssh-remote+gpu")))

        assert found.key == path

    def test_a_file_on_a_machine_that_the_kernel_does_not_see_is_known_with_that_machine(self):
        one, other = (
            place(asked=request(cellId=address("/home/me/a.ipynb", scheme="vscode-remote", machine=machine)))
            for machine in ("ssh-remote+one", "ssh-remote+other")
        )

        assert one.key == "vscode:ssh-remote+one:/home/me/a.ipynb"
        assert one.key != other.key

    @pytest.mark.parametrize(
        "cell",
        [
            "vscode-notebook-cell:Untitled-1.ipynb?jupyter-notebook#W0sdW50aXRsZWQ%3D",
            address("/Untitled-1.ipynb", scheme="untitled"),
            address("/Interactive-1.interactive", scheme="vscode-interactive"),
        ],
    )
    def test_an_unsaved_notebook_is_known_by_its_kernel_because_the_next_one_has_the_same_name(self, cell, tmp_path):
        save(tmp_path / "Untitled-1.ipynb")
        again, other = (
            place(asked=request(cellId=cell), cwd=str(tmp_path), connection_file=f"/run/kernel-{name}.json")
            for name in "ab"
        )

        assert (again.kind, again.path) == ("vscode", "")
        assert again.label.endswith("-1.ipynb (not saved)") or again.label == "Interactive-1.interactive (not saved)"
        assert again.key != other.key
        assert not again.key.startswith("/")

    def test_an_unsaved_notebook_named_only_in_the_users_names_is_no_file_of_the_working_directory(
        self, tmp_path, monkeypatch
    ):
        save(tmp_path / "Untitled-1.ipynb")
        monkeypatch.chdir(tmp_path)

        found = place({"__vsc_ipynb_file__": "Untitled-1.ipynb"}, cwd=str(tmp_path))

        assert (found.path, found.label) == ("", "Untitled-1.ipynb (not saved)")

    @pytest.mark.parametrize(
        "value", [None, 3, b"/a.ipynb", ["/a.ipynb"], object(), "", "\0", "/" + "a" * 9000, Path("/a")]
    )
    def test_whatever_the_user_keeps_under_that_name_is_no_harm(self, value, tmp_path):
        path = save(tmp_path / "analysis.ipynb")

        assert place({"__vsc_ipynb_file__": value}, session=path).key == path

    def test_a_users_text_of_another_type_is_not_asked_anything(self, tmp_path):
        class Trap(str):
            def __getattribute__(self, name: str) -> Any:
                raise AssertionError(name)

        assert place({"__vsc_ipynb_file__": Trap("/a.ipynb")}, cwd=str(tmp_path)).kind == "folder"


class TestColab:
    def test_the_notebook_is_known_by_its_id(self):
        found = place(
            asked=request(colab={"cell_id": "aB3dE5gH7jKl"}),
            session="/content/Untitled0.ipynb",
            modules={"google.colab"},
            environ={"COLAB_NOTEBOOK_ID": "1AbC-dEf_9"},
        )

        assert found == Place("colab", "", "Untitled0.ipynb in Colab", "colab:1AbC-dEf_9")

    def test_the_id_may_stand_in_the_sessions_name(self):
        found = place(session="/content/fileId%3D1AbC-dEf_9", modules={"google.colab"})

        assert found == Place("colab", "", "Colab", "colab:1AbC-dEf_9")

    def test_without_an_id_it_is_known_by_its_kernel(self):
        found = place(modules={"google.colab"})

        assert found == Place("colab", "", "Colab", f"colab:kernel-{KERNEL}:")

    def test_a_kernel_of_ones_own_under_colabs_page_is_found_by_the_request(self):
        assert place(asked=request(colab={"cell_id": "aB3dE5gH7jKl"}), session="/root/a.ipynb").kind == "colab"

    def test_jupyterlab_stays_jupyterlab_where_colabs_package_is_imported(self, tmp_path):
        path = save(tmp_path / "a.ipynb")

        assert place(asked=request(cellId=LAB_CELL, colab={}), session=path, modules={"google.colab"}).key == path


class TestHeadlessRuns:
    def test_papermill_tells_its_input_when_asked_to(self, tmp_path):
        path = save(tmp_path / "report.ipynb")

        found = place({"PAPERMILL_INPUT_PATH": "report.ipynb"}, request(allow_stdin=False), cwd=str(tmp_path))

        assert found == Place("papermill", path, "report.ipynb", f"papermill:kernel-{KERNEL}:{path}")

    def test_an_address_loses_what_signs_the_request(self):
        told = "https://me:secret@store.example/reports/q1.ipynb?sig=secret#secret"

        found = place({"PAPERMILL_INPUT_PATH": told}, request(allow_stdin=False))

        key = f"papermill:kernel-{KERNEL}:https://store.example/reports/q1.ipynb"
        assert found == Place("papermill", "", "q1.ipynb", key)

    @pytest.mark.parametrize("told", ["-", "", None, 7, "notebook", "\0", "s3://\x1b[31m"])
    def test_an_input_that_is_no_notebook_leaves_the_folder(self, told, tmp_path):
        found = place({"PAPERMILL_INPUT_PATH": told}, request(allow_stdin=False), cwd=str(tmp_path))

        assert found.kind == "nbclient"

    def test_a_result_of_papermill_opened_in_jupyter_is_a_notebook_of_its_own(self, tmp_path):
        path = save(tmp_path / "result.ipynb")

        assert place({"PAPERMILL_INPUT_PATH": "/templates/report.ipynb"}, session=path).key == path

    def test_nbclient_tells_nothing_and_the_label_says_so(self, tmp_path):
        folder = os.path.realpath(tmp_path)

        found = place(asked=request(allow_stdin=False), cwd=str(tmp_path), connection_file="/tmp/tmpq3_x9.json")

        label = f"run without a notebook's name, in {folder}"
        assert found == Place("nbclient", "", label, f"nbclient:tmpq3_x9:{folder}")

    @pytest.mark.parametrize("names", [{}, {"PAPERMILL_INPUT_PATH": "report.ipynb"}])
    def test_two_runs_of_one_notebook_do_not_go_on_from_each_other(self, names, tmp_path):
        """Their cells have no ids, so the second would say everything once more below the first."""
        save(tmp_path / "report.ipynb")

        one, other = (
            place(names, request(allow_stdin=False), cwd=str(tmp_path), connection_file=f"/tmp/tmp{n}.json").key
            for n in ("one", "other")
        )

        assert one != other


def test_a_program_has_its_folder_and_begins_anew_each_time(tmp_path):
    folder = os.path.realpath(tmp_path)

    one, other = script("/home/me/ask.py", str(tmp_path), "1"), script("/home/me/ask.py", str(tmp_path), "2")

    assert (one.kind, one.path, one.label) == ("script", "", f"ask.py in {folder}")
    assert one.key != other.key


class TestTheWorkingDirectory:
    def test_a_terminal_has_a_folder(self, tmp_path):
        folder = os.path.realpath(tmp_path)

        found = place(asked={}, cwd=str(tmp_path), connection_file="")

        assert found == Place("terminal", "", f"terminal in {folder}", f"folder:{folder}")

    def test_a_front_end_that_tells_nothing_has_a_folder(self, tmp_path):
        assert place(cwd=str(tmp_path)).kind == "folder"

    def test_a_label_moves_no_cursor(self, tmp_path):
        found = place(session=save(tmp_path / "red\x1b[31m\n.ipynb"))

        assert found.label == "red�[31m�.ipynb"
        assert found.path.endswith("red\x1b[31m\n.ipynb")

    def test_a_name_that_is_no_text_has_a_key_that_is(self, tmp_path):
        path = save(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.ipynb")), FIRST)

        found = place(session=path)

        assert found.path == path
        assert found.key.encode().startswith(b"file:/")
        assert likely_origin(save(tmp_path / "copy.ipynb", FIRST), {found.key: [FIRST]}) == Origin(found.key, "copied")
        os.remove(path)
        assert likely_origin(str(tmp_path / "copy.ipynb"), {found.key: [FIRST]}) == Origin(found.key, "moved")

    def test_a_folder_that_links_to_itself_is_no_harm(self, tmp_path):
        (tmp_path / "loop").symlink_to(tmp_path / "loop")

        assert place(session=str(tmp_path / "loop" / "a.ipynb")).label == "a.ipynb"

    def test_a_posix_path_told_on_windows_stays_as_it_is(self):
        assert resolved("/home/me/a.ipynb", windows=True) == "/home/me/a.ipynb"


class TestTheCell:
    @pytest.mark.parametrize(
        ("metadata", "expected"),
        [
            ({"cellId": LAB_CELL}, LAB_CELL),
            ({"cellId": "vscode-notebook-cell:/home/me/a.ipynb#W2sZmlsZQ%3D%3D"}, "W2sZmlsZQ=="),
            ({"cellId": "vscode-notebook-cell:/home/me/a.ipynb#ch0000026?line=0"}, "ch0000026"),
            ({"cellId": "vscode-notebook-cell:/home/me/a.ipynb"}, ""),
            ({"cellId": "vscode-notebook-cell://[/a.ipynb#W0"}, "vscode-notebook-cell://[/a.ipynb#W0"),
            ({"colab": {"cell_id": "aB3dE5gH7jKl"}}, "aB3dE5gH7jKl"),
            ({"colab": {"cell_id": 3}}, ""),
            ({"colab": "cell"}, ""),
            ({"cellId": ["x"]}, ""),
            ({"cellId": "x" * 201}, ""),
            ({"cellId": "x\ny"}, ""),
            ({"cellId": "\ud800"}, ""),
            ({}, ""),
        ],
    )
    def test_the_request_names_it(self, metadata, expected):
        assert cell_id(request(**metadata)) == expected

    @pytest.mark.parametrize("asked", [{}, {"metadata": None}, {"metadata": "x"}, {"metadata": []}])
    def test_a_request_without_metadata_names_none(self, asked):
        assert cell_id(asked) == ""
        assert find_place({}, asked, {}, "/").kind in ("folder", "terminal")

    @given(path=st.text(st.characters(codec="utf-8", exclude_characters="\0")), number=st.integers(0, 999))
    def test_an_address_gives_back_what_is_in_it(self, path, number):
        path = path.lstrip("/")  # two slashes would begin a machine's name
        cell = _CellAddress.parse(address(f"/{path}", f"W{number}"))

        assert cell is not None
        assert (cell.path, cell.scheme, cell.fragment) == (f"/{path}", "file", f"W{number}sZmlsZQ==")

    @given(st.text(), st.sampled_from(["", "vscode-notebook-cell:", "vscode-notebook-cell://", "C:\\", "/", "s3://"]))
    def test_no_text_raises_wherever_it_stands(self, text, start):
        told = start + text
        asked = request(cellId=told, colab={"cell_id": told})
        for found in (
            place({"__vsc_ipynb_file__": told}),
            place({"PAPERMILL_INPUT_PATH": told}),
            place(asked=asked),
            place(session=told, modules={"google.colab"}),
            place(session=told, cwd=told),
        ):
            found.key.encode()
            assert found.label.isprintable()
        cell_id(asked).encode()


class TestTheCellsOfANotebook:
    def test_are_read_from_the_file(self, tmp_path):
        assert cell_ids(save(tmp_path / "a.ipynb", FIRST, SECOND)) == {FIRST, SECOND}

    def test_colab_keeps_them_in_the_metadata(self, tmp_path):
        path = save(tmp_path / "a.ipynb", cells=[{"cell_type": "code", "metadata": {"id": "aB3dE5gH7jKl"}}])

        assert cell_ids(path) == {"aB3dE5gH7jKl"}

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b"\xff\xfe",
            b'{"cells": 3}',
            b'{"cells": [3, {}, {"id": 3}, {"id": ""}, {"metadata": 3}]}',
            b'{"nbformat": 3, "worksheets": [{"cells": [{"id": "a1aaaaaa"}]}]}',
            b"[" * 200_000,
            b'{"cells": ' + b"9" * 5000 + b"}",
        ],
        ids=range(10),
    )
    def test_a_file_that_is_no_notebook_has_none(self, content, tmp_path):
        (tmp_path / "a.ipynb").write_bytes(content)

        assert cell_ids(str(tmp_path / "a.ipynb")) == frozenset()

    @pytest.mark.parametrize("path", ["", "/nowhere/a.ipynb", "/", "\0", "\ud800", "C:\\a.ipynb"])
    def test_where_there_is_no_file_there_are_none(self, path):
        assert cell_ids(path) == frozenset()

    def test_a_pipe_is_not_waited_for(self, tmp_path):
        os.mkfifo(tmp_path / "a.ipynb")

        assert cell_ids(str(tmp_path / "a.ipynb")) == frozenset()

    def test_a_huge_file_is_left_alone(self, tmp_path):
        path = save(tmp_path / "a.ipynb", FIRST)
        os.truncate(path, BIGGEST_NOTEBOOK + 1)

        assert cell_ids(path) == frozenset()

    @given(st.binary(max_size=300))
    def test_no_bytes_raise(self, tmp_path_factory, content):
        path = tmp_path_factory.getbasetemp() / "any.ipynb"
        path.write_bytes(content)

        assert cell_ids(str(path)) == frozenset()


random_ids = st.uuids(version=4).map(lambda each: str(each) if each.int % 2 else each.hex[-8:].replace("0", "b"))
id_sets = st.sets(random_ids, max_size=8)


class TestWhereANotebookComesFrom:
    def test_a_path_that_is_gone_was_moved(self, tmp_path):
        old, new = str(tmp_path / "old.ipynb"), save(tmp_path / "new.ipynb", FIRST, SECOND, THIRD)

        assert likely_origin(new, {old: [FIRST, SECOND]}) == Origin(old, "moved")

    def test_a_folder_that_was_renamed_took_its_notebooks_along(self, tmp_path):
        old, new = str(tmp_path / "old" / "a.ipynb"), save(tmp_path / "new" / "a.ipynb", FIRST)

        assert likely_origin(new, {old: [FIRST]}) == Origin(old, "moved")

    def test_a_path_that_is_still_there_was_copied(self, tmp_path):
        old, new = save(tmp_path / "old.ipynb", FIRST, SECOND), save(tmp_path / "new.ipynb", FIRST, SECOND)

        assert likely_origin(new, {old: [FIRST, SECOND]}) == Origin(old, "copied")

    def test_the_same_file_under_another_name_was_moved(self, tmp_path):
        new = save(tmp_path / "new.ipynb", FIRST)
        os.link(new, tmp_path / "old.ipynb")

        assert likely_origin(new, {str(tmp_path / "old.ipynb"): [FIRST]}) == Origin(
            str(tmp_path / "old.ipynb"), "moved"
        )

    def test_a_notebook_is_not_its_own_origin(self, tmp_path):
        path = save(tmp_path / "a.ipynb", FIRST)

        assert likely_origin(path, {path: [FIRST]}) is None

    def test_folders_and_other_hosts_are_no_origin(self, tmp_path):
        path = save(tmp_path / "a.ipynb", FIRST)

        assert likely_origin(path, {f"folder:{tmp_path}": [FIRST], "colab:1AbC": [FIRST], "": [FIRST]}) is None

    def test_one_whose_place_was_taken_is_the_origin_wherever_its_cells_turn_up(self, tmp_path):
        taken = elsewhere(save(tmp_path / "Untitled.ipynb", SECOND), "4711")
        path = save(tmp_path / "analysis.ipynb", FIRST)

        assert likely_origin(path, {taken: {FIRST}}) == Origin(taken, "moved")

    def test_a_notebook_that_cannot_be_read_has_no_origin(self, tmp_path):
        assert likely_origin(str(tmp_path / "a.ipynb"), {"/old.ipynb": [FIRST]}) is None
        assert likely_origin("", {"/old.ipynb": [FIRST]}) is None

    @pytest.mark.parametrize(
        "name", ["cell-12", "cell-000012", "imports", "introduction", "00000001", "load-the-data", "3"]
    )
    def test_an_id_that_stands_in_many_notebooks_says_nothing(self, name):
        assert closest_origin({name}, {"/old.ipynb": {name}}, ()) is None

    @pytest.mark.parametrize("name", [LAB_CELL, FIRST, "8dd9e4ce01e6463b8e0a5e5f4a4b1f0c", "GJBs_flRo3Lc"])
    def test_an_id_drawn_at_random_says_enough(self, name):
        assert closest_origin({name}, {"/old.ipynb": {name}}, ()) == Origin("/old.ipynb", "copied")

    def test_a_single_cell_pasted_from_elsewhere_is_no_copy(self):
        assert closest_origin({FIRST, "e1eeeeee"}, {"/old.ipynb": [FIRST, SECOND, THIRD]}, ()) is None

    @pytest.mark.parametrize("cells", [{FIRST}, {FIRST, "e1eeeeee"}])
    def test_half_of_its_cells_are_enough(self, cells):
        assert closest_origin(cells, {"/old.ipynb": [FIRST, SECOND]}, ()) == Origin("/old.ipynb", "copied")

    def test_of_a_moved_notebook_and_its_copy_the_moved_one_is_the_origin(self):
        candidates = {"/copy.ipynb": [FIRST, SECOND], "/old.ipynb": [FIRST, SECOND]}

        assert closest_origin([FIRST, SECOND], candidates, {"/old.ipynb"}) == Origin("/old.ipynb", "moved")

    def test_of_two_copies_the_earlier_one_is_the_origin(self):
        candidates = {"/first.ipynb": [FIRST, SECOND], "/second.ipynb": [FIRST, SECOND]}

        assert closest_origin([FIRST, SECOND], candidates, ()) == Origin("/first.ipynb", "copied")

    @given(id_sets, st.dictionaries(st.text(min_size=1), id_sets, max_size=5), st.data())
    def test_the_origin_shares_most_and_at_least_half_of_its_cells(self, cells, candidates, data):
        gone = data.draw(st.sets(st.sampled_from(sorted(candidates)))) if candidates else set()
        fitting = {
            key: len(ids & cells) for key, ids in candidates.items() if ids & cells and 2 * len(ids & cells) >= len(ids)
        }

        origin = closest_origin(cells, candidates, gone)

        assert (origin is None) == (not fitting)
        if origin:
            assert fitting[origin.key] == max(fitting.values())
            assert origin.kind == ("moved" if origin.key in gone else "copied")

    @given(st.sets(random_ids, min_size=1, max_size=8), id_sets)
    def test_adding_cells_to_a_copy_hides_nothing(self, original, added):
        assert closest_origin(original | added, {"/old.ipynb": original}, ()) == Origin("/old.ipynb", "copied")

    @given(id_sets, id_sets)
    def test_notebooks_without_a_cell_in_common_are_strangers(self, one, other):
        assert closest_origin(one - other, {"/old.ipynb": other}, ()) is None

    @given(st.uuids(version=4))
    def test_every_kind_of_random_id_is_known_as_one(self, each: UUID):
        assert RANDOM_ID.fullmatch(str(each))
        assert RANDOM_ID.fullmatch(each.hex) or each.hex.startswith("0000")


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/home/ada/work/a.ipynb", "~/work/a.ipynb"),
        ("/home/adam/a.ipynb", "/home/adam/a.ipynb"),
        ("/home/ada", "/home/ada"),
        ("", ""),
    ],
)
def test_the_home_folder_is_shown_as_a_tilde(path, shown, monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")

    assert short_path(path) == shown


class TestAnotherNotebookInTheSamePlace:
    """Asked at 1,000 and saved at 2,000 seconds, unless said otherwise."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> str:
        path = save(tmp_path / "Untitled.ipynb", FIRST)
        os.utime(path, (2000, 2000))
        return path

    def test_it_was_saved_after_all_that_was_asked_and_has_none_of_the_cells(self, path):
        assert is_stranger(path, Cell(FIRST, "1"), {SECOND, THIRD}, 1000)

    @pytest.mark.parametrize(
        ("cell", "known", "last_asked"),
        [
            (Cell(FIRST, "1"), {FIRST, SECOND}, 1000),  # one of the cells is in the file
            (Cell(SECOND, "1"), {SECOND, THIRD}, 1000),  # or is the one that runs
            (Cell(FOURTH, "1"), {SECOND, THIRD}, 3000),  # the cells may not be saved yet
            (Cell(FIRST, "1"), set(), 1000),  # nothing was asked
            (Cell(FIRST, "1"), {"intro", "cell-2"}, 1000),  # such names stand in many notebooks
        ],
    )
    def test_where_it_may_be_the_same_it_is_taken_for_the_same(self, path, cell, known, last_asked):
        assert not is_stranger(path, cell, known, last_asked)

    def test_a_new_notebook_has_no_cells_at_all_in_its_file(self, path):
        save(Path(path))
        os.utime(path, (2000, 2000))

        assert is_stranger(path, Cell(FIRST, "1"), {SECOND}, 1000)

    @pytest.mark.parametrize("content", [b"", b"{}", b"# %%\n1\n"])
    def test_a_file_that_names_no_cells_says_nothing(self, path, content):
        Path(path).write_bytes(content)

        assert not is_stranger(path, Cell(FIRST, "1"), {SECOND}, 1000)

    def test_neither_does_one_that_is_gone(self, path):
        os.remove(path)

        assert not is_stranger(path, Cell(FIRST, "1"), {SECOND}, 1000)
