"""Opening a connection to a node: pymemcache makes the socket, asyncio takes it over.

pymemcache 4.0.0 tries only the first address a name resolves to (so "localhost" fails where the server
listens on 127.0.0.1 alone) and would speak TLS itself, blocking; both are put right here.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from pymemcache.client.base import Client, KeepaliveOpts

from iotcache.config.schema import CacheSettings
from iotcache.errors import ConfigError, NodeError
from iotcache.text import printable

if TYPE_CHECKING:
    from iotcache.config.urls import NodeAddress

Made = TypeVar("Made", bound=asyncio.Protocol)


class Dial(Protocol):
    """How a connection is opened; the simulation passes one that needs no socket."""

    async def __call__(
        self,
        address: NodeAddress,
        make: Callable[[], Made],
        *,
        timeout_s: float,
        tls_context: ssl.SSLContext | None = None,
    ) -> Made:
        """See `connect`."""
        ...


class _Dialler(Client):  # type: ignore[misc]
    """A pymemcache client that is asked for its connected socket and nothing else."""

    def dial(self) -> socket.socket:
        """The connected, non-blocking socket. Blocks up to the connect time-out for each address.

        Raises OSError.
        """
        if isinstance(self.server, tuple):
            host, port = self.server
            self._connect_any(str(host), int(port))
        else:
            self._connect()
        sock: socket.socket = self.__dict__.pop("sock")
        sock.setblocking(False)
        return sock

    def _connect_any(self, host: str, port: int) -> None:
        """Try every address of ``host`` in turn, through pymemcache's own connect."""
        found = socket.getaddrinfo(host, port, socket.AF_UNSPEC, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        error: OSError | None = None
        for *_, address in found:
            self.server = (address[0], port)
            try:
                self._connect()
                return
            except OSError as failed:
                error = failed
        raise error or OSError(f"{host} has no address")


def _dial(address: NodeAddress, timeout_s: float) -> socket.socket:
    server = address.path or (address.host, address.port)
    # Keep-alive finds a peer that vanished without a word; Linux only, as pymemcache has it.
    keepalive = KeepaliveOpts(idle=10, intvl=5, cnt=3) if hasattr(socket, "TCP_KEEPIDLE") else None
    if address.path:
        keepalive = None
    return _Dialler(
        server, connect_timeout=timeout_s, no_delay=not address.path, socket_keepalive=keepalive
    ).dial()


async def _dial_in_thread(address: NodeAddress, timeout_s: float) -> socket.socket:
    """Connect in a thread of its own; one that hangs in a name look-up is left behind, its socket closed.

    A daemon thread and not the loop's executor: a stuck look-up must neither hold up other nodes' threads
    nor the end of the program.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[socket.socket] = loop.create_future()

    def settle(sock: socket.socket | None, error: BaseException | None) -> None:
        if done.done():
            if sock is not None:
                sock.close()
        elif sock is not None:
            done.set_result(sock)
        else:
            done.set_exception(error or OSError("not connected"))

    def work() -> None:
        sock: socket.socket | None = None
        failed: BaseException | None = None
        try:
            sock = _dial(address, timeout_s)
        except Exception as error:
            failed = error
        try:
            loop.call_soon_threadsafe(settle, sock, failed)
        except RuntimeError:  # the loop is closed
            if sock is not None:
                sock.close()

    threading.Thread(target=work, name=f"dial {address.name}", daemon=True).start()
    return await done


async def connect(
    address: NodeAddress,
    make: Callable[[], Made],
    *,
    timeout_s: float,
    tls_context: ssl.SSLContext | None = None,
) -> Made:
    """A connected protocol of ``make``. Raises `NodeError` with a plain reason in about ``timeout_s``."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            sock = await _dial_in_thread(address, timeout_s)
            tls_name = (address.host or "localhost") if tls_context is not None else None
            try:
                if address.path:
                    _, made = await loop.create_unix_connection(
                        make, sock=sock, ssl=tls_context, server_hostname=tls_name
                    )
                else:
                    _, made = await loop.create_connection(
                        make, sock=sock, ssl=tls_context, server_hostname=tls_name
                    )
            except BaseException:
                sock.close()
                raise
            return made
    except TimeoutError as error:
        raise NodeError(f"no connection within {timeout_s:g} s") from error
    except ssl.SSLCertVerificationError as error:
        raise NodeError(f"its TLS certificate is not trusted: {printable(error.verify_message)}") from error
    except ssl.SSLError as error:
        raise NodeError(f"TLS failed: {printable(error.reason or str(error))}") from error
    except ConnectionRefusedError as error:
        raise NodeError("connection refused") from error
    except OSError as error:
        raise NodeError(f"cannot connect: {printable(error.strerror or str(error))}") from error


def tls_context(cache: CacheSettings) -> ssl.SSLContext | None:
    """The TLS context that the settings ask for; ``None`` for plain connections. Raises `ConfigError`."""
    if not cache.tls:
        return None
    try:
        return ssl.create_default_context(cafile=cache.tls_ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cache.tls_ca_file {cache.tls_ca_file!r} cannot be used: {error}") from error
