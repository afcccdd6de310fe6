"""Certificates of the tests' servers and clients, signed by an authority that each run makes anew."""

from __future__ import annotations

import ssl
import tempfile
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


class Authority:
    """A certificate authority; ``bundle`` is the file of its own certificate."""

    def __init__(self, name: str, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        rights = dict.fromkeys(
            (
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        usage = x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **rights)
        made = self._builder(self._name, self._key.public_key())
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        made = made.add_extension(usage, critical=True)
        self.bundle = folder / f"{name}.pem"
        self.bundle.write_bytes(self._pem(made))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        now = datetime.now(timezone.utc)
        made = x509.CertificateBuilder(self._name, subject, key, x509.random_serial_number(), now - DAY, now + DAY)
        own = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        return made.add_extension(own, critical=False)

    def _pem(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def certificate(self, *hosts: str, password: bytes = b"") -> tuple[Path, Path]:
        """The files of a new certificate for ``hosts``, and of its private key."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [_general_name(host) for host in hosts]
        made = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])]), key.public_key())
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        (folder / "certificate.pem").write_bytes(self._pem(made))
        (folder / "key.pem").write_bytes(key.private_bytes(*form))
        return folder / "certificate.pem", folder / "key.pem"


def _general_name(host: str) -> x509.GeneralName:
    with suppress(ValueError):
        return x509.IPAddress(ip_address(host))
    return x509.DNSName(host)


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="certificates-", ignore_cleanup_errors=True)


@cache
def authority(name: str = "trusted") -> Authority:
    """The authority of this name: the same one during a run."""
    return Authority(name, Path(_folder().name))


@cache
def server_context(signed_by: str = "trusted", *hosts: str) -> ssl.SSLContext:
    """What a server on loopback needs to speak TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority(signed_by).certificate(*(hosts or ("127.0.0.1", "localhost"))))
    return context
