"""A question that a screen asks again and again while it is shown, one at a time."""

from __future__ import annotations

from math import inf

from iotcache_tui.state.requests import Answer, OnAnswer, Request, RequestChannel


class PolledQuery:
    """Asks when the question is another one, when ``every_s`` have gone by since it was asked, or, wanted
    again, after ``least_s``."""

    def __init__(
        self,
        channel: RequestChannel,
        on_answer: OnAnswer,
        *,
        every_s: float,
        least_s: float = 0.0,
    ) -> None:
        self._channel, self._on_answer = channel, on_answer
        self._every_s, self._least_s = every_s, least_s
        self._wanted = False
        self._request: Request | None = None
        self._asked_at_s = -inf
        self._ticket = 0

    def poll(self, now_s: float, request: Request | None) -> None:
        """What is to be known now; ``None`` for nothing. Called once a frame."""
        if request != self._request:
            self.stop()
            self._request = request
        if now_s < self._asked_at_s:  # a replay went back
            self._asked_at_s = -inf
        pause_s = self._least_s if self._wanted else self._every_s
        if request is None or self._ticket or now_s - self._asked_at_s < pause_s:
            return
        self._asked_at_s, self._wanted = now_s, False
        self._ticket = -1  # a replay answers at once
        ticket = self._channel.ask(request, self._take)
        if self._ticket:
            self._ticket = ticket

    def again(self) -> None:
        """Do not wait for the whole pause."""
        self._wanted = True

    def stop(self) -> None:
        """Wait for nothing any more."""
        if self._ticket > 0:
            self._channel.forget(self._ticket)
        self._request, self._ticket, self._asked_at_s = None, 0, -inf

    def _take(self, answer: Answer) -> None:
        if answer.done:
            self._ticket = 0
        self._on_answer(answer)
