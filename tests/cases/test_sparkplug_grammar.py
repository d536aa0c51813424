"""Sessions of edge nodes built from Sparkplug's grammar and written by the reference schema: what was put in
is what is read, whichever way the specification lets it be said.

The schema is Eclipse Tahu's ``sparkplug_b.proto``, as protoc compiled it, from another project's wheel.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from leaf_device.proto import sparkplug_b_pb2 as reference

from iotcache.decode.decoder import Decoder
from iotcache.decode.outcomes import PartlyDecoded
from iotcache.decode.sparkplug.reader import BirthWanted, SparkplugEvent
from iotcache.decode.topics import Topics
from iotcache.model import DeadLetter
from tests.examples import examples

NOW_MS = 1_795_348_800_000
_TEXT = st.text(st.characters(codec="utf-8", min_codepoint=1), max_size=8)
_VALUES: dict[int, st.SearchStrategy[Any]] = {
    **{kind: st.integers(-(1 << bits - 1), (1 << bits - 1) - 1) for kind, bits in
       ((1, 8), (2, 16), (3, 32), (4, 64))},
    **{kind: st.integers(0, (1 << bits) - 1) for kind, bits in ((5, 8), (6, 16), (7, 32), (8, 64), (13, 44))},
    9: st.floats(width=32), 10: st.floats(), 11: st.booleans(), 12: _TEXT, 14: _TEXT, 15: _TEXT,
}  # fmt: skip
_ARRAYS = {22: "b", 23: "h", 24: "i", 25: "q", 26: "B", 27: "H", 28: "I", 29: "Q", 31: "d"}
_VALUES |= {kind: st.lists(_VALUES[10 if kind == 31 else kind - 21], max_size=3) for kind in _ARRAYS}
_NUMBERS = st.integers(0, 59)
_BITS = {1: 8, 2: 16, 3: 32, 4: 64}


class Tag(NamedTuple):
    """A metric as a birth has it; one in a template has the template's name before its own."""

    name: str
    kind: int
    alias: int | None
    unit: str
    template: str


def put(metric: Any, kind: int, value: Any, width: int) -> None:
    """Write a value where the specification has it; ``width``: of the two's complement of small integers."""
    if kind in _ARRAYS:
        metric.bytes_value = struct.pack(f"<{len(value)}{_ARRAYS[kind]}", *value)
    elif kind in (1, 2, 3):
        metric.int_value = value & ((1 << max(width, _BITS[kind])) - 1)
    elif kind in (4, 8, 13):
        metric.long_value = value & ((1 << 64) - 1)
    elif kind in (5, 6, 7):
        if width == 32:  # Tahu's Java client
            metric.long_value = value
        else:
            metric.int_value = value
    elif kind == 9:
        metric.float_value = value
    elif kind == 10:
        metric.double_value = value
    elif kind == 11:
        metric.boolean_value = value
    else:
        metric.string_value = value


def expected(tag: Tag, value: Any) -> list[tuple[str, Any, str]]:
    name = f"{tag.template}/{tag.name}" if tag.template else tag.name
    if tag.kind in _ARRAYS:
        pairs = [(f"{name}/{place}", one) for place, one in enumerate(value)]
    else:
        pairs = [(name, value)]
    return [
        (of, one, tag.unit) for of, one in pairs if not (isinstance(one, float) and not math.isfinite(one))
    ]


@st.composite
def tags(draw: st.DrawFn) -> dict[str, list[Tag]]:
    """The metrics of an edge node ("") and its devices.

    Aliases are unique under the edge node, or, as some programs have them, under each device.
    """
    free = list(draw(st.permutations(range(20))))
    of_each = draw(st.booleans())
    made: dict[str, list[Tag]] = {}
    for device in ("", *draw(st.lists(st.sampled_from(["pump1", "pump 2"]), unique=True))):
        names = draw(st.lists(st.sampled_from("abcdef/").map(lambda c: f"t{c}x"), unique=True, max_size=5))
        if of_each:
            free = list(draw(st.permutations(range(6))))
        made[device] = [
            Tag(
                name, draw(st.sampled_from(sorted(_VALUES))),
                free.pop() if draw(st.booleans()) else None,
                draw(st.sampled_from(["", "°C"])), draw(st.sampled_from(["", "", "Motor1"])),
            )
            for name in names
        ]  # fmt: skip
    return made


@st.composite
def sessions(draw: st.DrawFn) -> list[tuple[str, str, bytes, list[tuple[str, Any, str]], bool]]:
    """Kind, device, payload, what is read of it, and whether some of it cannot be kept."""
    said: list[tuple[str, str, bytes, list[tuple[str, Any, str]], bool]] = []
    plan: list[tuple[str, str, dict[str, list[Tag]]]] = []
    for _ in range(draw(st.integers(1, 2))):  # births that come again may name, type and number all anew
        known = draw(tags())
        plan += [("NBIRTH", "", known)] + [("DBIRTH", device, known) for device in known if device]
        data = [("DDATA" if device else "NDATA", device, known) for device in known]
        plan += [data[draw(_NUMBERS) % len(data)] for _ in range(draw(_NUMBERS) % 5)]
    seq = -1
    for number, (kind, device, known) in enumerate(plan):
        seq = 0 if kind == "NBIRTH" else seq + 1
        content = reference.Payload(timestamp=NOW_MS + number, seq=seq)
        wanted: list[tuple[str, Any, str]] = []
        is_birth, lost = kind.endswith("BIRTH"), False
        for tag in known[device]:
            if not is_birth and draw(st.booleans()):
                continue
            metric = content.metrics.add()
            inner = metric
            if tag.template:
                metric.name, metric.datatype = tag.template, 19
                metric.template_value.template_ref = "Motor"
                metric.template_value.is_definition = False
                inner = metric.template_value.metrics.add()
            by_alias = tag.alias is not None and not is_birth and draw(st.booleans())
            if tag.alias is not None and (is_birth or by_alias):
                inner.alias = tag.alias
            if not by_alias:
                inner.name = tag.name
            if is_birth or draw(st.booleans()):
                inner.datatype = tag.kind
            if draw(st.booleans()):
                inner.timestamp = NOW_MS + number
            if is_birth and tag.unit:
                inner.properties.keys.append("engUnit")
                inner.properties.values.add(type=12, string_value=tag.unit)
            if draw(st.integers(0, 5)) == 0:
                inner.is_null = True
                continue
            value = draw(_VALUES[tag.kind])
            put(inner, tag.kind, value, draw(st.sampled_from([8, 16, 32])))
            found = expected(tag, value)
            wanted += found
            lost = lost or len(found) < (len(value) if tag.kind in _ARRAYS else 1)
        raw = content.SerializeToString()
        match draw(st.sampled_from(["", "", "GZIP", "DEFLATE"])):
            case "GZIP":
                raw = reference.Payload(
                    uuid="SPBV1.0_COMPRESSED", body=gzip.compress(raw, mtime=0), seq=seq
                ).SerializeToString()
            case "DEFLATE":
                raw = reference.Payload(
                    uuid="SPBV1.0_COMPRESSED", body=zlib.compress(raw)
                ).SerializeToString()
        said.append((kind, device, raw, wanted, lost))
    return said


def alike(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, float) and isinstance(ours, float):
        return ours == theirs or struct.pack("<f", ours) == struct.pack("<f", theirs)
    if type(theirs) is int and theirs >= 1 << 63:
        return bool(ours == float(theirs))
    return type(ours) is type(theirs) and bool(ours == theirs)


@settings(max_examples=examples(40), deadline=None)
@given(sessions())
def test_what_an_edge_node_says_is_what_is_read(
    said: list[tuple[str, str, bytes, list[tuple[str, Any, str]], bool]],
) -> None:
    events: list[SparkplugEvent] = []
    decoder = Decoder(Topics(["spBv1.0/#"]), on_sparkplug=events.append)
    for number, (kind, device, raw, wanted, lost) in enumerate(said):
        topic = f"spBv1.0/G/{kind}/E" + (f"/{device}" if device else "")
        found = decoder.decode(topic, raw, NOW_MS * 1_000 + 60_000_000 + number)
        if lost and not wanted:
            assert isinstance(found, DeadLetter)
            continue
        assert isinstance(found, PartlyDecoded if lost else list), found
        readings = found.readings if isinstance(found, PartlyDecoded) else found
        assert [(one.sensor, one.unit) for one in readings] == [(name, unit) for name, _, unit in wanted]
        assert all(alike(one.value, value) for one, (_, value, _) in zip(readings, wanted, strict=True))
        assert {one.device for one in readings} <= {f"G/E/{device}" if device else "G/E"}
    assert not [event for event in events if isinstance(event, BirthWanted)]
