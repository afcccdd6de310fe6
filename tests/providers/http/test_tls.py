"""TLS: whom it trusts, how this client identifies itself, and what its errors advise."""

from __future__ import annotations

import asyncio
import os
import ssl
from contextlib import suppress
from functools import partial

import pytest

from flowgpt_magic.conversation import Conversation
from flowgpt_magic.errors import ProviderConnectionError, SettingError
from flowgpt_magic.providers.flowgpt import FlowGpt
from flowgpt_magic.providers.http.tls import TlsFiles
from flowgpt_magic.providers.openai_compatible import OpenAICompatible
from tests import certificates, openai_servers
from tests.servers import Server, line, listening, replying, serving

MESSAGES = [{"role": "user", "content": "hello"}]
VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def bundle():
    return str(certificates.authority().bundle)


async def ask(server: Server, **settings) -> str:
    return await FlowGpt.create_async("", MESSAGES, base_url=server.url, **settings)


def secured(signed_by: str = "trusted", *hosts: str, clients: str = "") -> ssl.SSLContext:
    """The context of a server; ``clients`` is the authority whose certificates it asks its clients for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.authority(signed_by).certificate(*(hosts or ("127.0.0.1",))))
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(certificates.authority(clients).bundle)
    return context


# Authorities


async def test_the_authorities_of_the_setting_are_trusted(bundle):
    async with serving(replying(line("x")), tls=True) as server:
        assert await ask(server, ca_bundle=bundle) == "x"


async def test_a_home_folder_may_be_written_as_a_tilde(bundle, monkeypatch):
    monkeypatch.setenv("HOME", os.path.dirname(bundle))
    async with serving(replying(line("x")), tls=True) as server:
        assert await ask(server, ca_bundle=f"~/{os.path.basename(bundle)}") == "x"


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
async def test_the_authorities_of_the_environment_are_trusted_from_the_next_request_on(bundle, monkeypatch, name):
    async with serving(replying(line("x")), tls=True) as server:
        with pytest.raises(ProviderConnectionError):
            await ask(server)

        monkeypatch.setenv(name, bundle)

        assert await ask(server) == "x"


async def test_the_setting_comes_before_the_environment_and_openssls_variable_before_those_of_others(
    bundle, monkeypatch
):
    other = str(certificates.authority("unknown").bundle)
    async with serving(replying(line("x")), tls=True) as server:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", other)
        assert await ask(server, ca_bundle=bundle) == "x"
        monkeypatch.setenv("SSL_CERT_FILE", bundle)
        assert await ask(server) == "x"
        with pytest.raises(ProviderConnectionError):
            await ask(server, ca_bundle=other)


async def test_a_list_of_models_is_asked_for_with_the_same_trust(bundle):
    async with serving(openai_servers.speaking(models=["a"]), tls=True) as server:
        assert await OpenAICompatible.list_models(openai_base_url=f"{server.url}/v1", ca_bundle=bundle) == ["a"]


@pytest.mark.parametrize("signed_by", ["unknown", "itself"])
async def test_an_authority_that_is_not_trusted_is_told_with_what_names_it(signed_by):
    async with serving(replying(line("x")), tls=secured(signed_by)) as server:
        with pytest.raises(ProviderConnectionError) as caught:
            await ask(server)

    assert "certificate was refused" in str(caught.value)
    assert "setting ca_bundle (FLOWGPT_CA_BUNDLE in the environment), or with SSL_CERT_FILE" in str(caught.value)
    assert server.requests == []


async def test_what_is_trusted_instead_is_named(bundle, monkeypatch, tmp_path):
    async with serving(replying(line("x")), tls=secured("unknown")) as server:
        with pytest.raises(ProviderConnectionError) as caught:
            await ask(server, ca_bundle=bundle)
        assert f"now it is {bundle} (setting ca_bundle)" in str(caught.value)

        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))
        with pytest.raises(ProviderConnectionError) as caught:
            await ask(server)
    assert "gone.pem (SSL_CERT_FILE), which does not exist" in str(caught.value)


async def test_a_certificate_for_another_host_is_a_wrong_address(bundle):
    async with serving(replying(line("x")), tls=secured("trusted", "host.example")) as server:
        with pytest.raises(ProviderConnectionError, match="check the address") as caught:
            await ask(server, ca_bundle=bundle)

    assert "ca_bundle" not in str(caught.value)


@pytest.mark.parametrize("kind", ["missing", "no PEM", "empty", "a pipe"])
@pytest.mark.parametrize("name", ["ca_bundle", "client_cert", "client_key"])
async def test_a_file_that_cannot_be_used_is_a_mistake_in_its_setting(bundle, tmp_path, kind, name):
    file = tmp_path / "file.pem"
    if kind == "a pipe":
        os.mkfifo(file)
    elif kind != "missing":
        file.write_text("no certificate" if kind == "no PEM" else "")
    good = dict(zip(("client_cert", "client_key"), map(str, certificates.authority().certificate("me")), strict=True))

    async with serving(replying(line("x")), tls=True) as server:
        with pytest.raises(SettingError) as caught:
            await asyncio.wait_for(ask(server, **{"ca_bundle": bundle, **good, name: str(file)}), 5)

    assert f"{file} (setting {name})" in str(caught.value)
    assert str(caught.value).endswith("PEM format.")
    assert server.requests == []


async def test_a_variable_of_the_environment_that_names_no_file_is_named_itself(monkeypatch, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    async with serving(replying(line("x")), tls=True) as server:
        with pytest.raises(SettingError, match=r"gone\.pem \(REQUESTS_CA_BUNDLE\) cannot be used"):
            await ask(server)


async def test_plain_http_needs_no_bundle(tmp_path):
    async with serving(replying(line("x")), tls=False) as server:
        assert await ask(server, ca_bundle=str(tmp_path / "gone.pem")) == "x"


# Client certificates


async def test_a_client_certificate_is_shown_to_a_server_that_asks_for_it(bundle, tmp_path):
    certificate, key = certificates.authority("of clients").certificate("me")
    both = tmp_path / "both.pem"
    both.write_bytes(key.read_bytes() + certificate.read_bytes())

    async with serving(replying(line("x")), tls=secured(clients="of clients")) as server:
        assert await ask(server, ca_bundle=bundle, client_cert=str(certificate), client_key=str(key)) == "x"
        assert await ask(server, ca_bundle=bundle, client_cert=str(both)) == "x"


async def shake_hands(reader, writer, newest: ssl.TLSVersion) -> None:
    """Refuse a client's certificate as OpenSSL's programs do: with an alert, which asyncio's servers do not send."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = secured(clients="of clients")
    context.maximum_version = newest
    spoken = context.wrap_bio(incoming, outgoing, server_side=True)
    refused = False
    while block := await reader.read(2**16):
        incoming.write(block)
        with suppress(ssl.SSLWantReadError):
            try:
                spoken.do_handshake()
            except ssl.SSLCertVerificationError:
                refused = True
            except ssl.SSLError as error:
                refused = error.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
        writer.write(outgoing.read())
        if refused:
            break
    await reader.read()  # what the client sent meanwhile; a connection closed before that would lose the alert


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("signed_by", ["", "unknown"])
async def test_a_client_certificate_that_is_missing_or_not_trusted_is_told_with_the_settings(bundle, signed_by, newest):
    files = certificates.authority(signed_by).certificate("me") if signed_by else ("", "")
    given = dict(zip(("client_cert", "client_key"), map(str, files), strict=True))

    async with listening(partial(shake_hands, newest=newest), Server(), tls=False) as server:
        server.scheme = "https"
        with pytest.raises(ProviderConnectionError, match=r"settings client_cert(,| and) client_key"):
            await ask(server, ca_bundle=bundle, **given)


async def test_a_key_with_a_password_or_of_another_certificate_or_alone_is_refused():
    certificate, key = certificates.authority().certificate("me", password=b"hidden")
    _, other = certificates.authority().certificate("me")

    for files, said in [
        (TlsFiles("", str(certificate), str(key)), "has a password; remove it with: openssl pkey"),
        (TlsFiles("", str(certificate), str(other)), "key values mismatch"),
        (TlsFiles("", "", str(other)), "client_key is set and client_cert is not"),
    ]:
        with pytest.raises(SettingError, match=said):
            files.context()


# The context


def test_a_context_is_made_once_for_the_same_files_and_anew_when_one_changes(bundle, tmp_path, monkeypatch):
    own = tmp_path / "own.pem"
    own.write_bytes(certificates.authority().bundle.read_bytes())
    first = TlsFiles(str(own)).context()

    assert TlsFiles(str(own)).context() is first
    own.write_bytes(own.read_bytes() * 2)
    assert TlsFiles(str(own)).context() is not first
    system = TlsFiles().context()
    monkeypatch.setenv("SSL_CERT_FILE", bundle)
    assert TlsFiles().context() is not system


def test_a_context_verifies_whom_it_speaks_to(bundle):
    for files in (TlsFiles(), TlsFiles(bundle)):
        context = files.context()
        assert context.check_hostname
        assert context.verify_mode is ssl.CERT_REQUIRED


# Settings


def test_which_files_tls_reads_is_a_persons_own_to_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("ca_bundle", "client_cert", "client_key"):
        (tmp_path / "pyproject.toml").write_text(f'[tool.flowgpt_magic]\n{name} = "theirs.pem"\n')
        with pytest.raises(SettingError, match=f"a project cannot set {name}"):
            Conversation(configured=dict).preview("hi", model="echo")


def test_the_same_request_over_another_file_is_answered_from_the_history(bundle):
    with openai_servers.background(openai_servers.speaking("Paris")) as server:
        configured = {"openai_base_url": f"{server.url}/v1", "cache": True}
        chat = Conversation(configured=lambda: configured)
        for path in ("", bundle):
            configured["ca_bundle"] = path
            chat.clear()
            assert chat.ask("Capital?", model="openai_compatible:m").text == "Paris"

        assert len(server.requests) == 1
