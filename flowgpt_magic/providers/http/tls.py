"""TLS: the trusted certificate authorities and the client certificate.

OpenSSL reads ``SSL_CERT_FILE`` and ``SSL_CERT_DIR`` itself. ``REQUESTS_CA_BUNDLE`` is the variable of the library
requests (see its documentation, "SSL Cert Verification"), ``CURL_CA_BUNDLE`` that of curl; many companies set them.
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
ALPN_PROTOCOLS = ("http/1.1",)


@dataclass(frozen=True)
class TlsFiles:
    """The PEM files for TLS. An empty path means none.

    Attributes:
        authorities: a file, or a folder made with OpenSSL's ``c_rehash``; replaces the system's authorities.
        certificate: the client certificate.
        key: its private key; empty if it is in the same file.
    """

    authorities: str = ""
    certificate: str = ""
    key: str = ""

    def context(self) -> ssl.SSLContext:
        """The TLS context; the same object as long as files and environment do not change.

        Creating one takes about 20 ms. Raises ``SettingError`` for a file that cannot be read.
        """
        bundle, named_by = self.bundle
        paths = tuple(os.path.expanduser(path) for path in (bundle, self.certificate, self.key))
        environment = tuple(os.environ.get(name, "") for name in OPENSSL_VARIABLES)
        versions = tuple(_file_version(path) for path in (*paths, *environment))
        return _context(*paths, named_by, versions, environment)

    @property
    def bundle(self) -> tuple[str, str]:
        """The file or folder of authorities, and the setting or variable that names it; empty for OpenSSL's default."""
        if self.authorities:
            return self.authorities, "setting ca_bundle"
        variables = () if os.environ.get("SSL_CERT_FILE") else BUNDLE_VARIABLES
        return next(((path, name) for name in variables if (path := os.environ.get(name, ""))), ("", ""))

    @property
    def advice(self) -> str:
        """What to do if an authority is not trusted."""
        bundle, named_by = self.bundle
        trusted, source = (bundle, named_by) if bundle else (os.environ.get("SSL_CERT_FILE", ""), "SSL_CERT_FILE")
        now = f"now it is {trusted} ({source})" if trusted else ""
        if trusted and not os.path.exists(os.path.expanduser(trusted)):
            now += ", which does not exist"
        advice = (
            "name the PEM file of the certificate authority that signed it with the setting ca_bundle "
            f"({variable('ca_bundle')} in the environment), or with SSL_CERT_FILE"
        )
        return f"{advice}; {now}" if now else advice


def _file_version(path: str) -> tuple[int, ...]:
    """A value that changes with the file."""
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
    versions: tuple[tuple[int, ...], ...],  # noqa: ARG001 - part of the cache key
    environment: tuple[str, ...],  # noqa: ARG001
) -> ssl.SSLContext:
    context = ssl.create_default_context() if not bundle else _trusting(bundle, named_by)
    context.set_alpn_protocols(ALPN_PROTOCOLS)
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
    # Company authorities often fail the strict mode of Python 3.13; this one was chosen explicitly.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _identify(context: ssl.SSLContext, certificate: str, key: str) -> None:
    def refuse() -> NoReturn:  # otherwise OpenSSL asks in the terminal
        raise SettingError(
            f"the key in {key or certificate} has a password; remove it with: openssl pkey -in OLD -out NEW."
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
