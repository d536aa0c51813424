"""TLS for thousands of connections of one process: a certificate each, and all else shared.

A context of its own for each device would read the authority's file again and keep a store of it. OpenSSL
copies a context's certificate into each connection that is made of it (``SSL_CTX_use_certificate``), so one
context does for all, which takes up a device's certificate when it makes that device's connection.
"""

from __future__ import annotations

import asyncio.sslproto
import ssl
from contextvars import ContextVar
from pathlib import Path
from typing import Final

from iotcache.errors import BrokerError, ConfigError
from iotcache.mqtt.tls import certificate_trouble
from iotcache.text import printable

_RECORD_BYTES: Final = 16 * 1024
"""Plain text in a TLS record at most (RFC 8446, section 5.1)."""

connecting_device: ContextVar[str] = ContextVar("connecting_device")
"""The device whose connection the present task makes."""


class DeviceTls(ssl.SSLContext):
    """The context of all devices' connections: each shows the certificate of `connecting_device`."""

    folder: Path

    @classmethod
    def like(cls, context: ssl.SSLContext, ca_file: str, folder: Path) -> DeviceTls:
        """One that checks brokers as ``context`` does, with the devices' certificates of ``folder``."""
        made = cls(ssl.PROTOCOL_TLS_CLIENT)
        made.verify_flags = context.verify_flags
        if ca_file:
            made.load_verify_locations(ca_file)
        else:
            made.load_default_certs()
        made.folder = folder
        return made

    def check(self, device: str) -> None:
        """Raises `ConfigError` when a device has no certificate here."""
        for file in self._files(device):
            try:
                file.stat()
            except OSError as error:
                raise ConfigError(f"{printable(str(file))} cannot be used: {error.strerror}") from error

    def wrap_bio(
        self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, server_side: bool = False,
        server_hostname: str | bytes | None = None, session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:  # fmt: skip
        """What asyncio makes a connection's encryption with."""
        certificate, key = self._files(connecting_device.get())
        try:
            # An empty passphrase, or OpenSSL would ask for one at the terminal.
            self.load_cert_chain(certificate, key, password=lambda: "")
        except OSError as error:
            why = certificate_trouble(error) if isinstance(error, ssl.SSLError) else error.strerror
            raise BrokerError(f"{printable(str(certificate))} cannot be used: {why}") from error
        return super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)

    def _files(self, device: str) -> tuple[Path, Path]:
        return self.folder / f"{device}.crt", self.folder / f"{device}.key"


def read_by_the_record() -> None:
    """Have asyncio's TLS connections that are made from now on read 16 KiB at a time.

    Each keeps a buffer of that size, 256 KiB unless told otherwise, where devices receive little.
    """
    asyncio.sslproto.SSLProtocol.max_size = _RECORD_BYTES
