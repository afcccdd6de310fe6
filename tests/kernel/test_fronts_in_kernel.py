"""What other front ends than JupyterLab send and can show, told by their messages."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

from tests.kernel.conftest import Kernel, Run
from tests.kernel.test_panel_in_kernel import VIEW

CONSOLE = ""  # the cell's id that jupyter console, Qt Console, Spyder and the classic Notebook send: none


def data(run: Run) -> list[dict[str, str]]:
    return [output["data"] for output in run.outputs]


class TestConsoles:
    def test_a_reply_is_printed_and_nothing_of_it_needs_markdown_or_an_update(self, kernel):
        run = kernel.good("%flowgpt one two three", cell_id=CONSOLE)

        assert run.printed.startswith("one two three\n[echo:words")
        assert not run.of_type("display_data", "update_display_data", "clear_output")

    @pytest.mark.parametrize("option", ["-f code", "-f json", "--no-stream", "-f html"])
    def test_so_is_one_that_is_shown_at_its_end_only(self, kernel, option):
        run = kernel.good(f"%%flowgpt {option}\none two three", cell_id=CONSOLE)

        assert "one two three" in run.printed
        assert not run.of_type("display_data", "update_display_data")

    def test_so_is_a_reply_that_is_the_value_of_the_last_line(self, kernel):
        run = kernel.good("from flowgpt_magic import ask\nask('one two three')", cell_id=CONSOLE)

        assert "one two three" in run.printed

    def test_a_batch_shows_a_table_and_no_bar(self, kernel):
        run = kernel.good("from flowgpt_magic import map_prompts\nmap_prompts(['one', 'two'])", cell_id=CONSOLE)

        assert not run.of_type("comm_open")
        assert all("text/plain" in each for each in data(run))

    def test_the_panel_says_what_to_do_instead(self, kernel):
        run = kernel.good("%flowgpt panel", cell_id=CONSOLE)

        assert "the panel needs a notebook" in run.printed
        assert not run.of_type("comm_open")


class TestThePanelsLine:
    def test_in_jupyterlab_it_names_jupyterlab(self, start_kernel, tmp_path):
        run = panel(start_kernel, str(tmp_path / "a.ipynb"), "a-cell")

        assert "JupyterLab or Notebook lacks anywidget" in data(run)[0]["text/plain"]
        assert VIEW in data(run)[1]

    def test_the_classic_notebook_gets_a_panel_and_a_line_of_its_own(self, start_kernel, tmp_path):
        run = panel(start_kernel, str(tmp_path / "a.ipynb"), CONSOLE)

        assert "pip install anywidget widgetsnbextension" in data(run)[0]["text/plain"]
        assert VIEW in data(run)[1]

    def test_in_vs_code_there_is_none(self, start_kernel, tmp_path):
        run = panel(start_kernel, "", f"vscode-notebook-cell:{tmp_path}/a.ipynb#W0sZmlsZQ%3D%3D")

        assert data(run)[0]["text/plain"] == ""
        assert "Run this cell" not in str(data(run)[0])
        assert VIEW in data(run)[1]


def panel(start_kernel, session: str, cell_id: str) -> Run:
    kernel = start_kernel(on_colabs_page=False, JPY_SESSION_NAME=session)
    return kernel.good("%flowgpt panel", cell_id=cell_id)


@pytest.mark.parametrize("code", ["%flowgpt panel", "from flowgpt_magic import ChatPanel\nChatPanel()"])
def test_a_headless_run_saves_no_widget(code, tmp_path, monkeypatch):
    monkeypatch.setenv("FLOWGPT_MODEL", "echo")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    cells = ["%load_ext flowgpt_magic", "%flowgpt hello", code]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])

    NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()

    assert "widgets" not in notebook.metadata
    assert [set(output.data) for output in notebook.cells[2].outputs] == [{"text/html", "text/markdown", "text/plain"}]


class TestVsCode:
    CELLS = ("%%flowgpt --cache\nmy name is Ada", "%%flowgpt --cache\nwho am I?")

    @pytest.fixture
    def run_all(self, start_kernel, tmp_path):
        """Run the cells in a new kernel, with these numbers; returns the turns and what came from the history."""
        notebook = tmp_path / "analysis.ipynb"
        notebook.write_text("{}")
        kernels: list[Kernel] = []

        def run(*cells: tuple[int, str]) -> tuple[list[str], int]:
            for kernel in kernels:
                kernel.close()
            kernels[:] = [start_kernel(FLOWGPT_HISTORY=str(tmp_path / "history.sqlite3"))]
            kernels[0].good(f"__vsc_ipynb_file__ = {str(notebook)!r}", cell_id=CONSOLE)
            runs = [
                kernels[0].good(code, cell_id=f"vscode-notebook-cell:{notebook}#W{number}sZmlsZQ%3D%3D")
                for number, code in cells
            ]
            count = "from flowgpt_magic import Conversation\nprint([t.prompt for t in Conversation().turns])"
            replayed = sum(output["metadata"]["flowgpt"]["replayed"] for each in runs for output in each.outputs)
            return eval(kernels[0].good(count).printed), replayed

        return run

    def test_a_restart_and_run_all_rebuilds_the_conversation_from_the_cache(self, run_all):
        prompts, replayed = run_all(*enumerate(self.CELLS))
        assert (prompts, replayed) == (["my name is Ada", "who am I?"], 0)

        assert run_all(*enumerate(self.CELLS)) == (prompts, 2)

    def test_a_document_opened_again_rebuilds_it_and_no_wrong_turn_is_replaced(self, run_all):
        prompts, _replayed = run_all((0, self.CELLS[0]), (4, self.CELLS[1]))

        again, replayed = run_all((0, self.CELLS[0]), (1, self.CELLS[1]), (4, "%%flowgpt\nsomething new"))

        assert (again, replayed) == ([*prompts, "something new"], 2)
