"""Deterministic randomness: the same numbers on every platform, Python version and run.

Only integer operations, correctly rounded float operations (``+ - * /``, ``sqrt``) and BLAKE2 are
used: no ``hash()``, no ``random``, no libm sine, whose last digit may differ between platforms.
"""

from __future__ import annotations

from hashlib import blake2b
from math import sqrt
from typing import Final

MASK64: Final = 0xFFFF_FFFF_FFFF_FFFF
GOLDEN: Final = 0x9E37_79B9_7F4A_7C15
"""2^64 divided by the golden ratio, odd: spreads neighbouring integers over the upper bits."""
_TABLE_BITS: Final = 12
_SHIFT: Final = 64 - _TABLE_BITS
SINE_STEPS: Final = 1024
TO_UNIT: Final = 2.0**-64
TO_UNIT_53: Final = 2.0**-53


def stream_key(seed: int, *names: str) -> int:
    """64 bits that stand for ``names`` under ``seed``: the key of a device, a sensor or a wave."""
    text = "\x00".join((str(seed), *names)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


def scramble(x: int) -> int:
    """64 well mixed bits of any integer (the finaliser of SplitMix64)."""
    x = (x + GOLDEN) & MASK64
    x = ((x ^ (x >> 30)) * 0xBF58_476D_1CE4_E5B9) & MASK64
    x = ((x ^ (x >> 27)) * 0x94D0_49BB_1331_11EB) & MASK64
    return x ^ (x >> 31)


def unit(key: int, k: int = 0) -> float:
    """A uniform number in [0, 1) for ``key`` and the integer ``k``."""
    # `scramble`, written out: a call costs as much as the rest.
    x = ((key ^ (k & MASK64)) + GOLDEN) & MASK64
    x = ((x ^ (x >> 30)) * 0xBF58_476D_1CE4_E5B9) & MASK64
    x = ((x ^ (x >> 27)) * 0x94D0_49BB_1331_11EB) & MASK64
    return ((x ^ (x >> 31)) >> 11) * TO_UNIT_53


def phase(key: int) -> float:
    """The key itself as a number in [0, 1): cheap, once per key."""
    return key * TO_UNIT


def _normal_table() -> tuple[float, ...]:
    """Numbers of mean 0 and variance 1, near normal (sums of six uniform numbers)."""
    raw = b"".join(blake2b(b"iotcache noise %d" % n, digest_size=48).digest() for n in range(1 << 10))
    sums = [
        sum(int.from_bytes(raw[at + 2 * n : at + 2 * n + 2], "little") for n in range(6))
        for at in range(0, len(raw), 12)
    ]
    count, total = len(sums), sum(sums)
    deviation = sqrt(sum((count * x - total) ** 2 for x in sums) / count)
    return tuple((count * x - total) / deviation for x in sums)


def _sine_table() -> tuple[float, ...]:
    """sin(2πn/1024) for n = 0 to 1024, by its series, so that no platform's libm is asked."""
    quarter = SINE_STEPS // 4
    tau = 6.283185307179586
    rising = []
    for n in range(quarter + 1):
        x = tau * n / SINE_STEPS
        term = total = x
        for k in range(1, 12):
            term = -term * x * x / ((2 * k) * (2 * k + 1))
            total += term
        rising.append(total)
    half = rising + rising[-2::-1]
    return tuple(half + [-x for x in half[1:]])


def _area_table() -> tuple[float, ...]:
    """The area under `SINE` from 0 to each of its points, in steps. A whole turn has none."""
    areas = [0.0]
    for n in range(SINE_STEPS):
        areas.append(areas[-1] + (SINE[n] + SINE[n + 1]) / 2)
    return (*areas[:-1], 0.0)


NORMAL: Final = _normal_table()
SINE: Final = _sine_table()
SINE_AREA: Final = _area_table()


def normal(key: int, k: int) -> float:
    """A number of mean 0 and variance 1 for ``key`` and the integer ``k``; at most about ±3.5."""
    return NORMAL[(((key ^ k) * GOLDEN) & MASK64) >> _SHIFT]


def smooth(key: int, x: float) -> float:
    """Value noise: `normal` at whole ``x >= 0``, joined by smooth curves."""
    k = int(x)
    f = x - k
    a = NORMAL[(((key ^ k) * GOLDEN) & MASK64) >> _SHIFT]
    b = NORMAL[(((key ^ (k + 1)) * GOLDEN) & MASK64) >> _SHIFT]
    return a + (b - a) * (f * f * (3.0 - 2.0 * f))


def sine(x: float) -> float:
    """sin(2πx) for x >= 0, within 5e-6."""
    x = (x - int(x)) * SINE_STEPS
    k = int(x)
    a = SINE[k]
    return a + (SINE[k + 1] - a) * (x - k)


def sine_area(x: float) -> float:
    """The integral of `sine` from 0 to x >= 0."""
    x = (x - int(x)) * SINE_STEPS
    k = int(x)
    f = x - k
    a = SINE[k]
    return (SINE_AREA[k] + (a + (SINE[k + 1] - a) * f * 0.5) * f) / SINE_STEPS
