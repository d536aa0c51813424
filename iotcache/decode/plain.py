"""Payloads that are a value alone, and what programs put around a text without meaning it."""

from __future__ import annotations

import re
from typing import Final

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_NUMBER: Final = re.compile(rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LONGEST_NUMBER: Final = 64
"""In bytes."""
SWITCH_WORDS: Final = {b"true": True, b"false": False, b"on": True, b"off": False}
"""Bare words that are states, in any case; other words need a mapping's `states`."""


def number(text: bytes) -> int | float | None:
    """The number that a text without white space is; ``None`` when it is none."""
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return None
    digits = text.decode("ascii")
    return int(digits) if digits.lstrip("+-").isdecimal() else float(digits)


def switch_word(text: bytes) -> bool | None:
    """Whether a word is one for on or for off; ``None`` for other texts. JSON's own words are small."""
    return SWITCH_WORDS.get(text if text.lower() in (b"true", b"false") else text.lower())


def without_marks(payload: bytes) -> bytes:
    """A text without a byte order mark before it, and without the NUL that ends texts in C."""
    while payload[:3] == BYTE_ORDER_MARK:
        payload = payload[3:]
    if payload[-1:] == b"\0" and payload[:1] < b"\x80":
        payload = payload.rstrip(b"\0")
    return payload
