"""Folders and patterns."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowgpt_magic.prompt.attachments import Attachment, attach, describe
from flowgpt_magic.prompt.describe import file_sets
from flowgpt_magic.prompt.describe.problems import AttachmentError
from tests.described import split
from tests.prompt.test_images import PNG


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(**files: str) -> None:
    """Files by name; ``__`` stands for a slash, ``_dot_`` for a dot."""
    for name, text in files.items():
        path = Path(name.replace("__", "/").replace("_dot_", "."))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def one(spec: str, budget: int = 2_000, **how: object) -> Attachment:
    (attachment,) = attach([spec], {}, budget=budget, **how)
    return attachment


class TestPatterns:
    @pytest.fixture(autouse=True)
    def _files(self) -> None:
        write(a_dot_py="A", src__b_dot_py="B", src__c_dot_md="C", src__in__d_dot_py="D", src__in__deep__e_dot_py="E")

    @pytest.mark.parametrize(
        ("pattern", "names"),
        [
            ("*.py", ["a.py"]),
            ("src/*.py", ["src/b.py"]),
            ("./src/*.py", ["src/b.py"]),
            ("src/?.*", ["src/b.py", "src/c.md"]),
            ("src/[a-c].md", ["src/c.md"]),
            ("src/**/*.py", ["src/b.py", "src/in/d.py", "src/in/deep/e.py"]),
            ("**/*.py", ["a.py", "src/b.py", "src/in/d.py", "src/in/deep/e.py"]),
            ("src/**/deep/*", ["src/in/deep/e.py"]),
            ("src/*/*.py", ["src/in/d.py"]),
            ("**/in/**", ["src/in/d.py", "src/in/deep/e.py"]),
        ],
    )
    def test_a_pattern_attaches_the_files_it_matches(self, pattern, names):
        attachment = one(pattern)

        assert [line[:-1] for line in attachment.text.split("\n") if line.endswith((".py:", ".md:"))] == names
        count = "1 file" if len(names) == 1 else f"{len(names)} files"
        assert (attachment.about, attachment.unsent) == (f"{count} of {pattern}", "")

    def test_a_pattern_may_be_absolute_or_begin_at_home(self, folder, monkeypatch):
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.setenv("USERPROFILE", str(folder))

        for pattern in (f"{folder}/src/*.md", "~/src/*.md"):
            assert "\nC\n" in one(pattern).text

    @pytest.mark.parametrize(
        ("pattern", "said"),
        [
            ("*.txt", r"\*\.txt: no file matches it; hidden files and those"),
            ("none/*.txt", r"none/\*\.txt: there is no folder none"),
            ("src/i*", r"src/i\*: only folders match it; \*\* also matches the files in them"),
        ],
    )
    def test_a_pattern_without_files_says_why(self, pattern, said):
        with pytest.raises(AttachmentError, match=said):
            one(pattern)

    def test_a_file_whose_name_looks_like_a_pattern_is_itself(self):
        Path("data[1].txt").write_text("itself")

        assert "itself" in one("data[1].txt").text


class TestFolders:
    def test_a_folder_is_the_texts_of_its_files(self):
        write(src__a_dot_py="x = 1\n", src__in__b_dot_md="# B\n")

        attachment = one("src")

        assert attachment.text == "src: 2 files\n\nsrc/a.py:\n```py\nx = 1\n```\n\nsrc/in/b.md:\n```md\n# B\n```"
        assert (attachment.about, attachment.is_cut) == ("2 files of src", False)

    def test_small_files_are_whole_and_the_others_share_the_rest(self):
        write(src__small="tiny " * 60, src__one="sugar " * 9_000, src__two="honey " * 9_000)

        text = one("src").text

        assert text.count("tiny") == 60
        assert 450 < text.count("sugar") < 600
        assert abs(text.count("sugar") - text.count("honey")) < 30
        assert len(text) < 8_200

    def test_where_not_all_fit_those_that_do_not_are_named_and_counted(self):
        write(**{f"src__file{number:02}_dot_txt": f"words and {number} " * 500 for number in range(40)})

        attachment = one("src")

        assert attachment.about.endswith(" of 40 files of src")
        count = int(attachment.about.split()[0])
        assert 5 < count < 15
        assert f"Not shown: src/file{count:02}.txt" in attachment.text
        assert attachment.unsent == f"{40 - count} files of src not sent: beyond attach_tokens"

    def test_those_of_the_nearest_folders_are_chosen_first(self):
        write(**{f"src__in__file{number:02}_dot_txt": "x" for number in range(200)})
        write(src__main_dot_py="words " * 1_000)

        text = one(".").text

        assert "src/main.py:\n```py\nwords words" in text
        assert "src/in/file00.txt:" in text

    def test_what_is_no_text_a_secret_or_huge_is_skipped_and_counted(self, monkeypatch):
        monkeypatch.setattr(file_sets, "LARGEST_FILE", 5_000)
        write(src__a_dot_txt="A", src__big="x" * 6_000, src__server_dot_pem="s3cr3t")
        write(src__key="-----BEGIN PRIVATE KEY-----\ns3cr3t")
        Path("src/data.bin").write_bytes(bytes(100))

        attachment = one("src")

        assert "s3cr3t" not in attachment.text
        assert attachment.about == "1 of 5 files of src"
        assert attachment.unsent == "4 files of src not sent: 1 binary, 2 that may hold secrets, 1 longer than 2 MB"
        assert "s3cr3t" in one("src!").text

    def test_secrets_in_the_files_are_masked(self):
        write(src__a_dot_txt="password = 'h0rse!'")

        assert "h0rse" not in one("src").text

    def test_hidden_files_and_generated_folders_do_not_belong_to_it(self):
        write(src___dot_hidden="H", src___dot_git__config="G", src__a="A")
        Path("src/__pycache__").mkdir()
        Path("src/__pycache__/x").write_text("P")
        write(src__node_modules__x="N", src__env__pyvenv_dot_cfg="", src__env__lib="L")

        assert one("src").about == "1 file of src"

    def test_an_empty_file_and_an_empty_folder_say_so(self):
        write(src__a="")
        Path("none").mkdir()

        assert "src/a: empty" in one("src").text
        assert one("none").about == "0 files of none"

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
    def test_links_and_pipes_are_safe(self, folder):
        write(src__a="A", outside="O")
        os.mkfifo("src/pipe")
        Path("src/loop").symlink_to(folder / "src")
        Path("src/itself").symlink_to("itself")
        Path("src/gone").symlink_to("nowhere")
        Path("src/out").symlink_to(folder / "outside")
        Path("src/inner").symlink_to("a")

        attachment = one("src")

        assert attachment.about == "2 of 6 files of src"
        assert attachment.unsent == (
            "4 files of src not sent: 1 unreadable, 1 linked from elsewhere, 2 that are no regular files"
        )

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user can read everything")
    def test_what_cannot_be_read_is_counted(self):
        write(src__a="A", src__closed="C", src__locked__b="B")
        Path("src/closed").chmod(0)
        Path("src/locked").chmod(0)

        try:
            assert one("src").unsent == "2 files of src not sent: unreadable"
        finally:
            Path("src/locked").chmod(0o700)

    def test_a_huge_folder_is_searched_in_part(self, monkeypatch):
        monkeypatch.setattr(file_sets, "MAX_ENTRIES", 50)
        write(**{f"src__{number:03}": "x" for number in range(100)})

        attachment = one("src")

        assert " of more than 50 files of src" in attachment.about
        assert "it has more files than are searched" in attachment.unsent

    def test_a_folder_of_many_files_takes_no_time(self, folder):
        os.mkdir("src")
        for number in range(25_000):
            os.close(os.open(f"src/{number}", os.O_CREAT))

        begun = time.process_time()
        one("src")

        assert time.process_time() - begun < 3

    def test_a_variable_with_a_folder_is_described_too(self, folder):
        write(src__a_dot_py="x = 1\n")

        assert describe("it", folder / "src", 500) == "it: 1 file\n\nsrc/a.py:\n```py\nx = 1\n```"


PATTERNS = [
    *("*", "*.x", "!*.x", "b", "/b", "b/", "!b/", "a/**", "a/*", "!/a/b", "**/c.y", "**/b/", "a/**/c.x", "/a/b/"),
    *("**", "!**", "[b-c].?", "c.[!y]", "c.[^y]", "\\b", "/", "!", "# b", "b "),
]


class TestGitignore:
    @pytest.fixture(autouse=True)
    def _repository(self) -> None:
        Path(".git").mkdir()

    def test_what_it_excludes_does_not_belong_to_the_folder(self):
        write(src__a_dot_py="A", src__a_dot_log="L", src__build__b="B", src___dot_gitignore="*.log\nbuild/\n")

        assert one("src").about == "1 file of src"
        assert one("src/*").about == "1 file of src/*"

    def test_rules_of_inner_folders_and_negation_count(self):
        write(_dot_gitignore="*.log\n", src__a_dot_log="A", src__in___dot_gitignore="!keep.log\n/x\n")
        write(src__in__keep_dot_log="K", src__in__x="X", src__in__deep__x="D")

        names = [line for line in one("src").text.split("\n") if line.startswith("src/")]
        assert names == ["src/in/deep/x:", "src/in/keep.log:"]

    def test_a_rule_above_the_folder_counts_up_to_the_repository(self):
        write(_dot_gitignore="/src/out\n", src__out__a="A", src__b="B")

        assert one("src").about == "1 file of src"

    def test_an_excluded_folder_that_is_named_is_attached(self):
        write(_dot_gitignore="build/\n", build__a_dot_txt="A")

        assert one("build").about == "1 file of build"
        assert one("build/*.txt").about == "1 file of build/*.txt"

    def test_lines_that_are_no_patterns_do_no_harm(self):
        write(src___dot_gitignore="!\n[z-a]\n\\\n*.log\n", src__a_dot_log="L", src__b="B")

        assert one("src").about == "1 file of src"

    @pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
    @settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from([".gitignore", "a/.gitignore", "a/b/.gitignore"]),
            st.lists(st.sampled_from(PATTERNS)),
        )
    )
    def test_git_says_the_same(self, rules):
        with tempfile.TemporaryDirectory() as place:
            for name in ("c.x", "c.y", "b", "a/c.x", "a/c.y", "a/b/c.x", "a/b/c.y", "a/b/b"):
                Path(place, name).parent.mkdir(parents=True, exist_ok=True)
                Path(place, name).write_text("text")
            for name, lines in rules.items():
                Path(place, name).write_text("\n".join(lines) + "\n")
            git = ["git", "-C", place, "-c", "core.excludesFile="]
            subprocess.run([*git, "init", "-q"], check=True)
            listed = subprocess.run(
                [*git, "ls-files", "--others", "--exclude-standard"], check=True, capture_output=True, text=True
            )

            found = file_sets.folder_files(Path(place), ".", masked=True)

        names = {name for name in listed.stdout.split("\n") if name and not name.endswith(".gitignore")}
        assert {file.name for file in found.files} == names


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.lists(st.sampled_from(["a", "b", "ab"]), min_size=1, max_size=4).map("/".join), max_size=8),
    st.lists(st.sampled_from(["*", "**", "a", "?", "a*", "[ab]"]), min_size=1, max_size=4).filter(
        lambda segments: segments != ["a"] * len(segments)
    ),
)
def test_a_pattern_finds_what_pathlib_finds(names, segments):
    pattern = "/".join(segments)
    with tempfile.TemporaryDirectory() as place:
        for name in names:
            with suppress(OSError):  # a name may be that of a folder already
                Path(place, name).parent.mkdir(parents=True, exist_ok=True)
                Path(place, name).write_text("text")
        last = "/*" if segments[-1] == "**" else ""
        expected = {path.relative_to(place).as_posix() for path in Path(place).glob(pattern + last) if path.is_file()}
        files: object = ()
        with suppress(AttachmentError):  # none matches
            files = file_sets.matching_files(pattern, Path(place), masked=True).files

    assert {file.name for file in files} == expected


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 5_000), max_size=30), st.integers(50, 1_500))
def test_a_folder_keeps_to_its_budget(lengths, budget):
    with tempfile.TemporaryDirectory() as place:
        for number, length in enumerate(lengths):
            Path(place, f"file{number}.txt").write_text("words " * (length // 6))

        text = describe("it", Path(place), budget)

    assert len(split(text)[0]) <= 4 * budget


class TestPictures:
    @pytest.fixture(autouse=True)
    def _pictures(self) -> None:
        write(plots__notes_dot_md="N")
        for name in ("a", "b"):
            Path(f"plots/{name}.png").write_bytes(PNG)

    def test_pictures_of_a_folder_are_sent_where_the_model_takes_them(self):
        texts, *pictures = attach(["plots"], {}, budget=500, with_images=True)

        assert (texts.about, texts.unsent) == ("1 of 3 files of plots", "")
        assert [picture.about for picture in pictures] == ["picture plots/a.png", "picture plots/b.png"]
        assert all(picture.image.startswith("data:image/png;base64,") for picture in pictures)

    def test_elsewhere_it_says_that_they_are_not_sent(self):
        assert one("plots", model="local").unsent == "2 pictures not sent: local reads text"
