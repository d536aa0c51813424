"""Free loopback ports that stay ours, also while the server that listens on one is being restarted."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys

from iotcache.errors import StackError

LOOPBACK = "127.0.0.1"


class Port:
    """A free TCP port on the loopback interface.

    On Linux the port is held by a socket that is bound but never listens: servers that set ``SO_REUSEADDR``
    (memcached, rumqttd and asyncio all do) may still listen on it, while nobody is given it as a free or an
    outgoing port. A killed node's port therefore refuses connections until that node is back. Elsewhere the
    kernel would not let the server bind, so the port is only looked up, and a start that finds it taken
    asks for another.
    """

    def __init__(self) -> None:
        holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if sys.platform == "linux":
                holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind((LOOPBACK, 0))
            self.number = int(holder.getsockname()[1])
        except BaseException:
            holder.close()
            raise
        self._holder: socket.socket | None = holder
        if sys.platform != "linux":
            self.release()

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.number}"

    def taken(self) -> bool:
        """Whether another program listens on it just now."""
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as attempt:
            if sys.platform != "win32":  # as servers do, so that a port just closed counts as free
                attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind((LOOPBACK, self.number))
                attempt.listen()
            except OSError as error:
                return error.errno == errno.EADDRINUSE
        return False

    def release(self) -> None:
        """Give the port back; safe to call twice."""
        if self._holder is not None:
            self._holder.close()
            self._holder = None


def check_free(listen: str) -> None:
    """See that a server can listen on ``host:port``; host names are left to the server, which resolves them.

    Raises :class:`StackError`.
    """
    host, _, port = listen.rpartition(":")
    host = LOOPBACK if host == "localhost" else host.strip("[]")
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return
    with socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET) as probe:
        if sys.platform != "win32":  # as servers do, so that a port just closed counts as free
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError as error:
            raise StackError(f"the HTTP gateway cannot listen on {listen}: {error.strerror}") from error
