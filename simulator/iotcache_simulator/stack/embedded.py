"""What the embedded servers have in common: loopback ports of their own, and a start that finds free ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from iotcache.errors import StackError
from iotcache_simulator.processes.process import Exit, Process
from iotcache_simulator.stack.ports import Port

_START_ATTEMPTS = 5


class ServerInUse(StackError):
    """A server could not start because another program listens on its port."""


class EmbeddedServer(ABC):
    """A server on loopback ports that stay its own while it is restarted.

    Until it has answered once, nobody knows its ports: when another program takes one of them in the moment
    between choosing it and listening on it, the start is repeated with others.
    """

    def __init__(self, ports: int = 1) -> None:
        self._ports: Sequence[Port] = tuple(Port() for _ in range(ports))
        self._answered = False

    async def launch(self, on_exit: Callable[[Exit], None]) -> Process:
        """Start the server; returns once it answers.

        Raises :class:`StackError`; :class:`ServerInUse` when one of its ports is taken for good.
        """
        for left in range(_START_ATTEMPTS - 1, -1, -1):
            try:
                process = await self._launch_once(on_exit)
            except StackError as error:
                if not any(port.taken() for port in self._ports):
                    raise
                if self._answered or not left:
                    raise ServerInUse(str(error)) from error
                self.release()
                self._ports = tuple(Port() for _ in self._ports)
            else:
                self._answered = True
                return process
        raise AssertionError("unreachable")

    @abstractmethod
    async def _launch_once(self, on_exit: Callable[[Exit], None]) -> Process:
        """Start the server on its present ports; nothing of it is left running when this raises."""

    def release(self) -> None:
        """Give the ports back; call it when the server has ended."""
        for port in self._ports:
            port.release()
