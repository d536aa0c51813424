"""What births and configurations on their topics come to, hostile ones included."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotcache.decode.device_messages import (
    DOCUMENT_LIMIT_BYTES,
    read_device_message,
)
from iotcache.decode.limits import DEPTH_LIMIT
from iotcache.decode.topics import Topics
from iotcache.entry_codec import document_content
from iotcache.model import DeadLetter, DeviceMessage, DeviceRetired, Document, DocumentKind
from iotcache.model.messages import Message

NOW_US = 1_795_348_800_000_000
TOPICS = Topics(["iot/{site}/{device}/{sensor}"])


def read_message(
    payload: bytes | dict[str, object], what: str = "cfg", *, retain: bool = False, size: int = 0
) -> DeviceMessage | DeadLetter | None:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    topic = f"iot/north/dev-1/{what}"
    message = Message(topic, raw, 1, retain, 1, 1, NOW_US, size or len(raw))
    return read_device_message(TOPICS.names(topic), message)


def test_a_configuration_is_a_document_of_its_version() -> None:
    got = read_message({"version": 7, "every_s": 5})
    assert got == Document(
        "dev-1", DocumentKind.CONFIG, 7, '{"version":7,"every_s":5}', "north", NOW_US
    )  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"junk", "not JSON: invalid character, at byte 0"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "something else"),
        (b'{"version": NaN}', "holds NaN, which is neither JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"version":1,"x":"\\ud800"}', "not JSON"),
        ({"every_s": 5}, '"version"'),
        ({"version": "7"}, '"version"'),
        ({"version": True}, '"version"'),
        ({"version": -1}, '"version"'),
        ({"version": 2**63}, '"version"'),
        ({"version": 1.5}, '"version"'),
        ({"version": 1, "device": "other\x1b[31m"}, "the payload 'other"),
        ({"version": 1, "site": "south"}, "names site"),
        ({"version": 1, "x": "y" * DOCUMENT_LIMIT_BYTES}, "are allowed"),
    ],
)
def test_what_is_no_configuration_is_a_dead_letter_with_a_reason(payload: object, why: str) -> None:
    got = read_message(payload)  # type: ignore[arg-type]
    assert isinstance(got, DeadLetter)
    assert why in got.reason
    assert got.reason.isprintable()


def test_a_birth_is_of_its_own_time_but_never_of_one_to_come() -> None:
    early = read_message({"ts": "2026-11-22T11:00:00Z", "model": "x"}, "birth")
    assert isinstance(early, Document)
    assert (early.kind, early.version, early.at_us) == (
        DocumentKind.META, NOW_US - 3_600_000_000, NOW_US - 3_600_000_000,
    )  # fmt: skip
    for ts in (NOW_US // 1_000_000 - 60, (NOW_US - 60_000_000) // 1_000, NOW_US - 60_000_000):
        same = read_message({"ts": ts}, "birth")
        assert isinstance(same, Document)
        assert same.version == NOW_US - 60_000_000
    for content in (
        {"ts": "2099-01-01T00:00:00Z"},
        {},
        {"ts": 5},
        {"ts": "yesterday"},
        {"ts": "1970-01-01T00:00:09Z"},
        {"ts": True},
        {"ts": 1e300},
        {"ts": [1]},
    ):
        got = read_message(dict(content), "birth")
        assert isinstance(got, Document)
        assert got.version == NOW_US, content


def test_a_birth_that_the_broker_kept_and_that_has_no_time_stands_back() -> None:
    got = read_message({"model": "x"}, "birth", retain=True)
    assert isinstance(got, Document)
    assert got.version == 0


def test_what_is_taken_back_and_what_does_not_last() -> None:
    assert read_message(b"", "birth") == DeviceRetired("dev-1", NOW_US)
    assert read_message(b"", "cfg") is None
    assert read_message(b"", "meta") is None
    assert read_message({"reason": "lost"}, "death") is None
    assert isinstance(read_message({"model": 1}, "meta"), Document)


def test_a_payload_of_which_only_the_head_is_kept_is_refused() -> None:
    got = read_message({"version": 1}, size=2_000_000)
    assert isinstance(got, DeadLetter)
    assert "2000000 bytes" in got.reason


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["birth", "meta", "cfg", "death"]), st.booleans())
def test_never_an_exception(payload: bytes, what: str, retain: bool) -> None:
    read_message(payload, what, retain=retain)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    ),
    st.sampled_from(["birth", "cfg"]),
)
def test_any_json_comes_to_something_that_can_be_kept(content: object, what: str) -> None:
    got = read_message(json.dumps({"version": 1, "x": content, "ts": content}).encode(), what)
    if isinstance(got, Document):
        assert "\0" not in got.content
        assert json.loads(got.content)["version"] == 1


def nested(depth: int) -> bytes:
    return b'{"version":1,"x":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


def at_depth(frames: int, document: Document) -> object:
    return at_depth(frames - 1, document) if frames else document_content(document)


def test_what_is_taken_can_be_read_back_by_every_caller() -> None:
    got = read_message(nested(DEPTH_LIMIT))
    assert isinstance(got, Document)
    for frames in (0, 100, 800):
        assert at_depth(frames, got) == json.loads(nested(DEPTH_LIMIT))
    for depth in (DEPTH_LIMIT + 1, 940, 50_000):
        refused = read_message(nested(depth))
        assert isinstance(refused, DeadLetter)
        assert f"deeper than {DEPTH_LIMIT}" in refused.reason


def test_brackets_in_texts_are_no_nesting() -> None:
    content = {"version": 1, "x": "[{" * 200 + '"\\', "y": ["]}" * 200, "[" * 99], "z": [{}] * 500}
    assert isinstance(read_message(content), Document)
