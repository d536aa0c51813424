"""What a thousand connections log at once, written once."""

from __future__ import annotations

import logging
import math
from typing import Final

EVERY_S: Final = 1.0
_TEXTS_MAX: Final = 100


class LogThrottle(logging.Filter):
    """Lets the same text through at most once in `EVERY_S` seconds: a fleet loses its broker as one."""

    def __init__(self) -> None:
        super().__init__()
        self._shown_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if record.created - self._shown_at.get(text, -math.inf) < EVERY_S:
            return False
        if len(self._shown_at) >= _TEXTS_MAX:
            self._shown_at.clear()
        self._shown_at[text] = record.created
        return True
