"""Stampede protection: of all readers that miss a key, on all machines, one loads it and the others wait.

The lease is memcached's own (``mg … N``): the first to miss wins, an empty item holds the place, and the
winner's value is taken only while nobody has written meanwhile (its CAS unique). So a slow reader can never
put an old value over a writer's newer one. A winner that dies holds the place until the empty item expires.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from iotcache.cluster.cluster import Cluster
from iotcache.cluster.types import GetResult, Lease, SetItem

_FIRST_PAUSE_S: Final = 0.004
_LONGEST_PAUSE_S: Final = 0.05
_STUB_S: Final = 2
"""memcached counts whole seconds: a dead winner holds the others up for 1 to 2 s."""

Load = Callable[[Sequence[str]], Awaitable[Mapping[str, SetItem]]]
"""Reads keys from the store, all in one call; what it does not know it leaves out."""


class Fetched(Struct, frozen=True, gc=False):
    """What became of one key of a `fetch_many`."""

    got: GetResult
    """The last answer of the key's node."""
    item: SetItem | None = None
    """What was loaded for it by this caller; ``None`` on a hit, or when the store does not know the key."""
    stored: bool = False
    """Whether ``item`` is in the cache now."""
    waited_s: float = 0.0
    """How long somebody else's loading was waited for."""


async def fetch_many(
    cluster: Cluster, keys: Sequence[str], load: Load, *, patience_s: float = 3.0, stub_s: int = _STUB_S
) -> list[Fetched]:
    """Read ``keys``; what is missing is loaded by whoever wins its lease, and awaited by the others.

    After ``patience_s`` of waiting a key is loaded all the same, and not stored. Whatever ``load`` raises
    is passed on, after its leases are given back.
    """
    began = time.monotonic()
    done: dict[str, Fetched] = {}
    left = list(dict.fromkeys(keys))
    pause_s = _FIRST_PAUSE_S
    while left:
        answers = dict(zip(left, await cluster.lease_many(left, stub_s=stub_s), strict=True))
        waited_s = time.monotonic() - began
        patient = waited_s < patience_s
        held = [key for key, got in answers.items() if not got.hit and got.lease is Lease.HELD and patient]
        missing = [key for key, got in answers.items() if not got.hit and key not in set(held)]
        for key, got in answers.items():
            if got.hit:
                done[key] = Fetched(got, waited_s=waited_s)
        if missing:
            done.update(await _load(cluster, {key: answers[key] for key in missing}, load, waited_s))
        left = held
        if left:
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2.0, _LONGEST_PAUSE_S)
    return [done[key] for key in keys]


async def _load(
    cluster: Cluster, missing: Mapping[str, GetResult], load: Load, waited_s: float
) -> dict[str, Fetched]:
    """Load keys, store those whose lease was won, and give back the leases of those that nobody knows."""
    won = {key: got for key, got in missing.items() if got.lease is Lease.WON}
    try:
        loaded = await load(list(missing))
    except BaseException:
        await cluster.release_many(list(won), list(won.values()))
        raise
    unknown = [key for key in won if key not in loaded]
    if unknown:
        await cluster.release_many(unknown, [won[key] for key in unknown])
    known = [key for key in won if key in loaded]
    outcomes = await cluster.cas_many([loaded[key] for key in known], [won[key] for key in known])
    stored = {key for key, outcome in zip(known, outcomes, strict=True) if outcome.ok}
    return {key: Fetched(got, loaded.get(key), key in stored, waited_s) for key, got in missing.items()}
