"""What every test stands on: no setting of the person who runs it, and a data folder of its own."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import processes

# A background job starts with interrupts ignored, and all its children too; tests interrupt themselves and each other.
signal.signal(signal.SIGINT, signal.default_int_handler)

# An example may take long on a busy machine; nothing here is proved by the clock.
settings.register_profile("flowgpt", deadline=None)
settings.load_profile("flowgpt")

KEPT = {"FLOWGPT_TEST_MODEL"}  # the path of weights, for tests that run the embedded model
HISTORY = "flowgpt_magic.history.current"
OUTSIDE = (  # in small letters or capitals
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "openai_api_key",
    "openai_base_url",
    "openai_api_base",
    "anthropic_api_key",
    "anthropic_base_url",
    "requests_ca_bundle",
    "curl_ca_bundle",
)


@pytest.fixture(scope="module", params=["http", "https", "https, Connection: close"])
def over_http_and_tls(request: pytest.FixtureRequest) -> Iterator[None]:
    """The tests of a module that uses this run over each: their servers speak it, and their authority is trusted."""
    from tests import certificates, servers  # only these tests need them

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(certificates.authority().bundle))
        with servers.speaking_by(servers.Way("https" in request.param, "close" in request.param)):
            yield


@pytest.fixture(scope="session", autouse=True)
def no_process_left() -> Iterator[None]:
    """Fail where a process outlives the run that started it: say which, and which test it is from, and kill it."""
    os.environ[processes.RUN] = str(os.getpid())
    yield
    living = processes.left_over()
    names = [processes.described(process) for process in living]
    for process in living:
        process.kill()
    assert not living, "\n".join(["processes that tests have left behind:", *names])


@pytest.fixture(autouse=True)
def own_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of this test's data; nothing that is set outside reaches it, and no history outlives the test."""
    for name in list(os.environ):
        if (name.startswith("FLOWGPT_") and name not in KEPT) or name.lower() in OUTSIDE:
            monkeypatch.delenv(name)
    folder = tmp_path_factory.mktemp("flowgpt")
    monkeypatch.setenv("FLOWGPT_DATA_DIR", str(folder / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.setenv("FLOWGPT_HISTORY", ":memory:")
    yield folder
    if HISTORY in sys.modules:
        importlib.import_module(HISTORY).close_all()  # imported by now, and not only begun
