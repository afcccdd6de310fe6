"""How the modules hang together: who imports whom, how long they are, and what is loaded before it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import flowgpt_magic

PACKAGE = Path(flowgpt_magic.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): path
    for path in PACKAGE.rglob("*.py")
    if path.name != "__init__.py"
}

# From the bottom up. A module imports from its own layer and those before it.
LAYERS = (
    {
        "enclosed",
        "errors",
        "extras",
        "installing",
        "reasoning_text",
        "token_estimate",
        "messages",
        "plain_text",
        "printing",
        "regular_files",
        "secret_forms",
    },
    {
        "keys",
        "settings",
        "parameters",
        "extra_headers",
        "refusals",
        "secrecy",
        "rate_limits",
        "bridge",
        "task_steps",
        "nested",
        "notebook",
        "jupyter_servers",
        "tex_names",
        "formulas",
        "formula_bars",
        "emphasis",
        "addresses",
        "images",
        "harmless",
        "markdown",
        "content_parts",
        "json_text",
        "schemas",
        "tables",
        "turn_text",
    },
    {"providers", "registry", "models", "aliases", "project_choice"},
    {"reader", "reply_code", "reply"},
    {"records", "kernels", "search", "references"},
    {
        "attachment_looks",
        "attachment_containers",
        "attachment_tables",
        "attachment_code",
        "attachment_errors",
        "attachment_files",
        "attachment_figures",
        "attachments",
    },
    {"migrations", "history_file", "history_rows", "history_usage", "history"},
    {"remembered", "rescue", "writer", "saver"},
    {
        "timeline",
        "kept",
        "cell_turns",
        "identity",
        "replay",
        "journal",
        "merging",
        "attempts",
        "answers",
        "request",
        "prompts",
        "dry_run",
        "continued_text",
        "log",
        "tracing",
        "pacing",
    },
    # A conversation maps prompts, and a batch of them is asked in a conversation.
    {
        "keeping",
        "fitting",
        "asking",
        "conversation",
        "batch_items",
        "batch_results",
        "batch_progress",
        "batch_turns",
        "batch_line",
        "batch_breaker",
        "batch_concurrency",
        "batch_server",
        "batch_asking",
        "batch_run",
        "batch_reading",
        "batch",
    },
    {"shared_answers", "shipping", "partition_tables", "partitions"},
    {
        "transforms",
        "shown_reply",
        "painting",
        "waiting_line",
        "terminal_text",
        "terminal_blocks",
        "terminal_markdown",
        "arriving_text",
        "allowed_html",
        "highlight",
        "mathml",
        "half_open",
        "html_writer",
        "block_markup",
        "settled_block",
        "open_text",
        "growing_blocks",
        "markup",
        "transcript",
        "formats",
        "display",
        "display_batch",
        "gateway_requests",
        "gateway_log",
        "gateway_queue",
        "gateway_outlet",
        "gateway_connections",
        "gateway_options",
        "gateway",
    },
    {
        "written_parameters",
        "options",
        "parameter_commands",
        "desk",
        "subcommand",
        "export",
        "usage_table",
        "code_commands",
        "conversation_commands",
        "setting_commands",
        "file_commands",
        "commands",
        "completion_names",
        "completion_values",
        "completion",
        "ai_alias",
        "completion_shell",
        "completion_matcher",
        "completion_hook",
        "panel_models",
        "panel_turns",
        "panel_stream",
        "panel_state",
        "panel_output",
        "panel_composer",
        "panel_actions",
        "panel",
        "preloading",
        "magic",
    },
    {"first_answer"},
    {"trial", "unreachable", "contract", "contract_replies", "testing"},
    {"__main__"},
)
HEIGHT = {name: height for height, layer in enumerate(LAYERS) for name in layer}

# Three imports go up, at the moment they are needed: IPython asks a reply to show itself, a journal asks the shell
# which notebook and which cell runs, and a batch has its progress shown there.
UPWARD = {
    ("reply", "display"): "_ipython_display_",
    ("journal", "display"): "_shell",
    ("batch", "display_batch"): "_display",
}

HEAVY = (
    "aiohttp",
    "xllamacpp",
    "markdown_it",
    "sqlite3",
    "nest_asyncio2",
    "ipywidgets",
    "anywidget",
    "tqdm",
    "llm",
    "opentelemetry",
)


def layer_of(module: str) -> int:
    return HEIGHT[module.split(".")[0]]


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules of this package that are imported anywhere in ``tree``."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole way"
            names = [f"{node.module}.{each.name}" for each in node.names]
        for name in names:
            root, _dot, rest = name.partition(".")
            if root == "flowgpt_magic" and rest:
                parts = rest.split(".")
                # The longest part of it that is a module; the rest is a name in that.
                yield next((".".join(parts[:n]) for n in (2, 1) if ".".join(parts[:n]) in MODULES), parts[0])


def python(code: str) -> str:
    """What ``code`` prints in a process of its own."""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


@pytest.mark.parametrize("module", sorted(MODULES))
def test_every_module_has_its_place(module):
    assert module.split(".")[0] in HEIGHT, f"give {module} a place in LAYERS"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_downward_only(module):
    tree = ast.parse(MODULES[module].read_text("utf-8"))

    upward = {(module, other) for other in imported(tree) if layer_of(other) > layer_of(module)}

    assert upward <= UPWARD.keys()


@pytest.mark.parametrize(("module", "other"), UPWARD)
def test_an_import_that_goes_up_waits_until_it_is_needed(module, other):
    tree = ast.parse(MODULES[module].read_text("utf-8"))
    (function,) = (
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == UPWARD[module, other]
    )

    assert list(imported(function)) == [other]
    assert list(imported(tree)).count(other) == 1


def test_a_provider_knows_no_other_provider():
    names = ("flowgpt", "local", "echo", "openai_compatible", "llm_models")
    providers = {f"providers.{name}" for name in names}
    for module in providers & MODULES.keys():
        others = set(imported(ast.parse(MODULES[module].read_text("utf-8")))) & providers

        assert not others - {module}


def test_the_modules_import_each_other_in_no_circle():
    needs = {}
    for module, path in MODULES.items():
        tree = ast.parse(path.read_text("utf-8"))
        at_once = ast.Module([node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))], [])
        needs[module] = set(imported(at_once)) & MODULES.keys()

    while free := [module for module, others in needs.items() if not others]:
        needs = {module: others - set(free) for module, others in needs.items() if module not in free}

    assert needs == {}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_says_what_it_is_for_and_can_be_read_in_one_go(module):
    source = MODULES[module].read_text("utf-8")

    assert ast.get_docstring(ast.parse(source))
    assert len(source.splitlines()) <= 600


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("aiohttp", ("providers", "gateway")),
        ("IPython", ("ai_alias", "magic", "display", "panel_output", "first_answer")),
        ("xllamacpp", ("providers",)),
        ("keyring", ("keys",)),
        ("nest_asyncio2", ("nested",)),
        ("llm", ("providers",)),
        ("opentelemetry", ("tracing",)),
        ("sqlite3", ("history", "history_file", "history_rows", "migrations")),
    ],
)
def test_a_library_is_used_in_its_own_place(library, homes):
    for module, path in MODULES.items():
        found = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            for name in (
                [each.name for each in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        if library in found:
            assert module.startswith(homes), f"{module} imports {library}"


@pytest.mark.parametrize("module", ["flowgpt_magic", "flowgpt_magic.magic", "flowgpt_magic.conversation"])
def test_an_import_prints_nothing_and_loads_no_library_before_it_is_used(module):
    # IPython itself brings sqlite3, so it is loaded first.
    code = f"""
import sys, IPython, IPython.core.history, traitlets
before = set(sys.modules)
import flowgpt_magic, {module}
new = set(sys.modules) - before
print(*[name for name in {HEAVY} if name in new])
"""
    assert python(code).strip() == ""


def test_an_import_starts_no_thread_and_touches_no_loop():
    code = """
import asyncio, signal, threading
run, handler = asyncio.run, signal.getsignal(signal.SIGINT)
import flowgpt_magic.magic, flowgpt_magic.conversation
print(threading.active_count(), asyncio.run is run, signal.getsignal(signal.SIGINT) is handler)
"""
    assert python(code).split() == ["1", "True", "True"]


# All of this package that loading the extension imports, and of other packages nothing.
LOADED = {
    "errors",
    "extra_headers",
    "installing",
    "keys",
    "magic",
    "options",
    "parameters",
    "plain_text",
    "printing",
    "settings",
    "transforms",
    "written_parameters",
}
# Of the standard library nothing that a plain shell of some release of IPython does without, but for these.
LIGHT = {"dataclasses", "difflib", "numbers", "urllib", "urllib.parse", "ipaddress"}  # the last three: on 3.14


def test_loading_the_extension_imports_little_and_prints_nothing():
    code = """
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
import IPython.core.magics.extension
before = set(sys.modules)
shell.run_line_magic("load_ext", "flowgpt_magic")
assert "flowgpt" in shell.magics_manager.magics["cell"]
print(*sorted(set(sys.modules) - before))
"""
    loaded = set(python(code).split())
    own = {name for name in loaded if name.partition(".")[0] == "flowgpt_magic"}

    own.discard("flowgpt_magic.completion_hook")  # before IPython 8.6
    assert own == {"flowgpt_magic", *(f"flowgpt_magic.{name}" for name in LOADED)}
    assert {name for name in loaded if not name.startswith("flowgpt_magic")} <= LIGHT


def test_every_public_name_is_there():
    for name in flowgpt_magic.__all__:
        assert getattr(flowgpt_magic, name).__name__ == name
        assert name in dir(flowgpt_magic)
    assert flowgpt_magic.__version__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Converstion'"):
        _ = flowgpt_magic.Converstion


def test_the_public_names_are_the_same_objects_everywhere():
    from flowgpt_magic.reply import Reply

    assert flowgpt_magic.Reply is Reply
