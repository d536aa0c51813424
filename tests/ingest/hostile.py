"""The worst that strangers may publish to each decoder: limits overrun, types mixed, bytes flipped or cut."""

from __future__ import annotations

import random
import struct
from functools import cache
from typing import Any, Final

from tests.ingest import worst
from tests.ingest.test_formats import dumps, field

KINDS: Final = ("json", "cbor", "senml", "senml-cbor", "sparkplug", "document")
_HUGE: Final = "9" * 400
_NUMBERS: Final = (
    "0",
    "-0",
    "1e400",
    "-1e400",
    "1e-400",
    _HUGE,
    f"-{_HUGE}",
    f"{_HUGE}.5",
    "NaN",
    "Infinity",
    "1e308",
    str(2**63),
    str(-(2**63) - 1),
    str(2**64),
    "1.7976931348623157e308",
    "00",
    "true",
    "null",
    '"5"',
    '"\\u0000"',
    '"\\ud800"',
    '"' + "x" * 2_000 + '"',
    "[]",
    "{}",
    "[" * 1_500 + "]" * 1_500,
    '{"a":' * 1_100 + "1" + "}" * 1_100,
)
_KEYS: Final = ("value", "ts", "device", "sensor", "site", "unit", "seq", "boot", "x")
_SENML_KEYS: Final = (*worst.SENML_LABELS, "boot", "x_")


def messages(kind: str, count: int, seed: int) -> list[tuple[str, bytes]]:
    """``count`` messages, the same ones for the same seed: half random, half from `tests.ingest.worst`."""
    rng = random.Random(f"{kind} {seed}")
    built = [one for one in _worst(kind.partition("-")[0]) if _can_be_sent(*one)]
    chosen = [_BUILDERS[kind](rng) for _ in range(count - count // 2)] + rng.choices(built, k=count // 2)
    rng.shuffle(chosen)
    return chosen


@cache
def _worst(kind: str) -> list[tuple[str, bytes]]:
    return list(worst.MESSAGES[kind]())


def _can_be_sent(topic: str, payload: bytes) -> bool:
    """Whether a broker takes it: no topic with characters that MQTT forbids, no payload of megabytes."""
    return topic.isprintable() and len(payload) < 100_000


def _object(rng: random.Random, keys: tuple[str, ...]) -> str:
    chosen = rng.sample(keys, rng.randint(1, 5))
    return "{" + ",".join(f'"{key}":{rng.choice(_NUMBERS)}' for key in chosen) + "}"


def _spoilt(rng: random.Random, raw: bytes) -> bytes:
    """The bytes as they are, cut, flipped in one place, or with something after them."""
    where = rng.randrange(len(raw)) if raw else 0
    match rng.randrange(6):
        case 0:
            return raw[:where]
        case 1:
            return raw[:where] + bytes([rng.randrange(256)]) + raw[where + 1 :]
        case 2:
            return raw + rng.randbytes(3)
        case _:
            return raw


def _topic(rng: random.Random, sensor: str) -> str:
    if rng.random() < 0.8:
        return f"iot/s/evil/{sensor}"
    return rng.choice((f"iot/{'s' * 300}/evil/{sensor}", f"iot//evil/{sensor}"))


def _json(rng: random.Random) -> tuple[str, bytes]:
    text = _object(rng, _KEYS)
    if rng.random() < 0.3:
        text = "[" + ",".join(_object(rng, _KEYS) for _ in range(rng.randint(0, 4))) + "]"
    return _topic(rng, "t"), _spoilt(rng, text.encode())


def _senml(rng: random.Random) -> tuple[str, bytes]:
    records = [_object(rng, _SENML_KEYS) for _ in range(rng.randint(1, 4))]
    return _topic(rng, "pack"), _spoilt(rng, ("[" + ",".join(records) + "]").encode())


def _value(rng: random.Random) -> Any:
    return rng.choice(
        (
            0,
            2**64 - 1,
            -(2**63),
            float("nan"),
            float("inf"),
            -0.0,
            1e308,
            True,
            None,
            "x" * 2_000,
            "\0",
            b"\xff",
            [],
            {},
        )
    )


def _cbor(rng: random.Random) -> tuple[str, bytes]:
    raw = dumps({key: _value(rng) for key in rng.sample(_KEYS, 4)})
    special = (
        b"\x81" * 5_000,
        b"\xa1\x61a" * 500,
        b"\x9f" * 100,
        b"\xc4\x82\x1b" + b"\xff" * 8 + b"\x01",
        b"\xc4\x82\x3b" + b"\x7f" * 8 + b"\x01",
        b"\xc2\x58\x40" + b"\xff" * 64,
        b"\x9b" + b"\xff" * 8,
        b"\xf9\x7e\x00",
        b"\xfa\x7f\xa0\x00\x01",
        b"\xff",
    )
    if rng.random() < 0.2:
        raw = b"\xa1\x65value" + rng.choice(special)
    return _topic(rng, "t"), _spoilt(rng, raw)


def _senml_cbor(rng: random.Random) -> tuple[str, bytes]:
    labels = range(-7, 9)
    records = [{rng.choice(labels): _value(rng) for _ in range(4)} for _ in range(rng.randint(1, 4))]
    return _topic(rng, "senml"), _spoilt(rng, dumps(records))


def _sparkplug(rng: random.Random) -> tuple[str, bytes]:
    def metric(depth: int = 0) -> bytes:
        raw = b""
        if rng.random() < 0.8:
            raw += field(1, rng.choice((b"a", b"b", b"\xff", b"n" * 5_000, b"", b"x\0y")))
        if rng.random() < 0.5:
            raw += field(2, rng.randrange(4))
        if rng.random() < 0.3:
            raw += field(3, rng.choice((0, 2**64 - 1, 1)))
        raw += field(4, rng.randrange(40))
        match rng.randrange(7):
            case 0:
                raw += field(10, rng.getrandbits(64))
            case 1:
                raw += field(13, rng.choice((float("nan"), float("inf"), 1e308, 2.0)))
            case 2:
                raw += bytes([12 << 3 | 5]) + struct.pack("<I", rng.getrandbits(32))
            case 3:
                raw += field(15, rng.choice((b"\xff", b"y" * 90_000, b"\0", b"on")))
            case 4 if depth < 60:
                raw += field(18, field(2, metric(depth + rng.choice((1, 60)))))
            case 5:
                raw += field(rng.choice((16, 17, 19)), rng.randbytes(9))
        return raw

    kind = rng.choice(("NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "NONSENSE"))
    device = "/d" if kind[0] == "D" else rng.choice(("", "", "/d"))
    topic = rng.choice((f"spBv1.0/g/{kind}/e{device}", f"spBv1.0/{'g' * 300}/{kind}/e{device}", "spBv1.0/"))
    payload = b"".join(field(2, metric()) for _ in range(rng.randint(0, 5)))
    if rng.random() < 0.2:
        payload += field(4, b"SPBV1.0_COMPRESSED") + field(5, rng.randbytes(40))
    return topic, _spoilt(rng, payload)


def _document(rng: random.Random) -> tuple[str, bytes]:
    content = _object(rng, ("version", "ts", "device", "site", "x"))
    if rng.random() < 0.3:
        depth = rng.choice((31, 33, 940, 5_000))
        content = '{"version":1,"x":' + "[" * depth + "]" * depth + "}"
    sensor = rng.choice(("cfg", "meta", "birth", "death"))
    return _topic(rng, sensor), _spoilt(rng, content.encode())


_BUILDERS: Final = {
    "json": _json,
    "cbor": _cbor,
    "senml": _senml,
    "senml-cbor": _senml_cbor,
    "sparkplug": _sparkplug,
    "document": _document,
}

assert set(_BUILDERS) == set(KINDS)
