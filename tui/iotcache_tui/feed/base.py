"""What an app needs of a feed: a mailbox that fills by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from iotcache_tui.state.requests import Request
from iotcache_tui.state.updates import Mailbox


class Feed(Protocol):
    """Live, attached or replayed: the screens cannot tell."""

    @property
    def mailbox(self) -> Mailbox:
        """What it has found out, for the screen's thread to take."""
        ...

    def start(self) -> None:
        """Begin; returns at once."""
        ...

    def stop(self, timeout_s: float = 10.0) -> None:
        """End everything that `start` began, and wait for it. Safe to call twice."""
        ...

    def watch(self, rows: Sequence[int]) -> None:
        """Say which rows are on screen: they are read first, and their TTLs probed."""
        ...

    def ask(self, request: Request) -> int:
        """Ask a question or do an act; returns the ticket that its answers in the mailbox carry."""
        ...

    def cancel(self, ticket: int) -> None:
        """Nobody waits for the answers of this ticket any more."""
        ...
