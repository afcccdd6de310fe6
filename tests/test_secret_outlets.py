"""No key, token or password of a value, a setting or an error leaves through any outlet.

Each outlet is driven with the forms of secrets, and with values whose names alone say whether they are secret. What a
person typed as a prompt is theirs: it is sent and kept as it is, and is not looked at here.
"""

from __future__ import annotations

import html
import json
import logging
import os
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from flowgpt_magic import settings
from flowgpt_magic.batch.items import Template
from flowgpt_magic.clusters.worker_settings import is_free_of_secrets
from flowgpt_magic.completion import names
from flowgpt_magic.completion.shell import all_models
from flowgpt_magic.conversation import Conversation
from flowgpt_magic.display import show
from flowgpt_magic.display.columns import ColumnView
from flowgpt_magic.errors import ComparisonError, FlowGptError, FlowGptWarning, ProviderError, SettingError
from flowgpt_magic.gateway import server as gateway
from flowgpt_magic.gateway.log import log_request
from flowgpt_magic.history import rows
from flowgpt_magic.magics import magic
from flowgpt_magic.messages import Waiting, notice
from flowgpt_magic.panel.actions import answer
from flowgpt_magic.panel.model_choices import Choices
from flowgpt_magic.panel.output import transcript
from flowgpt_magic.panel.protocol import compared_facts, facts, pause_facts
from flowgpt_magic.panel.state import PanelState
from flowgpt_magic.prompt.compose import PromptContext, compose
from flowgpt_magic.prompt.describe.problems import AttachmentError
from flowgpt_magic.providers import aliases
from flowgpt_magic.providers.aliases import Alias
from flowgpt_magic.providers.echo import Echo
from flowgpt_magic.providers.registry import find_provider
from flowgpt_magic.replies import log, tracing
from flowgpt_magic.replies.comparison import Column
from flowgpt_magic.replies.dry_run import DryRun
from flowgpt_magic.replies.reply import Reply
from flowgpt_magic.transcripts import files
from flowgpt_magic.transcripts.bundles import transcript_bundle
from flowgpt_magic.transcripts.caption import caption
from tests.records import conversation_record, notebook_record, turn_record
from tests.secret_names import HARMLESS_NAMES, SECRET_NAMES
from tests.shell_states import new_state, run_line

# The part that may not be seen of each is put together here, so that nobody takes this file for one that leaks it.
CORE = "Zq8vLw3nXk5tBy7mRc2d"
PEM = "-----BEGIN RSA PRIVATE" + " KEY-----\n{}\n-----END RSA PRIVATE" + " KEY-----"
FORMS = {
    "login with a scheme": ("postgres://anna:{}@db.example.org/x", CORE),
    "login without a scheme": ("anna:{}@db.example.org:5432/x", CORE),
    "query": ("https://example.org/v1?api_key={}&n=1", CORE),
    "GitHub": ("ghp_{}", CORE),
    "GitHub, fine-grained": ("github_pat_{}", CORE),
    "GitLab": ("glpat-{}", CORE),
    "Slack": ("xoxb-{}", CORE),
    "Slack's webhook": ("https://hooks.slack.com/services/T0/B0/{}", CORE),
    "AWS, the id": ("AKIA{}", "IOSFODNN7EXAMPLE"),
    "AWS, the secret": ("aws_secret_access_key = {}", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    "JWT": ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.{}", CORE),
    "OpenAI": ("sk-proj-{}", CORE),
    "Anthropic": ("sk-ant-api03-{}", CORE),
    "Hugging Face": ("hf_{}", CORE),
    "Google": ("AIza{}", "SyA-abcdefghijklmnopqrstuvwxyz0123456"),
    "private key": (PEM, CORE),
    "encrypted private key": (PEM.replace("{}", "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n{}"), CORE),
    "bearer": ("Authorization: Bearer {}", CORE),
    "basic": ("Authorization: Basic {}", CORE),
    "password=": ("host=db password={} dbname=x", CORE),
    "PASSWORD:": ("PGPASSWORD: {}", CORE),
    "quoted password": ("connect(user='anna', password='{}')", "swordfish"),
    "JSON": ('{{"password": "{}", "n": 1}}', "swordfish"),
    "named token": ("slack_token={}", CORE),
    "Azure": ("DefaultEndpointsProtocol=https;AccountKey={}==;", CORE + CORE),
}
Outlet = Callable[[str, Path, pytest.MonkeyPatch], object]
OUTLETS: dict[str, Outlet] = {}


def outlet(function: Outlet) -> Outlet:
    OUTLETS[function.__name__.replace("_", " ")] = function
    return function


# Prompts


def composed(prompt: str, attached: list[str], **names: object) -> str:
    error = names.pop("Err", None)
    around = PromptContext(names, error=error if isinstance(error, BaseException) else None)
    return compose(prompt, around, attached=attached, budget=2000)


@outlet
def value_in_braces(secret: str, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    return composed("see {value}", [], value=secret)


@outlet
def containers_in_braces(secret: str, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    return composed("see {a}, {b} and {c}", [], a=[secret], b={"x": (1, {"y": secret})}, c={secret: 1})


@outlet
def error_in_braces(secret: str, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    return composed("see {Err}", [], Err=raised(RuntimeError(f"no answer from {secret}")))


@outlet
def attached_values(secret: str, folder: Path, _patch: pytest.MonkeyPatch) -> object:
    file = folder / "notes.txt"
    file.write_text(f"some words\n{secret}\n", "utf-8")
    found = [composed("see", ["value", "holder", "err"], value=secret, holder=[secret], Err=raised(ValueError(secret)))]
    with suppress(AttachmentError):  # a file with a private key is refused
        found.append(composed("see", [str(file)]))
    return found


@outlet
def attached_table(secret: str, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    pandas = pytest.importorskip("pandas")
    return composed("see {frame}", ["frame"], frame=pandas.DataFrame({"words": [secret], "n": [1]}))


@outlet
def the_environment(secret: str, _folder: Path, patch: pytest.MonkeyPatch) -> object:
    names: dict[str, object]
    patch.setenv("SOME_VALUE", secret)
    names = {"env": dict(os.environ), "environ": os.environ, "environb": os.environb}
    attached = ["environ", "environ!", "environb", "environb!", "env"]
    return composed("see {env}, {environ} and {environb}", attached, **names)


# Errors, warnings and notices


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


@outlet
def errors(secret: str, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    error = ProviderError(f"no answer from {secret}")
    shown = error._render_traceback_()
    return [str(error), repr(error), error.clause, shown, traceback.format_exception_only(type(error), error)]


@outlet
def refused_settings(secret: str, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    found = []
    for name in settings.TABLE:
        try:
            settings.check(name, secret, "%config FlowGPT")
        except SettingError as error:
            found.append(str(error))
    assert len(found) > 10
    return found


@outlet
def warned(secret: str, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        notice(f"the server says {secret}")
        warnings.warn(f"lost: {secret}", FlowGptWarning, stacklevel=1)
    return [warnings.formatwarning(each.message, each.category, "x", 1) for each in caught]


# A reply that failed with it: what is kept, shown and logged of that


def failing(secret: str, patch: pytest.MonkeyPatch, error: type[Exception] = RuntimeError) -> Reply:
    """A reply that ended with ``secret`` in its error and in a notice."""

    async def fail(*_: object, **_more: object) -> Any:
        notice(f"the server says {secret}")
        yield "begun "
        raise error(f"no answer for {secret}")

    patch.setattr(Echo, "create_async_generator", fail)
    reply = Conversation("of errors", model="echo").ask("hello", retries=0)
    try:
        assert reply.text
    except Exception:
        assert reply.status == "failed"
    return reply


@outlet
def turns(secret: str, _folder: Path, patch: pytest.MonkeyPatch) -> object:
    failing(secret, patch)
    (turn,) = Conversation("of errors").turns
    return [repr(turn), turn.error, turn.notices, transcript_bundle("of errors", [turn])]


@outlet
def what_a_cell_shows(secret: str, _folder: Path, patch: pytest.MonkeyPatch) -> object:
    reply = failing(secret, patch, ProviderError)
    return [caption(reply), show.metadata_of(reply, "markdown"), repr(reply), str(reply.error), reply.notices]


@outlet
def what_columns_show(secret: str, _folder: Path, patch: pytest.MonkeyPatch) -> object:
    column = ColumnView(1, Column("echo", failing(secret, patch)), "markdown", images=False)
    return [column.growing(10_000), column.final(), column.plain()]


@outlet
def all_that_failed(secret: str, _folder: Path, patch: pytest.MonkeyPatch) -> object:
    failing(secret, patch)
    comparison = Conversation("of errors", model="echo").compare("hello", ["echo", "echo:messages"], retries=0)
    with pytest.raises(ComparisonError) as raised:
        comparison.read()
    columns = compared_facts(Conversation("of errors").compared(Conversation("of errors").turns[-1]))
    return [str(raised.value), repr(comparison), comparison._repr_markdown_(), columns]


@outlet
def exports(secret: str, folder: Path, patch: pytest.MonkeyPatch) -> object:
    failing(secret, patch)
    turn = turn_record(
        conversation_record(notebook_record()),
        status="failed",
        error=secret,
        notices=(secret,),
        parameters={"api_base": secret, "further": [{"x": secret}]},
    )
    turns = [*Conversation("of errors").turns, turn]
    paths = [files.write(folder / f"t{ending}", "main", "", turns) for ending in files.FILE_FORMATS]
    assert len(paths) == 4
    return [path.read_text("utf-8") for path in paths]


@outlet
def lines_in_the_log(secret: str, _folder: Path, patch: pytest.MonkeyPatch) -> object:
    lines: list[str] = []
    handler = logging.Handler(logging.DEBUG)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    log.logger.addHandler(handler)
    before = log.logger.level
    log.logger.setLevel(logging.DEBUG)
    try:
        failing(secret, patch)
        failing(secret, patch, ProviderError)
    finally:
        log.logger.setLevel(before)
        log.logger.removeHandler(handler)
    assert any("failed" in line for line in lines)
    return lines


@outlet
def spans(secret: str, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    conversation = Conversation("of spans", model=f"openai_compatible:{secret.split()[0]}")
    request = conversation.preview("hello", openai_base_url=f"http://anna:{CORE}@example.org/v1")
    return tracing._request_attributes(request, "x"), log.describe_error(ProviderError(secret), request)


# A panel


class Pages:
    """Takes what a panel tells its pages."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def __call__(self, told: object) -> None:
        self.told.append(json.loads(json.dumps(told)))


@outlet
def panel(secret: str, _folder: Path, patch: pytest.MonkeyPatch) -> object:
    failing(secret, patch)
    pages = Pages()
    state = PanelState(Conversation("of errors"), send=pages, show=pages)
    try:
        answer(state, {"kind": "open", "page": "p"})
        answer(state, {"kind": "need", "page": "p", "turns": [turn.turn_id for turn in state.conversation.turns]})
        wrong = [answer(state, {"kind": secret}), answer(state, {"kind": "use", "name": secret})]
        (turn,) = state.conversation.turns
        shown = [facts(turn, 1, "failed"), pause_facts(Waiting(secret, 0.0)), transcript(state.conversation)]
        return [pages.told, wrong, shown]
    finally:
        state.close()


@outlet
def list_of_models_in_a_panel(secret: str, _folder: Path, patch: pytest.MonkeyPatch) -> object:
    with_alias(secret, patch)
    conversation = Conversation("of models", model="echo")
    return list(Choices(lambda: conversation, lambda: None)())


# Settings and names


def with_alias(secret: str, patch: pytest.MonkeyPatch) -> None:
    """An alias as a file that was written by hand may have it."""
    made = Alias("mine", f"openai_compatible:{secret}", f"https://example.org/{secret}", system=secret)
    further = Alias("other", "echo", params={"hosts": [secret]})
    patch.setattr(aliases, "load", lambda: {"mine": made, "other": further})


@outlet
def objects(secret: str, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    chosen = settings.load({"base_url": secret, "system": secret, "params": {"api_base": [secret]}}, environ={})
    alias = Alias("mine", secret, secret, params={"x": secret, "api_key": CORE})
    record = conversation_record(notebook_record(), system=secret)
    turn = turn_record(record, error=secret, parameters={"x": [secret], "token": CORE})
    request = Conversation("of objects", model="echo").preview("hello", base_url=secret)
    batch = Conversation("of objects", model="echo").map(["hello"], progress=False)
    return [*map(repr, (chosen, alias, record, turn, request, batch, gateway.Options("echo", token=secret)))]


@outlet
def subcommands(secret: str, _folder: Path, patch: pytest.MonkeyPatch) -> object:
    with_alias(secret, patch)
    patch.setenv("FLOWGPT_BASE_URL", secret)
    patch.setenv("FLOWGPT_PARAMS", json.dumps({"metadata": {"x": secret}}))
    patch.setattr(find_provider("flowgpt"), "would_answer", lambda *_: f"no: {secret}")
    state = new_state()
    lines = ["alias", "aliases", "config", "set base_url", f"set base_url {json.dumps(secret)}", "providers", "models"]
    lines += [f"model openai_compatible:{secret.split()[0]}", "model", ""]
    patch.setenv("FLOWGPT_SYSTEM", secret)
    return [_shown(state, line) for line in lines]


def _shown(state: Any, line: str) -> str:
    try:
        found = run_line(state, line)
    except FlowGptError as error:
        return str(error)
    return "".join(f() for f in (found.html, found.text)) if hasattr(found, "html") else str(found)


@outlet
def config_magic(secret: str, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    shell = InteractiveShell()
    shell.config = Config()
    made = magic.FlowGPT(shell)
    for name in ("base_url", "token", "proxy", "model"):
        setattr(made, name, secret)
    made.params = {"metadata": {"x": secret}, "api_key": CORE}
    assert made.configured()["base_url"] == secret
    assert made.configured()["params"]["api_key"] == CORE
    return magic.FlowGPT.class_get_help(made), [repr(getattr(made, name)) for name in settings.TABLE]


@outlet
def completions(secret: str, _folder: Path, patch: pytest.MonkeyPatch) -> object:
    with_alias(secret, patch)
    return list(all_models())


@outlet
def dry_run(secret: str, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    given = {"model": "flowgpt", "base_url": secret, "token": secret, "proxy": secret}
    shown = DryRun(Conversation("of runs").preview("hello", **given))
    return [shown.html(), shown.text(), repr(shown)]


@outlet
def keys_of_the_cache(secret: str, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    return Conversation("of keys", model="echo").preview("hello", params={"fail_after": 3}, base_url=secret).key


@outlet
def rows_of_a_batch(secret: str, _folder: Path, patch: pytest.MonkeyPatch) -> object:
    async def fail(*_: object, **_more: object) -> Any:
        raise RuntimeError(f"no answer for {secret}")
        yield ""

    patch.setattr(Echo, "create_async_generator", fail)
    pandas = pytest.importorskip("pandas")
    batch = Conversation("of batches", model="echo").map(["a", "b"], progress=False, retries=0)
    results = list(batch)
    frame = batch.to_frame()
    assert isinstance(frame, pandas.DataFrame)
    return [repr(results[0]), frame.to_csv(), str(batch.table()), repr(batch)]


@outlet
def gateways(secret: str, _folder: Path, patch: pytest.MonkeyPatch) -> object:
    lines: list[str] = []
    patch.setattr(gateway.logger, "warning", lambda text, *args: lines.append(text % args))
    patch.setattr(gateway.logger, "error", lambda text, *args: lines.append(text % args))
    refusals = [
        gateway.as_status_error(kind(f"no answer from {secret}"), lambda: 1.0) for kind in (ProviderError, OSError)
    ]
    gateway._log_notice(f"the server says {secret}")
    return [[(str(each), each.headers) for each in refusals], lines]


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", OUTLETS)
def test_no_secret_leaves_through(name: str, tmp_path: Path) -> None:
    leaked = {}
    for number, (kind, (form, core)) in enumerate(FORMS.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            text = str(OUTLETS[name](form.format(core), folder, patch))
        Conversation("of errors").clear()
        if core in text or core[-8:] in text:
            at = text.find(core[-8:])
            leaked[kind] = text[max(0, at - 100) : at + 20]
    assert leaked == {}


def test_what_a_person_typed_is_sent_and_kept_as_it_is() -> None:
    typed = "my key is sk-" + f"proj-{CORE}, and password={CORE}"
    conversation = Conversation("of prompts", model="echo")

    assert conversation.ask(typed).text == typed
    assert conversation.turns[0].prompt == typed
    assert compose(typed, PromptContext({}), budget=100) == typed


def test_a_value_of_the_environment_is_not_told_by_a_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "correct horse battery")

    refused = gateway.as_status_error(ProviderError("not allowed: correct horse battery"), lambda: 1.0)

    assert str(refused) == "not allowed: ***."
    log_request(200, "echo:words")


# Values with the names of secrets

VALUES = "Zq8vLw{:03}Xk5tBy7mRc2d"
SECRET_VALUES = {name: VALUES.format(number) for number, name in enumerate(SECRET_NAMES)}
HARMLESS_VALUES = {name: VALUES.format(number) for number, name in enumerate(HARMLESS_NAMES)}
PLURALS = {"keys", "tokens", "max_tokens", "max_new_tokens"}  # numbers; a text in their place is hidden
Values = dict[str, str]
NAME_OUTLETS: dict[str, Callable[[Values, Path, pytest.MonkeyPatch], object]] = {}


def name_outlet(function: Callable[[Values, Path, pytest.MonkeyPatch], object]) -> object:
    NAME_OUTLETS[function.__name__.replace("_", " ")] = function
    return function


def texts(values: Values) -> list[str]:
    """Sentences as errors and notices have them."""
    written = ("{}={}", '{{"{}": "{}"}}', "https://example.org/?{}={}&n=1", "{}: {}")
    return [f"refused: {form.format(name, value)}" for form in written for name, value in values.items()]


def as_parameters(values: Values) -> dict[str, Any]:
    """The values in the parameters of a request; a text in place of a count would be hidden there."""
    deep = {name: value for name, value in values.items() if name not in PLURALS}
    return {"metadata": {"inner": [deep]}, "texts": [value for name, value in values.items() if name in PLURALS]}


def variables_of(values: Values) -> Values:
    return {name: value for name, value in values.items() if name.isidentifier()}


@name_outlet
def references_in_a_prompt(values: Values, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    by_item = [composed(f"see {{names[{name!r}]}}", [], names=values) for name in values]
    return by_item, [composed(f"see {{{name}}}", [], **{name: value}) for name, value in variables_of(values).items()]


@name_outlet
def attached_by_name(values: Values, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    found = []
    for name in values:
        with suppress(AttachmentError):
            found.append(composed("see", [f"names[{name!r}]"], names=values))
    return found


@name_outlet
def attached_holders(values: Values, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    pandas = pytest.importorskip("pandas")
    found = []
    for name, value in values.items():
        frame = pandas.DataFrame({name: [value], "n": [1]})
        found.append(
            composed("{holder}", ["frame", "spaces"], holder={name: value}, frame=frame, spaces=[{name: value}])
        )
    return found


@name_outlet
def templates_of_a_batch(values: Values, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [Template("see {}").fill({name: value}) for name, value in values.items()]


@name_outlet
def names_that_are_completed(values: Values, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    items = {item.text.strip("'\"]") for item in names.keys(values, "", "]")}
    items |= {item.text for item in names.variables(values, {}, "")}
    return [value for name, value in values.items() if name in items]


@name_outlet
def rows_of_the_history(values: Values, folder: Path, _patch: pytest.MonkeyPatch) -> object:
    record = conversation_record(notebook_record(), parameters=as_parameters(values))
    turn = turn_record(record, error="\n".join(texts(values)), notices=texts(values), parameters=as_parameters(values))
    return [rows.statement(record), rows.statement(turn)]


@name_outlet
def exported_parameters(values: Values, folder: Path, _patch: pytest.MonkeyPatch) -> object:
    record = conversation_record(notebook_record())
    turn = turn_record(record, status="complete", parameters=as_parameters(values))
    return files.write(folder / "t.json", "main", "", [turn]).read_text("utf-8")


def exported_as(ending: str) -> None:
    def exported(values: Values, folder: Path, _patch: pytest.MonkeyPatch) -> object:
        record = conversation_record(notebook_record())
        turn = turn_record(record, status="failed", error="\n".join(texts(values)), notices=tuple(texts(values)))
        return files.write(folder / f"t{ending}", "main", "", [turn]).read_text("utf-8")

    NAME_OUTLETS[f"errors exported as {ending}"] = exported


for ending in files.FILE_FORMATS:
    exported_as(ending)


@name_outlet
def texts_of_errors(values: Values, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    found = [ProviderError(text) for text in texts(values)]
    return [[str(error), repr(error), error._render_traceback_(), error.clause] for error in found]


@name_outlet
def texts_of_warnings(values: Values, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for text in texts(values):
            notice(text)
    return [str(each.message) for each in caught]


@name_outlet
def lines_of_the_log_and_spans(values: Values, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    request = Conversation("of logs", model="echo").preview("hello")
    return [log.describe_error(ProviderError(text), request) for text in texts(values)]


@name_outlet
def messages_of_a_panel(values: Values, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    record = conversation_record(notebook_record())
    turn = turn_record(record, error="\n".join(texts(values)), notices=texts(values))
    waits = [pause_facts(Waiting(text, 0.0)) for text in texts(values)]
    return [facts(turn, 1, "failed"), waits]


@name_outlet
def refusals_of_a_gateway(values: Values, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    return [str(gateway.as_status_error(ProviderError(text), lambda: 1.0)) for text in texts(values)]


@name_outlet
def reprs(values: Values, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    params = as_parameters(values)
    record = conversation_record(notebook_record())
    chosen = settings.load({"params": params}, environ={})
    return [*map(repr, (chosen, Alias("mine", "echo", params=params), turn_record(record, parameters=params)))]


@name_outlet
def dry_runs(values: Values, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    target = {"model": "openai_compatible:any", "openai_base_url": "http://127.0.0.1:9/v1"}
    request = Conversation("of runs").preview("hello", **target, params={"extra_body": as_parameters(values)})
    return [DryRun(request).text(), DryRun(request).html()]


@name_outlet
def the_list_of_aliases(values: Values, _folder: Path, patch: pytest.MonkeyPatch) -> object:
    found = []
    for name, value in values.items():
        params = as_parameters({name: value}) if name in PLURALS else {name: value}
        alias = Alias("mine", "echo", params=params)
        patch.setattr(aliases, "load", lambda alias=alias: {"mine": alias})
        found.append(_shown(new_state(), "aliases"))
    return found


@name_outlet
def parameters_in_config(values: Values, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    shell = InteractiveShell()
    shell.config = Config()
    made = magic.FlowGPT(shell)
    made.params = as_parameters(values)
    return repr(made.params)


@name_outlet
def settings_that_travel_to_a_worker(values: Values, _folder: Path, _patch: pytest.MonkeyPatch) -> object:
    travel = {name for name, value in values.items() if is_free_of_secrets(name, value)}
    return [
        values[name] for name in values if name in travel | PLURALS and name != "proxy"
    ]  # without a password it does


@pytest.mark.parametrize("name", NAME_OUTLETS)
def test_no_value_of_a_secret_name_leaves_through(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = html.unescape(str(NAME_OUTLETS[name](SECRET_VALUES, tmp_path, monkeypatch)))

    assert [name for name, value in SECRET_VALUES.items() if value in text] == []


@pytest.mark.parametrize("name", NAME_OUTLETS)
def test_values_of_harmless_names_are_there(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = html.unescape(str(NAME_OUTLETS[name](HARMLESS_VALUES, tmp_path, monkeypatch)))

    assert [name for name, value in HARMLESS_VALUES.items() if value not in text] == []
