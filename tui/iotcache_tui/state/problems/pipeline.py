"""Problems of what runs between the servers: workers, simulators, reads, alerts. Pure functions of facts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from iotcache.model import MissReason, Severity
from iotcache.text import plural, printable
from iotcache_tui.format import counted, duration, milliseconds, rate
from iotcache_tui.state.flow_history import mean
from iotcache_tui.state.problems.placement import difference
from iotcache_tui.state.problems.problem import Facts, Gravity, Problem, some_of
from iotcache_tui.state.reasons import label_of

HEAR_S: Final = 3.0
"""Workers tell of themselves once a second: so long after the broker answered all of them were heard."""
SURE_S: Final = 6.0
"""One that has been silent for less may only have got no processor time."""
LAG_S: Final = 1.0
SLOW_COMMIT_MS: Final = 100.0
LATE_SHARE: Final = 0.2
BACKLOG_SHARE: Final = 0.1
FALLBACK_SHARE: Final = 0.2
STALE_SHARE: Final = 0.2
WINDOW_S: Final = 5
CLOCK_S: Final = 30.0
"""Clocks that differ by less show in no age that matters; what a message is late by is far below it."""


def worst(values: Iterable[float]) -> float:
    return max(values, default=0.0)


def no_worker(facts: Facts) -> Iterator[Problem]:
    """None is heard although the broker lets us hear."""
    broker, ours = facts.part("broker"), facts.part("ingest")
    if broker is None or broker.state != "up" or facts.processes.workers or facts.processes.silent:
        return
    if ours is not None and ours.state != "up":
        return  # it is off, starts, or is down and told as such
    since_s = max(broker.since_s, ours.since_s if ours is not None else 0.0, facts.last_worker_s)
    were_heard = since_s == facts.last_worker_s > 0
    if facts.now_s - since_s < HEAR_S and not were_heard:
        return
    published = sum(one.stats.rate for one in facts.processes.simulators)
    # What the last one stored may be read a while after it was heard for the last time.
    if facts.fresh_since(since_s + (2 * HEAR_S if were_heard else HEAR_S)) > 0:
        yield Problem(
            "workers", "not heard", "workers", "readings come in, yet none tells of itself",
            "may this dashboard read iotcache/stats/#?", Gravity.BLIND, since_s, kind="absent",
        )  # fmt: skip
        return
    cause = f"{rate(published)} messages/s are published, " if published >= 1 else ""
    yield Problem(
        "workers", "not heard", "workers", f"{cause}nobody stores them" if cause else "nothing is stored",
        "iotcache-tui ingest starts one", Gravity.DOWN, since_s if were_heard or not facts.seconds else 0.0,
        kind="absent",
    )  # fmt: skip


def silent_workers(facts: Facts) -> Iterator[Problem]:
    """Workers that were there, did not say goodbye, and say nothing: they hang, or are cut off."""
    broker = facts.part("broker")
    if broker is not None and broker.state != "up":
        return
    heard = facts.processes.workers
    contested_ids = {one.stats.client_id for one in heard if one.stats.contested}
    # Of those that take each other's connection over, one is away at any moment.
    silent = [one for one in facts.processes.silent if one.stats.client_id not in contested_ids]
    for one in silent:
        stats = one.stats
        where = f"process {stats.pid}" + (f" on {printable(stats.host, 60)}" if stats.host else "")
        others = (
            f"{some_of(len(heard), len(heard) + len(silent), 'worker')} still work" if heard
            else "nothing is stored"
        )  # fmt: skip
        if len(heard) == 1:
            others = others.replace("still work", "still works")
        yield Problem(
            "workers", "silent", f"worker {printable(one.instance, 60)}",
            f"it hangs or is cut off: {where if stats.pid else 'it'} said no goodbye", others,
            Gravity.DOWN if facts.now_s - one.at_s >= SURE_S else Gravity.WARNING, one.at_s,
            subject=one.instance,
        )  # fmt: skip


def waiting_workers(facts: Facts) -> Iterator[Problem]:
    """Workers that wait for a broker: one that this dashboard reaches, or it would not hear of them."""
    workers = facts.processes.workers
    waiting = [
        one
        for one in workers
        if one.stats.waiting_for and not one.stats.waiting_store and not one.stats.is_new
    ]
    if waiting:
        stats = waiting[0].stats
        cause = printable(stats.waiting_broker or stats.waiting_for, 300).strip() or "no reason is told"
        yield Problem(
            "broker", "not reached by " + some_of(len(waiting), len(workers), "worker"), "broker", cause,
            "they take nothing in" if len(waiting) > 1 else "it takes nothing in", Gravity.DOWN,
            kind="waited for",
        )  # fmt: skip


def contested(facts: Facts) -> Iterator[Problem]:
    """Workers whose client id another program uses, too: each takes the other's connection over."""
    told = [one.stats for one in facts.processes.workers if one.stats.contested]
    if told:
        # Of two such workers one is heard at a time: the problem is that of the id, whoever tells of it.
        name = printable(told[0].client_id, 60)
        yield Problem(
            "workers", "contested", f"client id {name}",
            printable(told[0].contested, 300).replace(f"our client id {name}", "it"),
            "each worker needs an ingest.client_id of its own", Gravity.DOWN, kind="contested", subject=name,
        )  # fmt: skip


def placement(facts: Facts) -> Iterator[Problem]:
    """Workers that place keys otherwise than this dashboard, or than each other."""
    ours = facts.placement
    told = [(one, one.stats.placement) for one in facts.processes.workers if one.stats.placement is not None]
    if not told:
        return
    first, rule = told[0]
    for one, other in told[1:]:
        if other != rule:
            yield Problem(
                "workers", "place keys differently", f"workers {first.instance} and {one.instance}",
                difference(rule, other, first.instance, one.instance),
                "what one writes the other does not find", Gravity.DOWN,
                screen="nodes", kind="placement", subject="workers",
            )  # fmt: skip
            break
    if ours is not None and all(ours != other for _, other in told):
        yield Problem(
            "readers", "places keys differently", "this dashboard",
            difference(ours, rule, "here", f"worker {first.instance}"),
            "it reads old entries, or none", Gravity.BLIND, screen="nodes", kind="placement",
        )  # fmt: skip


def clocks(facts: Facts) -> Iterator[Problem]:
    """Workers whose clock is not this machine's: which of the two is right cannot be told from here."""
    workers = facts.processes.workers
    off = [one for one in workers if abs(one.ahead_s) >= CLOCK_S]
    if off:
        first = off[0]
        way = "ahead of" if first.ahead_s > 0 else "behind"
        whose = f"worker {first.instance}" if len(off) == 1 else some_of(len(off), len(workers), "worker")
        yield Problem(
            "workers", "out of step", whose,
            f"the clock of {first.instance} is {duration(abs(first.ahead_s))} {way} this machine's",
            "ages on screen may be wrong by as much", screen="flow", kind="clock",
        )  # fmt: skip


def lagging(facts: Facts) -> Iterator[Problem]:
    """Messages wait too long, put down to what takes the time."""
    workers = facts.processes.workers
    lag_s = worst(one.stats.lag_s for one in workers)
    if lag_s < LAG_S:
        return
    commit = worst(one.stats.commit_p99_ms for one in workers)
    through = worst(one.stats.write_through_p99_ms for one in workers)
    waits = f"the oldest message waits {lag_s:.1f} s"
    if commit >= SLOW_COMMIT_MS and commit >= through:
        yield Problem(
            "store", "slow", "store", f"commits take p99 {milliseconds(commit)} ms", waits, screen="flow"
        )
    elif through >= SLOW_COMMIT_MS:
        yield Problem(
            "nodes", "slow", "cache nodes", f"writes through take p99 {milliseconds(through)} ms", waits,
            screen="nodes",
        )  # fmt: skip
    else:
        held = sum(one.stats.queued for one in workers) + sum(one.stats.unacked for one in workers)
        yield Problem(
            "workers", "busy", "workers", f"in hand: {counted(held, 'message')}", waits, screen="flow"
        )


def piling_up(facts: Facts) -> Iterator[Problem]:
    """More messages come in than are taken."""
    seconds = facts.seconds[-WINDOW_S:]
    published = mean(second.published_per_s for second in seconds)
    taken = mean(second.ingest_per_s for second in seconds)
    if published is None or taken is None or published - taken <= max(BACKLOG_SHARE * published, 5.0):
        return
    yield Problem(
        "broker", "piles up", "broker", f"{rate(published)} messages/s come in and {rate(taken)} go out",
        f"{rate(published - taken)}/s stay behind", screen="flow",
    )  # fmt: skip


def late(facts: Facts) -> Iterator[Problem]:
    """Simulators that are behind their plan."""
    counted = facts.late_counts
    sent = sum(one.stats.rate for one in facts.processes.simulators) * (len(counted) - 1)
    behind = counted[-1] - counted[0] if counted else 0.0
    if sent <= 0 or behind <= LATE_SHARE * sent:
        return
    share = min(100 * behind / sent, 100)
    yield Problem(
        "simulator", "late", "simulator", f"{share:.0f} % of its messages go out later than planned",
        screen="flow",
    )  # fmt: skip


def falling_through(facts: Facts) -> Iterator[Problem]:
    """Many reads that the cache does not answer; in a lesson our own are not those that it is about."""
    if facts.lesson:
        return
    seconds = facts.seconds[-WINDOW_S:]
    reads, fallbacks = sum(second.reads for second in seconds), sum(second.fallbacks for second in seconds)
    if reads < 10 or fallbacks <= FALLBACK_SHARE * reads:
        return
    most = _most(second.misses for second in seconds)
    yield Problem(
        "nodes", "missed", "cache", f"{100 * fallbacks / reads:.0f} % of reads fall to the store",
        f"mostly: {most}", screen="fleet",
    )  # fmt: skip


def _most(counts: Iterable[Mapping[MissReason, int]]) -> str:
    """The commonest reason of misses."""
    why: Counter[MissReason] = Counter()
    for one in counts:
        why.update(one)
    return label_of(why.most_common(1)[0][0]) if why else "unknown"


def behind(facts: Facts) -> Iterator[Problem]:
    """Entries that workers could not renew."""
    dirty = sum(one.stats.dirty_keys for one in facts.processes.workers)
    if dirty:
        yield Problem(
            "nodes", "behind", "cache", f"{plural(dirty, 'entry', 'entries')} may be old",
            "until their node can be told", screen="nodes",
        )  # fmt: skip


def faulty(facts: Facts) -> Iterator[Problem]:
    """Workers that met with exceptions that nobody foresaw."""
    for one in facts.processes.workers:
        if one.stats.faults:
            yield Problem(
                "workers", "has faults", f"worker {printable(one.instance, 60)}",
                f"{plural(one.stats.faults, 'exception')} that nobody foresaw, contained",
                "its log has them", screen="flow", kind="faults", subject=one.instance,
            )  # fmt: skip


def silent_devices(facts: Facts) -> Iterator[Problem]:
    """Devices that have missed several of their own intervals."""
    stale, total = facts.devices_stale, facts.devices
    if stale and stale == total and facts.fresh_since(facts.now_s - WINDOW_S) > 0:
        yield Problem(
            "simulator", "late", some_of(stale, total, "device"),
            "readings come in, all of them older than three intervals by this machine's clock",
            "a backlog is worked off, or clocks differ", screen="fleet", kind="stale",
        )  # fmt: skip
    elif stale and stale >= STALE_SHARE * total:
        yield Problem(
            "simulator", "silent", some_of(stale, total, "device"),
            "no reading for three intervals or more", screen="fleet", kind="stale",
        )  # fmt: skip


def standing_alerts(facts: Facts) -> Iterator[Problem]:
    """Alerts that nobody has acknowledged."""
    open_ones = [one for one in facts.alerts if not one.acknowledged and one.severity is not Severity.INFO]
    if not open_ones:
        return
    first = open_ones[0]
    yield Problem(
        "alerts", "stands" if len(open_ones) == 1 else "stand", plural(len(open_ones), "alert"),
        f"{first.name}: {first.text}", "", Gravity.WARNING, screen="events", kind="alerts", has_events=True,
    )  # fmt: skip
