"""From a message to readings or a dead letter: what of a message is kept, and whether that is all of it."""

from __future__ import annotations

import pytest

from iotcache.decode.decoder import Decoder
from iotcache.decode.topics import Topics
from iotcache.faults import Faults
from iotcache.ingest.message_reader import MessageReader
from iotcache.model import DeadLetter, Message

TOPICS = Topics(["iot/{site}/{device}/{sensor}"])
READER = MessageReader(TOPICS, Decoder(TOPICS), Faults())


@pytest.mark.parametrize("sensor", ["t", "cfg", "meta", "birth"])
@pytest.mark.parametrize(
    ("size", "fault", "truncated"),
    [
        (9, "", False),
        (5_000_000, "", True),
        (1_320_055, "the broker sent a PUBLISH with 1,320,055 bytes of properties", True),
        (-1, "the broker sent a PUBLISH that has QoS 3", True),
    ],
)
def test_a_dead_letter_tells_whether_it_is_the_whole_message(
    sensor: str, size: int, fault: str, *, truncated: bool
) -> None:
    letter = READER.read(Message(f"iot/s/d/{sensor}", b"no number", 1, False, 1, 1, 10**15, size, fault))
    assert isinstance(letter, DeadLetter)
    assert letter.payload == b"no number"
    assert letter.truncated is truncated
