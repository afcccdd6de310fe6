"""What a kernel imports between the cell that loads the extension and the first prompt."""

from __future__ import annotations

import json

import pytest

from tests.kernel.conftest import SETUP, Kernel
from tests.servers import answering, head, line

PROMPT = "%%flowgpt\nSome *emphasised* words and $x^2$."
THREADS = "import threading; print([t.name for t in threading.enumerate() if 'flowgpt' in t.name])"
MODULES = "import json, sys; print(json.dumps(sorted(sys.modules)))"


def modules(kernel: Kernel) -> set[str]:
    return set(json.loads(kernel.good(MODULES).printed))


@pytest.fixture(params=["echo", "flowgpt", "openai_compatible:m"])
def chosen(request: pytest.FixtureRequest, serve) -> dict[str, str]:
    """The environment in which this provider is chosen, with a server for it."""
    completion = json.dumps({"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}]}).encode()
    answers = {
        "flowgpt": answering(head(), line("hello")),
        "openai_compatible:m": answering(head(**{"Content-Type": "application/json"}), completion),
    }
    own = {"FLOWGPT_MODEL": request.param}
    if request.param in answers:
        url = serve(answers[request.param])
        own |= {"FLOWGPT_BASE_URL": url, "FLOWGPT_OPENAI_BASE_URL": f"{url}/v1"}
    return own


def test_what_is_imported_ahead_is_what_the_first_reply_needs(start_kernel, chosen):
    ahead, prompted = start_kernel(**chosen), start_kernel(setup="", **chosen)
    ahead.imported()
    before = modules(ahead)

    ahead.good(PROMPT)
    prompted.good(SETUP, allow_stdin=False)
    prompted.good(PROMPT)

    assert modules(ahead) - before == set()
    assert before - modules(prompted) <= {"flowgpt_magic.magics.preloading"}


def test_the_cell_that_loads_the_extension_starts_nothing(start_kernel):
    kernel = start_kernel(setup="")

    assert kernel.good(f"{SETUP}\n{THREADS}").printed == "[]\n"


def test_where_nobody_types_nothing_is_imported_ahead(start_kernel):
    kernel = start_kernel(setup="")
    kernel.good(SETUP, allow_stdin=False)

    assert kernel.good(THREADS).printed == "[]\n"
    assert "flowgpt_magic.magics.commands.table" not in modules(kernel)


def test_a_prompt_at_once_and_a_reload_are_answered_as_ever(start_kernel):
    kernel = start_kernel()

    requests = [
        kernel.send(code) for code in (PROMPT, "%reload_ext flowgpt_magic", PROMPT, "%unload_ext flowgpt_magic")
    ]

    for run in map(kernel.collect, requests):
        assert run.status == "ok", run.error
        assert not run.complained
    kernel.imported()
    left = kernel.good("print([e for n in get_ipython().events.callbacks.values() for e in n if 'flowgpt' in str(e)])")
    assert left.printed == "[]\n"
