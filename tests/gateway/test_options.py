"""The options of a gateway, on the command line and in its documentation."""

from __future__ import annotations

from dataclasses import fields

import pytest

from flowgpt_magic.gateway.options import Options, read_options

SECRET = "s3cret-word"


def test_the_token_comes_from_the_environment_or_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWGPT_GATEWAY_TOKEN", SECRET)
    assert read_options([]) == Options(token=SECRET)
    assert read_options(["--token", "other", "--max-body", "10"]) == Options(token="other", max_body=10)


def test_every_option_is_on_the_command_line_and_explained_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWGPT_GATEWAY_TOKEN", SECRET)
    with pytest.raises(SystemExit) as ended:
        read_options(["--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert SECRET not in shown
    for each in fields(Options):
        assert f"--{each.name.replace('_', '-')} " in shown
        assert f"\n        {each.name}: " in (Options.__doc__ or "")
    monkeypatch.delenv("FLOWGPT_GATEWAY_TOKEN")
    assert read_options(["--grace", "0.5", "--connections", "7"]) == Options(grace=0.5, connections=7)
