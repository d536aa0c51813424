"""Load profiles: the rate follows the curve, and nothing is lost or moved by how it is computed."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotcache.errors import UsageError
from iotcache_simulator.fleet.load import Load, WorkClock, parse_load
from iotcache_simulator.fleet.roster import Roster
from iotcache_simulator.fleet.stream import Message, Stream, Timeline

SECOND = 1_000_000
PIECES = st.lists(
    st.tuples(st.integers(1, 10_000_000), st.integers(0, 20_000)), min_size=1, max_size=6
).filter(lambda pieces: any(rate for _, rate in pieces))


@given(PIECES, st.integers(0, 10**9), st.integers(0, 10**9))
def test_bending_there_and_back_is_exact(pieces: list[tuple[int, int]], time_us: int, work_us: int) -> None:
    work_clock = WorkClock(tuple(pieces))
    work = work_clock.work(time_us)
    # What is due before `work` happens before `time_us`, and nothing else does.
    assert work_clock.time(work) >= time_us
    assert work == 0 or work_clock.time(work - 1) < time_us
    assert work_clock.time(work_us) <= work_clock.time(work_us + 1)


def per_second(
    load: Load | None, seconds: int = 40, rate: float = 1_000.0, **options: Any
) -> tuple[list[int], list[Message]]:
    stream = Stream(Roster(1, 300), Timeline(end_us=seconds * SECOND), rate=rate, load=load, **options)
    found: list[Message] = []
    for n in range(seconds * 2):
        found += stream.window((n + 1) * SECOND // 2)
    counts = [0] * seconds
    for message in found:
        counts[message[0] // SECOND] += 1
    return counts, found


@pytest.mark.parametrize("scattered", [False, True])
def test_the_rate_follows_its_profile(scattered: bool) -> None:
    def rates(text: str) -> list[int]:
        return per_second(parse_load(text, 40.0), rate=300.0, scattered=scattered)[0]

    ramp = rates("ramp:from=0.2,to=1")
    assert ramp[0] == pytest.approx(63, rel=0.3)
    assert ramp[-4] == pytest.approx(285, rel=0.15)
    step = rates("step:steps=4")
    assert [sum(step[n * 10 : n * 10 + 9]) / 9 for n in range(4)] == pytest.approx(
        [75, 150, 225, 300], rel=0.12
    )
    burst = rates("burst:every=10,for=2,times=4")
    assert burst[5] == pytest.approx(300, rel=0.15)
    assert burst[9] == pytest.approx(1_200, rel=0.15)
    spike = rates("spike:at=20,for=1,times=8")
    assert spike.index(max(spike)) == 20
    assert max(spike) == pytest.approx(2_400, rel=0.15)
    day = rates("diurnal:low=0.1")
    assert 17 <= day.index(max(day)) <= 23
    assert day[0] < 0.25 * max(day)


def test_the_mean_is_that_of_the_run_though_it_ends_between_two_bursts() -> None:
    def mean(text: str, seconds: float | None) -> float:
        load = parse_load(text, seconds)
        assert load is not None
        return load.mean

    assert mean("burst", 20.0) == 1.0, "the first burst would come after 25 s"
    assert mean("burst", 30.0) == mean("burst", 60.0) == mean("burst", None) == pytest.approx(5 / 3)
    assert mean("burst", 40.0) == pytest.approx((5 / 3 * 30 + 10) / 40)
    assert mean("ramp", 10.0) == pytest.approx(0.55, rel=1e-3)


@pytest.mark.parametrize("text", ["ramp", "burst:every=7,for=1", "diurnal:low=0"])
@pytest.mark.parametrize("scattered", [False, True])
def test_windows_and_numbers_are_as_in_an_even_stream(text: str, scattered: bool) -> None:
    load = parse_load(text, 20.0)
    roster, timeline = Roster(1, 60), Timeline(end_us=20 * SECOND)
    whole = Stream(roster, timeline, rate=300.0, load=load, scattered=scattered).window(20 * SECOND)
    stream = Stream(roster, timeline, rate=300.0, load=load, scattered=scattered)
    pieces = [message for n in range(1_000) for message in stream.window((n + 1) * 20_060)]
    assert whole == pieces
    assert [message[0] for message in whole] == sorted(message[0] for message in whole)
    numbers: dict[bytes, list[int]] = {}
    for message in whole:
        numbers.setdefault(message[2], []).append(int(message[4].split(b" ")[3]))
    assert all(found == list(range(found[0], found[0] + len(found))) for found in numbers.values())
    assert {found[0] for found in numbers.values()} <= ({0, 1} if scattered else {1})


def test_scattered_readings_keep_the_rate_and_lose_the_rhythm() -> None:
    _, regular = per_second(None, seconds=12)
    _, scattered = per_second(None, seconds=12, scattered=True)
    assert len(scattered) == pytest.approx(len(regular), rel=0.02)
    topic = regular[0][2]

    def gaps(messages: list[Message]) -> set[int]:
        due = [message[0] for message in messages if message[2] == topic]
        return {after - before for before, after in pairwise(due)}

    assert len(gaps(regular)) <= 2
    assert len(gaps(scattered)) > 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rampp", "no such profile"), ("ramp:too=1", "no 'too'"), ("ramp:from=x", "'x'"),
        ("constant:x=1", "no such"),
        ("ramp:from=0,to=0", "0 throughout"), ("burst:every=1,for=2", "below 'every'"),
        ("step:steps=0", "steps"),
        ("ramp:from=-1", "'-1'"), ("", "no such profile"),
    ],
)  # fmt: skip
def test_a_profile_that_makes_no_sense_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_load(text, 10.0)
