"""Whether another program uses our client id: a broker ends the older of two such connections (3.1.4).

Both connect again, and take each other's connection over for ever. MQTT 5 tells so (reason code 0x8E). In
3.1.1 the connection just ends: it is taken for such a case where that happens again and again to connections
that the broker had accepted, and it accepts us again at the next attempt. One that restarts, or cannot be
reached, does not.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final

from iotcache.text import printable

WINDOW_S: Final = 60.0
"""Takeovers longer ago do not count."""
UNEXPLAINED: Final = 3
"""So many ends without a reason within the window are taken for takeovers."""
LASTED_S: Final = 3.0
_REMEMBERED: Final = 1_000


class Takeovers:
    """Those of one link."""

    def __init__(self, client_id: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.count = 0
        """Since the start; of those without a reason only the ones that are taken for takeovers."""
        self._client_id = client_id
        self._monotonic = monotonic
        self._told: deque[float] = deque(maxlen=_REMEMBERED)
        self._unexplained: deque[float] = deque(maxlen=_REMEMBERED)
        self._ended_s: float | None = None
        """When a connection ended without a reason, until the next attempt tells more."""
        self._is_suspected = False
        self._connected_s = 0.0
        self._lasted = False
        """Whether one of those lasted for longer than a broker takes to refuse what we publish."""
        self.was_last = False
        """Whether the last end of a connection may have been a takeover."""

    def ended(self, *, stated: bool, unexplained: bool) -> None:
        """A connection or an attempt at one ended; ``stated``: as another client uses the id, by the broker's
        word; ``unexplained``: the broker had accepted it, and gave no reason."""
        self.was_last = stated or unexplained
        self._ended_s = self._monotonic() if unexplained else None
        self._lasted = self._lasted or (unexplained and self._monotonic() - self._connected_s > LASTED_S)
        if stated:
            self._told.append(self._monotonic())
            self.count += 1

    def connected(self) -> None:
        """It accepts us again."""
        self._connected_s = self._monotonic()
        if self._ended_s is None:
            return
        self._unexplained.append(self._ended_s)
        self._ended_s = None
        self._forget()
        if self._is_suspected:
            self.count += 1
        elif len(self._unexplained) >= UNEXPLAINED:
            self._is_suspected = True
            self.count += len(self._unexplained)

    @property
    def reason(self) -> str:
        """What another program does; safe to show, and empty where there was no takeover lately."""
        self._forget()
        if self._told:
            return (
                f"another program took our client id {printable(self._client_id, 60)} over "
                f"({_times(len(self._told))} in a minute)"
            )
        if self._is_suspected:
            other = "" if self._lasted else ", or this login may not publish"
            times = _times(len(self._unexplained))
            return (
                f"another program seems to use our client id {printable(self._client_id, 60)}, too{other}: "
                f"the broker ended the connection {times} in a minute and gave no reason"
            )
        return ""

    def _forget(self) -> None:
        since_s = self._monotonic() - WINDOW_S
        for moments in (self._told, self._unexplained):
            while moments and moments[0] <= since_s:
                moments.popleft()
        self._is_suspected = self._is_suspected and bool(self._unexplained)
        self._lasted = self._lasted and bool(self._unexplained or self._ended_s is not None)


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
