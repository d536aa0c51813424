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


class Groups:
    """Numbers for the first patterns seen; what comes after them shares the last number."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, key: bytes) -> int:
        """The number of the key's group, below `GROUPS`."""
        name = pattern(key)
        number = self._numbers.get(name)
        if number is None:
            if len(self.names) < GROUPS - 1:
                number = self._numbers[name] = len(self.names)
                self.names.append(name)
            else:
                return GROUPS - 1
        return number

    def name(self, number: int) -> str:
        return self.names[number] if number < len(self.names) else OTHERS
