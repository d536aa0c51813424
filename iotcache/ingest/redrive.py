"""Dead letters once more: decoded by the rules in force now, and committed like any message."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from iotcache.cache import DeviceCache
from iotcache.config.schema import OnboardingSettings
from iotcache.ingest.decode import Decoder
from iotcache.ingest.topics import Topics
from iotcache.model import DeadLetter, Stored
from iotcache.mqtt.inbound import Message
from iotcache.onboarding.reception import Reception
from iotcache.onboarding.said import Said, read_said
from iotcache.store.base import Letter


class Redriven(Struct, frozen=True):
    """What came of some letters."""

    letters: int
    """Of those tried, how many could be decoded and are gone."""
    readings: int
    """New in the table."""
    duplicates: int
    """Readings that were there already."""
    said: int
    """Births, ends and configurations, which stand where nothing newer does."""
    refused: int
    """Still not decodable: kept, with their reason of now, and counted once more."""


async def redrive(
    cache: DeviceCache, topics: Topics, decoder: Decoder, letters: Sequence[Letter]
) -> Redriven:
    """One transaction takes the readings in and their letters away; the cache hears of it afterwards.

    What devices said of themselves is stored before that: it may be said twice.
    A letter of which only the head was kept (over 1 MiB) stays. Raises `StoreError`.
    """
    readings: list[Stored] = []
    said: list[Said] = []
    settled: list[int] = []
    refused: list[DeadLetter] = []
    for kept in letters:
        letter = kept.letter
        found = decoder.decode(letter.topic, letter.payload, letter.received_us)
        one = None if found else read_said(topics.names(letter.topic), _as_message(letter))
        if isinstance(found, DeadLetter):
            refused.append(found)
        elif isinstance(one, DeadLetter):
            refused.append(one)
        else:
            settled.append(kept.number)
            readings += [Stored(reading, cache.plan_ttl(reading)) for reading in found]
            if one is not None:
                said.append(one)
    reception = Reception(cache, OnboardingSettings())
    heard = await reception.store(said) if said else None
    # The same topic and payload is the same letter: writing it again gives it its reason of now.
    done = await cache.store.commit(readings, refused, settled)
    if done.newest:
        await cache.write_through(done.newest)
    if heard is not None:
        await reception.tell_cache(heard)
    return Redriven(len(settled), done.stored, done.duplicates, len(said), len(refused))


def _as_message(letter: DeadLetter) -> Message:
    payload = letter.payload
    return Message(letter.topic, payload, 1, False, 0, 0, letter.received_us, len(payload))
