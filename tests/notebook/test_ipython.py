"""What IPython tells of the running cell, in a shell of the test's own and without one."""

from __future__ import annotations

import os

import pytest
from IPython.utils.capture import capture_output

from flowgpt_magic.notebook import ipython
from flowgpt_magic.notebook.place import Cell
from tests.kernel_shell import request


class TestWithoutAShell:
    def test_nothing_is_known(self):
        assert ipython.shell() is None
        assert not ipython.in_kernel()
        assert ipython.request() == {}
        assert ipython.running_cell() == Cell("", "")

    def test_a_prompt_can_refer_to_nothing(self):
        assert ipython.prompt_context().names == {}
        assert ipython.prompt_context(with_running_cell=True).inputs == ()

    def test_the_place_is_the_working_directory(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

        assert (ipython.place().kind, ipython.place().key) == ("terminal", f"folder:{os.path.realpath(tmp_path)}")
        assert ipython.notebook_path() is None

    def test_no_cell_can_be_put_below(self):
        assert not ipython.put_below("x = 1")


class TestInAShell:
    def test_the_settings_of_config_are_those_of_the_loaded_extension(self, shell):
        assert ipython.configured() == {}

        shell.config.FlowGPT.model = "echo"
        shell.run_line_magic("load_ext", "flowgpt_magic")

        assert ipython.configured()["model"] == "echo"
        shell.run_line_magic("unload_ext", "flowgpt_magic")

    def test_inputs_are_the_cells_before_the_running_one_as_they_were_typed(self, shell):
        shell.user_ns.update(In=["", "get_ipython().run_line_magic('time', 'x')", "y"], _i1="%time x", _i2="y")

        assert ipython.prompt_context().inputs == ["", "%time x"]
        assert ipython.prompt_context(with_running_cell=True).inputs == ["", "%time x", "y"]

    def test_names_inside_a_function_take_the_place_of_the_users(self, shell):
        assert ipython.prompt_context({"n": 1}).names == {"n": 1}
        assert ipython.prompt_context().names is shell.user_ns

    def test_the_outputs_of_cells_are_there(self, shell):
        shell.user_ns["Out"] = {1: "the output"}

        assert ipython.prompt_context().outputs == {1: "the output"}

    def test_code_is_put_into_the_next_line(self, shell):
        assert ipython.put_below("x = 1")
        assert shell.rl_next_input == "x = 1"

    def test_the_number_of_the_running_cell_is_the_one_beside_it(self, shell):
        shell.user_ns["numbers"] = []
        for _ in range(2):
            result = shell.run_cell(
                "from flowgpt_magic.notebook.ipython import running_cell; numbers.append(running_cell().number)",
                store_history=True,
            )

        assert shell.user_ns["numbers"] == [result.execution_count - 1, result.execution_count]

    def test_a_run_of_a_cell_is_named_by_its_number(self, shell):
        shell.execution_count = 7

        assert ipython.execution() == "7"
        assert not ipython.headless()


class TestInAKernel:
    def test_the_running_cell_and_its_run_are_those_of_the_request(self, kernel):
        kernel.message = request("0f1e2d3c-0000-4000-8000-000000000000")

        assert ipython.in_kernel()
        assert ipython.running_cell() == Cell("0f1e2d3c-0000-4000-8000-000000000000", "run-1")

    def test_a_kernel_between_two_requests_has_none(self, kernel):
        kernel.message = None

        assert ipython.request() == {}

    @pytest.mark.parametrize("content", [{}, {"allow_stdin": True}])
    def test_a_person_looks_on_unless_the_request_says_that_nobody_can_type(self, kernel, content):
        kernel.message = request("cell", **content)

        assert not ipython.headless()

    def test_nobody_looks_on_where_nobody_can_type(self, kernel):
        kernel.message = request("cell", allow_stdin=False)

        assert ipython.headless()
        assert not ipython.put_below("x = 1")

    def test_nobody_looks_on_where_output_is_captured(self, kernel):
        kernel.message = request("cell")

        with capture_output():
            assert ipython.headless()
        assert not ipython.headless()

    def test_a_console_sends_no_id_of_a_cell(self, kernel):
        kernel.message = request()
        assert ipython.in_console()

        kernel.message = request("0f1e2d3c-0000-4000-8000-000000000000")
        assert not ipython.in_console()

    def test_a_message_of_a_widget_is_none_of_a_console(self, kernel):
        kernel.message = {"header": {"msg_id": "1", "msg_type": "comm_msg"}, "content": {}, "metadata": {}}

        assert not ipython.in_console()

    def test_a_bundle_is_published_with_its_name_and_can_take_anothers_place(self, kernel):
        with capture_output() as captured:
            ipython.publish({"text/plain": "one"}, {"a": 1}, transient={"display_id": "x"})
            ipython.publish({"text/plain": "two"}, transient={"display_id": "x"}, update=True)

        assert [output.data for output in captured.outputs] == [{"text/plain": "one"}, {"text/plain": "two"}]
        assert captured.outputs[0].metadata == {"a": 1}
        assert [output.transient for output in captured.outputs] == [{"display_id": "x"}] * 2
        assert [output.update for output in captured.outputs] == [False, True]

    def test_cleared_outputs_are_gone(self, kernel):
        with capture_output() as captured:
            ipython.publish({"text/plain": "one"})
            ipython.clear()

        assert captured.outputs == []
