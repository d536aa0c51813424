"""From settings to a connection's target."""

from __future__ import annotations

import ssl

from iotcache.config.urls import parse_broker

from iotcache.config.schema import BrokerSettings
from iotcache.errors import ConfigError
from simulator.wire.connection import Target


def target_of(settings: BrokerSettings) -> Target:
    """The broker that the settings name. Raises `ConfigError` for one that cannot be used."""
    address = parse_broker(settings.url)
    return Target(
        address.host,
        address.port,
        address.username or settings.username or None,
        address.password or settings.password or None,
        tls_context(settings) if address.tls else None,
        5 if settings.protocol == "5" else 4,
        settings.keepalive_s,
    )


def tls_context(settings: BrokerSettings) -> ssl.SSLContext:
    """Certificates checked against the system's authorities or ``tls_ca_file``; our own, if any, shown."""
    try:
        context = ssl.create_default_context(cafile=settings.tls_ca_file or None)
        if settings.tls_cert_file:
            context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file or None)
    except (OSError, ssl.SSLError) as error:
        files = [settings.tls_ca_file, settings.tls_cert_file, settings.tls_key_file]
        named = ", ".join(repr(name) for name in files if name)
        raise ConfigError(f"broker.tls: the certificates in {named} cannot be used: {error}") from error
    return context
