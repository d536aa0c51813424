"""Notifications whose time cannot run out between two looks at it.

Textual shows a notification again on each screen that is opened while it lasts, and sets a timer for what is
left of its time. When that time runs out between the look whether it is over and the one how much is left,
the timer's delay is negative, and `textual.timer.Timer` goes round for ever without giving way: the program
stands still, for signals, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from textual.app import App
from textual.notifications import Notification, Notify, SeverityLevel

LEAST_S: Final = 0.05
"""A timer's delay has to be positive; nobody sees so short a notification."""


@dataclass
class LastingNotification(Notification):
    """One that has some time left whenever it is asked; whether it is over goes by its real time."""

    @property
    def time_left(self) -> float:
        return max(super().time_left, LEAST_S)

    @property
    def has_expired(self) -> bool:
        return super().time_left <= 0


class NotifyingApp(App[None]):
    """An app with such notifications."""

    def notify(
        self, message: str, *, title: str = "", severity: SeverityLevel = "information",
        timeout: float | None = None, markup: bool = True,
    ) -> None:  # fmt: skip
        lasts_s = self.NOTIFICATION_TIMEOUT if timeout is None else timeout
        self.post_message(Notify(LastingNotification(message, title, severity, lasts_s, markup)))
