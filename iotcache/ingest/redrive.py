"""Dead letters once more: decoded by the rules in force now, and committed like any reading."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct, structs

from iotcache.cache import DeviceCache
from iotcache.ingest.decode import Decoder
from iotcache.model import DeadLetter, Stored
from iotcache.store.base import Letter


class Redriven(Struct, frozen=True):
    """What came of some letters."""

    letters: int
    """Of those tried, how many are readings now and gone."""
    readings: int
    """New in the table."""
    duplicates: int
    """Readings that were there already."""
    refused: int
    """Still not decodable: kept, with their reason of now, and counted once more."""


async def redrive(cache: DeviceCache, decoder: Decoder, letters: Sequence[Letter]) -> Redriven:
    """One transaction takes the readings in and their letters away; the cache hears of it afterwards.

    A letter of which only the head was kept (over 1 MiB) stays. Raises `StoreError`.
    """
    readings: list[Stored] = []
    settled: list[int] = []
    refused: list[DeadLetter] = []
    for kept in letters:
        letter = kept.letter
        found = decoder.decode(letter.topic, letter.payload, letter.received_us)
        if isinstance(found, DeadLetter):
            refused.append(structs.replace(found, received_us=letter.received_us))
            continue
        settled.append(kept.number)
        readings += [Stored(reading, cache.plan_ttl(reading)) for reading in found]
    # The same topic and payload is the same letter: writing it again gives it its reason of now.
    done = await cache.store.commit(readings, refused, settled)
    if done.newest:
        await cache.write_through(done.newest)
    return Redriven(len(settled), done.stored, done.duplicates, len(refused))
