"""TLS as the broker's settings ask for it."""

from __future__ import annotations

import ssl

from iotcache.config.schema import BrokerSettings
from iotcache.errors import ConfigError


def broker_tls(settings: BrokerSettings) -> ssl.SSLContext:
    """A context that checks the broker's certificate and name. Raises `ConfigError` for unusable files."""
    key = "broker.tls_ca_file"
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file or None)
        if settings.tls_cert_file:
            key = "broker.tls_cert_file"
            context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file or None)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
        raise ConfigError(f"{key} cannot be used: {reason}") from error
    return context
