"""The first words with a node: log in, and learn its version and which process it is."""

from __future__ import annotations

import math
from typing import NamedTuple

from iotcache.cluster.capability import Capabilities, capabilities
from iotcache.cluster.wire.answers import ErrorReply, LineReply, StatsReplies
from iotcache.cluster.wire.connection import Connection
from iotcache.cluster.wire.protocol import login_request
from iotcache.errors import NodeError
from iotcache.text import printable, printable_bytes


class Greeting(NamedTuple):
    """What a node has told of itself."""

    capabilities: Capabilities
    pid: str
    uptime_s: float | None
    """``None`` when it does not tell."""
    time_s: float
    """By its own clock, epoch seconds; NaN when it does not tell."""
    items: float = 0.0
    """That it has."""


class ProcessWatch:
    """Tells whether the process that answers is still the one that answered before."""

    def __init__(self) -> None:
        self._before: tuple[str, float, float] | None = None
        """Pid, start by our clock, birth by the node's own."""
        self.kept = False
        """Whether the process that has another's place has its items, too (memcached's ``-e``): such a one
        counts its life on from there (memcached 1.6.18, ``restart.c``; seen on servers)."""

    def restarted(self, greeting: Greeting, now_s: float) -> bool:
        """Whether it is another one than at the last greeting. ``now_s`` is monotonic: a wall clock that is
        set must not look like a restart.

        A node that hung answers with the uptime of then. Its birth by its own clock stays the same all its
        life (in whole seconds); both move where another process has its place and pid.
        """
        uptime_s = greeting.uptime_s or 0.0
        before, self._before = self._before, (greeting.pid, now_s - uptime_s, greeting.time_s - uptime_s)
        if before is None:
            return False
        pid, started_s, born_s = self._before
        same_birth = abs(born_s - before[2]) <= 1.0
        moved = started_s - before[1] > 3.0 and not same_birth
        self.kept = pid != before[0] and same_birth and greeting.items > 0
        return pid != before[0] or moved


async def greet(connection: Connection, login: tuple[str, str] | None, timeout_s: float) -> Greeting:
    """Log in with a name and a password, and ask. Raises `NodeError` for what does not answer so."""
    if login is not None and any(login):
        answer = LineReply()
        await connection.submit(login_request(*login), answer, timeout_s)
        if answer.out != b"STORED":
            raise NodeError("the node refused the login")
    version, stats = LineReply(), StatsReplies()
    # One after the other: a node that wants a login throws away what came along with the first.
    await connection.submit(b"version\r\n", version, timeout_s)
    if isinstance(version.out, ErrorReply) or not version.out.startswith(b"VERSION "):
        text = version.out.text if isinstance(version.out, ErrorReply) else printable_bytes(version.out, 60)
        raise NodeError(f"does not speak memcached's protocol: {printable(text, 80)}")
    found = capabilities(printable_bytes(version.out[8:], 40))
    await connection.submit(b"stats\r\n", stats, timeout_s)
    facts = stats.out if isinstance(stats.out, dict) else {}
    uptime_s, time_s = _number(facts.get("uptime")), _number(facts.get("time"))
    known_s = math.nan if time_s is None else time_s
    return Greeting(found, facts.get("pid", ""), uptime_s, known_s, _number(facts.get("curr_items")) or 0.0)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
