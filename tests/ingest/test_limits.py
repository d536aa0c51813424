"""The limits that all formats share: how deep a message may be nested, wherever in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotcache.decode.decoder import Decoder, decode_named
from iotcache.decode.limits import DEPTH_LIMIT, is_too_deep
from iotcache.decode.mapping.reader import FieldReader
from iotcache.decode.mapping.settings import FieldPaths
from iotcache.decode.outcomes import Refused
from iotcache.decode.topics import Topics
from iotcache.faults import Faults
from iotcache.ingest.message_reader import MessageReader
from iotcache.model import DeadLetter, Message
from tests.examples import examples
from tests.ingest.test_formats import dumps

NOW_US = 1_795_348_800_000_000
TOPICS = Topics(["iot/{site}/{device}/{sensor}"])
PLAIN = MessageReader(TOPICS, Decoder(TOPICS), Faults())
BY_PATHS = MessageReader(TOPICS, Decoder(TOPICS, FieldReader(FieldPaths(value="v"))), Faults())
READING = {"device": "d", "sensor": "t", "value": 1}


def nested(depth: int, *, objects: bool) -> Any:
    """``depth`` containers within each other."""
    content: Any = {} if objects else []
    for _ in range(depth - 1):
        content = {"x": content} if objects else [content]
    return content


def as_json(content: Any) -> bytes:
    return json.dumps(content).encode()


def read(
    reader: MessageReader, sensor: str, encode: Callable[[Any], bytes], make: Callable[[Any], Any]
) -> Callable[[Any], object]:
    def taken(extra: Any) -> object:
        payload = encode(make(extra))
        found = reader.read(Message(f"iot/s/d/{sensor}", payload, 1, False, 1, 1, NOW_US, len(payload)))
        return found.reason if isinstance(found, DeadLetter) else found

    return taken


def body(extra: Any) -> object:
    try:
        return decode_named(as_json([READING | {"x": extra}]), NOW_US)
    except Refused as refused:
        return str(refused)


SLOTS: dict[str, tuple[int, Callable[[Any], object]]] = {
    "a reading": (1, read(PLAIN, "t", as_json, lambda extra: {"value": 1, "x": extra})),
    "a reading after white space": (
        1,
        read(PLAIN, "t", lambda content: b" " + as_json(content), lambda extra: {"x": extra, "value": 1}),
    ),
    "an array of readings": (2, read(PLAIN, "t", as_json, lambda extra: [{"value": 1, "x": extra}] * 40)),
    "a payload of another's making": (1, read(BY_PATHS, "t", as_json, lambda extra: {"v": 1, "x": extra})),
    "CBOR": (1, read(PLAIN, "t", dumps, lambda extra: {"value": 1, "x": extra})),
    "CBOR of another's making": (1, read(BY_PATHS, "t", dumps, lambda extra: {"v": 1, "x": extra})),
    "SenML": (2, read(PLAIN, "t", as_json, lambda extra: [{"n": "t", "v": 1, "x": extra}])),
    "SenML in CBOR": (2, read(PLAIN, "t", dumps, lambda extra: [{0: "t", 2: 1, "x": extra}])),
    "a birth": (1, read(PLAIN, "birth", as_json, lambda extra: {"x": extra})),
    "a configuration": (1, read(PLAIN, "cfg", as_json, lambda extra: {"version": 1, "x": extra})),
    "a body": (2, body),
}


@pytest.mark.parametrize("objects", [False, True])
@pytest.mark.parametrize("name", SLOTS)
def test_every_format_takes_the_same_depth_and_no_more(name: str, *, objects: bool) -> None:
    outside, taken = SLOTS[name]
    good = taken(nested(DEPTH_LIMIT - outside, objects=objects))
    assert not isinstance(good, str), good
    for depth in (DEPTH_LIMIT - outside + 1, 200):
        assert "nested" in str(taken(nested(depth, objects=objects)))


def depth_of(content: object) -> int:
    if isinstance(content, dict):
        return 1 + max(map(depth_of, content.values()), default=0)
    if isinstance(content, list):
        return 1 + max(map(depth_of, content), default=0)
    return 0


TEXTS = st.text('[]{}"\\,:a\n', max_size=8)


@settings(max_examples=examples(60), deadline=None)
@given(
    content=st.recursive(
        st.none() | st.integers() | TEXTS,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
        max_leaves=20,
    ),
    more=st.integers(20, 40),
    siblings=st.sampled_from([0, 1, 40]),
    escaped=st.booleans(),
)
def test_the_depth_of_any_json_is_counted_right(
    content: Any, more: int, siblings: int, *, escaped: bool
) -> None:
    content = {"x": nested(more, objects=False), "y": content, "z" * escaped + '"': 1}
    for _ in range(more - 10):
        content = [content]
    many = [{"x": 1}] * siblings
    content = [*many, content, *many]
    assert is_too_deep(as_json(content)) == (depth_of(content) > DEPTH_LIMIT)
    assert is_too_deep(json.dumps(content, separators=(",", ":")).encode()) == (
        depth_of(content) > DEPTH_LIMIT
    )
