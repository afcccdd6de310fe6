"""How the modules hang together: who imports whom, how long they are, and what is loaded before it is used."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import flowgpt_magic

PACKAGE = Path(flowgpt_magic.__file__).parent
MODULES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
    if path != PACKAGE / "__init__.py" and "node_modules" not in path.parts
}
PACKAGES = {name for name, path in MODULES.items() if path.name == "__init__.py"}

# From the bottom up. A module imports from its own package and from those before it.
ORDER = [
    "control_characters",
    "text",
    "printing",
    "redaction",
    "installing",
    "spelling",
    "errors",
    "regular_files",
    "bridge",
    "messages",
    "tables",
    "keys",
    "settings",
    "markdown",
    "prompt",
    "notebook",
    "providers",
    "completion",
    "transcripts",
    "display",
    "replies",
    "history",
    "testing",
    "gateway",
    "batch",
    "conversation",
    "clusters",
    "panel",
    "magics",
    "lab",
    "__main__",
]

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


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules of this package that are imported anywhere in ``tree``, lazily and for types too."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "an import names the whole path"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "flowgpt_magic":
                # The longest part of it that is a module; the rest is a name in that.
                paths = (".".join(parts[1:end]) for end in range(len(parts), 1, -1))
                yield from [path for path in paths if path in MODULES][:1]


IMPORTS = {module: set(imported(ast.parse(path.read_text("utf-8")))) for module, path in MODULES.items()}


def python(code: str) -> str:
    """What ``code`` prints in a process of its own."""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def test_the_order_names_every_package_and_module_at_the_top():
    assert sorted(ORDER) == sorted(name for name in MODULES if "." not in name)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_downward_only(module):
    package = module.split(".")[0]

    upward = {other for other in IMPORTS[module] if ORDER.index(other.split(".")[0]) > ORDER.index(package)}

    assert not upward


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_package_is_entered_through_what_it_hands_on(module):
    for other in IMPORTS[module]:
        parts = other.split(".")
        for end in range(1, len(parts)):
            package, name = ".".join(parts[:end]), parts[end]
            if not module.startswith(f"{package}.") and module != package:
                assert name in handed_on(package), f"{name} is private to {package}"


def handed_on(package: str) -> list[str]:
    """What the ``__all__`` of ``package`` names."""
    (names,) = (
        node.value
        for node in ast.parse(MODULES[package].read_text("utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
    )
    return ast.literal_eval(names)


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_what_a_package_hands_on_is_there(package):
    module = import_module(f"flowgpt_magic.{package}")

    for name in handed_on(package):
        assert hasattr(module, name) or f"{package}.{name}" in MODULES


def test_a_provider_knows_no_other_provider():
    names = ("flowgpt", "local", "echo", "openai_compatible", "anthropic", "llm_models")
    providers = {f"providers.{name}" for name in names}
    for module in providers & MODULES.keys():
        others = set(imported(ast.parse(MODULES[module].read_text("utf-8")))) & providers

        assert not others - {module}


def test_the_modules_import_each_other_in_no_circle():
    # What a package hands on is imported by it, and not by what it hands on.
    needs = {module: {other for other in others if other != module} for module, others in IMPORTS.items()}
    for module, others in needs.items():
        others -= {package for package in PACKAGES if module.startswith(f"{package}.")}

    while free := [module for module, others in needs.items() if not others]:
        needs = {module: others - set(free) for module, others in needs.items() if module not in free}

    assert needs == {}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_says_what_it_is_for(module):
    assert ast.get_docstring(ast.parse(MODULES[module].read_text("utf-8")))


@pytest.mark.parametrize(
    ("library", "homes"),
    [
        ("aiohttp", ("providers.http", "gateway")),
        ("IPython", ("magics", "notebook.ipython", "__main__")),
        ("xllamacpp", ("providers.llama_cpp",)),
        ("keyring", ("keys",)),
        ("nest_asyncio2", ("magics.nested_asyncio",)),
        ("llm", ("providers.llm_models", "providers.llm_messages")),
        ("opentelemetry", ("replies.tracing",)),
        ("sqlite3", ("history",)),
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


@pytest.mark.parametrize("module", ["flowgpt_magic", "flowgpt_magic.magics.magic", "flowgpt_magic.conversation"])
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


def test_help_loads_no_library():
    code = f"""
import sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
before = set(sys.modules)
shell.run_line_magic("load_ext", "flowgpt_magic")
shell.run_line_magic("flowgpt", "help")
new = set(sys.modules) - before
print()
print(*[name for name in {HEAVY} if name in new])
"""
    assert python(code).splitlines()[-1] == ""


def test_an_import_starts_no_thread_and_touches_no_loop():
    code = """
import asyncio, signal, threading
run, handler = asyncio.run, signal.getsignal(signal.SIGINT)
import flowgpt_magic.magics.magic, flowgpt_magic.conversation
print(threading.active_count(), asyncio.run is run, signal.getsignal(signal.SIGINT) is handler)
"""
    assert python(code).split() == ["1", "True", "True"]


# All of this package that loading the extension imports, and of other packages nothing.
LOADED = {
    "errors",
    "installing",
    "keys",
    "lab.target",
    "magics.input_transforms",
    "magics.magic",
    "printing",
    "prompt.magic_line",
    "prompt.parameter_syntax",
    "settings.extra_headers",
    "settings.prices",
    "settings.parameters",
    "settings.settings",
    "spelling",
    "text",
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

    own.discard("flowgpt_magic.magics.completion_hook")  # before IPython 8.6
    packages = {name.rpartition(".")[0] for name in LOADED} - {""}
    assert own == {"flowgpt_magic", *(f"flowgpt_magic.{name}" for name in LOADED | packages)}
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
    from flowgpt_magic.replies.reply import Reply

    assert flowgpt_magic.Reply is Reply
