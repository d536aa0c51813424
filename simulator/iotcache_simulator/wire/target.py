"""From settings to a connection's target."""

from __future__ import annotations

import ssl
from pathlib import Path

from iotcache.config.schema import BrokerSettings
from iotcache.config.urls import parse_broker
from iotcache.errors import ConfigError
from iotcache_simulator.wire.connection import BrokerTarget
from iotcache_simulator.wire.device_tls import DeviceTls


def target_of(settings: BrokerSettings, cert_dir: str = "", password_file: str = "") -> BrokerTarget:
    """The broker that the settings name; ``cert_dir`` has devices' certificates (``NAME.crt``, ``NAME.key``),
    ``password_file`` their passwords, a line ``USER:PASSWORD`` each.

    Raises `ConfigError` for one that cannot be used.
    """
    address = parse_broker(settings.url)
    if cert_dir and not address.tls:
        raise ConfigError(
            "--cert-dir: certificates are shown over TLS: the broker's URL is mqtts:// or wss://"
        )
    context: ssl.SSLContext | None = None
    devices_tls: DeviceTls | None = None
    if address.tls:
        from iotcache.mqtt.tls import broker_tls

        context = broker_tls(settings)
        if cert_dir:
            devices_tls = DeviceTls.like(context, settings.tls_ca_file, Path(cert_dir))
    return BrokerTarget(
        address.host,
        address.port,
        settings.username or address.username or None,
        (settings.password if settings.username or not address.username else address.password) or None,
        tls=context,
        devices_tls=devices_tls,
        version=4 if settings.protocol == "3.1.1" else 5,
        keep_alive_s=settings.keepalive_s,
        path=address.path,
        passwords=passwords_of(password_file) if password_file else None,
    )


def passwords_of(file: str) -> dict[str, str]:
    """The passwords of a file by user name, as mosquitto's tool reads them. Raises `ConfigError`."""
    try:
        lines = Path(file).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        user, colon, password = line.partition(":")
        if line and not (user and colon):
            raise ConfigError(f"{file}, line {number}: a line is USER:PASSWORD")
        if line:
            found[user] = password
    return found
