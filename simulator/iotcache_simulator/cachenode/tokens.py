"""Numbers and words of a command line, read as memcached reads them (``util.c``, ``safe_strtol`` and kin)."""

from __future__ import annotations

import re

_NUMBER = re.compile(rb"[ \t\n\v\f\r]*([+-]?[0-9]+)(?:[ \t\n\v\f\r]|\Z)")
_NUMBER_DIGITS_MAX = 20  # 2**64 has 20 digits; longer ones need not be computed
_THIRTY_DAYS_S = 60 * 60 * 24 * 30
_DEAD = 1

UINT64_END = 1 << 64
_UINT32_END = 1 << 32
_INT32_END = 1 << 31


def _integer(text: bytes) -> int | None:
    if text.isdigit():
        digits = text
    else:
        found = _NUMBER.match(text)
        if found is None:
            return None
        digits = found[1]
    return int(digits) if len(digits.lstrip(b"+-0")) <= _NUMBER_DIGITS_MAX else None


def int32(text: bytes) -> int | None:
    """A signed number below 2**31, or ``None``. (memcached lets greater ones wrap; we refuse them.)"""
    number = _integer(text)
    return number if number is not None and -_INT32_END <= number < _INT32_END else None


def uint32(text: bytes) -> int | None:
    """An unsigned number below 2**32, or ``None``."""
    number = _integer(text)
    return number if number is not None and 0 <= number < _UINT32_END else None


def uint64(text: bytes) -> int | None:
    """An unsigned number below 2**64, or ``None``; white space may follow it, as in a padded counter."""
    number = _integer(text)
    return number if number is not None and 0 <= number < UINT64_END else None


def expiry(exptime: int, now: int) -> int:
    """The epoch second at which an item given ``exptime`` is dead; 0 for never.

    Up to 30 days it is relative to ``now`` (epoch seconds), above that it is an epoch time itself, and
    anything negative is dead already. Source: protocol.txt, "Expiration times".
    """
    if exptime == 0:
        return 0
    if exptime < 0:
        return _DEAD
    return exptime if exptime > _THIRTY_DAYS_S else now + exptime


def words(line: bytes) -> list[bytes]:
    """The words of a command line: only spaces separate, and a NUL ends the line (C strings do that)."""
    if b"\0" in line:
        line = line[: line.index(b"\0")]
    found = line.split(b" ")
    return [word for word in found if word] if b"" in found else found
