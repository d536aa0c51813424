"""The verdict cannot be fooled: every planted fault of a back end turns it red, and is named."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from iotcache.model import Reading
from iotcache_simulator.faults.kinds import Duplicate, Late
from iotcache_simulator.fleet.formats.encoders import Format
from iotcache_simulator.publish.plan.spec import FleetSpec
from tests.conftest import Server
from tests.simulator.backend import HEALTHY, Delivery, Mutation, Wire, verdict

pytestmark = pytest.mark.real("memcached")
SPEC = FleetSpec(devices=10, duration_s=40.0, seed=5)
"""All classes, at their own intervals: numbers, whole numbers, truth values and texts."""


def changed(change: Callable[[dict[str, Any]], dict[str, Any] | None], every: int = 10) -> Wire:
    """Every so many-th message with its payload's fields changed; ``None`` leaves the message as it is."""

    def wire(sent: list[Delivery]) -> list[Delivery]:
        found = []
        for number, (topic, payload) in enumerate(sent):
            fields = change(json.loads(payload)) if number % every == every // 2 else None
            changed_payload = payload if fields is None else json.dumps(fields).encode()
            found.append(Delivery(topic, changed_payload))
        return found

    return wire


def plus(fields: dict[str, Any], by: float) -> dict[str, Any] | None:
    value = fields["value"]
    return None if isinstance(value, bool | str) else fields | {"value": value + by}


def rounded(fields: dict[str, Any]) -> dict[str, Any] | None:
    value = fields["value"]
    return None if isinstance(value, bool | str) else fields | {"value": round(value)}


def truncated(fields: dict[str, Any]) -> dict[str, Any] | None:
    value = fields["value"]
    return fields | {"value": value[:-1]} if isinstance(value, str) else None


def as_number(fields: dict[str, Any]) -> dict[str, Any] | None:
    value = fields["value"]
    return fields | {"value": int(value)} if isinstance(value, bool) else None


def swapped_devices(sent: list[Delivery]) -> list[Delivery]:
    """Two devices of one class have each other's names, in topic and payload."""
    names = sorted({topic.split("/")[2] for topic, _ in sent})
    first, second = next((a, b) for a, b in pairwise(names) if a.split("-")[0] == b.split("-")[0])
    other = {first: second, second: first}
    found = []
    for topic, payload in sent:
        site, device, sensor = topic.split("/")[1:]
        name = other.get(device, device)
        fields = json.loads(payload) | {"device": name}
        found.append(Delivery(f"iot/{site}/{name}/{sensor}", json.dumps(fields).encode()))
    return found


def phantoms(sent: list[Delivery]) -> list[Delivery]:
    extra = [
        Delivery(topic, json.dumps(fields | {"seq": fields["seq"] + 100_000}).encode())
        for topic, fields in ((topic, json.loads(payload)) for topic, payload in sent[:3])
    ]
    return [*sent, *extra]


def reordered(sent: list[Delivery]) -> list[Delivery]:
    """One reading of a series is handed on after the next one."""
    topic = max({topic for topic, _ in sent}, key=lambda name: sum(name == one for one, _ in sent))
    first, second = [at for at, (name, _) in enumerate(sent) if name == topic][:2]
    found = list(sent)
    found[first], found[second] = found[second], found[first]
    return found


def moved(sent: list[Delivery]) -> list[Delivery]:
    return [
        Delivery(topic.rpartition("/")[0] + "/other" if number % 20 == 3 else topic, payload)
        for number, (topic, payload) in enumerate(sent)
    ]


def each(change: Callable[[Reading], Reading], every: int = 10) -> Callable[[list[Reading]], list[Reading]]:
    return lambda rows: [
        change(row) if number % every == every // 2 else row for number, row in enumerate(rows)
    ]


def number(row: Reading, change: Callable[[float], Any]) -> Reading:
    if isinstance(row.value, bool | str):
        return row
    return replace(row, value=change(float(row.value)))


def float32(value: float) -> float:
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def swapped_sensors(rows: list[Reading]) -> list[Reading]:
    """Two sensors of a device are mixed up: each reading under the other's name."""
    device = next(row.device for row in rows)
    first, second = sorted({row.sensor for row in rows if row.device == device})[:2]
    other = {first: second, second: first}
    return [replace(row, sensor=other.get(row.sensor, row.sensor)) if row.device == device else row
            for row in rows]  # fmt: skip


def rows_of_others(rows: list[Reading]) -> list[Reading]:
    """Every device's readings are stored under its neighbour's name."""
    names = sorted({row.device for row in rows})
    other = dict(zip(names, [*names[1:], names[0]], strict=True))
    return [replace(row, device=other[row.device]) for row in rows]


def older(rows: list[Reading]) -> list[Reading]:
    """The cache of one series was not told the last reading."""
    row = next(row for row in rows if (row.seq or 0) > 1)
    return [replace(one, seq=(one.seq or 0) - 1) if one is row else one for one in rows]


def swapped_units(rows: list[Reading]) -> list[Reading]:
    """Two sensors of a device have each other's unit."""
    device = next(row.device for row in rows if row.device.startswith("pump"))
    units = {row.sensor: row.unit for row in rows if row.device == device}
    first, second = sorted(units)[:2]
    other = {first: units[second], second: units[first]}
    return [replace(row, unit=other.get(row.sensor, row.unit)) if row.device == device else row
            for row in rows]  # fmt: skip


def mean(one: float, other: float) -> float:
    return (one + other) / 2


def smoothed(rows: list[Reading]) -> list[Reading]:
    """Each number is the mean of itself and the one before it."""
    before: dict[object, float] = {}
    found = []
    for row in rows:
        last = before.get(row.series)
        if last is not None:
            row = number(row, partial(mean, last))
        if not isinstance(row.value, bool | str):
            before[row.series] = float(row.value)
        found.append(row)
    return found


def repeated(rows: list[Reading]) -> list[Reading]:
    """The second reading of each series has the first one's value."""
    first = {row.series: row.value for row in rows if row.seq == 1}
    return [replace(row, value=first[row.series]) if row.seq == 2 else row for row in rows]


def swapped_entries(rows: list[Reading]) -> list[Reading]:
    """Two series lie in the cache under each other's key."""
    first, second = sorted(rows, key=lambda row: row.series)[:2]
    other = {first.series: first, second.series: second}
    names = {first.series: second, second.series: first}
    return [
        replace(other[row.series], device=names[row.series].device, sensor=names[row.series].sensor)
        if row.series in other
        else row
        for row in rows
    ]


def last_to_arrive(readings: list[Reading]) -> list[Reading]:
    return list({reading.series: reading for reading in readings}.values())


HOUR = 3_600_000_000
LOST, ALTERED, FOREIGN = "missing", "altered", "never sent"
MUTATIONS = [
    Mutation("wire: one message dropped", "(1 in mqtt)", wire=lambda sent: sent[:40] + sent[41:]),
    Mutation(
        "wire: the last of each batch dropped", "in mqtt",
        wire=lambda sent: [one for at, one in enumerate(sent) if at % 25 != 24],
    ),
    Mutation("wire: the very last message dropped", "(1 in mqtt)", wire=lambda sent: sent[:-1]),
    Mutation("wire: 100 added to values", ALTERED, wire=changed(lambda fields: plus(fields, 100))),
    Mutation("wire: values off by a hair", ALTERED, wire=changed(lambda fields: plus(fields, 1e-9))),
    Mutation(
        "wire: values rounded to whole numbers", "value",
        wire=changed(rounded, 2),
    ),
    Mutation("wire: texts cut short", "value", wire=changed(truncated, 1)),
    Mutation("wire: truth values as numbers", "value", wire=changed(as_number, 1)),
    Mutation(
        "wire: times a millisecond late", "ts",
        wire=changed(lambda f: f | {"ts": f["ts"][:-4] + f"{(int(f['ts'][-4:-1]) + 1) % 1000:03d}Z"}),
    ),
    Mutation("wire: times without a zone", "ts", wire=changed(lambda f: f | {"ts": f["ts"].rstrip("Z")})),
    Mutation("wire: times of another year", "ts", wire=changed(lambda f: f | {"ts": "2020" + f["ts"][4:]})),
    Mutation("wire: another unit", "unit", wire=changed(lambda f: f | {"unit": "°F"})),
    Mutation("wire: no unit", "unit", wire=changed(lambda f: {k: f[k] for k in f if k != "unit"}, 1)),
    Mutation("wire: another topic", "misplaced", wire=moved),
    Mutation(
        "wire: another site", "misplaced",
        wire=lambda sent: [Delivery(t.replace("iot/", "iot/x-", 1), p) for t, p in sent],
    ),
    Mutation("wire: devices swapped", ALTERED, wire=swapped_devices),
    Mutation("wire: readings that nobody sent", FOREIGN, wire=phantoms),
    Mutation("wire: messages doubled", "handed on twice", wire=lambda sent: [*sent, *sent[::10]]),
    Mutation(
        "wire: doubled with another value", ALTERED,
        wire=lambda sent: [*sent, *changed(lambda fields: plus(fields, 1))(sent[::10])],
    ),
    Mutation("wire: order changed", "out of order", wire=reordered),
    Mutation(
        "wire: payloads cut short", LOST,
        wire=lambda sent: [Delivery(t, p[:-9] if at % 10 == 3 else p) for at, (t, p) in enumerate(sent)],
    ),
    Mutation("wire: another boot id", LOST, wire=changed(lambda f: f | {"boot": "00000000"})),
    Mutation("wire: numbers renumbered", LOST, wire=changed(lambda f: f | {"seq": f["seq"] + 1})),
    Mutation("store: one row dropped", "(1 in store)", rows=lambda rows: rows[:40] + rows[41:]),
    Mutation(
        "store: the last of each batch dropped", "in store",
        rows=lambda rows: [row for at, row in enumerate(rows) if at % 25 != 24],
    ),
    Mutation("store: nothing stored", "in store", rows=lambda rows: rows[:0]),
    Mutation("store: 100 added to values", ALTERED, rows=each(lambda row: number(row, lambda v: v + 100))),
    Mutation("store: floats of 32 bits", ALTERED, rows=each(lambda row: number(row, float32), 1)),
    Mutation("store: values rounded", ALTERED, rows=each(lambda row: number(row, lambda v: round(v, 0)), 1)),
    Mutation("store: numbers as texts", ALTERED, rows=each(lambda row: number(row, str))),
    Mutation(
        "store: truth values as numbers", ALTERED,
        rows=each(lambda r: replace(r, value=float(r.value)) if isinstance(r.value, bool) else r, 1),
    ),
    Mutation(
        "store: texts cut short", ALTERED,
        rows=each(lambda r: replace(r, value=r.value[:3]) if isinstance(r.value, str) else r, 1),
    ),
    Mutation("store: times a millisecond late", "ts", rows=each(lambda r: replace(r, ts_us=r.ts_us + 1_000))),
    Mutation("store: times a second early", "ts", rows=each(lambda r: replace(r, ts_us=r.ts_us - 999_000))),
    Mutation("store: times cut to seconds", "ts",
             rows=each(lambda r: replace(r, ts_us=r.ts_us // 1_000_000 * 1_000_000), 1)),
    Mutation("store: another unit", "unit", rows=each(lambda r: replace(r, unit="°F"))),
    Mutation("store: another site", "misplaced", rows=each(lambda r: replace(r, site="elsewhere"))),
    Mutation("store: sensors swapped", "store", rows=swapped_sensors),
    Mutation("store: devices swapped", "store", rows=rows_of_others),
    Mutation(
        "store: rows that nobody sent", FOREIGN,
        rows=lambda rows: rows + [replace(row, seq=(row.seq or 0) + 100_000) for row in rows[:3]],
    ),
    Mutation(
        "store: rows doubled", "stored more than once",
        sql=("DROP INDEX reading_identity",
             "INSERT INTO reading SELECT series_id, ts_us + 1, seq, boot, value, received_us, odd "
             "FROM reading WHERE seq = 1"),
    ),
    Mutation("store: units swapped between two sensors", "unit", rows=swapped_units),
    Mutation("store: minus signs lost", ALTERED, rows=each(lambda row: number(row, abs), 1)),
    Mutation("store: truth values inverted", ALTERED,
             rows=each(lambda r: replace(r, value=not r.value) if isinstance(r.value, bool) else r, 1)),
    Mutation("store: times of another zone", LOST, rows=each(lambda r: replace(r, ts_us=r.ts_us + HOUR), 1)),
    Mutation("store: times of receipt", "ts", rows=each(lambda r: replace(r, ts_us=r.received_us + 9), 1)),
    Mutation("store: names in capitals", LOST, rows=each(lambda r: replace(r, device=r.device.upper()))),
    Mutation("store: long names cut short", LOST, rows=each(lambda r: replace(r, device=r.device[:-1]), 1)),
    Mutation("store: the first of each series dropped", "in store",
             rows=lambda rows: [row for row in rows if row.seq != 1]),
    Mutation("store: every second reading kept", "in store",
             rows=lambda rows: [row for row in rows if (row.seq or 0) % 2]),
    Mutation("store: two boots mixed", LOST, rows=each(lambda r: replace(r, boot="ffffffff"), 7)),
    Mutation("store: values smoothed", ALTERED, rows=smoothed),
    Mutation("store: a value said twice", ALTERED, rows=repeated),
    Mutation(
        "store: what comes again is stored again", "stored more than once", faults=(Duplicate(chance=0.5),),
        sql=("DROP INDEX reading_identity",
             "INSERT INTO reading SELECT series_id, ts_us + 1, seq, boot, value, received_us, odd "
             "FROM reading WHERE seq % 5 = 2"),
    ),
    Mutation(
        "cache: the last to arrive and not the newest", "stale", faults=(Late(by_s=30.0, chance=0.4),),
        newest=last_to_arrive,
    ),
    Mutation("cache: two entries swapped", "in cache", cached=swapped_entries),
    Mutation("cache: never written", "absent", cached=lambda rows: rows[:0]),
    Mutation(
        "cache: one series never written", "1 cached value is absent before",
        cached=lambda rows: [row for row in rows if row is not min(rows, key=lambda r: r.seq or 0)],
    ),
    Mutation("cache: one series stale", "1 cached value is stale", cached=older),
    Mutation("cache: values altered", "in cache", cached=each(lambda r: number(r, lambda v: v + 1), 1)),
    Mutation("cache: times altered", "in cache", cached=each(lambda r: replace(r, ts_us=r.ts_us + 1_000))),
    Mutation("cache: units altered", "in cache", cached=each(lambda r: replace(r, unit="K"), 1)),
    Mutation("cache: sites altered", "misplaced", cached=each(lambda r: replace(r, site="elsewhere"), 1)),
    Mutation("cache: no reading at all", "stale", raw=b"\x80\x04K\x01."),
    Mutation(
        "cache: a reading that nobody sent", FOREIGN,
        cached=lambda rows: [replace(rows[0], seq=(rows[0].seq or 0) + 1), *rows[1:]],
    ),
    Mutation("cache: another run's", "another fleet", cached=each(lambda r: replace(r, boot="00000000"), 1)),
]  # fmt: skip


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
async def test_a_back_end_with_this_fault_is_found_out(
    mutation: Mutation, memcached: Server, tmp_path: Path
) -> None:
    spec = replace(SPEC, faults=mutation.faults)
    if mutation.faults:
        assert (await verdict(spec, memcached.address, tmp_path)).ok, "a healthy back end bears it"
    report = await verdict(spec, memcached.address, tmp_path, mutation)
    assert not report.ok
    assert any(mutation.says in failure for failure in report.failures), report.failures


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 8))]
)
@pytest.mark.parametrize("payload", ["json", "cbor", "senml"])
async def test_a_healthy_back_end_stays_green(
    seed: int, payload: str, memcached: Server, tmp_path: Path
) -> None:
    spec = replace(SPEC, seed=seed, payload=Format(payload))
    report = await verdict(spec, memcached.address, tmp_path, HEALTHY)
    assert report.ok, report.failures
    assert report.ledger is not None
    assert report.ledger.cache is not None
    assert report.ledger.cache.fresh > 0
