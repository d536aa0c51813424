"""The verdict: which promises a run kept, or which conditions it met."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import msgspec

from iotcache.errors import UsageError
from iotcache.text import plural
from iotcache_simulator.report.conditions import Condition
from iotcache_simulator.report.junit import Case
from iotcache_simulator.report.simulate import CacheBalance, Ledger, Report

RATE_TOLERANCE = 0.9
"""A run that achieves less than this part of the rate of its own deadlines has failed."""
_NAMED = 3
"""So many missing readings are named in a sentence, up to 1,000 in the report."""
_COUNTS = (
    "planned", "published", "confirmed", "unconfirmed", "unsent", "refused", "resent", "late", "reconnects",
)  # fmt: skip


def cases(
    report: Report, conditions: Sequence[Condition] = (), unreachable: str = "", failure: str = ""
) -> list[Case]:
    """What the verdict is made of: the conditions, when there are any, else what every run promises.

    Conditions do not make good for a run that was interrupted, or in which there was nothing to look at.
    """
    if conditions and report.ended_by != "unreachable":
        measured = figures(report)
        required = [
            Case(condition.text, "" if condition.holds(measured) else condition.describe(measured))
            for condition in conditions
        ]
        broken = _substance(report, failure)
        return required + [Case(name, reason) for name, reason in broken.items() if reason]
    return [Case(name, reason) for name, reason in promises(report, unreachable, failure).items()]


def judged(report: Report, found: Sequence[Case]) -> Report:
    """The report with its verdict."""
    failures = tuple(case.failure for case in found if case.failure)
    return msgspec.structs.replace(report, ok=not failures, failures=failures)


def is_vacuous(report: Report) -> bool:
    """Whether there was nothing to judge: nothing was due, or no place had anything to look at."""
    reached = report.ended_by != "unreachable"
    return reached and any(bool(failure) for name, failure in _substance(report).items() if name in _VACUOUS)


def promises(report: Report, unreachable: str = "", failure: str = "") -> dict[str, str]:
    """What every run promises: its name, and in a sentence how it was broken (empty: it was kept).

    ``unreachable``: why there was no connection; ``failure``: why the run broke off.
    """
    reached = report.ended_by != "unreachable"
    broken = {
        "the broker was reached": ""
        if reached
        else unreachable or f"the broker at {report.broker} was never reached"
    }
    if not reached:
        return broken
    broken |= _substance(report, failure)
    undecided = report.unconfirmed - report.refused
    broken["every message was sent"] = (
        f"not sent: {report.unsent} of {plural(report.planned, 'planned message')}" if report.unsent else ""
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
    return broken if report.ledger is None else broken | _kept_by(report.ledger)


_PLANNED, _VERIFIED = "something was due", "there was something to verify"
_VACUOUS = (_PLANNED, _VERIFIED)


def _substance(report: Report, failure: str = "") -> dict[str, str]:
    """Without these no run says anything, whatever is required of it."""
    length = report.duration_s
    interrupted = report.ended_by == "signal" and (length.planned, report.count) != (None, None)
    broken = {
        "the run did not break off": failure
        or ("a process of the fleet died" if report.ended_by == "failed" else ""),
        "the run was not interrupted": f"the run was interrupted after {length.actual:g} s of "
        f"{(length.planned or 0.0) / (report.speed or 1.0):g} s"
        if interrupted and report.speed and length.planned
        else "the run was interrupted before its end"
        if interrupted
        else "",
        _PLANNED: "" if report.planned else "no reading was due in this run, so it proves nothing",
    }
    if (ledger := report.ledger) is not None:
        empty = []
        if not ledger.expected:
            empty.append("no reading was due that can be looked for")
        elif (
            (cache := ledger.cache) is not None
            and cache.expired
            and not (cache.fresh + cache.stale + cache.absent + cache.others)
        ):
            empty.append("every entry of the cache may have expired before it was looked at")
        broken[_VERIFIED] = f"{empty[0]}, so nothing was verified" if empty and report.planned else ""
    return broken


def _kept_by(ledger: Ledger) -> dict[str, str]:
    """What the places that were verified promise."""
    first = _first(ledger.missing, "{0.device} {0.sensor} {0.seq}")
    broken = {
        "no reading was lost": f"{_are(ledger.lost, 'reading')} missing ({_where(ledger.lost_in)}); {first}"
        if ledger.lost
        else ""
    }
    changes = [one for one in ledger.deviations if one.field != "topic"]
    first = _first(changes, "{0.device} {0.sensor} {0.seq}: {0.field} {0.found} instead of {0.expected}")
    broken["no reading was altered"] = (
        f"{_are(ledger.altered, 'reading')} altered ({_where(ledger.altered_in)}); {first}"
        if ledger.altered
        else ""
    )
    moves = [one for one in ledger.deviations if one.field == "topic"]
    first = _first(moves, "{0.device} {0.sensor} {0.seq}: {0.found} instead of {0.expected}")
    broken["no reading was misplaced"] = (
        f"{_are(ledger.misplaced, 'reading')} misplaced ({_where(ledger.misplaced_in)}); {first}"
        if ledger.misplaced
        else ""
    )
    first = _first(ledger.foreign_readings, "{0.device} {0.sensor} {0.seq}")
    broken["no reading is foreign"] = (
        f"{_were(ledger.foreign, 'reading')} never sent ({_where(ledger.foreign_in)}); {first}"
        if ledger.foreign
        else ""
    )
    if (mqtt := ledger.mqtt) is not None:
        broken["the broker handed on each message once and in order"] = (
            f"{_were(mqtt.unexplained, 'message')} handed on twice or out of order without a cause"
            if mqtt.unexplained
            else ""
        )
    if (store := ledger.store) is not None:
        broken["the store has each reading once"] = (
            f"{_are(store.duplicates, 'reading')} stored more than once" if store.duplicates else ""
        )
    return broken if ledger.cache is None else broken | _cached(ledger.cache)


def _cached(cache: CacheBalance) -> dict[str, str]:
    stale = f"{_are(cache.stale, 'cached value')} stale; {_first(cache.stale_series, '{0}')}"
    absent = f"{_are(cache.absent, 'cached value')} absent before the TTL has passed; " + _first(
        cache.absent_series, "{0}"
    )
    return {
        "no cached value is stale": stale if cache.stale else "",
        "no cached value is absent": absent if cache.absent else "",
        "no other fleet wrote the cached values": (
            f"{_are(cache.others, 'cached value')} of another fleet whose devices have the same names "
            "(a stack's own fleet? --no-simulate leaves it out)"
            if cache.others
            else ""
        ),
    }


def _first(named: Sequence[object], form: str) -> str:
    return "the first: " + ", ".join(form.format(one) for one in named[:_NAMED])


def _where(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} in {place}" for place, count in counts.items() if count)


def _are(count: int, noun: str) -> str:
    return f"1 {noun} is" if count == 1 else f"{count} {noun}s are"


def _were(count: int, noun: str) -> str:
    return f"1 {noun} was" if count == 1 else f"{count} {noun}s were"


LISTENING = ("listening",)
"""What measures the figures of `Report.listening`."""
_LISTENING_COUNTS = (
    "configurations", "applied", "half_applied", "commands", "done", "ignored", "rejected", "outdated",
    "reported",
)  # fmt: skip
_MEASURED_BY = {
    **dict.fromkeys(_LISTENING_COUNTS, LISTENING),
    **{f"{of}_{name}": LISTENING for of in ("apply", "report") for name in ("p50", "p95", "p99", "max")},
    **dict.fromkeys(("received", "duplicates", "out_of_order", "unexplained"), ("mqtt",)),
    **{f"e2e_{name}": ("mqtt",) for name in ("p50", "p95", "p99", "max")},
    "stored": ("store",),
    **dict.fromkeys(("fresh", "stale", "absent", "others", "expired"), ("cache",)),
    **dict.fromkeys(("expected", "lost", "altered", "misplaced", "foreign"), ("mqtt", "store", "cache")),
}
"""Figures that only a verified place gives, and which."""


def check_measured(conditions: Sequence[Condition], places: Collection[str]) -> None:
    """Raises `UsageError` for a condition on a figure that these places of ``--verify`` do not measure.

    `LISTENING` is one where devices listen.
    """
    for condition in conditions:
        needed = _MEASURED_BY.get(condition.name)
        if needed is not None and not set(needed) & set(places):
            where = "--listen" if needed == LISTENING else f"--verify {' or '.join(needed)}"
            raise UsageError(f"--require {condition.text!r}: {condition.name} needs {where}")


FIGURES = {
    "planned": "count", "published": "count", "confirmed": "count", "unconfirmed": "count", "unsent": "count",
    "refused": "count", "resent": "count", "late": "count", "reconnects": "count", "rate": "rate",
    "expected": "count", "lost": "count", "received": "count", "duplicates": "count", "out_of_order": "count",
    "foreign": "count", "stored": "count", "fresh": "count", "stale": "count", "absent": "count",
    "others": "count", "expired": "count", "altered": "count", "misplaced": "count", "unexplained": "count",
    **dict.fromkeys(_LISTENING_COUNTS, "count"),
    **{
        f"{group}_{name}": "ms"
        for group in ("lag", "ack", "e2e", "apply", "report")
        for name in ("p50", "p95", "p99", "max")
    },
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
    if (listening := report.listening) is not None:
        results |= {name: n for name, n in msgspec.structs.asdict(listening).items() if name in FIGURES}
        groups |= {"apply": listening.apply_ms, "report": listening.report_ms}
    for group, percentiles in groups.items():
        if percentiles is not None:
            results |= {
                f"{group}_{name}": getattr(percentiles, name) for name in ("p50", "p95", "p99", "max")
            }
    if ledger is not None:
        for name in ("expected", "lost", "altered", "misplaced"):
            results[name] = getattr(ledger, name)
        for balance in (ledger.mqtt, ledger.cache):
            if balance is not None:
                results |= {name: n for name, n in msgspec.structs.asdict(balance).items() if name in FIGURES}
        if ledger.store is not None:
            results["stored"] = ledger.store.stored
        results["foreign"] = ledger.foreign + (ledger.mqtt.foreign if ledger.mqtt is not None else 0)
    return results
