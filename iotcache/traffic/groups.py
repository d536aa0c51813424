"""Groups of keys whose TTL is set in one place, told apart by what their keys have in common."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from iotcache.advisor.sampler import GROUPS
from iotcache.text import printable_bytes

_DIGITS: Final = re.compile(rb"[0-9]+")
_NAME_BYTES: Final = 60
OTHERS: Final = "all others"


@lru_cache(maxsize=65_536)
def pattern(key: bytes) -> str:
    """The key with every number as ``#``: ``device#:temperature:latest``."""
    return printable_bytes(_DIGITS.sub(b"#", key), _NAME_BYTES)


_UNREAD: Final = (GROUPS - 1) // 2
"""Most groups that were written and not read when they were seen first."""


class Groups:
    """Numbers for the first patterns seen; what comes after them shares the last number.

    Patterns that were only written until then take half of the numbers at most: else those that a writer
    fills at its start would leave none for what is read.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}
        self._unread = 0

    def number(self, key: bytes, *, read: bool = True) -> int:
        """The number of the key's group, below `GROUPS`; ``read``: it was asked for, not only written."""
        name = pattern(key)
        number = self._numbers.get(name)
        if number is None:
            if len(self.names) < GROUPS - 1 and (read or self._unread < _UNREAD):
                self._unread += not read
                number = self._numbers[name] = len(self.names)
                self.names.append(name)
            else:
                return GROUPS - 1
        return number

    def name(self, number: int) -> str:
        return self.names[number] if number < len(self.names) else OTHERS
