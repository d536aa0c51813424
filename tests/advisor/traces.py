"""Seeded traces of references: popularity, writes, sizes and TTLs as asked for."""

from __future__ import annotations

import numpy as np

from iotcache.advisor.item_size import DEFAULT_CHUNKS, item_bytes
from iotcache.advisor.references import Kind, Reference, mixed


def trace(
    *,
    keys: int = 20_000,
    gets: int = 60_000,
    exponent: float = 0.9,
    writes: float = 0.5,
    ttl_s: float = 0.0,
    seconds: float = 600.0,
    value_bytes: tuple[int, int] = (40, 400),
    scan: bool = False,
    seed: int = 1,
) -> list[Reference]:
    """``writes`` is how many there are to each get, of keys drawn evenly: a device each its interval.

    A key's first get brings its fill with it, as its TTL and size are known only then.
    """
    rng = np.random.default_rng(seed)
    number = round(gets * (1 + writes))
    weights = 1.0 / np.arange(1, keys + 1) ** exponent
    popular = rng.choice(keys, number, p=weights / weights.sum())
    if scan:
        popular = np.arange(number) % keys
    is_write = rng.random(number) < writes / (1 + writes)
    even = rng.integers(keys, size=number)
    sizes = [
        DEFAULT_CHUNKS.chunk(item_bytes(16, int(size))) for size in rng.integers(*value_bytes, size=keys)
    ]
    step_s = seconds / number
    out: list[Reference] = []
    known: set[int] = set()
    for at in range(number):
        key = int(even[at] if is_write[at] else popular[at])
        now_s, name = 1_000.0 + at * step_s, mixed(key * 2_654_435_761 & 0xFFFFFFFF)
        if is_write[at]:
            out.append(Reference(name, Kind.WRITE, now_s, sizes[key], ttl_s))
        else:
            out.append(Reference(name, Kind.GET, now_s))
            if key not in known:
                out.append(Reference(name, Kind.FILL, now_s, sizes[key], ttl_s))
        known.add(key)
    return out
