"""The verdict: which promises a run kept, or which conditions it met."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from iotcache_simulator.report.conditions import Condition
from iotcache_simulator.report.junit import Case
from iotcache_simulator.report.simulate import Report

RATE_TOLERANCE = 0.9
"""A run that achieves less than this part of the rate of its own deadlines has failed."""
_NAMED = 3
"""So many missing readings are named in a sentence, up to 1,000 in the report."""
_COUNTS = (
    "planned", "published", "confirmed", "unconfirmed", "unsent", "refused", "resent", "late", "reconnects",
)  # fmt: skip


def cases(report: Report, conditions: Sequence[Condition] = (), unreachable: str = "") -> list[Case]:
    """What the verdict is made of: the conditions, when there are any, else what every run promises."""
    if conditions and report.ended_by != "unreachable":
        measured = figures(report)
        return [
            Case(condition.text, "" if condition.holds(measured) else condition.describe(measured))
            for condition in conditions
        ]
    return [Case(name, failure) for name, failure in promises(report, unreachable).items()]


def judged(report: Report, results: Sequence[Case]) -> Report:
    """The report with its verdict."""
    failures = tuple(case.failure for case in results if case.failure)
    return msgspec.structs.replace(report, ok=not failures, failures=failures)


def promises(report: Report, unreachable: str = "") -> dict[str, str]:
    """What every run promises: its name, and in a sentence how it was broken (empty: it was kept).

    ``unreachable``: why there was no connection.
    """
    reached = report.ended_by != "unreachable"
    broken = {
        "the broker was reached": ""
        if reached
        else unreachable or f"the broker at {report.broker} was never reached"
    }
    if not reached:
        return broken
    undecided = report.unconfirmed - report.refused
    broken["every message was sent"] = (
        f"{report.unsent} of {report.planned} planned messages were not sent" if report.unsent else ""
    )
    broken["every message was confirmed"] = (
        f"{_were(undecided, 'message')} not confirmed by the broker" if undecided else ""
    )
    broken["no message was refused"] = (
        f"{_were(report.refused, 'message')} refused by the broker" if report.refused else ""
    )
    length = report.duration_s
    if report.ended_by == "duration" and length.planned and report.speed and length.actual >= 1.0:
        due = report.planned / length.planned * report.speed
        broken["the rate was kept"] = (
            f"the rate was {report.rate.achieved:.1f} messages/s instead of {due:.1f}"
            if report.rate.achieved < RATE_TOLERANCE * due
            else ""
        )
    if (ledger := report.ledger) is not None:
        where = ", ".join(f"{count} in {place}" for place, count in ledger.lost_in.items() if count)
        first = ", ".join(f"{one.device} {one.sensor} {one.seq}" for one in ledger.missing[:_NAMED])
        missing = f"{_are(ledger.lost, 'reading')} missing ({where}); the first: {first}"
        broken["no reading was lost"] = missing if ledger.lost else ""
        if ledger.cache is not None:
            stale = ledger.cache.stale
            broken["no cached value is stale"] = f"{_are(stale, 'cached value')} stale" if stale else ""
            others = ledger.cache.others
            broken["no other fleet wrote the cached values"] = (
                f"{_are(others, 'cached value')} of another fleet whose devices have the same names "
                "(a stack's own fleet? --no-simulate leaves it out)"
                if others
                else ""
            )
    return broken


def _are(count: int, noun: str) -> str:
    return f"1 {noun} is" if count == 1 else f"{count} {noun}s are"


def _were(count: int, noun: str) -> str:
    return f"1 {noun} was" if count == 1 else f"{count} {noun}s were"


FIGURES = {
    "planned": "count", "published": "count", "confirmed": "count", "unconfirmed": "count", "unsent": "count",
    "refused": "count", "resent": "count", "late": "count", "reconnects": "count", "rate": "rate",
    "expected": "count", "lost": "count", "received": "count", "duplicates": "count", "out_of_order": "count",
    "foreign": "count", "stored": "count", "fresh": "count", "stale": "count", "absent": "count",
    "others": "count",
    **{f"{group}_{name}": "ms" for group in ("lag", "ack", "e2e") for name in ("p50", "p95", "p99", "max")},
}  # fmt: skip
"""The figures that ``--require`` may name, and what each is measured in."""


def figures(report: Report) -> dict[str, float | None]:
    """The value of every one of `FIGURES`; ``None`` for what this run did not measure."""
    results: dict[str, float | None] = dict.fromkeys(FIGURES)
    for name in _COUNTS:
        results[name] = getattr(report, name)
    results["rate"] = report.rate.achieved
    ledger = report.ledger
    groups = {"lag": report.lag_ms, "ack": report.ack_ms, "e2e": ledger and ledger.end_to_end_ms}
    for group, percentiles in groups.items():
        if percentiles is not None:
            results |= {
                f"{group}_{name}": getattr(percentiles, name) for name in ("p50", "p95", "p99", "max")
            }
    if ledger is not None:
        results |= {"expected": ledger.expected, "lost": ledger.lost}
        for balance in (ledger.mqtt, ledger.store, ledger.cache):
            if balance is not None:
                results |= msgspec.structs.asdict(balance)
    return results
