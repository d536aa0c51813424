"""All examples of RFC 8428 (sections 5.1, 5.2 and 6) give their resolved form, as JSON and as CBOR, and so do
packs that are built from the grammar: the reference is a resolver of the test's own, after section 4."""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotcache.decode.decoder import Decoder
from iotcache.decode.mapping.paths import NotThere
from iotcache.decode.outcomes import NothingInIt
from iotcache.decode.topics import Topics
from iotcache.model import DeadLetter, Reading
from tests.cases.rfc8428_examples import EXAMPLES, NOW_S, Resolved, as_cbor
from tests.examples import examples

DECODER = Decoder(Topics(["iot/{site}/{device}/{sensor}", "gateways/{site}"]))


def read(topic: str, payload: bytes) -> list[Reading]:
    found = DECODER.decode(topic, payload, NOW_S * 1_000_000)
    assert isinstance(found, list), found
    return found


def unit_shown(unit: str) -> str:
    return {"Cel": "°C", "/": ""}.get(unit, unit)


@pytest.mark.parametrize("form", ["json", "cbor"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_gives_its_resolved_form(name: str, form: str) -> None:
    pack, resolved = EXAMPLES[name]
    payload = as_cbor(pack) if form == "cbor" else json.dumps(pack).encode()
    found = read("gateways/north", payload)
    assert [(one.value, one.unit) for one in found] == [
        (value, unit_shown(unit)) for _, unit, value, _ in resolved
    ]
    for n, (one, (full, unit, _, at_s)) in enumerate(zip(found, resolved, strict=True)):
        assert abs(one.ts_us - at_s * 1e6) <= 1 + n
        assert full.rstrip("/") in (one.device, f"{one.device}:{one.sensor}", f"{one.device}/{one.sensor}")
        assert one.sensor in (full.rpartition(":")[2].rpartition("/")[2], unit)
    # Every series is of one name and one unit.
    series = defaultdict(set)
    for one, (full, unit, _, _) in zip(found, resolved, strict=True):
        series[one.device, one.sensor].add((full, unit))
    assert all(len(sources) == 1 for sources in series.values())


def resolve(pack: list[dict[str, Any]]) -> Resolved:
    """Section 4.6 in as few words as it takes."""
    base: dict[str, Any] = {"bn": "", "bt": 0, "bu": "", "bv": 0}
    found: Resolved = []
    for record in pack:
        base |= {label: value for label, value in record.items() if label in base}
        value = record["v"] + base["bv"] if "v" in record else record.get("vs", record.get("vb"))
        if value is None:
            continue
        at_s = base["bt"] + record.get("t", 0)
        at_s = at_s + NOW_S if at_s < 2**28 else at_s
        found.append((base["bn"] + record.get("n", ""), record.get("u", base["bu"]), value, at_s))
    return found


_NUMBERS = st.integers(-(10**6), 10**6) | st.integers(-(2**20), 2**20).map(lambda n: n / 64)
_UNITS = st.sampled_from(["Cel", "V", "A", "%RH", "/", "lat"])
_VALUES = st.one_of(
    st.builds(lambda v: {"v": v}, _NUMBERS), st.builds(lambda v: {"vb": v}, st.booleans()),
    st.builds(lambda v: {"vs": v}, st.text(st.characters(codec="utf-8", min_codepoint=1), max_size=9)),
    st.builds(lambda v, s: {"v": v, "s": s}, _NUMBERS, _NUMBERS), st.builds(lambda s: {"s": s}, _NUMBERS),
    st.just({"vd": "aGkgCg"}), st.just({}),
)  # fmt: skip
_RECORDS = st.builds(
    lambda base, own, value, name: {**base, **own, **value, "n": name},
    st.fixed_dictionaries(
        {},
        optional={
            "bt": st.integers(NOW_S - 10**8, NOW_S) | st.integers(-1_000, 1_000), "bu": _UNITS,
            "bv": _NUMBERS, "bver": st.integers(1, 10), "bs": _NUMBERS,
        },
    ),
    st.fixed_dictionaries(
        {},
        optional={"u": _UNITS, "t": st.integers(-1_000, 1_000).map(lambda t: t / 4), "ut": st.integers(0, 90),
                  "x-own": st.text(max_size=3)},
    ),
    _VALUES,
    st.sampled_from(["temp", "value", "a.b", "n", "3303/0/5700", "x_y"]),
)  # fmt: skip


@settings(max_examples=examples(60), deadline=None)
@given(st.lists(_RECORDS, min_size=1, max_size=6), st.sampled_from(["json", "cbor", "words in cbor"]))
def test_a_pack_of_the_grammar_gives_its_resolved_form(pack: list[dict[str, Any]], form: str) -> None:
    pack[0]["bn"] = "dev-1:"
    wanted = resolve(pack)
    payload = {"json": lambda: json.dumps(pack).encode(), "cbor": lambda: as_cbor(pack),
               "words in cbor": lambda: cbor2.dumps(pack)}[form]()  # fmt: skip
    outcome = DECODER.decode("iot/s/dev-1/senml", payload, NOW_S * 1_000_000)
    if not wanted:
        assert isinstance(outcome, DeadLetter | NothingInIt)
        return
    assert isinstance(outcome, list), outcome
    units = defaultdict(set)
    for name, unit, _, _ in wanted:
        units[name].add(unit)
    assert [(one.device, one.sensor, one.value, one.unit) for one in outcome] == [
        ("dev-1", own if len(units[name]) == 1 or not unit else f"{own}/{unit}", value, unit_shown(unit))
        for name, unit, value, _ in wanted
        for own in (name.removeprefix("dev-1:"),)
    ]
    for one, (_, _, _, at_s) in zip(outcome, wanted, strict=True):
        assert abs(one.ts_us - at_s * 1e6) < 10


@pytest.mark.parametrize("form", ["json", "cbor"])
@given(
    label=st.text("abcxyz", min_size=1, max_size=4), at=st.integers(0, 2), pack=st.lists(_RECORDS, min_size=3)
)
@settings(max_examples=examples(15), deadline=None)
def test_a_label_that_must_be_known_refuses_the_pack_wherever_it_is(
    form: str, label: str, at: int, pack: list[dict[str, Any]]
) -> None:
    pack[at] |= {f"{label}_": 1}
    payload = as_cbor(pack) if form == "cbor" else json.dumps(pack).encode()
    found = DECODER.decode("iot/s/dev-1/senml", payload, NOW_S * 1_000_000)
    assert isinstance(found, DeadLetter)
    assert f"{label}_" in found.reason


# CBOR against cbor2


def _head(major: int, number: int, width: int = 0) -> bytes:
    """The head of an item; ``width``: bytes at least, as writers may be wasteful."""
    if number < 24 and not width:
        return bytes([major << 5 | number])
    for minor, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if size >= width and number < 1 << (8 * size):
            return bytes([major << 5 | minor]) + number.to_bytes(size, "big")
    raise NotThere(number)


def _integers(number: int, width: int) -> bytes:
    return _head(0, number, width) if number >= 0 else _head(1, -1 - number, width)


def _float(number: float, size: int) -> bytes:
    head, form = {2: (b"\xf9", ">e"), 4: (b"\xfa", ">f"), 8: (b"\xfb", ">d")}[size]
    return head + struct.pack(form, number)


def _joined(major: int, pieces: list[bytes], count: int, *, indefinite: bool) -> bytes:
    body = b"".join(pieces)
    return bytes([major << 5 | 31]) + body + b"\xff" if indefinite else _head(major, count) + body


_WIDTHS = st.sampled_from([0, 1, 2, 4, 8])
_HALVES = st.integers(-2048, 2048).map(lambda n: n / 32)
_TEXTS = st.text(max_size=6)
_LEAVES = st.one_of(
    st.builds(_integers, st.integers(-(2**63), 2**63 - 1), _WIDTHS),
    st.builds(_float, _HALVES, st.sampled_from([2, 4, 8])),
    st.builds(lambda n: _float(n, 4), st.floats(allow_nan=False, width=32)),
    st.builds(lambda n: _float(n, 8), st.floats(allow_nan=False)),
    st.sampled_from([b"\xf4", b"\xf5", b"\xf6", b"\xf7"]),
    _TEXTS.map(lambda text: _head(3, len(text.encode())) + text.encode()),
    st.binary(max_size=6).map(lambda raw: _head(2, len(raw)) + raw),
    st.lists(_TEXTS, max_size=3).map(
        lambda many: b"\x7f" + b"".join(_head(3, len(one.encode())) + one.encode() for one in many) + b"\xff"
    ),
    st.builds(lambda tag, raw: _head(6, tag) + _head(2, len(raw)) + raw, st.sampled_from([2, 3]),
              st.binary(min_size=1, max_size=12)),
    st.builds(lambda e, m: b"\xc4\x82" + _integers(e, 0) + _integers(m, 0), st.integers(-300, 280),
              st.integers(-(2**53), 2**53)),
    st.builds(lambda e, m: b"\xc5\x82" + _integers(e, 0) + _integers(m, 0), st.integers(-900, 900),
              st.integers(-(2**53), 2**53)),
)  # fmt: skip
_ITEMS = st.recursive(
    _LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda many, endless: _joined(4, many, len(many), indefinite=endless),
                  st.lists(inner, max_size=4), st.booleans()),
        st.builds(
            lambda many, endless: _joined(
                5, [_head(3, len(key.encode())) + key.encode() + one for key, one in many.items()], len(many),
                indefinite=endless,
            ),
            st.dictionaries(_TEXTS, inner, max_size=4), st.booleans(),
        ),
        inner.map(lambda raw: b"\xd9\xd9\xf7" + raw),
    ),
    max_leaves=10,
)  # fmt: skip


def _alike(ours: Any, theirs: Any) -> bool:
    """Whether both read the same, one as plain values."""
    if isinstance(theirs, list | tuple):
        return isinstance(ours, list) and len(ours) == len(theirs) and all(map(_alike, ours, theirs))
    if isinstance(theirs, Mapping):
        return set(ours) == set(theirs) and all(_alike(ours[key], theirs[key]) for key in theirs)
    if isinstance(theirs, cbor2.CBORTag):
        return theirs.tag == 55799 and _alike(ours, theirs.value)
    if theirs is cbor2.undefined:
        return ours is None
    if isinstance(theirs, float):
        # A single precision number reads as the shortest decimal that stands for it.
        return bool(ours == theirs) or struct.pack(">f", ours) == struct.pack(">f", theirs)
    if isinstance(theirs, int | str | bytes | None):
        return type(ours) is type(theirs) and bool(ours == theirs)
    return bool(float(ours) == float(theirs))  # a Decimal


@settings(max_examples=examples(40), deadline=None)
@given(_ITEMS)
def test_what_the_reference_library_reads_out_of_cbor_we_read_out_of_it(raw: bytes) -> None:
    from iotcache.decode import cbor

    assert _alike(cbor.loads(raw), cbor2.loads(raw))
