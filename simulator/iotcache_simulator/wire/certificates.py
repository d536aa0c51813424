"""A certificate authority for tests: it signs a certificate for a broker, and one for each device of a fleet.

Keys are P-256 (RFC 5480), which any broker takes and which are made in a moment. Nothing here is for real
use: the authority's key lies beside what it signs.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from iotcache.errors import ConfigError, UsageError
from iotcache.private_files import make_private_folder, private_opener
from iotcache.text import printable

AUTHORITY: Final = "ca"
SERVER: Final = "server"
DEVICES: Final = "devices"
_NAME_LIMIT: Final = 64
"""Characters of a common name (RFC 5280, appendix A.1)."""
_BEFORE: Final = dt.timedelta(hours=1)
"""Clocks of other machines may be behind."""


class TestAuthority:
    """``ca.crt`` and ``ca.key`` in a folder: those that are there, else new ones."""

    __test__ = False  # no test case, whatever its name says

    def __init__(self, folder: Path, days: int = 365) -> None:
        """Raises `ConfigError` for files that are no authority, `OSError`."""
        make_private_folder(folder)
        self._folder = folder
        self._days = days
        certificate, key = folder / f"{AUTHORITY}.crt", folder / f"{AUTHORITY}.key"
        if certificate.exists() or key.exists():
            self._certificate, self._key = _authority(certificate, key)
        else:
            self._key = ec.generate_private_key(ec.SECP256R1())
            name = _subject("iotcache test authority")
            self._certificate = (
                self._builder(name, self._key.public_key(), name)
                .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
                .add_extension(_usage(signs=True), critical=True)
                .sign(self._key, hashes.SHA256())
            )
            _write(folder / AUTHORITY, self._certificate, self._key)

    def server(self, hosts: Iterable[str]) -> None:
        """``server.crt`` and ``server.key`` for a broker of these names or addresses. Raises `OSError`."""
        hosts = list(hosts)
        names = x509.SubjectAlternativeName([_host(host) for host in hosts])
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(_subject(hosts[0][:_NAME_LIMIT]), key.public_key(), self._certificate.subject)
            .add_extension(names, critical=False)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        _write(self._folder / SERVER, certificate, key)

    def device(self, name: str) -> bool:
        """``devices/NAME.crt`` and ``.key``, whose common name is the device's; ``False``: they were there.

        Raises `UsageError` for a name that cannot be one, `OSError`.
        """
        if not 0 < len(name) <= _NAME_LIMIT or "/" in name or os.sep in name or name in (".", ".."):
            raise UsageError(f"{printable(name, 80)!r} cannot be the name of a certificate")
        folder = self._folder / DEVICES
        make_private_folder(folder)
        if (folder / f"{name}.crt").exists() and (folder / f"{name}.key").exists():
            return False
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            self._builder(_subject(name), key.public_key(), self._certificate.subject)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        _write(folder / name, certificate, key)
        return True

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, issuer: x509.Name
    ) -> x509.CertificateBuilder:
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BEFORE)
            .not_valid_after(now + dt.timedelta(days=self._days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )


def _authority(certificate: Path, key: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    try:
        signed = x509.load_pem_x509_certificate(certificate.read_bytes())
        secret = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{certificate} and {key} are no authority: {printable(str(error), 200)}") from None
    if not isinstance(secret, ec.EllipticCurvePrivateKey) or signed.public_key() != secret.public_key():
        raise ConfigError(f"{key} is not the key of {certificate}, or of another kind than ours")
    return signed, secret


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=signs, crl_sign=signs, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip


def _write(path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    """``path.crt`` and ``path.key``, which only its owner may read."""
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with open(f"{path}.key", "wb", opener=private_opener) as out:
        out.write(secret)
    Path(f"{path}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
