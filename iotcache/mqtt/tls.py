"""TLS as the broker's settings ask for it, and its failures in plain words."""

from __future__ import annotations

import ssl
from typing import Final

from iotcache.config.schema import BrokerSettings
from iotcache.errors import ConfigError
from iotcache.text import printable

_NO_CERTIFICATE: Final = frozenset({"NO_CERTIFICATE_OR_CRL_FOUND", "NO_START_LINE"})
_UNKNOWN_ISSUER: Final = frozenset({18, 19, 20, 21})
"""OpenSSL's codes for a certificate that leads to nobody we trust (its ``x509_vfy.h``)."""
_EXPLAINED: Final = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "it wants a client certificate: "
    "set broker.tls_cert_file and broker.tls_key_file",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not trust the authority behind broker.tls_cert_file",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not take the certificate in broker.tls_cert_file",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not take the certificate in broker.tls_cert_file",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE": "it does not take the certificate in broker.tls_cert_file",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the certificate in broker.tls_cert_file has expired",
    "SSLV3_ALERT_CERTIFICATE_REVOKED": "the certificate in broker.tls_cert_file was revoked",
    "WRONG_VERSION_NUMBER": "what answers is not TLS (is that a port for mqtt://?)",
    "RECORD_LAYER_FAILURE": "what answers is not TLS (is that a port for mqtt://?)",
}
"""OpenSSL's names for what went wrong (its ``sslerr.h``; the alerts are those of RFC 8446, section 6)."""


def broker_tls(settings: BrokerSettings) -> ssl.SSLContext:
    """A context that checks the broker's certificate and name. Raises `ConfigError` for unusable files."""
    key = "broker.tls_ca_file"
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file or None)
        if settings.tls_cert_file:
            key = "broker.tls_cert_file"
            # An empty passphrase, or OpenSSL would ask for one at the terminal.
            context.load_cert_chain(
                settings.tls_cert_file, settings.tls_key_file or None, password=lambda: ""
            )
    except ssl.SSLError as error:
        raise ConfigError(f"{key} cannot be used: {_unusable(key, error)}") from error
    except OSError as error:
        raise ConfigError(f"{key} cannot be used: {error.strerror or error}") from error
    return context


def _unusable(key: str, error: ssl.SSLError) -> str:
    if key == "broker.tls_cert_file" and error.reason == "KEY_VALUES_MISMATCH":
        return "the key in broker.tls_key_file belongs to another certificate"
    if key == "broker.tls_cert_file":
        return "it and broker.tls_key_file must be in PEM format, the key without a passphrase"
    return "it holds no certificate in PEM format" if error.reason in _NO_CERTIFICATE else _named(error)


def certificate_trouble(error: ssl.SSLError) -> str:
    """Why a certificate and its key cannot be loaded, as the end of a sentence about the certificate."""
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key beside it belongs to another certificate"
    return "it and the key beside it must be in PEM format, the key without a passphrase"


def tls_trouble(error: ssl.SSLError) -> str:
    """Why there is no connection, as the end of a sentence whose subject is the broker."""
    if isinstance(error, ssl.SSLCertVerificationError):
        hint = " (broker.tls_ca_file says whom to trust)" if error.verify_code in _UNKNOWN_ISSUER else ""
        return f"its certificate is not trusted: {printable(error.verify_message).rstrip('.')}{hint}"
    return _EXPLAINED.get(error.reason or "") or f"TLS failed: {_named(error)}"


def other_port(encrypted: bool) -> str:
    """What to ask when a broker cuts a connection before it has answered anything."""
    if encrypted:
        # A broker that refuses a certificate says so, and hangs up; the one may come before the other.
        return "(is that a port for mqtt://, or does it want another broker.tls_cert_file?)"
    return "(is that a port for mqtts://?)"


def _named(error: ssl.SSLError) -> str:
    return printable((error.reason or str(error)).replace("_", " ").lower())
