"""What a decoder takes at most, the same for every format.

A stranger chooses names, texts and nesting; each is bounded here, so that every store, cache key and screen
can hold what is decoded, and what is stored can be read back.
"""

from __future__ import annotations

import re
from typing import Final

NAME_LIMIT: Final = 256
"""Longest name of a device, sensor or site, in characters. Keys hash what is past 250 bytes."""
TEXT_LIMIT: Final = 1_024
"""Longest value that is a text, in characters."""
UNIT_LIMIT: Final = 64
BOOT_LIMIT: Final = 64
READINGS_LIMIT: Final = 10_000
"""Readings in one message."""
DEPTH_LIMIT: Final = 32
"""Arrays and objects within each other, wherever their content is kept or looked into. Readers and writers
recurse, and how deep they may depends on who calls them: far below that, the answer is always the same."""

_TEXTS: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_SAME_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET: Final = bytes(set(range(256)) - set(b"[]{}"))


def is_too_deep(json: bytes) -> bool:
    """Whether JSON is nested deeper than `DEPTH_LIMIT`; of bytes that are no JSON it says nothing."""
    opened = json.count(b"[") + json.count(b"{")
    # A bracket that closes right before one opens goes no deeper: so are most messages of many readings.
    if opened > DEPTH_LIMIT:
        opened -= json.count(b"},{")
    if opened > DEPTH_LIMIT:
        opened -= json.count(b"}, {")
    if opened <= DEPTH_LIMIT:
        return False
    # Without escapes every other piece between quotes is a text, and many readings are looked at quickly.
    outside = _TEXTS.sub(b"", json) if b"\\" in json else b"".join(json.split(b'"')[::2])
    brackets = outside.translate(_SAME_BRACKETS, _NO_BRACKET)
    for _ in range(DEPTH_LIMIT):
        inner = brackets.replace(b"[]", b"")  # the innermost level goes
        if len(inner) == len(brackets):
            return False
        brackets = inner
    return b"[]" in brackets
