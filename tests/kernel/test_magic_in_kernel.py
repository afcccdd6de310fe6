"""Every option and subcommand of the magics, and cells that break others, in a real kernel."""

from __future__ import annotations

import json

import pytest

from tests import servers
from tests.kernel.conftest import Kernel, Run
from tests.kernel.test_cells import start_and_interrupt
from tests.model_hubs import REPOSITORY, ModelHub, serving_models
from tests.openai_servers import picky, reply, streaming
from tests.payloads import PAYLOADS

# Where it makes no difference which kernel it is.
newest = pytest.mark.parametrize("shared_kernel", ["installed ipykernel"], indirect=True)


def shown(run: Run) -> str:
    """The one output's text; there must be exactly one."""
    (output,) = run.outputs
    return output["data"]["text/plain"]


def answer(kernel: Kernel, code: str, **how: str) -> str:
    """What a cell that must succeed shows or prints."""
    run = kernel.good(code, **how)
    return run.outputs[0]["data"]["text/plain"] if run.outputs else run.printed


# Options


@newest
@pytest.mark.parametrize(
    ("line", "shows"),
    [
        ("-m echo:messages", "user: hi"),
        ("--model=echo:messages", "user: hi"),
        ("messages", "user: hi"),
        ("echo:messages -s 'be brief'", "system: be brief\nuser: hi"),
        ("echo:messages -s “be brief”", "system: be brief\nuser: hi"),
        ("-s be\\ brief -m echo:messages --", "system: be brief\nuser: hi"),
        ("echo:messages -s @brief.txt", "system: be brief,\nas a file says\nuser: hi"),
        ("echo:messages -- -t is no option", "user: -t is no option\nhi"),
        ("-t 0.5 it's  two spaces, “quoted”", "it's  two spaces, “quoted”\nhi"),
        ("$5 ${x} {undefined} {'a'}", "$5 ${x} {undefined} {'a'}\nhi"),
        ("-f math -- x^2", "x^2\nhi"),
        ("-f md", "hi"),
        ("-t 0 echo -f text", "hi"),
    ],
)
def test_what_the_line_says_is_what_is_asked(kernel, line, shows):
    kernel.good("open('brief.txt', 'w').write('be brief,\\nas a file says\\n')")

    assert shown(kernel.good(f"%%flowgpt {line}\nhi")) == shows


def test_a_cell_without_lines_is_a_prompt_of_one_line(kernel):
    assert answer(kernel, "%%flowgpt what is a list?") == "what is a list?"
    assert answer(kernel, "%%flowgpt -t 1 hello\n") == "hello"


@newest
def test_an_earlier_cell_is_attached_as_it_was_typed(kernel):
    kernel.good("!true\n%time x = 1")

    assert "```python\n!true\n%time x = 1\n```" in answer(kernel, "%%flowgpt -a cell:-1\nlook")


@newest
def test_temperature_and_parameters_are_sent(kernel):
    sent = answer(kernel, "%%flowgpt --dry-run -t 0.25 -P pace=0 -P fail_after=7\nhi")

    assert '"temperature": 0.25' in sent
    assert '"fail_after": 7' in sent


@newest
def test_a_conversation_is_named_by_an_option(kernel):
    kernel.good('%%flowgpt -c "side talk"\none')

    assert answer(kernel, '%%flowgpt echo:messages --chat "side talk"\ntwo') == "user: one\nassistant: one\nuser: two"
    assert answer(kernel, "%%flowgpt echo:messages\nthree") == "user: three"


def test_a_variable_that_is_there_gets_the_reply_and_a_function_has_its_own(kernel):
    kernel.good("answer = 5\ndef ask(n):\n    r = %flowgpt number {n}, {answer.text}?\n    return r.text")
    kernel.good("%%flowgpt -o answer\nfirst")

    assert kernel.good("print(answer.text, [ask(n) for n in (3, 4)])").printed == (
        "first ['number 3, first?', 'number 4, first?']\n"
    )


@newest
def test_a_failure_before_the_first_chunk_is_tried_again_unless_that_is_turned_off(kernel, serve):
    refused = servers.answering(servers.whole(b"{}", 429, Retry_After="0"))
    kernel.good(f"%config FlowGPT.base_url = '{serve(refused, servers.replying(servers.line('at last')))}'")

    once = kernel.run("%%flowgpt flowgpt --retries 0\nhi")
    kernel.good(f"%config FlowGPT.base_url = '{serve(refused, servers.replying(servers.line('at last')))}'")
    twice = kernel.good("%%flowgpt flowgpt -o r\nhi")

    assert once.error.startswith("RateLimitError: ")
    assert shown(twice) == "at last"
    assert "asked again after it answered " in kernel.good("print(*r.notices)").printed


@newest
def test_a_proxy_is_used_and_its_password_shown_nowhere(kernel):
    proxy = f"http://me:s3cr3t@127.0.0.1:{servers.closed_port()}"

    run = kernel.run(f"%%flowgpt flowgpt --proxy {proxy}\nhi")
    dry = answer(kernel, f"%%flowgpt flowgpt --dry-run --proxy {proxy}\nhi")

    assert "no connection to the proxy http://127.0.0.1:" in run.error
    assert "s3cr3t" not in run.error + str(run.outputs) + run.printed + run.complained + dry


@newest
@pytest.mark.parametrize(
    "code", ["%flowgpt -h", "%%flowgpt --help\nhi", "%flowgpt help", "%%flowgpt help", "%flowgpt ?"]
)
def test_the_help_has_every_subcommand_and_option_with_examples(kernel, code):
    (output,) = kernel.good(code).outputs
    text = output["data"]["text/plain"]

    assert all(f"  {name} " in text for name in ("undo", "ai-alias", "export", "usage"))
    assert all(f"--{name} " in text for name in ("attach", "next-cell", "no-history"))
    assert '%flowgpt -s "Be brief." Say hello.' in text
    assert "<td" in output["data"]["text/html"]


@pytest.mark.parametrize("code", ["%flowgpt?", "%%flowgpt?", "?%flowgpt"])
def test_a_question_mark_behind_the_magic_shows_the_help(kernel, code):
    (page,) = kernel.good(code).reply["payload"]

    assert "the lines below are the prompt" in page["data"]["text/plain"]
    assert "--no-history" in page["data"]["text/plain"]


@newest
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("-t 1 --temperature 1", "--temperature is given twice"),
        ("--raw --raw", "--raw is given twice"),
        ("-P a=1 -P a=2", "-P a=… is given twice"),
        ("-m", "-m needs a value"),
        ("-m ''", "-m needs a value"),
        ("--temperature=", "--temperature needs a value"),
        ("--raw=no", "--raw takes no value"),
        ("--temp 1", "did you mean --temperature?"),
        ("—system brief", "the option is --system"),
        ("-c ' '", "a conversation needs a name"),
        ("-s @binary.dat", "-s @binary.dat: not a text file"),
        ("-s @", "-s @: . cannot be read: it is a folder"),
        ("-a binary.dat", "binary.dat is not a text file"),
        ("-a missing.txt", "no variable or file has this name"),
        ("-a cell:99999", "cell:99999 does not exist"),
        ("-a api_key", "--attach api_key!"),
        ("-f JSON", "did you mean json?"),
        ("-P temperature", "must be name=value"),
        ("-o a.b", "'a.b' is not a valid name of a variable; did you mean a_b?"),
    ],
)
def test_bad_input_is_one_error_that_says_what_to_do(kernel, line, said):
    kernel.good("open('binary.dat', 'wb').write(bytes(range(256)))\napi_key = 's3cr3t'")

    run = kernel.run(f"%%flowgpt {line}\nconfidential")

    assert run.status == "error"
    assert said in run.error
    assert len(run.error.splitlines()) <= 2
    assert "s3cr3t" not in run.error
    assert kernel.good("%flowgpt history").printed == "main has no turns yet\n"


# Subcommands


@newest
def test_alone_it_tells_what_is_in_force(kernel):
    text = answer(kernel, "%flowgpt")

    assert [line.split()[0] for line in text.splitlines()[2:10]] == [
        *("conversation", "model", "system", "temperature", "think", "format", "notebook", "history"),
    ]


@newest
def test_settings_are_shown_and_set_with_where_they_came_from(kernel):
    kernel.good("%config FlowGPT.system = 'be kind'")

    assert kernel.good("%flowgpt set temperature 0.5").printed.startswith("temperature: 0.5 (this conversation)")
    assert kernel.good("%flowgpt model echo:messages").printed == "echo:messages\n"
    assert kernel.good("%flowgpt model").printed == "echo:messages\n"
    assert answer(kernel, "%flowgpt hi") == "system: be kind\nuser: hi"
    assert kernel.good("%%flowgpt system\nBe brief.\nBe kind.").printed == "Be brief.\nBe kind.\n"
    assert answer(kernel, "%flowgpt again").startswith("system: Be brief.\nBe kind.\n")
    lines = answer(kernel, "%flowgpt config").splitlines()
    (temperature,) = (line for line in lines if line.startswith("temperature "))
    (model,) = (line for line in lines if line.startswith("model "))
    assert temperature.split()[1:4] == ["0.5", "this", "conversation"]
    assert model.split()[1:4] == ["echo:messages", "this", "conversation"]


@newest
def test_models_and_providers_are_listed_with_whether_they_would_answer(kernel):
    models = answer(kernel, "%flowgpt models echo").splitlines()
    providers = answer(kernel, "%flowgpt providers").splitlines()

    assert [line.split()[:2] for line in models[2:4]] == [["echo", "words"], ["echo", "messages"]]
    assert models[2].endswith("yes")
    assert "smollm2" in answer(kernel, "%flowgpt list")
    assert {"echo", "flowgpt", "local"} <= {line.split()[0] for line in providers[2:]}


def test_short_names_are_made_used_changed_and_forgotten(start_kernel, tmp_path):
    kernel = start_kernel(XDG_CONFIG_HOME=str(tmp_path / "config"))

    assert kernel.good("%flowgpt alias fast echo").printed == "fast asks echo:words\n"
    assert kernel.good("%flowgpt register faster fast -s 'be brief'").printed == "faster asks echo:words\n"
    assert "the aliases form a cycle" in kernel.run("%flowgpt alias fast faster").error
    assert kernel.good("%flowgpt update fast echo:messages").printed == "fast asks echo:messages\n"
    assert answer(kernel, "%%flowgpt faster\nhi") == "system: be brief\nuser: hi"
    assert "faster  fast" in answer(kernel, "%flowgpt aliases")
    assert "no longer work: faster" in kernel.good("%flowgpt dealias fast").printed
    assert "no longer an alias" in kernel.good("%flowgpt delete faster").printed
    assert kernel.run("%%flowgpt -m fast\nhi").status == "error"


@newest
def test_turns_are_listed_shown_and_asked_again(kernel):
    kernel.good("%%flowgpt\none", cell_id="a")
    kernel.good("%%flowgpt\ntwo")
    kernel.good("name = 'Ada'")

    assert answer(kernel, "%%flowgpt edit 1 -m echo:messages\nwho is\n  {name}?") == "user: who is\n  Ada?"
    assert "who is\n  Ada?" in answer(kernel, "%flowgpt show 1 2")
    assert "2 (live)" in answer(kernel, "%flowgpt show 1")
    assert answer(kernel, "%flowgpt retry -m echo:messages").endswith("user: two")
    table = answer(kernel, "%flowgpt history")
    assert [line.split()[0] for line in table.splitlines()] == ["turn", "----", "1", "2", "conversation"]
    assert answer(kernel, "%%flowgpt undo") == "undone: retry; main has 2 turns\n"


@newest
@pytest.mark.parametrize("ending", ["md", "json", "ipynb"])
def test_a_conversation_goes_into_a_file_and_comes_back_the_same(kernel, tmp_path, ending):
    kernel.good("%flowgpt system 'be kind'")
    kernel.good("%%flowgpt --raw\none {x} ```\n<b>")
    path = tmp_path / f"talk.{ending}"

    assert kernel.good(f"%flowgpt export {path}").printed.startswith("exported main with 1 turn to ")
    assert "--overwrite replaces it" in kernel.run(f"%flowgpt export {path}").error
    kernel.good(f"%flowgpt export {path} --overwrite")
    assert kernel.good(f"%flowgpt import {path}").printed.startswith("imported main (2) with 1 turn from ")
    assert answer(kernel, "%flowgpt echo:messages two").endswith(
        "system: be kind\nuser: one {x} ```\n<b>\nassistant: one {x} ```\n<b>\nuser: two"
    )
    kernel.good(f"%flowgpt rm 'main (2)'\n%flowgpt import {path}\n%flowgpt export {path.with_name('again.' + ending)}")
    assert path.with_name(f"again.{ending}").stat().st_size


def test_a_notebook_that_was_moved_is_adopted(start_kernel, tmp_path):
    def kernel_of(name: str) -> Kernel:
        (tmp_path / name).write_text("{}")
        own = {"FLOWGPT_HISTORY": str(tmp_path / "history.sqlite3"), "JPY_SESSION_NAME": str(tmp_path / name)}
        return start_kernel(on_colabs_page=False, **own)  # Colab's notebooks have no path

    first = kernel_of("old.ipynb")
    first.good("%%flowgpt\none")
    first.good("%flowgpt chats")  # written by now
    first.close()
    (tmp_path / "old.ipynb").unlink()

    told = kernel_of("new.ipynb").good("%flowgpt adopt old.ipynb")

    assert told.printed == "the history of old.ipynb is this notebook's now; main has 1 turn\n"


def test_stop_cancels_what_is_in_flight(kernel):
    kernel.good("%config FlowGPT.pace = 3600")
    kernel.good("from flowgpt_magic import Conversation\nr = Conversation().ask('one two')\nreader = r.open()")

    stopped = kernel.good("%flowgpt stop").printed

    assert stopped == "stopped: 1 reply\n"
    assert kernel.good("print(r.status)\n%flowgpt stop").printed == "cancelled\nno reply is in flight\n"


def test_ai_is_answered_while_the_alias_is_on(kernel):
    told = kernel.good("%flowgpt ai-alias on").printed
    kernel.good("x = 7\ndef ask(v):\n    r = %ai echo is {v} {x}?\n    return r.text")

    assert told == "%ai and %%ai work like %flowgpt and %%flowgpt\n"
    assert answer(kernel, '%%ai echo:messages -m {"temperature": 0.5} -f text\nwhat is {x}?').endswith("what is 7?")
    assert kernel.good("print(ask(3))").printed == "is 3 7?\n"
    assert "flowgpt_magic" in answer(kernel, "%ai version")
    kernel.run("1 / 0")
    assert "ZeroDivisionError" in answer(kernel, "%ai error echo")
    assert kernel.good("%flowgpt ai-alias off").printed == "%ai and %%ai are off\n"
    assert "%%ai` not found" in kernel.run("%%ai echo\nhi").complained + kernel.run("%%ai echo\nhi").error


@newest
def test_help_tells_of_one_subcommand_and_version_which_this_is(kernel):
    pages = [kernel.good(f"%flowgpt {line}").outputs for line in ("help undo", "undo -h", "undo?")]
    assert pages[0][0]["data"]["text/plain"].startswith("%flowgpt undo\n\nUndo the last change.")
    assert pages[0] == pages[1] == pages[2]
    assert kernel.good("%flowgpt version").printed.startswith("flowgpt_magic 0.")
    assert kernel.good("%flowgpt reset").printed == "0 turns set aside; %flowgpt undo brings them back\n"


@newest
def test_a_lone_word_that_is_nearly_a_subcommand_is_not_sent(kernel):
    assert kernel.run("%flowgpt undoo").error == (
        "OptionError: there is no subcommand undoo; did you mean undo? %flowgpt -- undoo sends it as a prompt."
    )
    assert answer(kernel, "%flowgpt -- undoo") == "undoo"


# Cells that break others


def test_the_magic_works_inside_of_everything(kernel):
    code = (
        "if True:\n    %flowgpt in an if\n"
        "for n in range(2):\n    %flowgpt in loop {n}\n"
        "def f(v):\n    %flowgpt in a function {v}\n"
        "f('!')\n"
        "class A:\n    w = 1\n    %flowgpt in a class {w}\n"
        "texts = [get_ipython().run_line_magic('flowgpt', f'in a list {n}').text for n in range(2)]\n"
        "async def g(v):\n    r = %flowgpt awaited {v}\n    return r.text\n"
        "r = %flowgpt assigned\n"
        "print(texts, await g(1), r.text)"
    )

    run = kernel.good(code)

    assert [each["data"]["text/plain"] for each in run.outputs] == [
        *("in an if", "in loop 0", "in loop 1", "in a function !", "in a class 1"),
        *("in a list 0", "in a list 1", "assigned", "awaited 1"),
    ]
    assert run.printed == "['in a list 0', 'in a list 1'] awaited 1 assigned\n"


def test_other_magics_work_around_a_cell(kernel):
    timed = kernel.good("%%time\n%%flowgpt\nhello\nthere")
    captured = kernel.good("%%capture got\n%%flowgpt\nsecret\nwords")
    often = kernel.good("%%timeit -n 2 -r 1\nx = 5\n%flowgpt is {x}")

    assert (shown(timed), "Wall time" in timed.printed) == ("hello\nthere", True)
    assert captured.outputs == []
    assert kernel.good("print([each.data['text/plain'] for each in got.outputs if each.data])").printed == (
        "['secret\\nwords']\n"
    )
    assert [each["data"]["text/plain"] for each in often.outputs] == ["is 5"] * 2


@newest
def test_another_name_of_the_magic_asks_the_same(kernel):
    kernel.good("%alias_magic ask flowgpt\nline = 'my line'")

    assert answer(kernel, "%ask is {line} {args}") == "is my line {args}"
    assert answer(kernel, "%%ask\nis {line}") == "is my line"


STUBBORN = """
import asyncio, os, signal
from flowgpt_magic.providers.echo import Echo

class Stubborn(Echo):
    @classmethod
    async def create_async_generator(cls, *_args, **_kwargs):
        yield "what had come "
        try:
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), signal.SIGINT)  # while the first one is being seen to
            await asyncio.sleep(0.2)

usual = Echo.create_async_generator
Echo.create_async_generator = Stubborn.create_async_generator
"""


def test_an_interrupt_that_comes_twice_ends_the_cell_and_nothing_else(start_kernel):
    kernel = start_kernel()
    kernel.good(STUBBORN)

    run = start_and_interrupt(kernel, "%%flowgpt -o r\nhello")
    kernel.good("Echo.create_async_generator = usual")

    assert run.status == "error"
    # Where the second one comes while IPython shows the first, it says so on stderr instead.
    assert "Interrupt" in run.error + run.complained
    assert kernel.good("print(r.status, r.text)").printed == "cancelled what had come \n"
    assert answer(kernel, "%%flowgpt\nstill here") == "still here"


def test_two_conversations_at_once_do_not_mix(kernel):
    code = (
        "import asyncio\nfrom flowgpt_magic import Conversation\n"
        "chats = [Conversation(name, configured=lambda: {'model': 'echo', 'pace': 0.01}) for name in 'ab']\n"
        "print(await asyncio.gather(*(chat.ask(f'{chat.name} ' * 20) for chat in chats)))\n"
        "print([len(chat.turns) for chat in chats])"
    )

    assert kernel.good(code).printed == f"['{'a ' * 20}', '{'b ' * 20}']\n[1, 1]\n"


def test_a_reply_of_a_megabyte_arrives_whole_in_one_output(kernel):
    line = "x" * 999 + "\n"

    run = kernel.good(f"%%flowgpt --raw -o r\n{line * 1_000}end")

    assert shown(run) == line * 1_000 + "end"
    assert kernel.good("print(len(r.text))").printed == "1000003\n"


@newest
@pytest.mark.parametrize("form", ["markdown", "text", "html", "code", "math"])
def test_no_reply_is_shown_as_anything_that_runs(kernel, form):
    code = f"%%flowgpt --raw -f {form}\n" + "\n\n".join([*PAYLOADS[:20], "</script><b>\x1b[31mred\x00"])

    (output,) = kernel.good(code).outputs

    page = output["data"].get("text/html", "") + output["data"].get("text/markdown", "")
    assert "<script" not in page.lower()
    assert not set(page + output["data"]["text/plain"]) & {"\x1b", "\x00"}


def test_it_loads_and_answers_without_a_network(start_kernel):
    cut_off = (
        "import socket\ndef refuse(*_, **__): raise OSError('no network')\n"
        "socket.getaddrinfo = socket.create_connection = socket.socket.connect = refuse"
    )
    kernel = start_kernel(setup=cut_off)
    kernel.good("%load_ext flowgpt_magic")

    assert answer(kernel, "%%flowgpt\nhello") == "hello"
    assert kernel.run("%%flowgpt flowgpt\nhello").error.startswith("ProviderConnectionError: ")


# Values that break others

ODD = """
import sqlite3, threading, pandas as pd, polars as pl

class Loud:
    def __repr__(self): raise RuntimeError("no repr")
    def __len__(self): raise RuntimeError
    def __iter__(self): raise RuntimeError
    def __eq__(self, other): raise RuntimeError
    def __getattr__(self, name): raise RuntimeError
    __hash__ = None

class Tensor:
    shape, dtype, device = (3, 4), "float32", "cuda:0"
    def __array__(self): raise RuntimeError("no GPU")
    def __repr__(self): raise RuntimeError("no GPU")

class Node: pass

loud, tensor, node = Loud(), Tensor(), Node()
node.next = node
circle = [1]; circle.append({"again": circle})
made = (n for n in range(3))
opened = open("opened.txt", "w")
lock = threading.Lock()
base = sqlite3.connect(":memory:"); cursor = base.cursor(); base.close()
bad = pd.DataFrame({"a": [Loud(), Loud()], "b": [1, 2]})
twice = pd.DataFrame([[1, 2]], columns=["x", "x"])
index = pd.MultiIndex.from_product([["x", "y"], [1, 2], ["p", "q"]], names=list("abc"))
levels = pd.DataFrame({"v": range(8)}, index=index)
wide = pd.DataFrame([range(5000)])
polar = pl.DataFrame({"p": [1, None]})
"""


@newest
def test_no_value_is_too_odd_to_be_sent(kernel):
    kernel.good(ODD)

    text = answer(kernel, "%%flowgpt -a loud,tensor,node,circle,made,opened,lock,cursor\nlook at {loud} {circle[1]}")
    tables = answer(kernel, "%%flowgpt -a bad,twice,levels,wide,polar --no-history\nlook")

    assert text.startswith(
        "look at <Loud; its repr failed: RuntimeError: no repr> {'again': [1, <the same dict again>]}"
    )
    assert "tensor:\n<Tensor; its repr failed: RuntimeError: no GPU>" in text
    assert "Node(next=<the same Node again>)" in text
    assert "circle:\n[1, {'again': <the same list again>}]" in text
    for word in ("generator object", "opened.txt", "lock object", "sqlite3.Cursor"):
        assert word in text
    assert "| 0 | <Loud; its repr failed: RuntimeError: n… | 1 |" in tables
    assert "|  | x | x |" in tables
    assert "| a, b, c | v |" in tables
    assert "of 5,000 columns" in tables
    assert "polar: polars DataFrame, 2 rows" in tables
    assert kernel.good("print(next(made), lock.locked(), opened.closed)").printed == "0 False False\n"


@newest
def test_a_repr_that_never_ends_is_not_waited_for(kernel):
    kernel.good("import threading\nclass Slow:\n    def __repr__(self): threading.Event().wait()\nslow = Slow()")

    assert answer(kernel, "%%flowgpt\n{slow} {slow}") == " ".join(["<Slow; its repr took longer than 2 s>"] * 2)


@newest
@pytest.mark.parametrize(
    ("failing", "sent"),
    [
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise ExceptionGroup('many', [ValueError('{x}'), KeyError('k')])", "One of its errors:\nKeyError: 'k'"),
        ("def f(:\n    pass", "SyntaxError"),
        ("import asyncio\nawait asyncio.wait_for(asyncio.sleep(5), 0.01)", "TimeoutError"),
        ("%%time\n1 / 0", "```python\n%%time\n1 / 0\n```"),
        ("raise Exception('{secret} }{ %s $x')", "Exception: {secret} }{ %s $x"),
    ],
)
def test_any_failure_can_be_asked_about(kernel, failing, sent):
    if "Group" in failing and kernel.good("import sys; print(sys.version_info >= (3, 11))").printed != "True\n":
        pytest.skip("there are no groups of errors")
    kernel.good("secret = x = 'REPLACED'")
    kernel.run(failing)

    text = answer(kernel, "%flowgpt fix")

    assert sent in text
    assert "REPLACED" not in text


@newest
def test_json_is_kept_as_it_came(kernel):
    (output,) = kernel.good('%%flowgpt -f json\n{"a": [1, {"b": null}]}').outputs

    assert json.loads(output["data"]["text/plain"]) == {"a": [1, {"b": None}]}


LINES = [
    ('-P stop=["END"]', {"stop": ["END"]}),
    ('-P stop=["END", "two words"] -t 0', {"stop": ["END", "two words"], "temperature": 0}),
    ("-P 'stop=[\"END\"]'", {"stop": ["END"]}),
    ('-P stop="\\n\\n"', {"stop": ["\n\n"]}),
    ("-P stop='it is'", {"stop": ["it is"]}),
    ("-P 'logit_bias={\"50256\": -100}'", {"logit_bias": {"50256": -100}}),
    ('-P logit_bias={"50256": -100}', {"logit_bias": {"50256": -100}}),
    (
        '-P extra_body={"chat_template_kwargs": {"enable_thinking": false}}',
        {"chat_template_kwargs": {"enable_thinking": False}},
    ),
    (
        '-P extra_body={"repetition_penalty": 1.1} -P extra_body={"priority": 2}',
        {"repetition_penalty": 1.1, "priority": 2},
    ),
    ("-P max_tokens=1e3", {"max_tokens": 1000}),
    ("--max-tokens 7 -P top_p=.5", {"max_tokens": 7, "top_p": 0.5}),
    ('--param=response_format={"type": "json_object"}', {"response_format": {"type": "json_object"}}),
]


@newest
def test_parameters_arrive_as_they_were_typed(kernel, serve):
    sent: list[dict[str, object]] = []

    async def answer(request, connection):
        sent.append(request.json)
        await streaming(reply("fine"))(request, connection)

    kernel.good(f"%config FlowGPT.openai_base_url = '{serve(answer)}/v1'")
    for line, fields in LINES:
        assert shown(kernel.good(f"%%flowgpt openai_compatible:m {line}\nhi {{'x'}}")) == "fine"
        assert {name: sent[-1].get(name) for name in fields} == fields
    broken = kernel.run("%flowgpt openai_compatible:m -P stop=[END] hi")
    assert "which is not JSON" in broken.error
    assert 'write stop=["END"]' in broken.error
    unknown = kernel.run('%flowgpt openai_compatible:m -P chat_template_kwargs={"enable_thinking": false} hi')
    assert 'write -P extra_body={"chat_template_kwargs": {"enable_thinking": false}}' in unknown.error
    assert len(sent) == len(LINES)


@newest
def test_a_temperature_of_the_settings_that_is_refused_is_left_out_and_a_typed_one_is_an_error(kernel, serve):
    kernel.good(f"%config FlowGPT.openai_base_url = '{serve(picky('temperature'))}/v1'")
    kernel.good("%flowgpt set -P temperature=0.5")

    assert shown(kernel.good("%flowgpt openai_compatible:m -o first hi")) == "fine"
    assert shown(kernel.good("%flowgpt openai_compatible:m -o second hi")) == "fine"
    assert "was left out" in kernel.good("print(first.notices)").printed
    assert kernel.good("print(second.notices)").printed == "[]\n"
    typed = kernel.run("%flowgpt openai_compatible:m -t 0.5 hi")
    assert typed.error.startswith("ParameterRefusedError: ")
    assert "remove -t (-P temperature, or temperature= in Python)" in typed.error


# Downloads


@newest
def test_a_download_shows_its_progress_in_one_line_of_the_cell(kernel):
    with serving_models(ModelHub()) as hub:
        kernel.good(f"import os; os.environ['HF_ENDPOINT'] = {hub.hub.url!r}")
        run = kernel.good(f"%flowgpt install-model hf:{REPOSITORY}")

    (first,) = [content for _when, content in run.of_type("display_data")]
    *_, last = [content for _when, content in run.of_type("update_display_data")]
    assert first["data"]["text/html"].startswith("<progress")
    assert last["transient"] == first["transient"]
    assert last["data"]["text/plain"].startswith("tiny-q4_k_m: 1 MB in ")
    assert "<progress" not in last["data"]["text/html"]
    assert "1 MB to download" in run.printed
    kernel.good("%flowgpt install-model --remove tiny-q4_k_m\ndel os.environ['HF_ENDPOINT']")
