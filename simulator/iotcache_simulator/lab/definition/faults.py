"""What is wrong with a scenario that its types alone cannot rule out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from iotcache.errors import ConfigError, UsageError
from iotcache.model import MissReason
from iotcache.text import plural
from iotcache_simulator.lab.definition.actions import (
    Add,
    AnyAction,
    PageMover,
    Policy,
    Predict,
    PushConfig,
    ReadersAction,
    Remove,
    StoreAction,
    Write,
    WritersAction,
)
from iotcache_simulator.lab.definition.expectations import BEFORE, parse_expectation
from iotcache_simulator.lab.definition.metrics import metric_name, metric_of
from iotcache_simulator.lab.definition.spec import Scenario, Step
from iotcache_simulator.readers.popularity import popularity

NAME_FORM: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
SPANS: Final = ("hit", "fallbacks", "ingest", "latency", "devices", "nodes", "plot", "log")
"""What a step may point at on the screen."""
OWN_SERIES: Final = ("one", "probe", "written")
"""What may be read besides a share of the fleet: one series of it, the probe, what the application writes."""
Fault = tuple[str, tuple[str | int, ...]]
"""A sentence, and the path of the key it is about."""
_BEGUN_BY: Final[dict[str, tuple[tuple[type, ...], str]]] = {
    "probe_stale_s": ((Write,), "no step until then has a write"),
    "config_version": ((PushConfig,), "no step until then has a config"),
    "config_stale_s": ((PushConfig,), "no step until then has a config"),
    "predicted_hit_percent": ((Predict,), "no step until then has a predict"),
    "prediction_error": ((Predict,), "no step until then has a predict"),
    "pushes_refused": ((PushConfig,), "no step until then has a config"),
    "keys_moved_percent": ((Add, Remove), "no step until then changes the list of nodes"),
    "store_reads_since_change": ((Add, Remove), "no step until then changes the list of nodes"),
}
_OF_WRITES: Final = {"writes_per_s", "store_writes_per_s", "write_ms", "stale_percent", "lost_writes"}
"""Metrics that are there only once something was done."""


def faults(scenario: Scenario) -> Iterator[Fault]:
    """All of them, in the order of the file."""
    yield from _of_the_sides(scenario)
    for at, metric in enumerate(scenario.plot):
        yield from ((why, ("plot", at)) for why in _of_a_metric(metric, scenario, scenario.step))
    if (wrong := _no_popularity(scenario.stack.popularity, scenario)) is not None:
        yield wrong, ("stack", "popularity")
    for at, side in enumerate(scenario.arms):
        if side.popularity and (wrong := _no_popularity(side.popularity, scenario)) is not None:
            yield wrong, ("side", at, "popularity")
    if scenario.stack.ingest_writes and (scenario.stack.writes_per_s or scenario.stack.value_bytes):
        name = "writes_per_s" if scenario.stack.writes_per_s else "value_bytes"
        yield f"with {name}, ingest_writes must be false: the entries are the readers' own", ("stack", name)
    for number, step in enumerate(scenario.step):
        yield from _of_a_step(number, step, scenario)
    yield from _of_the_nodes(scenario)


def _of_the_sides(scenario: Scenario) -> Iterator[Fault]:
    arms = scenario.arm_names
    if len(arms) == 1:
        yield "a comparison has two sides", ("side",)
    if len(set(arms)) != len(arms) or any(NAME_FORM.fullmatch(arm) is None for arm in arms):
        yield "sides have different names of small letters, digits and -", ("side",)
    if "misses" in arms:
        yield "no side can be called misses", ("side",)
    if scenario.stack.ingest_writes and arms:
        yield "with sides, ingest_writes must be false: each side fills its own part of the cache", ("stack",)


def _of_a_metric(text: str, scenario: Scenario, steps: Iterable[Step]) -> Iterator[str]:
    """Why a metric of the plot will never have a figure."""
    name, arm = metric_name(text)
    if metric_of(name) is None or arm not in ("", *scenario.arm_names):
        yield f"there is no metric {text!r}"
        return
    try:
        parse_expectation(f"{text} > 0", scenario.arm_names)
    except ConfigError as error:
        yield str(error)
    if (never := _never_measured(name, scenario, steps)) is not None:
        yield f"{text!r} is never measured: {never}"


def _never_measured(name: str, scenario: Scenario, steps: Iterable[Step]) -> str | None:
    """Why a metric has no figure in these steps."""
    if name in _OF_WRITES and not scenario.stack.writes_per_s:
        return "stack.writes_per_s is 0"
    if name == "idle_memory_mb" and not scenario.stack.memcached:
        return "only memcached itself has slab classes: set stack.memcached"
    acts, why = _BEGUN_BY.get(name, ((), ""))
    begun = not acts or any(isinstance(action, acts) for step in steps for action in step.do)
    return None if begun else why


def _no_figure(metric: str, scenario: Scenario, number: int) -> str | None:
    """What is wrong with a metric of a step's expectation, as the end of a sentence."""
    name, _ = metric_name(metric)
    if metric_of(name) is None:
        reasons = ", ".join(reason.value for reason in MissReason)
        return f": there is no such reason; there are {reasons}"
    never = _never_measured(name, scenario, scenario.step[: number + 1])
    return None if never is None else f" is never measured: {never}"


def _of_a_step(number: int, step: Step, scenario: Scenario) -> Iterator[Fault]:
    for at, text in enumerate(step.expect):
        here: tuple[str | int, ...] = ("step", number, "expect", at)
        try:
            expectation = parse_expectation(text, scenario.arm_names)
        except ConfigError as error:
            yield str(error), here
            continue
        if expectation.then and not at:
            yield f"{text!r}: 'then' follows another expectation", here
        for one in (expectation.metric, expectation.of):
            if one not in ("", BEFORE) and (wrong := _no_figure(one, scenario, number)) is not None:
                yield f"{text!r}{wrong}", here
        if expectation.of == BEFORE and not number:
            yield f"{text!r}: before the first step there is nothing", here
    for at, name in enumerate(step.point):
        if name not in SPANS:
            spans = ", ".join(SPANS)
            yield (
                f"there is nothing called {name!r} to point at; there are {spans}",
                ("step", number, "point", at),
            )
    if step.question is not None and step.question.right > len(step.question.answers):
        yield f"it has {plural(len(step.question.answers), 'answer')}", ("step", number, "question", "right")
    for at, action in enumerate(step.do):
        for why, key in _of_an_act(action, scenario):
            yield why, ("step", number, "do", at, *key)


def _of_an_act(action: AnyAction, scenario: Scenario) -> Iterator[tuple[str, tuple[str, ...]]]:
    """A sentence, and the key of the act that it is about, if any."""
    stack = scenario.stack
    match action:
        case Policy(arm=side) if side and side not in scenario.arm_names:
            yield f"the scenario has no side {side!r}", ("side",)
        case PageMover() if not stack.memcached:
            yield "only memcached itself moves pages: set stack.memcached", ()
        case Predict() if not stack.memcached or scenario.arms or stack.ingest_writes:
            yield (
                (
                    "the advisor reads memcached's own log of the readers' entries: "
                    "set stack.memcached, ingest_writes = false, and no sides"
                ),
                (),
            )
        case Predict(memory_mb=mb, ttl_s=ttl_s) if (mb is None) == (ttl_s is None):
            yield "a predict has either memory_mb or ttl_s", ()
        case StoreAction(queue=queue) if queue is not None and not stack.store_connections:
            yield "there is no queue: stack.store_connections is 0", ("queue",)
        case WritersAction() if not stack.writes_per_s:
            yield "nobody writes: stack.writes_per_s is 0", ()
        case Write(behind=True, invalidate=True):
            yield "behind the cache's back no entry is deleted", ("invalidate",)
        case ReadersAction(popularity=str() as text):
            if (wrong := _no_popularity(text, scenario)) is not None:
                yield wrong, ("popularity",)


def _of_the_nodes(scenario: Scenario) -> Iterator[Fault]:
    """Acts on nodes that are not there by then."""
    stack = scenario.stack
    adds = removes = 0
    for number, step in enumerate(scenario.step):
        for at, action in enumerate(step.do):
            here: tuple[str | int, ...] = ("step", number, "do", at)
            if getattr(action, "node", 1) > stack.nodes + stack.spares:
                yield f"the scenario has {plural(stack.nodes + stack.spares, 'node')}", (*here, "node")
            adds += isinstance(action, Add)
            removes += isinstance(action, Remove)
            if adds > stack.spares:
                yield f"nodes to spare: {stack.spares}, and more are to be added", here
            if removes >= stack.nodes:
                yield "at least one node must stay", here


def _no_popularity(text: str, scenario: Scenario) -> str | None:
    if text == "written" and not scenario.stack.writes_per_s:
        return "nothing is written: stack.writes_per_s is 0"
    if text in OWN_SERIES:
        return None
    try:
        popularity(text, 10, 1)
    except UsageError:
        return (
            f"{text!r} is no popularity: it may be one, probe, written, uniform, scan, zipf or zipf:EXPONENT"
        )
    return None
