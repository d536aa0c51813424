"""Back-off doubles to its limit, spreads by its jitter and begins anew after a success."""

from __future__ import annotations

import random

import pytest

from iotcache.backoff import Backoff, Jitter


def test_without_jitter_the_pause_doubles_up_to_the_greatest() -> None:
    backoff = Backoff(0.25, 1.5, jitter=Jitter.NONE)
    assert [backoff.next_s() for _ in range(5)] == [0.25, 0.5, 1.0, 1.5, 1.5]


def test_after_a_reset_it_begins_with_the_least_pause() -> None:
    backoff = Backoff(0.25, 8.0, jitter=Jitter.NONE)
    assert [backoff.next_s() for _ in range(3)] == [0.25, 0.5, 1.0]
    assert backoff.attempts == 3
    backoff.reset()
    assert backoff.attempts == 0
    assert backoff.limit_s == 0.25
    assert backoff.next_s() == 0.25


@pytest.mark.parametrize(("jitter", "least"), [(Jitter.EQUAL, 0.5), (Jitter.FULL, 0.0)])
def test_jitter_spreads_pauses_over_its_share_of_the_limit(jitter: Jitter, least: float) -> None:
    backoff = Backoff(2.0, 2.0, jitter=jitter, rng=random.Random(7))
    pauses = [backoff.next_s() / 2.0 for _ in range(1_000)]
    assert all(least <= pause <= 1.0 for pause in pauses)
    # They fill the whole share, not a part of it.
    width = 1.0 - least
    assert min(pauses) < least + 0.01 * width
    assert max(pauses) > 1.0 - 0.01 * width


def test_two_clients_of_one_seed_wait_alike_and_of_two_seeds_do_not() -> None:
    def pauses(seed: int) -> list[float]:
        backoff = Backoff(0.1, 5.0, rng=random.Random(seed))
        return [backoff.next_s() for _ in range(8)]

    assert pauses(1) == pauses(1)
    assert pauses(1) != pauses(2)


def test_a_least_pause_above_the_greatest_is_cut_to_it() -> None:
    backoff = Backoff(5.0, 1.0, jitter=Jitter.NONE)
    assert [backoff.next_s(), backoff.next_s()] == [1.0, 1.0]


@pytest.mark.parametrize("limits", [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0), (float("nan"), 1.0)])
def test_pauses_of_nothing_are_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        Backoff(*limits)


async def test_waiting_sleeps_for_the_next_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("iotcache.backoff.asyncio.sleep", sleep)
    backoff = Backoff(0.5, 1.0, jitter=Jitter.NONE)
    for _ in range(3):
        await backoff.wait()
    assert slept == [0.5, 1.0, 1.0]
