"""Everything bad in every slot of every format: nothing is unforeseen, nothing cannot be kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from iotcache.config.schema import IngestSettings
from iotcache.decode.limits import BOOT_LIMIT, NAME_LIMIT, TEXT_LIMIT, UNIT_LIMIT
from iotcache.decode.mapping.settings import FieldPaths
from iotcache.decode.outcomes import PartlyDecoded
from iotcache.entry_codec import (
    decode_document,
    decode_reading,
    document_content,
    encode_document,
    encode_reading,
)
from iotcache.faults import Faults
from iotcache.model import DeadLetter, Document, Message, Reading, StoredReading
from iotcache.store.sqlite.store import SqliteStore
from iotcache.worker.reader import message_reader
from tests.ingest.worst import MESSAGES

NOW_US = 1_795_348_800_000_000
TOPICS = ("iot/{site}/{device}/{sensor}", "iot/{site}/{device}", "spBv1.0/#")
FIELDS = {
    "default": FieldPaths(),
    "paths": FieldPaths(value="value | v", ts="ts | t", unit="x"),
    "seconds": FieldPaths(value="value", ts="ts", ts_unit="s", device="device", sensor="sensor"),
    "each member": FieldPaths(value="*"),
}


@pytest.mark.parametrize(
    ("kind", "fields"),
    [(kind, "default") for kind in MESSAGES]
    + [(kind, fields) for kind in ("json", "cbor") for fields in FIELDS if fields != "default"],
)
async def test_nothing_in_any_slot_is_unforeseen_or_cannot_be_kept(
    kind: str, fields: str, tmp_path: Path
) -> None:
    faults = Faults()
    reader = message_reader(IngestSettings(topics=TOPICS, fields=FIELDS[fields]), faults=faults)
    readings: list[Reading] = []
    documents: list[Document] = []
    dead: list[DeadLetter] = []
    for number, (topic, payload) in enumerate(MESSAGES[kind]()):
        found = reader.read(Message(topic, payload, 1, False, 1, 1, NOW_US + number, len(payload)))
        assert faults.count == 0, (topic, payload[:200])
        if isinstance(found, PartlyDecoded):
            dead.append(found.dead_letter)
            found = found.readings
        if isinstance(found, list):
            readings += found
        elif isinstance(found, DeadLetter):
            dead.append(found)
        elif isinstance(found, Document):
            documents.append(found)
    assert len(dead) > 100
    for one in readings:
        assert max(map(len, (one.device, one.sensor, one.site))) <= NAME_LIMIT
        assert (len(one.unit) <= UNIT_LIMIT, len(one.boot) <= BOOT_LIMIT) == (True, True)
        assert not isinstance(one.value, str) or len(one.value) <= TEXT_LIMIT
        assert decode_reading(one.device, one.sensor, *encode_reading(one)).value == one.value
    for document in documents:
        document_content(decode_document(*encode_document(document)))
    async with SqliteStore(tmp_path / "r.db") as store:
        done = await store.commit([StoredReading(one) for one in readings], dead)
        assert done.stored + done.duplicates + done.conflicts == len(readings)
        await store.documents.upsert(documents)
        kept = {letter.payload for letter in await store.recent_dead_letters(10)}
        assert kept <= {one.payload for one in dead}
