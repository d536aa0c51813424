"""What a thousand connections have to complain about at once, said once."""

from __future__ import annotations

import logging
import math
from typing import Final

EVERY_S: Final = 1.0
_KEPT: Final = 100


class LogThrottle(logging.Filter):
    """Lets the same words through at most once in `EVERY_S` seconds: a fleet loses its broker as one."""

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if record.created - self._told.get(text, -math.inf) < EVERY_S:
            return False
        if len(self._told) >= _KEPT:
            self._told.clear()
        self._told[text] = record.created
        return True
