"""What a mapping says of sensors by their names: units, and which are left out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from fnmatch import translate
from typing import Final, Generic, TypeVar

T = TypeVar("T")
_REMEMBERED: Final = 10_000
"""Names whose outcome is kept: a fleet has few sensors' names, a stranger as many as he likes."""


class SensorTable(Generic[T]):
    """Patterns of sensors' names, each with what is said of them; the first that fits counts.

    A pattern without ``/`` is of a name's last part, one with ``/`` of the whole name; ``*`` is any text.
    What none fits is looked for once more without a place in an array at its end.
    """

    def __init__(self, entries: Mapping[str, T] | Iterable[tuple[str, T]]) -> None:
        pairs = entries.items() if isinstance(entries, Mapping) else entries
        self._entries = [(("/" in text), re.compile(translate(text)), what) for text, what in pairs]
        self._known: dict[str, T | None] = {}

    def find(self, sensor: str) -> T | None:
        """What is said of ``sensor``; ``None`` when nothing is."""
        if not self._entries:
            return None
        try:
            return self._known[sensor]
        except KeyError:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            found = self._known[sensor] = self._look_up(sensor)
            return found

    def _look_up(self, sensor: str) -> T | None:
        name = sensor
        while True:
            above, _, last = name.rpartition("/")
            for of_whole, pattern, what in self._entries:
                if pattern.match(name if of_whole else last):
                    return what
            if not above or not last.isdecimal():
                return None
            name = above
