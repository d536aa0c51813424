"""A change is noticed whoever made it, and what was predicted of it is compared with what came."""

from __future__ import annotations

import pytest

from iotcache.advisor.advice import MEBIBYTE, Subject
from iotcache.advisor.curves import MemoryCurve, TtlCurve
from iotcache.advisor.evidence import Evidence, GroupEvidence, NodeEvidence
from iotcache.advisor.predictions import HISTORY, Checked, Predictions

EVERY_S = 5.0
MEMORY = MemoryCurve(
    (16 * MEBIBYTE, 32 * MEBIBYTE, 64 * MEBIBYTE, 128 * MEBIBYTE), (0.4, 0.6, 0.7, 0.842), 64 * MEBIBYTE,
    90e6, 50_000.0,
)  # fmt: skip
TTL = TtlCurve(30.0, (0.5, 1.0, 2.0, 4.0), (0.5, 0.7, 0.8, 0.85), (1.0,) * 4, (1.0,) * 4, 50_000.0)


def seen(
    *, megabytes: int = 64, ratio: float | None = 0.7, ttl_s: float = 30.0, group: float = 0.7,
    share: float = 0.5, gets: float = 1_000.0, used: int = 60 * MEBIBYTE, curves: bool = True,
) -> Evidence:  # fmt: skip
    """A minute of a node with these figures."""
    misses = gets * (1 - ratio) if ratio is not None else 0.0
    node = NodeEvidence(
        name="one:1", memory_bytes=megabytes * MEBIBYTE, used_bytes=used, share=share,
        curve=MEMORY if curves else None, gets_per_s=gets if ratio is not None else 0.0, misses_per_s=misses,
    )  # fmt: skip
    key_group = GroupEvidence(
        name="dev#:t", gets_per_s=500.0, hit_ratio=group if ratio is not None else None, set_ttl_s=ttl_s,
        ttl=TTL if curves else None,
    )  # fmt: skip
    return Evidence(seconds=60.0, nodes=(node,), groups=(key_group,))


def run(predictions: Predictions, looks: list[Evidence], begin_s: float = 0.0) -> tuple[Checked, ...]:
    for number, evidence in enumerate(looks):
        predictions.note(begin_s + number * EVERY_S, evidence)
    return predictions.history


def test_more_memory_is_measured_once_it_is_full_and_the_ratio_stands() -> None:
    filling = [
        seen(megabytes=128, ratio=0.7 + 0.002 * n, used=(60 + n) * MEBIBYTE) for n in range(60)
    ]  # it takes five minutes to fill: a ratio on the way is not what was predicted
    full = [seen(megabytes=128, ratio=0.837, used=120 * MEBIBYTE)] * 30
    (one,) = run(Predictions(), [*[seen()] * 5, *filling, *full])
    assert one.subject is Subject.MEMORY and one.about == "one:1"
    assert one.text == "64 → 128 MB: predicted 84.2 %, got 83.7 %"
    assert one.error == pytest.approx(-0.005)
    assert one.before == pytest.approx(0.7)
    assert one.after_s > 300.0


@pytest.mark.parametrize(
    ("after", "subject", "text"),
    [
        ({"ttl_s": 60.0, "group": 0.81}, Subject.TTL, "TTL 30 → 60 s: predicted 80.0 %, got 81.0 %"),
        ({"share": 0.25, "gets": 510.0}, Subject.WEIGHT,
         "50 → 25 % of the keys: predicted 500 gets/s, got 510 gets/s"),
        ({"megabytes": 32, "ratio": 0.61}, Subject.MEMORY, "64 → 32 MB: predicted 60.0 %, got 61.0 %"),
    ],
)  # fmt: skip
def test_each_kind_of_change_is_measured(after: dict[str, float], subject: Subject, text: str) -> None:
    (one,) = run(Predictions(), [*[seen()] * 3, *[seen(**after)] * 60])  # type: ignore[arg-type]
    assert (one.subject, one.text) == (subject, text)


@pytest.mark.parametrize(
    "poor",
    [{"ratio": None}, {"curves": False}, {"ratio": None, "curves": False}],
    ids=["no-gets", "no-curve", "neither"],
)
@pytest.mark.parametrize("after", [{"megabytes": 128, "ratio": 0.837}, {"ttl_s": 60.0, "group": 0.81}])
def test_a_look_that_saw_little_right_before_a_change_takes_nothing_from_what_is_predicted(
    poor: dict[str, object], after: dict[str, float]
) -> None:
    looks = [*[seen()] * 3, seen(**poor), *[seen(**after)] * 60]  # type: ignore[arg-type]
    (one,) = run(Predictions(), looks)
    assert one.measured is not None


def test_what_is_still_being_measured_says_so_and_what_never_can_be_why() -> None:
    predictions = Predictions(patience_s=120.0)
    waiting = run(predictions, [*[seen()] * 3, *[seen(megabytes=128)] * 3])
    assert waiting[0].text == "64 → 128 MB: predicted 84.2 %, being measured"
    again = run(predictions, [seen(megabytes=128), *[seen(megabytes=32, ratio=None)] * 40], 30.0)
    assert [one.note for one in again] == [
        "nobody asked for it since",
        "changed again before it was measured",
    ]


def test_nothing_is_predicted_where_nothing_changed() -> None:
    noise = [seen(ttl_s=30.0 + n % 3, ratio=0.7 + 0.01 * (n % 4), share=0.5 + 0.001 * n) for n in range(15)]
    assert run(Predictions(), noise) == ()


def test_the_history_is_bounded() -> None:
    looks = [seen(megabytes=64 + number % 2) for number in range(4 * HISTORY)]
    assert len(run(Predictions(), looks)) <= HISTORY + 1
