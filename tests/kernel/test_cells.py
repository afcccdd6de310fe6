"""``%%flowgpt`` cells in a real kernel."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest

from flowgpt_magic.display.caret import CARET
from flowgpt_magic.display.waiting_line import saved_line
from tests import servers
from tests.kernel.conftest import IPYKERNEL_6, Kernel, Run
from tests.models_on_disk import weights_on_disk

LONG = " ".join(f"word{number}" for number in range(2000))


def shown(run: Run) -> str:
    """The one output's text; there must be exactly one."""
    (output,) = run.outputs
    return output["data"]["text/plain"]


def start_and_interrupt(kernel: Kernel, code: str, *, after: str = "display_data") -> Run:
    """Run a cell and interrupt it at its first message of this type."""
    interrupted = []

    def interrupt_once(message):
        if message["msg_type"] == after and not interrupted:
            interrupted.append(True)
            kernel.interrupt()

    return kernel.collect(kernel.send(code), on_message=interrupt_once)


def test_a_cell_keeps_one_output_with_the_reply_as_markdown_and_as_text(kernel):
    run = kernel.good("%%flowgpt\nsome **bold** words")

    (output,) = run.outputs
    facts = output["metadata"]["flowgpt"]
    assert output["data"]["text/plain"] == "some **bold** words"
    assert output["data"]["text/markdown"].startswith("some **bold** words\n")
    assert (facts["provider"], facts["model"], facts["status"], facts["chunks"]) == ("echo", "words", "complete", 3)
    assert facts["seconds"] >= facts["first_chunk_seconds"] >= 0
    assert run.complained == ""


def test_chunks_are_shown_before_the_reply_has_ended(kernel):
    run = kernel.good("%config FlowGPT.pace = 0.05\n") and kernel.good("%%flowgpt\none two three four five six")

    paints = [content["data"] for _when, content in run.of_type("display_data", "update_display_data")]
    texts = [data["text/markdown"].strip() for data in paints]
    assert f"one{CARET}" in texts
    assert len(texts) > 3
    assert shown(run) == "one two three four five six"


def test_many_blocks_are_one_output_in_the_end(kernel):
    prompt = "\n\n".join(f"Paragraph {number} " + "with some words " * 20 for number in range(60))

    run = kernel.good("%config FlowGPT.pace = 0.0005\n") and kernel.good(f"%%flowgpt\n{prompt}")

    assert len(run.of_type("display_data")) > 3
    assert shown(run) == prompt


def test_a_reply_shown_as_text_is_appended_and_ends_as_one_output(kernel):
    kernel.good("%config FlowGPT.pace = 0.02")

    run = kernel.good("%%flowgpt -f text\nsome <b>plain</b> words")

    assert run.printed == "some <b>plain</b> words"
    (output,) = run.outputs
    assert output["data"]["text/plain"] == "some <b>plain</b> words"
    assert "<b>" not in output["data"]["text/html"]


def test_what_a_cell_printed_around_a_reply_stays(kernel):
    run = kernel.good("print('before')\nr = %flowgpt hello\nprint('after', r.text)")

    assert run.printed == "before\nafter hello\n"
    assert shown(run) == "hello"
    assert run.of_type("clear_output") == []


def test_a_magic_in_a_loop_shows_every_reply(kernel):
    run = kernel.good("for n in range(3):\n    %flowgpt again and again")

    assert [output["data"]["text/plain"] for output in run.outputs] == ["again and again"] * 3


def test_a_run_that_nobody_watches_gets_the_end_only(kernel):
    kernel.good("%config FlowGPT.pace = 0.02")

    run = kernel.good("%%flowgpt\none two three four five", allow_stdin=False)

    assert len(run.of_type("display_data")) == 1
    assert run.of_type("update_display_data", "clear_output") == []
    assert shown(run) == "one two three four five"


def test_the_next_cell_knows_what_was_said_before(kernel):
    kernel.good("%%flowgpt\nmy name is Ada")

    run = kernel.good('%%flowgpt echo:messages -s "be brief"\nwho am I?')

    assert shown(run) == "system: be brief\nuser: my name is Ada\nassistant: my name is Ada\nuser: who am I?"


def test_the_reply_goes_into_a_variable(kernel):
    kernel.good("%%flowgpt -o first\nhello there")
    kernel.good("%%flowgpt second <<\ngood day")

    run = kernel.good("print(first, second.status, first.usage.chunks, second.text)")

    assert run.printed == "hello there complete 2 good day\n"


def test_the_value_of_a_cell_is_its_reply_and_is_not_shown_twice(kernel):
    first = kernel.good("%%flowgpt\nhello there")

    again = kernel.good("_")

    assert len(first.outputs) == 1
    assert shown(again) == "hello there"


def test_a_reply_as_the_last_line_of_a_cell_streams_into_it(kernel):
    kernel.good("%config FlowGPT.pace = 0.05")
    kernel.good("from flowgpt_magic import Conversation\nchat = Conversation()")

    run = kernel.good("chat.ask('one two three four five')")

    assert run.of_type("update_display_data") != []
    assert shown(run) == "one two three four five"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("%%flowgpt -t hot\nhi", "-t hot: must be a number from 0 to 2"),
        ("%%flowgpt -t 2.5\nhi", "-t 2.5: must be a number from 0 to 2"),
        ("%%flowgpt --modle echo\nhi", "there is no option --modle; did you mean --model?"),
        ("%%flowgpt -m echoo\nhi", "no model, provider or alias 'echoo'; did you mean echo?"),
        ("%%flowgpt nobody --dry-run\nhi", "no model, provider or alias 'nobody'"),
        ("%%flowgpt nobody -t 0.2 -o answer\nhi", "to make it the first line of the prompt, write -- before it"),
        ("%%flowgpt echo:wrods\nhi", "Echo has no model 'wrods'; did you mean words?"),
        ("%%flowgpt eco:words\nhi", "no provider 'eco'; did you mean echo?"),
        ("%%flowgpt -f markdwon\nhi", "did you mean markdown?"),
        ("%%flowgpt -o 2nd-answer\nhi", "did you mean _2nd_answer?"),
        ("%%flowgpt\n   \n", "the prompt is empty"),
        ("%%flowgpt", "the prompt is empty"),
        ("%flowgpt -t 1", "the prompt is empty"),
        ("%flowgpt nested onn", "nested takes on or off; did you mean on?"),
        ("%%flowgpt -o\nhi", "-o needs a value"),
        ("%%flowgpt -t 1 -t 2\nhi", "-t is given twice"),
    ],
)
def test_bad_input_fails_the_cell_with_one_clear_error_and_asks_nobody(kernel, code, expected):
    run = kernel.run(code)

    assert run.status == "error"
    assert expected in run.error
    assert "Traceback" not in run.error
    assert len(run.error.splitlines()) <= 2
    assert run.outputs == []
    assert "0 turns" in shown(kernel.good("%flowgpt"))


def test_a_prompt_reaches_the_model_as_it_was_typed(kernel):
    prompt = 'costs $5, ${x}, {"a": 1}, f"{x:.2f}", {In[x]}, it\'s   \\frac{1}{2} \u201cquoted\u201d'

    run = kernel.good("x = 3\n") and kernel.good(f"%%flowgpt\n{prompt}")
    line = kernel.good(f"%flowgpt {prompt}")

    assert shown(run) == prompt
    assert shown(line) == prompt


@pytest.mark.parametrize(
    "code",
    [
        "%flowgpt {}",
        "r = %flowgpt {}",
        "if True:\n    %flowgpt {}",
        'x = """\ntext\n"""\n%flowgpt {}',
        "%%flowgpt {}\n",
    ],
)
@pytest.mark.parametrize("prompt", ["what is a list?", "what's a tuple??", "x = 3; is it so?"])
def test_a_prompt_may_end_with_a_question_mark(kernel, code, prompt):
    assert shown(kernel.good(code.format(prompt))) == prompt


def test_a_question_inside_a_string_is_left_alone(kernel):
    code = 'x = """\n%flowgpt what is it?\n"""\nprint(x)'

    assert kernel.good(code).printed == "\n%flowgpt what is it?\n\n"


def test_a_comment_above_the_magic_is_no_part_of_the_prompt(kernel):
    assert shown(kernel.good("# what I want to know\n\n%%flowgpt\nhello")) == "hello"


def test_an_interrupt_between_chunks_keeps_the_text_and_fails_the_cell(kernel):
    kernel.good("%config FlowGPT.pace = 0.05")

    run = start_and_interrupt(kernel, f"%%flowgpt -o r\n{LONG}")
    after = kernel.good("print(r.status, len(r.text) > 0)")

    assert run.status == "error"
    assert (run.error, run.complained) == ("", "")
    assert run.reply["traceback"][0].startswith("Interrupted: the ")
    assert str(run.outputs).count("interrupted") == 1
    assert shown(run).startswith("word0 ")
    assert run.outputs[0]["metadata"]["flowgpt"]["status"] == "cancelled"
    assert after.printed == "cancelled True\n"


def test_an_interrupt_before_the_first_chunk_ends_the_cell(kernel):
    kernel.good("%config FlowGPT.pace = 3600")

    run = start_and_interrupt(kernel, "%%flowgpt\nhello")  # the cell says whom it waits for
    kernel.good("%config FlowGPT.pace = 0")

    assert (run.status, run.error) == ("error", "")
    assert run.reply["traceback"] == ["Interrupted: nothing had arrived yet."]
    assert " · interrupted</small>" in run.outputs[0]["data"]["text/markdown"]
    assert shown(kernel.good("%%flowgpt\nstill here")) == "still here"


def test_while_nothing_has_come_the_cell_counts_the_seconds(kernel):
    kernel.good("%config FlowGPT.pace = 2.2")

    run = kernel.good("%%flowgpt\nhello")

    paints = [content["data"] for _when, content in run.of_type("display_data", "update_display_data")]
    assert [each["text/markdown"] for each in paints[:2]] == [saved_line(f"echo:words · {n} s") for n in (1, 2)]
    assert all("· 1 s" not in each.get("text/plain", "") for each in paints)
    assert len(paints) <= 4
    assert shown(run) == "hello"
    assert "· 2 s" not in run.outputs[0]["data"]["text/markdown"]


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        ("%%flowgpt -f text\nhello", "hello"),
        ("%%flowgpt -f json\n[1]", "[1]"),
        ("%%flowgpt --no-stream\nhello", ""),
        ("x = %flowgpt -f json [1]\n", ""),
        ("x = %flowgpt hello\n", ""),
    ],
)
def test_nothing_of_that_line_stays(kernel, code, printed):
    kernel.good("%config FlowGPT.pace = 1.2")

    run = kernel.good(code)

    assert "echo:words · 1 s" in str(run.of_type("display_data", "update_display_data"))
    assert "echo:words · 1 s" not in str(run.outputs)
    assert len(run.outputs) == 1
    assert run.printed == printed


def test_beside_other_output_text_leaves_an_empty_place_for_the_line(kernel):
    kernel.good("%config FlowGPT.pace = 1.2")

    run = kernel.good("print('before')\nx = %flowgpt -f text hello\nprint('after')")

    assert run.printed.startswith("before\nhello\n[echo:words")
    assert [each["data"] for each in run.outputs] == [{"text/plain": ""}]


@pytest.mark.parametrize("how", [{"allow_stdin": False}, {}], ids=["headless", "captured"])
def test_where_nobody_looks_on_there_is_no_such_line(kernel, how):
    kernel.good("%config FlowGPT.pace = 1.2")
    code = "%%flowgpt\nhello" if how else "%%capture kept\nx = %flowgpt hello\n"

    run = kernel.good(code, **how)

    assert "echo:words · 1 s" not in str(run.messages)
    if not how:
        assert "echo:words · 1 s" not in kernel.good("print(kept.stdout, kept.outputs[0].data)").printed


def refusals(kernel: Kernel, serve) -> None:
    """Let the provider flowgpt ask a server that wants a minute between two requests."""
    url = serve(servers.answering(servers.whole(b"{}", 429, Retry_After="60")))
    kernel.good(f"%config FlowGPT.base_url = '{url}'")


def test_an_interrupt_ends_a_pause_before_another_try_and_keeps_the_prompt(kernel, serve):
    refusals(kernel, serve)

    run = start_and_interrupt(kernel, "%%flowgpt flowgpt -o r\nhello")
    kernel.good("from flowgpt_magic import Conversation\nprompt = Conversation().turns[0].prompt")
    after = kernel.good("print(r.status, r.waiting, prompt)")

    paints = [content["data"]["text/markdown"] for _when, content in run.of_type("display_data")]
    assert "<small>flowgpt answered 429; asking again in " in paints[0]
    assert (run.status, run.error) == ("error", "")
    assert run.outputs[0]["metadata"]["flowgpt"]["status"] == "cancelled"
    assert "asking again in" not in str(run.outputs)
    assert after.printed == "cancelled None hello\n"


def test_a_pause_is_seen_behind_an_attempt_that_does_not_fit(kernel, serve):
    refused = servers.answering(servers.whole(b"{}", 429, Retry_After="60"))
    kernel.good(f"%config FlowGPT.base_url = '{serve(servers.replying(servers.line('none')), refused)}'")
    shown, interrupted = [], []

    def interrupt_once(message):
        shown.append(str(message["content"]))
        if "does not fit" in str(shown) and "asking again in" in shown[-1] and not interrupted:
            interrupted.append(message["content"]["data"]["text/markdown"])
            kernel.interrupt()

    kernel.good("number = {'type': 'number'}")
    run = kernel.collect(kernel.send("%%flowgpt flowgpt --schema number\nhello"), on_message=interrupt_once)

    assert (run.status, run.error) == ("error", "")
    assert "<small>flowgpt answered 429; asking again in " in interrupted[0]
    assert "asking again in" not in str(run.outputs)


def test_stop_ends_a_pause_of_a_reply_that_no_cell_shows(kernel, serve):
    refusals(kernel, serve)
    kernel.good("from flowgpt_magic import Conversation\nr = Conversation().ask('hello', model='flowgpt')\nr.start()")
    kernel.good("import time\nwhile r.waiting is None and not r.ended: time.sleep(0.01)")

    kernel.good("%flowgpt stop")

    assert kernel.good("print(r.status, r.waiting)").printed == "cancelled None\n"


@pytest.mark.parametrize("cell", ["%%flowgpt\n", "%%flowgpt -f text\n", "1\n%flowgpt -- "])
def test_what_is_saved_in_mid_stream_says_how_to_see_the_rest_until_the_end(kernel, cell):
    kernel.good("%config FlowGPT.pace = 0.05")
    messages: list[tuple[float, dict[str, Any]]] = []
    saved: list[str] = []

    def save(message):
        messages.append((0.0, message))
        run = Run(messages)
        if "word20 " in str(run.outputs) + run.printed:  # one second after the first
            saved.append(str(run.outputs))

    run = kernel.collect(kernel.send(f"{cell}{' '.join(f'word{n}' for n in range(40))}"), on_message=save)

    mark = "echo:words · still arriving: %flowgpt show has the rest"
    midway = saved[: len(saved) // 2]
    assert midway
    assert all(each.count(mark) == 1 for each in midway)
    assert any(CARET in each for each in midway) == ("-f text" not in cell)
    (output,) = run.outputs
    assert "still arriving" not in str(output)
    assert CARET not in str(output)
    assert output["data"]["text/plain"].endswith("word39")


def test_an_interrupt_stops_run_all(kernel):
    kernel.good("%config FlowGPT.pace = 0.05")
    interrupted = []

    def interrupt_once(message):
        if message["msg_type"] == "display_data" and not interrupted:
            interrupted.append(kernel.interrupt())

    first = kernel.send(f"%%flowgpt\n{LONG}")
    second = kernel.send("print('ran')")
    kernel.collect(first, on_message=interrupt_once)

    assert kernel.collect(second).reply["status"] == "aborted"


def test_every_one_of_three_queued_cells_runs(kernel):
    kernel.good("%config FlowGPT.pace = 0.01")

    requests = [kernel.send(f"%%flowgpt\ncell number {number}") for number in range(3)]

    assert [shown(kernel.collect(request)) for request in requests] == [f"cell number {n}" for n in range(3)]


PROGRAM = """\
import asyncio
from flowgpt_magic.providers.echo import Echo

async def main():
    messages = [{"role": "user", "content": "What is the capital of France?"}]
    async for chunk in Echo.create_async_generator(model="", messages=messages):
        if isinstance(chunk, str):
            print(chunk, end="")

asyncio.run(main())
"""


def test_nested_on_lets_asyncio_run_work_in_a_cell_and_off_takes_that_back(kernel):
    before = kernel.run(PROGRAM)
    kernel.good("%flowgpt nested on")
    requests = [
        kernel.send(PROGRAM),
        kernel.send("%%flowgpt\nhello"),
        kernel.send(PROGRAM),
        kernel.send("%%flowgpt\nbye"),
    ]
    program, cell, again, last = map(kernel.collect, requests)
    kernel.good("%flowgpt nested off")
    after = kernel.run(PROGRAM)

    assert "cannot be called from a running event loop" in before.error
    assert program.printed == again.printed == "What is the capital of France?"
    assert (shown(cell), shown(last)) == ("hello", "bye")
    assert "cannot be called from a running event loop" in after.error
    assert kernel.good("import asyncio\nawait asyncio.sleep(0)\nprint('fine')").printed == "fine\n"


def test_unloading_takes_everything_back(kernel):
    kernel.good("%flowgpt nested on")
    kernel.good("%unload_ext flowgpt_magic")

    gone = kernel.run("%%flowgpt\nhello")
    state = kernel.good(
        "ip = get_ipython()\n"
        "print([c for c in ip.configurables if type(c).__name__ == 'FlowGPT'],\n"
        "      [t for t in ip.input_transformers_cleanup if 'flowgpt' in t.__module__])"
    )
    nested = kernel.run(PROGRAM)
    kernel.good("%load_ext flowgpt_magic")

    assert "flowgpt" in gone.complained + gone.error
    assert state.printed == "[] []\n"
    assert "cannot be called from a running event loop" in nested.error
    assert shown(kernel.good("%%flowgpt\nback again")) == "back again"


def test_config_sets_a_value_for_all_cells_and_refuses_a_bad_one(kernel):
    kernel.good("%config FlowGPT.model = 'echo:messages'")
    kernel.good("%config FlowGPT.system = 'be kind'")

    bad = kernel.run("%config FlowGPT.temperature = 7")

    assert shown(kernel.good("%%flowgpt\nhi")) == "system: be kind\nuser: hi"
    assert "temperature" in bad.complained + bad.printed + bad.error
    assert "provider's own" in shown(kernel.good("%flowgpt"))


def test_config_does_not_show_a_token(kernel):
    kernel.good("%config FlowGPT.token = 'very-secret'")

    shown_by_config = kernel.good("%config FlowGPT")
    used = kernel.good("print(get_ipython().magics_manager.registry['FlowGPT'].configured()['token'])")

    assert "very-secret" not in shown_by_config.printed + shown_by_config.complained
    assert "'***'" in shown_by_config.printed
    assert used.printed == "very-secret\n"


def test_a_bad_value_left_in_the_configuration_does_not_keep_the_extension_from_loading(kernel):
    kernel.run("%config FlowGPT.temperature = 7")

    run = kernel.good("%reload_ext flowgpt_magic")

    assert "temperature is 7; it must be a number from 0 to 2" in run.complained
    assert shown(kernel.good("%%flowgpt\nhello")) == "hello"


def test_capture_and_time_work_around_the_magic(kernel):
    timed = kernel.good("%%time\n%flowgpt hello")
    captured = kernel.good("%%capture got\n%flowgpt secret words")
    look = kernel.good("print([each.data['text/plain'] for each in got.outputs if each.data])")

    assert "Wall time" in timed.printed
    assert shown(timed) == "hello"
    assert captured.outputs == []
    assert look.printed == "['secret words']\n"


def test_the_extension_loads_when_the_magic_is_first_used(start_kernel, tmp_path):
    kernel = start_kernel(
        setup="c = get_ipython().config\nget_ipython().magics_manager.register_lazy('flowgpt', 'flowgpt_magic')"
    )

    assert shown(kernel.good("%%flowgpt\nhello")) == "hello"


@pytest.mark.skipif(version("ipykernel") == IPYKERNEL_6, reason="Python 3.10 has no newer release than the older one")
@pytest.mark.parametrize("start_kernel", ["installed"], indirect=True)
def test_both_kernels_are_what_they_say(start_kernel, ipykernel_6):
    ask = "import ipykernel\nprint(ipykernel.__version__)"

    assert start_kernel(ipykernel_6).good(ask).printed.strip() == IPYKERNEL_6
    assert start_kernel().good(ask).printed.strip() != IPYKERNEL_6


@pytest.fixture
def kernel_with_model(start_kernel):
    """A kernel in which the embedded model is the default."""
    return start_kernel(FLOWGPT_DATA_DIR=str(weights_on_disk()), FLOWGPT_MODEL="local")


@pytest.mark.parametrize("start_kernel", ["installed"], indirect=True)
def test_the_embedded_model_answers_streams_and_can_be_interrupted(kernel_with_model):
    kernel = kernel_with_model
    answer = kernel.good("%%flowgpt -t 0\nWrite a Python function called reverse_string. Show only the code.")

    stopped = start_and_interrupt(kernel, "%%flowgpt\nCount from one to five hundred.", after="update_display_data")
    again = kernel.good("%%flowgpt -t 0 -o r\nSay hello.")

    assert "def reverse_string" in shown(answer)
    assert len(answer.of_type("update_display_data")) > 3
    assert (stopped.status, stopped.error) == ("error", "")
    assert again.outputs[0]["metadata"]["flowgpt"]["status"] == "complete"
    assert again.complained == ""


def test_chunks_from_a_server_that_fails_stay_visible_and_the_error_is_one_line(start_kernel, misbehaving_server):
    kernel = start_kernel(FLOWGPT_BASE_URL=misbehaving_server, FLOWGPT_MODEL="flowgpt")

    run = kernel.run("%%flowgpt -o r\nhello")

    assert run.status == "error"
    assert run.error.startswith("StreamInterruptedError: ")
    assert len(run.error.splitlines()) <= 2
    assert shown(run) == "what came before"
    assert kernel.good("print(r.status, r.text)").printed == "failed what came before\n"
