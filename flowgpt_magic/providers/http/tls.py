"""TLS: which certificate authorities are trusted, and with which certificate this client identifies itself.

OpenSSL reads ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` itself. ``REQUESTS_CA_BUNDLE`` is the variable of the library
requests (its documentation, "SSL Cert Verification"), ``CURL_CA_BUNDLE`` the one of curl: many companies set them.
"""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from functools import lru_cache
from typing import NoReturn

from flowgpt_magic.errors import FileError, SettingError
from flowgpt_magic.regular_files import read_beginning
from flowgpt_magic.settings import variable
from flowgpt_magic.text import one_line

OPENSSL_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
BUNDLE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
HTTP_1 = ("http/1.1",)


@dataclass(frozen=True)
class TlsFiles:
    """The files that TLS needs, all in PEM format; an empty path means that there is none.

    ``authorities`` (a file, or a folder as OpenSSL's ``c_rehash`` makes one) replaces the certificate authorities of
    the system. ``certificate`` identifies this client, ``key`` is the private key of that, empty where both are in one
    file.
    """

    authorities: str = ""
    certificate: str = ""
    key: str = ""

    def context(self) -> ssl.SSLContext:
        """What a connection needs to know; the same object as long as files and environment are the same.

        Making one takes some 20 ms. Raises ``SettingError`` for a file that cannot be read.
        """
        bundle, named_by = self.bundle
        paths = tuple(os.path.expanduser(path) for path in (bundle, self.certificate, self.key))
        environment = tuple(os.environ.get(name, "") for name in OPENSSL_VARIABLES)
        marks = tuple(_mark(path) for path in (*paths, *environment))
        return _context(*paths, named_by, marks, environment)

    @property
    def bundle(self) -> tuple[str, str]:
        """The file or folder of authorities, and what names it; both are empty where OpenSSL's own are trusted."""
        if self.authorities:
            return self.authorities, "setting ca_bundle"
        named = () if os.environ.get("SSL_CERT_FILE") else BUNDLE_VARIABLES
        return next(((path, name) for name in named if (path := os.environ.get(name, ""))), ("", ""))

    @property
    def advice(self) -> str:
        """What to do about an authority that is not trusted."""
        bundle, named_by = self.bundle
        trusted, by = (bundle, named_by) if bundle else (os.environ.get("SSL_CERT_FILE", ""), "SSL_CERT_FILE")
        now = f"now it is {trusted} ({by})" if trusted else ""
        if trusted and not os.path.exists(os.path.expanduser(trusted)):
            now += ", which does not exist"
        wanted = (
            "name the PEM file of the certificate authority that signed it with the setting ca_bundle "
            f"({variable('ca_bundle')} in the environment), or with SSL_CERT_FILE"
        )
        return f"{wanted}; {now}" if now else wanted


def _mark(path: str) -> tuple[int, ...]:
    """What changes when the file does."""
    try:
        status = os.stat(path)
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino


@lru_cache(maxsize=16)
def _context(
    bundle: str,
    certificate: str,
    key: str,
    named_by: str,
    marks: tuple[tuple[int, ...], ...],  # noqa: ARG001 - what is new is read anew
    environment: tuple[str, ...],  # noqa: ARG001
) -> ssl.SSLContext:
    context = ssl.create_default_context() if not bundle else _trusting(bundle, named_by)
    context.set_alpn_protocols(HTTP_1)
    if certificate:
        _identify(context, certificate, key)
    elif key:
        raise SettingError("client_key is set and client_cert is not; set client_cert to the certificate of that key.")
    return context


def _trusting(bundle: str, named_by: str) -> ssl.SSLContext:
    file, folder = (None, bundle) if os.path.isdir(bundle) else (bundle, None)
    try:
        if file:
            read_beginning(file, 1)
        context = ssl.create_default_context(cafile=file, capath=folder)
    except (OSError, FileError) as error:
        raise SettingError(
            f"{bundle} ({named_by}) cannot be used as certificate authorities: {_reason(error)}. "
            "Name a file that holds them in PEM format."
        ) from None
    # Authorities of companies often lack what the strict mode of Python 3.13 wants; this one was chosen by name.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _identify(context: ssl.SSLContext, certificate: str, key: str) -> None:
    def refuse() -> NoReturn:  # without it, OpenSSL asks in the terminal
        raise SettingError(
            f"the key in {key or certificate} has a password; write it without one: openssl pkey -in OLD -out NEW."
        )

    try:
        for file in (certificate, key or certificate):
            read_beginning(file, 1)
        context.load_cert_chain(certificate, key or None, refuse)
    except (OSError, FileError) as error:
        names = f"{certificate} (setting client_cert)" + (f" and {key} (setting client_key)" if key else "")
        raise SettingError(
            f"{names} cannot be used as a client certificate: {_reason(error)}. "
            "Name the certificate and its private key, both in PEM format."
        ) from None


def _reason(error: OSError | FileError) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not in PEM format").lower().replace("_", " ")
    return one_line(str(error))
