"""Installing a model from a small hub on loopback, over HTTP and TLS."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flowgpt_magic import settings
from flowgpt_magic.errors import (
    DownloadError,
    FlowGptError,
    ModelNotSupportedError,
    ProviderConnectionError,
    ProviderError,
    SettingError,
)
from flowgpt_magic.providers.llama_cpp import catalogue, install, installed, partial_file
from flowgpt_magic.providers.llama_cpp import hub as hubs
from flowgpt_magic.providers.llama_cpp.machine import Machine
from tests import processes
from tests.model_hubs import CONTENT, REPOSITORY, ModelHub, entry, refusing, serving_models
from tests.servers import closed_port, proxying

pytestmark = pytest.mark.usefixtures("over_http_and_tls")
SPEC = f"hf:{REPOSITORY}"
NAME = "tiny-q4_k_m"
BIG = Machine(memory=64 * 10**9, free_memory=60 * 10**9, free_disk=10**12)
TOKEN = "hf_abcdefghijklmnopqrstuvwxyz012345"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    """A hub with one model, to which ``HF_ENDPOINT`` points."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(partial_file, "FIRST_PAUSE", 0.001)
    with serving_models(ModelHub()) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.hub.url)
        yield running


@pytest.fixture
def said() -> list[str]:
    return []


def folder() -> Path:
    return installed.folder_of(NAME)


def on_disk() -> list[str]:
    return sorted(file.name for file in folder().iterdir()) if folder().exists() else []


def start_part(content: bytes, *, etag: str = '"one"', sha256: str = "", size: int = len(CONTENT)) -> None:
    """What a killed download left behind."""
    folder().mkdir(parents=True)
    (folder() / "tiny-Q4_K_M.gguf.part").write_bytes(content)
    state = {"sha256": sha256 or hashlib.sha256(CONTENT).hexdigest(), "size": size, "etag": etag}
    (folder() / "tiny-Q4_K_M.gguf.part.json").write_text(json.dumps(state))


# What is fetched


def test_a_model_is_fetched_checked_and_recorded(hub: ModelHub, said: list[str]) -> None:
    model = install.install(SPEC, say=said.append, machine=BIG)

    assert (model.name, model.path.read_bytes()) == (NAME, CONTENT)
    assert on_disk() == ["model.json", "tiny-Q4_K_M.gguf"]
    assert [each.name for each in installed.all_models()] == [NAME]
    assert said[0] == f"{NAME}: tiny-Q4_K_M.gguf from {REPOSITORY}\n"
    assert said[1] == "1 MB to download, about 970 MB of memory, licence apache-2.0\n"
    assert f"{NAME}: 1 MB of 1 MB\n" in said
    assert said[-1] == f"{NAME} is in {folder()}\n"


def test_a_second_run_asks_for_no_file(hub: ModelHub, said: list[str]) -> None:
    install.install(SPEC, say=said.append, machine=BIG)
    install.install(SPEC, say=said.append, machine=BIG)

    assert len(hub.downloads) == 1
    assert said[-1] == f"already there: {folder() / 'tiny-Q4_K_M.gguf'}\n"


def test_a_model_of_the_list_is_installed_by_its_name(
    hub: ModelHub, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = catalogue.CATALOGUE["phi-4-mini"]
    tiny = replace(known, repository=REPOSITORY, file="tiny-Q4_K_M.gguf")
    monkeypatch.setitem(catalogue.CATALOGUE, "phi-4-mini", tiny)

    assert install.install("Phi-4-mini", say=said.append, machine=BIG).name == "phi-4-mini"
    asked = len(hub.hub.requests)
    install.install("phi-4-mini", say=said.append, machine=BIG)
    assert len(hub.hub.requests) == asked
    assert install.install(f"{SPEC}:tiny-Q4_K_M.gguf", say=said.append, machine=BIG).name == "phi-4-mini"


def test_the_parts_of_a_split_model_are_all_fetched_and_the_first_is_loaded(hub: ModelHub, said: list[str]) -> None:
    parts = {f"q4/big-Q4_K_M-0000{number}-of-00002.gguf": CONTENT + bytes([number]) for number in (1, 2)}
    hub.files = parts

    model = install.install(SPEC, say=said.append, machine=BIG)

    assert model.name == "big-q4_k_m"
    assert model.path.name == "big-Q4_K_M-00001-of-00002.gguf"
    assert [(model.path.parent / file).read_bytes() for file in model.files] == list(parts.values())
    assert "big-Q4_K_M.gguf in 2 parts" in said[0]


def test_two_models_whose_files_have_one_name_do_not_replace_each_other(hub: ModelHub, said: list[str]) -> None:
    installed.folder_of(NAME).mkdir(parents=True)
    (folder() / "tiny-Q4_K_M.gguf").write_bytes(b"GGUF of another")
    installed.add(installed.InstalledModel(NAME, "other/Tiny", ("tiny-Q4_K_M.gguf",), 15, "mit"))

    assert install.install(SPEC, say=said.append, machine=BIG).name == f"owner-{NAME}"


# Broken and continued downloads


def test_a_connection_that_is_cut_is_continued_within_the_run(hub: ModelHub, said: list[str]) -> None:
    hub.cuts = [300_000, 100_000]

    assert install.install(SPEC, say=said.append, machine=BIG).path.read_bytes() == CONTENT
    first, *later = hub.downloads
    assert (first, len(later)) == ("", 2)
    assert all(asked.startswith("bytes=") for asked in later)
    assert hub.cdn.requests[-1].headers["If-Range"] == '"one"'


def test_a_download_that_was_given_up_is_continued_by_the_next_run(hub: ModelHub, said: list[str]) -> None:
    hub.cuts = [200_000] + [0] * partial_file.ATTEMPTS
    with pytest.raises(DownloadError, match=r"ended the connection .*MB are kept: the same command continues"):
        install.install(SPEC, say=said.append, machine=BIG)
    assert on_disk() == ["tiny-Q4_K_M.gguf.part", "tiny-Q4_K_M.gguf.part.json"]
    kept = (folder() / "tiny-Q4_K_M.gguf.part").stat().st_size
    assert list(installed.all_models()) == []

    assert install.install(SPEC, say=said.append, machine=BIG).path.read_bytes() == CONTENT
    assert hub.downloads[-1] == f"bytes={kept}-"


def test_what_was_complete_but_not_yet_named_is_not_fetched_again(hub: ModelHub, said: list[str]) -> None:
    start_part(CONTENT)

    assert install.install(SPEC, say=said.append, machine=BIG).path.read_bytes() == CONTENT
    assert hub.downloads == []


def test_a_server_without_ranges_sends_the_whole_again(hub: ModelHub, said: list[str]) -> None:
    start_part(CONTENT[:1000])
    hub.ranges = False

    assert install.install(SPEC, say=said.append, machine=BIG).path.read_bytes() == CONTENT
    assert hub.downloads == ["bytes=1000-"]


def test_another_tag_means_that_the_file_is_fetched_from_its_beginning(hub: ModelHub, said: list[str]) -> None:
    start_part(b"x" * 1000, etag='"older"')

    assert install.install(SPEC, say=said.append, machine=BIG).path.read_bytes() == CONTENT


@pytest.mark.parametrize("state", ["another checksum", "another size", "none", "damaged"])
def test_what_belongs_to_another_version_is_thrown_away(state: str, hub: ModelHub, said: list[str]) -> None:
    start_part(
        b"x" * 1000,
        sha256="1" * 64 if state == "another checksum" else "",
        size=5 if state == "another size" else len(CONTENT),
    )
    state_file = folder() / "tiny-Q4_K_M.gguf.part.json"
    if state == "none":
        state_file.unlink()
    if state == "damaged":
        state_file.write_text("{")

    assert install.install(SPEC, say=said.append, machine=BIG).path.read_bytes() == CONTENT
    assert hub.downloads == [""]


def test_a_wrong_checksum_leaves_nothing_that_could_be_loaded(hub: ModelHub, said: list[str]) -> None:
    hub.listing = [entry("tiny-Q4_K_M.gguf", CONTENT[:-1] + b"!")]

    with pytest.raises(DownloadError, match="wrong checksum and was deleted; run the command again"):
        install.install(SPEC, say=said.append, machine=BIG)
    assert on_disk() == []


def without_checksum() -> dict[str, Any]:
    return entry("tiny-Q4_K_M.gguf", CONTENT, lfs=None)


def test_the_checksum_may_come_with_the_redirect(hub: ModelHub, said: list[str]) -> None:
    hub.listing, hub.linked_etag = [without_checksum()], f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert install.install(SPEC, say=said.append, machine=BIG).path.read_bytes() == CONTENT
    assert not any("checksum" in text for text in said)
    installed.remove(NAME)

    hub.linked_etag = f'"{"0" * 64}"'
    with pytest.raises(DownloadError, match="wrong checksum"):
        install.install(SPEC, say=said.append, machine=BIG)


def test_without_any_checksum_the_size_and_the_tag_count(hub: ModelHub, said: list[str]) -> None:
    hub.listing, hub.cuts = [without_checksum()], [300_000]

    assert install.install(SPEC, say=said.append, machine=BIG).path.read_bytes() == CONTENT
    assert "the hub states no checksum, so only the size is checked\n" in said


def test_a_server_that_falls_silent_is_left_and_asked_for_the_rest(
    hub: ModelHub, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hubs, "SILENCE", 0.5)
    hub.hold_after = 300_000

    assert install.install(SPEC, say=said.append, machine=BIG).path.read_bytes() == CONTENT
    assert hub.held.is_set()
    assert hub.downloads[-1].startswith("bytes=")


def test_more_bytes_than_the_hub_stated_are_not_written(hub: ModelHub, said: list[str]) -> None:
    hub.listing = [entry("tiny-Q4_K_M.gguf", CONTENT[:1000])]

    with pytest.raises(DownloadError, match="sends more than the 1,000 bytes"):
        install.install(SPEC, say=said.append, machine=BIG)


def test_a_file_that_is_no_model_is_refused(hub: ModelHub, said: list[str]) -> None:
    hub.files = {"tiny-Q4_K_M.gguf": b"<html>"}

    with pytest.raises(ModelNotSupportedError, match="is not a GGUF file"):
        install.install(SPEC, say=said.append, machine=BIG)
    assert list(installed.all_models()) == []


INSTALL = [sys.executable, "-m", "flowgpt_magic", "install-model", SPEC]


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGKILL, -9), (signal.SIGINT, 130)])
def test_a_download_that_was_stopped_is_continued(number: int, status: int, hub: ModelHub, said: list[str]) -> None:
    hub.hold_after = 500_000
    with processes.running(INSTALL, **processes.TEXT) as run:
        assert hub.held.wait(processes.LIMIT)
        part = folder() / "tiny-Q4_K_M.gguf.part"
        while not (part.exists() and part.stat().st_size):
            assert run.poll() is None
        run.send_signal(number)
        _, errors = run.communicate(timeout=processes.LIMIT)
    assert run.returncode == status
    if number == signal.SIGINT:
        assert errors == "the download was interrupted; the same command continues it.\n"
    kept = part.stat().st_size
    assert 0 < kept <= 500_000

    assert install.install(SPEC, say=said.append, machine=BIG).path.read_bytes() == CONTENT
    assert hub.downloads[-1] == f"bytes={kept}-"


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_file_that_another_process_downloads_is_left_to_it(hub: ModelHub, said: list[str]) -> None:
    hub.hold_after = 500_000
    with processes.running(INSTALL, **processes.TEXT) as run:
        assert hub.held.wait(processes.LIMIT)
        with pytest.raises(DownloadError, match="is being downloaded by another process"):
            install.install(SPEC, say=said.append, machine=BIG)
        run.kill()
        run.communicate(timeout=processes.LIMIT)


# Refusals


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [
        (401, {}, r"has no repository owner/Tiny-GGUF \(401\): check its name; set HF_TOKEN if it is private"),
        (404, {"X_Error_Code": "RepoNotFound"}, r"has no repository owner/Tiny-GGUF \(404\): check its name"),
        (403, {"X_Error_Code": "GatedRepo"}, r"accept its conditions at http.*/owner/Tiny-GGUF, then set HF_TOKEN"),
        (429, {"Retry_After": "120"}, "answered 429.*asks to wait 120 s"),
        (500, {}, "answered 500"),
    ],
)
def test_a_refusal_says_what_to_do(
    status: int, headers: dict[str, str], expected: str, hub: ModelHub, said: list[str]
) -> None:
    hub.refusals = [refusing(status, **headers)]

    with pytest.raises(ProviderError, match=expected):
        install.install(SPEC, say=said.append, machine=BIG)
    assert (said, on_disk()) == ([], [])


def test_a_gated_repository_is_refused_before_its_files_are_looked_up(
    hub: ModelHub, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.info = {"gated": "manual"}
    with pytest.raises(DownloadError, match=r"accept its conditions at .*, then set HF_TOKEN"):
        install.install(SPEC, say=said.append, machine=BIG)

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.refusals = [refusing(403, X_Error_Code="GatedRepo")]
    with pytest.raises(ProviderError, match="with the account of the token in HF_TOKEN"):
        install.install(SPEC, say=said.append, machine=BIG)


def test_a_busy_server_is_asked_again_and_one_that_stays_busy_is_not(hub: ModelHub, said: list[str]) -> None:
    hub.cdn_refusals = [refusing(503), refusing(429, Retry_After="0")]
    assert install.install(SPEC, say=said.append, machine=BIG).path.read_bytes() == CONTENT
    installed.remove(NAME)

    hub.cdn_refusals = [refusing(429, Retry_After="3600")]
    with pytest.raises(DownloadError, match="asks to wait 3,600 s"):
        install.install(SPEC, say=said.append, machine=BIG)


def test_without_a_network_the_error_names_the_mirror_and_the_file(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(ProviderConnectionError, match=r"connection refused.*HF_ENDPOINT can name a mirror.*local:PATH"):
        install.install("phi-4", say=said.append, machine=BIG)


def test_an_address_that_is_no_hub_is_refused(hub: ModelHub, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    hub.refusals = [refusing(200, b"<html>")]
    with pytest.raises(ProviderError, match="HF_ENDPOINT must be the address of a model hub"):
        install.install(SPEC, say=said.append, machine=BIG)
    monkeypatch.setenv("HF_ENDPOINT", "hub.example")
    with pytest.raises(SettingError, match=r"HF_ENDPOINT.*is not a base URL"):
        install.install(SPEC, say=said.append, machine=BIG)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("phi4", "did you mean phi-4.* install-model --list shows six"),
        ("owner/repo", "for the repository write hf:owner/repo"),
        ("https://hub.example/owner/repo", "write install-model hf:owner/repo"),
        ("https://hub.example/owner/repo/resolve/main/x.gguf?a=b", "write install-model hf:owner/repo:x.gguf"),
        ("hf:owner", "write it as hf:OWNER/REPO"),
        ("hf:../..", "write it as hf:OWNER/REPO"),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_way_to_write_it(text: str, expected: str, said: list[str]) -> None:
    with pytest.raises(ModelNotSupportedError, match=expected):
        install.install(text, say=said.append, machine=BIG)


@pytest.mark.parametrize("path", ["..\\x.gguf", "a/.gguf", "CON:.gguf"])
def test_a_file_whose_name_could_leave_the_folder_is_refused(path: str, hub: ModelHub, said: list[str]) -> None:
    hub.files = {path: CONTENT}

    with pytest.raises(FlowGptError, match="name that is not used"):
        install.install(SPEC, say=said.append, machine=BIG)


@pytest.mark.parametrize("path", ["x\ny.gguf", "x\x1b[31m.gguf", "x\x1b]0;title\x07.gguf", "x\u202efugg.gguf"])
def test_a_file_whose_name_controls_the_terminal_is_not_named(path: str, hub: ModelHub, said: list[str]) -> None:
    hub.files = {path: CONTENT, "tiny-Q4_K_M.gguf": CONTENT}

    install.install(SPEC, say=said.append, machine=BIG)

    assert "fugg" not in "".join(said)
    assert "".join(said).replace("\n", "").isprintable()


def test_folders_in_a_repository_do_not_lead_out_of_the_folder(hub: ModelHub, said: list[str]) -> None:
    hub.files = {"../../../x-Q4_K_M.gguf": CONTENT}

    with pytest.raises(FlowGptError):
        install.install(SPEC, say=said.append, machine=BIG)
    assert not list(settings.data_folder().parent.glob("*.gguf"))


# Memory and disk


def test_a_model_that_is_too_large_for_the_memory_is_refused_with_what_fits(hub: ModelHub, said: list[str]) -> None:
    hub.files = {"tiny-Q4_K_M.gguf": CONTENT, "tiny-Q2_K.gguf": CONTENT[:5000]}
    hub.listing = [
        entry("tiny-Q4_K_M.gguf", CONTENT, lfs={"oid": "0" * 64, "size": 14 * 10**9}),
        entry("tiny-Q2_K.gguf", CONTENT[:5000]),
    ]
    machine = replace(BIG, memory=8 * 10**9)

    with pytest.raises(DownloadError, match=r"needs about 15\.0 GB of memory, .* this machine has 8\.0 GB") as caught:
        install.install(SPEC, say=said.append, machine=machine)
    assert f"What fits: hf:{REPOSITORY}:Q2_K (0 MB), smollm2-1.7b, phi-4-mini" in str(caught.value)
    assert "mistral" not in str(caught.value)
    assert hub.downloads == []
    with pytest.raises(DownloadError, match=r"of 14\.0 GB are kept"):
        install.install(SPEC, say=said.append, machine=machine, any_memory=True)


def test_a_full_disk_is_told_before_anything_is_fetched(hub: ModelHub, said: list[str]) -> None:
    with pytest.raises(DownloadError, match=r"101 MB are needed in .*, 50 MB are free; .*FLOWGPT_DATA_DIR"):
        install.install(SPEC, say=said.append, machine=replace(BIG, free_disk=50 * 10**6))
    assert hub.downloads == []


def test_what_is_on_disk_already_needs_no_more_space(hub: ModelHub, said: list[str]) -> None:
    start_part(CONTENT[:-1000])

    machine = replace(BIG, free_disk=install.SPARE + 1000)
    assert install.install(SPEC, say=said.append, machine=machine).path.read_bytes() == CONTENT


@pytest.mark.skipif(os.name != "posix" or shutil.which("prlimit") is None, reason="limits a process")
def test_a_disk_that_fills_up_meanwhile_is_told_and_what_arrived_is_kept(hub: ModelHub, said: list[str]) -> None:
    # The limit of a file's size stands for a full disk: it fails in the middle of a write too.
    limited = ["prlimit", "--fsize=300000", *INSTALL]
    ended = subprocess.run(limited, capture_output=True, text=True, timeout=processes.LIMIT, check=False)

    assert ended.returncode == 1
    assert "File too large" in ended.stderr
    assert (folder() / "tiny-Q4_K_M.gguf.part").stat().st_size == 300_000
    assert install.install(SPEC, say=said.append, machine=BIG).path.read_bytes() == CONTENT


# Secrets


def test_the_token_goes_to_the_hub_and_nowhere_else(
    hub: ModelHub, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.token = TOKEN

    install.install(SPEC, say=said.append, machine=BIG)

    assert {request.headers.get("Authorization") for request in hub.hub.requests} == {f"Bearer {TOKEN}"}
    assert hub.cdn.requests
    assert not any(TOKEN in str(request) for request in hub.cdn.requests)
    assert not any(TOKEN in text for text in said)
    assert not any(TOKEN.encode() in file.read_bytes() for file in folder().iterdir())


def test_the_token_is_in_no_error_even_if_the_hub_repeats_it(
    hub: ModelHub, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "plain-and-short")
    hub.refusals = [refusing(500, b'{"error":"no account for plain-and-short"}')]

    with pytest.raises(ProviderError) as caught:
        install.install(SPEC, say=said.append, machine=BIG)
    assert "plain-and-short" not in str(caught.value)


def test_a_signed_address_is_in_no_error(hub: ModelHub, said: list[str]) -> None:
    hub.cdn_refusals = [refusing(403)]

    with pytest.raises(DownloadError, match="answered 403") as caught:
        install.install(SPEC, say=said.append, machine=BIG)
    assert "Signature" not in str(caught.value)


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/x", "http://[", "https://user:pass@127.0.0.1/x"])
def test_a_redirect_to_an_address_of_another_kind_is_not_followed(
    location: str, hub: ModelHub, said: list[str]
) -> None:
    hub.location = lambda _name: location

    with pytest.raises(DownloadError, match="redirects to an address that is not used"):
        install.install(SPEC, say=said.append, machine=BIG)


def test_redirects_in_a_circle_end(hub: ModelHub, said: list[str]) -> None:
    hub.location = lambda name: f"{hub.hub.url}/{REPOSITORY}/resolve/0123456789abcdef/{name}"

    with pytest.raises(DownloadError, match="redirects more than 5 times"):
        install.install(SPEC, say=said.append, machine=BIG)


# The way to the hub


async def test_a_proxy_is_used_for_the_hub_and_for_the_files(
    hub: ModelHub, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    async with proxying() as proxy:
        monkeypatch.setenv("FLOWGPT_PROXY", f"http://user:secret@127.0.0.1:{proxy.port}")
        model = await asyncio.to_thread(install.install, SPEC, say=said.append, machine=BIG)

    assert model.path.read_bytes() == CONTENT
    targets = {request.line.split(" ")[1] for request in proxy.requests}
    assert all(any(str(server.port) in target for target in targets) for server in (hub.hub, hub.cdn))
    assert not any(TOKEN in str(request) for request in proxy.requests if str(hub.cdn.port) in request.line)


def test_an_authority_that_is_not_trusted_is_an_error_and_a_setting_trusts_it(
    hub: ModelHub, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hub.hub.url.startswith("https"):
        pytest.skip("over TLS only")
    bundle = os.environ["SSL_CERT_FILE"]
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(ProviderConnectionError, match="its certificate was refused"):
        install.install(SPEC, say=said.append, machine=BIG)

    monkeypatch.setenv("FLOWGPT_CA_BUNDLE", bundle)
    assert install.install(SPEC, say=said.append, machine=BIG).path.read_bytes() == CONTENT
