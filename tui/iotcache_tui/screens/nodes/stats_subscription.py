"""Keeps the nodes' figures coming while a screen that shows them, or a recording, wants them."""

from __future__ import annotations

from iotcache_tui.state.nodes.model import WatchNodes
from iotcache_tui.state.requests import Answer, RequestChannel

ASK_AGAIN_S = 2.0


class NodeStatsSubscription:
    """One that wants figures. Before the servers are reached it is refused, and asks again."""

    def __init__(self) -> None:
        self._ticket: int | None = None
        self._ask_at_s = 0.0

    def keep(self, channel: RequestChannel, now_s: float) -> None:
        """Called once a frame while they are wanted."""
        if self._ticket is None and now_s >= self._ask_at_s:
            self._ask_at_s = now_s + ASK_AGAIN_S
            self._ticket = channel.ask(WatchNodes(), self._on_answer)

    def drop(self, channel: RequestChannel) -> None:
        """They are wanted no more."""
        if self._ticket is not None:
            channel.forget(self._ticket)
            self._ticket = None

    def _on_answer(self, answer: Answer) -> None:
        if answer.done:
            self._ticket = None
