"""From settings to a connection's target."""

from __future__ import annotations

from iotcache.config.schema import BrokerSettings
from iotcache.config.urls import parse_broker
from iotcache_simulator.wire.connection import BrokerTarget


def target_of(settings: BrokerSettings) -> BrokerTarget:
    """The broker that the settings name. Raises `ConfigError` for one that cannot be used."""
    address = parse_broker(settings.url)
    context = None
    if address.tls:
        from iotcache.mqtt.tls import broker_tls

        context = broker_tls(settings)
    return BrokerTarget(
        address.host,
        address.port,
        settings.username or address.username or None,
        (settings.password if settings.username else address.password) or None,
        context,
        4 if settings.protocol == "3.1.1" else 5,
        settings.keepalive_s,
    )
