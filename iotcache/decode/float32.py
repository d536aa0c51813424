"""Single-precision numbers as the decimals they stand for: 21.3, not 21.299999237060547."""

from __future__ import annotations

import struct


def single(raw: bytes, order: str) -> float:
    """The shortest decimal number whose single-precision form is ``raw`` (``order``: ``<`` or ``>``)."""
    form = f"{order}f"
    exact = float(struct.unpack(form, raw)[0])
    for digits in (6, 7, 8):
        number = float(f"{exact:.{digits}g}")
        try:
            if struct.pack(form, number) == raw:
                return number
        except OverflowError:
            continue
    return exact
