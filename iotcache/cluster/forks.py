"""After a fork the child must not touch the parent's connections: all that are open are given up there."""

from __future__ import annotations

import os
from typing import Final, Protocol
from weakref import WeakSet


class Abandonable(Protocol):
    """What holds connections."""

    def abandon(self) -> None:
        """Forget them without a word to the other side."""
        ...


_OPEN: Final[WeakSet[Abandonable]] = WeakSet()


def watch(one: Abandonable) -> None:
    """From now on ``one`` is told when this process is a forked child."""
    _OPEN.add(one)


def forget(one: Abandonable) -> None:
    """It is closed."""
    _OPEN.discard(one)


def _after_fork() -> None:
    for one in list(_OPEN):
        one.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
