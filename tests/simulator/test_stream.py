"""The stream: the same for the same seed, complete, in order, and what the pure functions say."""

from __future__ import annotations

import gc
import itertools
import json
import tracemalloc
from datetime import datetime
from functools import cache

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iotcache_simulator.faults.kinds import Spike
from iotcache_simulator.fleet.classes import load_classes
from iotcache_simulator.fleet.load import parse_load
from iotcache_simulator.fleet.roster import Roster
from iotcache_simulator.fleet.stream import SHARDS, VIRTUAL_EPOCH_US, Message, Stream, Timeline
from iotcache_simulator.publish.plan.digest import StreamDigest, combined
from iotcache_simulator.publish.plan.spec import FleetSpec

SECOND = 1_000_000
TEN_SECONDS = Timeline(end_us=10 * SECOND)


def messages(stream: Stream, until_us: int, window_us: int = 100_000) -> list[Message]:
    found: list[Message] = []
    at = 0
    while at < until_us:
        at = min(at + window_us, until_us)
        found += stream.window(at)
    return found


def stream(seed: int = 1, devices: int = 60, rate: float = 400.0, timeline: Timeline = TEN_SECONDS) -> Stream:
    return Stream(Roster(seed, devices), timeline, rate=rate)


@cache
def of_ten_seconds() -> list[Message]:
    """What most tests hold something against, made once."""
    return messages(stream(), 10 * SECOND)


def test_one_seed_gives_one_stream_and_another_gives_another() -> None:
    first = of_ten_seconds()
    assert first == messages(stream(seed=1), 10 * SECOND)
    assert first != messages(stream(seed=2), 10 * SECOND)


def test_a_digest_that_no_platform_or_version_may_change() -> None:
    digest = StreamDigest(60)
    digest.add(of_ten_seconds())
    assert digest.hexdigest() == "153a40175f7fde81195bdfdfd5929ab6bad2992dee814b78094e8758b007fd95"


@settings(max_examples=6, deadline=None)
@given(st.integers(1_000, 3_000_000))
def test_windows_of_any_length_give_the_same_stream(window_us: int) -> None:
    assert messages(stream(), 10 * SECOND, window_us) == of_ten_seconds()


def test_messages_come_in_the_order_in_which_they_are_due() -> None:
    due = [message[0] for message in of_ten_seconds()]
    assert due == sorted(due)


def test_parts_of_a_fleet_add_up_to_the_whole_and_to_its_digest() -> None:
    roster = Roster(1, 200)
    whole = messages(Stream(roster, TEN_SECONDS, rate=900.0), 10 * SECOND)
    digest = StreamDigest(200)
    digest.add(whole)
    parts: list[Message] = []
    shards = [b""] * SHARDS
    for part in range(3):
        mine = range(part, SHARDS, 3)
        partition = messages(Stream(roster, TEN_SECONDS, rate=900.0, shards=mine), 10 * SECOND)
        part_digest = StreamDigest(200)
        part_digest.add(partition)
        for shard in mine:
            shards[shard] = part_digest.shards()[shard]
        parts += partition
    assert sorted(parts) == whole
    assert combined(shards) == digest.hexdigest()


def test_a_device_is_the_same_in_a_larger_fleet() -> None:
    small, large = Roster(4, 20), Roster(4, 500)
    assert large.names[:20] == small.names
    assert [large.device(n) for n in range(20)] == [small.device(n) for n in range(20)]


def test_payloads_say_what_the_pure_function_measures() -> None:
    roster = Roster(9, 40)
    timeline = Timeline(end_us=20 * SECOND, boot="abc")
    for _, _, topic, payload, _ in messages(Stream(roster, timeline, rate=300.0), 20 * SECOND):
        content = json.loads(payload)
        assert set(content) == {"device", "sensor", "value", "unit", "ts", "seq", "boot"}
        root, site, device, sensor = topic.decode().split("/")
        assert (root, device, sensor, "abc") == ("iot", content["device"], content["sensor"], content["boot"])
        assert site == roster.site(roster.names.index(device))
    # At whole milliseconds the time in the payload is the exact time of measurement.
    exact = Stream(roster, timeline)
    for group in exact.groups:
        group.phases = type(group.phases)("Q", sorted(at // 1000 * 1000 for at in group.phases))
    checked = 0
    for _, _, _, payload, _ in messages(exact, 20 * SECOND):
        content = json.loads(payload)
        t_us = round(datetime.fromisoformat(content["ts"]).timestamp() * 1000) * 1000
        assert roster.measure(content["device"], content["sensor"], t_us) == content["value"]
        checked += 1
    assert checked > 300


@pytest.mark.parametrize("rate", [0.0, 5.0, 400.0, 5_000.0])
def test_the_rate_is_kept_by_scaling_the_intervals(rate: float) -> None:
    roster = Roster(1, 300)
    seconds = max(2, int(2_000 / (rate or roster.natural_rate)))
    timeline = Timeline(end_us=seconds * SECOND)
    found = messages(Stream(roster, timeline, rate=rate), seconds * SECOND)
    assert len(found) == pytest.approx((rate or roster.natural_rate) * seconds, rel=0.05)


def test_sequence_numbers_count_each_series_without_a_gap() -> None:
    seen: dict[bytes, list[int]] = {}
    for _, _, topic, payload, _ in messages(stream(rate=2_000.0), 10 * SECOND):
        seen.setdefault(topic, []).append(json.loads(payload)["seq"])
    assert len(seen) == Roster(1, 60).series
    for numbers in seen.values():
        assert numbers == list(range(1, len(numbers) + 1))


def test_a_truck_out_of_coverage_falls_silent_and_then_sends_all_of_it_in_order() -> None:
    roster = Roster(3, 4, load_classes(["truck"]))
    timeline = Timeline(end_us=600 * SECOND)
    found = messages(Stream(roster, timeline), 600 * SECOND, 250_000)
    cargo = [(m[0], json.loads(m[3])) for m in found if m[2] == b"iot/fleet/truck-0001/speed"]
    assert [content["seq"] for _, content in cargo] == list(range(1, 301))
    gaps = [after - before for (before, _), (after, _) in itertools.pairwise(cargo)]
    assert 25 <= max(gaps) / SECOND <= 82, "an outage of 25 to 80 s in every 240 s"
    assert sum(gap > 20 * SECOND for gap in gaps) in {2, 3}
    assert sum(gap < 1.5 * SECOND for gap in gaps) > 20, "the backlog comes faster than it was measured"
    assert all(message[0] < 600 * SECOND for message in found), "nothing is owed at the end"


@pytest.mark.parametrize(
    ("devices", "rate", "seconds"), [(100, 1_000.0, 10), (20, 200.0, 12), (100, 400.0, 60)]
)
def test_a_mixed_fleet_holds_its_rate_from_the_first_second_to_the_last(
    devices: int, rate: float, seconds: int
) -> None:
    """No truck is forced back at the end of a run, and none begins it out of coverage."""
    timeline = Timeline(end_us=seconds * SECOND)
    found = messages(Stream(Roster(1, devices), timeline, rate=rate), seconds * SECOND, 250_000)
    by_second = [0] * seconds
    for message in found:
        by_second[message[0] // SECOND] += 1
    assert min(by_second) > 0.85 * rate
    assert max(by_second) < 1.15 * rate
    assert len(found) == pytest.approx(rate * seconds, rel=0.01)


def test_the_time_shown_may_be_moved_without_changing_the_digest() -> None:
    shifted = msgspec.structs.replace(TEN_SECONDS, shift_us=76_000_000 * SECOND, boot="other")
    digests = []
    for timeline in (TEN_SECONDS, shifted):
        digest = StreamDigest(60)
        digest.add(messages(stream(timeline=timeline), 10 * SECOND))
        digests.append(digest.hexdigest())
    assert digests[0] == digests[1]
    first = json.loads(messages(stream(timeline=shifted), SECOND)[0][3])
    shown = datetime.fromisoformat(first["ts"]).timestamp()
    assert 0 <= shown - (VIRTUAL_EPOCH_US / 1e6 + 76_000_000) < 1


def test_a_greeting_names_every_sensor_within_seconds_and_changes_nothing_after() -> None:
    roster = Roster(1, 60)
    plain = messages(Stream(roster, TEN_SECONDS), 10 * SECOND)
    greeted = messages(Stream(roster, TEN_SECONDS, greet=True), 10 * SECOND)
    links_up = [message for message in greeted if b"/fleet/" not in message[2] and message[0] < 3 * SECOND]
    trucks = sum(len(roster.classes[kind].sensor) for kind in roster.kinds if roster.links[kind])
    assert len({message[2] for message in links_up}) == roster.series - trucks
    assert set(plain) < set(greeted)
    extra = [json.loads(message[3])["seq"] for message in greeted if message not in set(plain)]
    assert set(extra) == {0}
    assert [message[0] for message in greeted] == sorted(message[0] for message in greeted)


def held(devices: int) -> int:
    """Bytes that a running fleet holds."""
    tracemalloc.start()
    try:
        roster = Roster(1, devices)
        running = Stream(roster, Timeline())
        for n in range(20):  # until some trucks are out of coverage and keep a backlog
            running.window((n + 1) * 3_000_000)
        gc.collect()  # also gives back the tuples that the interpreter keeps for the next ones
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert running.deferred > 0
    return size


@pytest.mark.long
def test_a_simulated_device_takes_less_than_a_kibibyte() -> None:
    held(300)  # fills what all fleets of a process share
    assert (held(1_300) - held(300)) / 1_000 < 1_024


def test_a_fixed_start_gives_one_boot_id_to_one_run_and_others_to_others() -> None:
    spec = FleetSpec(devices=9, rate=100.0, start_us=1_800_000_000_000_000, seed=77)
    runs = [
        msgspec.structs.replace(spec, **{name: value})
        for name, value in {
            "rate": 200.0, "devices": 10, "seed": 78, "start_us": 1_800_000_001_000_000, "scattered": True,
            "classes": load_classes(["pump"]), "load": parse_load("ramp", None), "faults": (Spike(),),
        }.items()
    ]  # fmt: skip
    boots = {run.timeline(0).boot for run in runs}
    assert len(boots) == len(runs)
    assert spec.timeline(0).boot not in boots
    longer = msgspec.structs.replace(spec, duration_s=60.0, speed=4.0, processes=2, connections=2, qos=2)
    assert longer.timeline(5).boot == spec.timeline(0).boot
