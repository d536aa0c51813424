"""Dead letters once more: decoded by the rules in force now, and committed like any message."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from iotcache.cache import DeviceCache
from iotcache.config.schema import OnboardingSettings
from iotcache.decode.outcomes import NothingInIt, PartlyDecoded
from iotcache.ingest.message_reader import MessageReader
from iotcache.model import DeadLetter, DeviceMessage, Message, Reading, StoredReading
from iotcache.onboarding.lifecycle import DeviceLifecycle
from iotcache.store.base import StoredDeadLetter
from iotcache.store.identity import CONFLICT


class Redriven(Struct, frozen=True):
    """What came of some dead letters."""

    letters: int
    """Of those tried, how many could be decoded and are gone."""
    readings: int
    """New in the table."""
    duplicates: int
    """Readings that were there already."""
    device_messages: int
    """Births, ends and configurations, which stand where nothing newer does."""
    refused: int
    """Still not decodable: kept, with their reason of now."""
    truncated: int
    """Not tried, as only a part of the message was kept."""


async def redrive(
    cache: DeviceCache, reader: MessageReader, dead_letters: Sequence[StoredDeadLetter]
) -> Redriven:
    """One transaction takes the readings in and their dead letters away; the cache is updated afterwards.

    What devices said of themselves is stored before that: it may be stored twice.
    A dead letter of which only a part was kept is left as it is, and so is a reading that contradicts what is
    stored. Raises `StoreError`.
    """
    readings: list[StoredReading] = []
    messages: list[DeviceMessage] = []
    settled: list[int] = []
    refused: list[DeadLetter] = []
    whole = [stored for stored in dead_letters if not stored.dead_letter.truncated]
    for stored in whole:
        decoded = _read(stored.dead_letter, reader)
        if isinstance(decoded, PartlyDecoded):  # its readings are kept, and so is what could not be
            readings += [StoredReading(reading, cache.plan_ttl(reading)) for reading in decoded.readings]
            decoded = decoded.dead_letter
        if isinstance(decoded, DeadLetter):
            refused.append(decoded)
            continue
        if isinstance(decoded, NothingInIt):
            decoded = None
        settled.append(stored.number)
        if isinstance(decoded, list):
            readings += [StoredReading(reading, cache.plan_ttl(reading)) for reading in decoded]
        elif decoded is not None:
            messages.append(decoded)
    lifecycle = DeviceLifecycle(cache, OnboardingSettings())
    result = await lifecycle.store(messages) if messages else None
    # The same topic and payload is the same dead letter: writing it again gives it its reason of now, and
    # counts it as received again, so one whose reason is as it was is left alone.
    old = {stored.dead_letter for stored in dead_letters}
    done = await cache.store.commit(readings, [one for one in refused if one not in old], settled)
    if done.newest:
        await cache.write_through(done.newest)
    if result is not None:
        await lifecycle.tell_cache(result)
    truncated = len(dead_letters) - len(whole)
    return Redriven(len(settled), done.stored, done.duplicates, len(messages), len(refused), truncated)


def _read(
    letter: DeadLetter, reader: MessageReader
) -> list[Reading] | DeviceMessage | DeadLetter | PartlyDecoded | NothingInIt | None:
    if letter.reason.startswith(CONFLICT):
        return letter
    size = len(letter.payload)
    return reader.read(Message(letter.topic, letter.payload, 1, False, 0, 0, letter.received_us, size))
