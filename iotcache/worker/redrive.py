"""Dead letters once more: decoded by the rules in force now, and committed like any message."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from iotcache.cache import DeviceCache
from iotcache.config.schema import OnboardingSettings
from iotcache.decode.decoder import Decoder
from iotcache.decode.device_messages import read_device_message
from iotcache.decode.topics import Topics
from iotcache.model import DeadLetter, DeviceMessage, Message, Reading, StoredReading
from iotcache.model.messages import KEPT_BYTES
from iotcache.onboarding.lifecycle import DeviceLifecycle
from iotcache.store.base import StoredDeadLetter


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
    """Still not decodable: kept, with their reason of now."""


async def redrive(
    cache: DeviceCache, topics: Topics, decoder: Decoder, letters: Sequence[StoredDeadLetter]
) -> Redriven:
    """One transaction takes the readings in and their letters away; the cache hears of it afterwards.

    What devices said of themselves is stored before that: it may be said twice.
    A letter of which only the head was kept (over 1 MiB) stays. Raises `StoreError`.
    """
    readings: list[StoredReading] = []
    said: list[DeviceMessage] = []
    settled: list[int] = []
    refused: list[DeadLetter] = []
    for kept in letters:
        letter = kept.letter
        found = _read(letter, topics, decoder)
        if isinstance(found, DeadLetter):
            refused.append(found)
            continue
        settled.append(kept.number)
        if isinstance(found, list):
            readings += [StoredReading(reading, cache.plan_ttl(reading)) for reading in found]
        else:
            said.append(found)
    reception = DeviceLifecycle(cache, OnboardingSettings())
    heard = await reception.store(said) if said else None
    # The same topic and payload is the same letter: writing it again gives it its reason of now, and counts
    # it as come again, so that one whose reason is as it was is let be.
    old = {kept.letter for kept in letters}
    done = await cache.store.commit(readings, [one for one in refused if one not in old], settled)
    if done.newest:
        await cache.write_through(done.newest)
    if heard is not None:
        await reception.tell_cache(heard)
    return Redriven(len(settled), done.stored, done.duplicates, len(said), len(refused))


def _read(letter: DeadLetter, topics: Topics, decoder: Decoder) -> list[Reading] | DeviceMessage | DeadLetter:
    if len(letter.payload) == KEPT_BYTES and letter.reason.endswith("kept here)"):
        return letter
    found = decoder.decode(letter.topic, letter.payload, letter.received_us)
    if found:
        return found
    size = len(letter.payload)
    message = Message(letter.topic, letter.payload, 1, False, 0, 0, letter.received_us, size)
    said = read_device_message(topics.names(letter.topic), message)
    return [] if said is None else said
