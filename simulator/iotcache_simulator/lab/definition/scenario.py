"""A scenario: one TOML file, read into structs and checked; where scenarios are looked for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field, structs

from iotcache.errors import ConfigError, UsageError
from iotcache.model import MissReason
from iotcache.text import plural
from iotcache_simulator.fleet.toml_file import complaint, read, read_file
from iotcache_simulator.lab.definition.actions import (
    ACTION_NAMES,
    Add,
    AnyAction,
    Policy,
    ReadersAction,
    Remove,
)
from iotcache_simulator.lab.definition.expectations import Expectation, parse_expectation
from iotcache_simulator.lab.definition.metrics import METRICS, metric_name
from iotcache_simulator.readers.popularity import popularity

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
SPANS: Final = ("hit", "fallbacks", "ingest", "latency", "devices", "nodes", "plot", "log")
"""What a step may point at on the screen."""


class StackSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """The stack that a scenario starts for itself."""

    nodes: Annotated[int, Meta(ge=1, le=8)] = 3
    spares: Annotated[int, Meta(ge=0, le=4)] = 0
    """Nodes that are started but on nobody's list yet."""
    memory_mb: Annotated[int, Meta(ge=1, le=1024)] = 64
    devices: Annotated[int, Meta(ge=1, le=20_000)] = 40
    messages_per_s: Annotated[float, Meta(ge=0, le=5_000)] = 0.0
    """Of the whole fleet; 0: each sensor at its own interval."""
    ingest_writes: bool = True
    """Whether the ingest worker writes readings through to the cache that the readers use."""
    reads_per_s: Annotated[float, Meta(gt=0, le=20_000)] = 300.0
    batch: Annotated[int, Meta(ge=1, le=100)] = 5
    """Series in one request."""
    clients: Annotated[int, Meta(ge=1, le=50)] = 1
    """Applications that read, each with connections of its own and nothing shared but the cache."""
    popularity: str = "uniform"
    store_delay_ms: Annotated[float, Meta(ge=0, le=10_000)] = 0.0
    ttl_s: Annotated[float, Meta(ge=1, le=86_400)] | None = None
    """One TTL for every reading; without it three of the series' own intervals."""
    config_ttl_s: Annotated[float, Meta(ge=1, le=2_592_000)] | None = None
    jitter: Annotated[float, Meta(ge=0, le=0.5)] = 0.1
    lease: bool = True
    failover: bool = True
    placement: Literal["ketama", "rendezvous", "modulo"] = "ketama"


class ArmSpec(Struct, frozen=True, forbid_unknown_fields=True):
    """One arm of a comparison (``[[side]]`` in the file):
    the same readers over the same nodes, under another policy."""

    name: str
    ttl_s: Annotated[float, Meta(ge=1, le=86_400)] | None = None
    jitter: Annotated[float, Meta(ge=0, le=0.5)] | None = None
    lease: bool | None = None
    failover: bool | None = None
    placement: Literal["ketama", "rendezvous", "modulo"] | None = None


class Question(Struct, frozen=True, forbid_unknown_fields=True):
    """For the learner; a headless run passes over it."""

    ask: str
    answers: Annotated[tuple[str, ...], Meta(min_length=2, max_length=6)]
    right: Annotated[int, Meta(ge=1, le=6)]
    """Counted from 1."""
    why: str


class Step(Struct, frozen=True, forbid_unknown_fields=True):
    """One stretch of the lesson: what is told, done, expected."""

    title: str
    say: str
    """Markdown."""
    do: tuple[AnyAction, ...] = ()
    expect: tuple[str, ...] = ()
    point: tuple[str, ...] = ()
    question: Question | None = None
    least_s: Annotated[float, Meta(ge=0, le=60)] = 1.0
    """How long a run without a person stays here at the least."""


class Scenario(Struct, frozen=True, forbid_unknown_fields=True):
    """The whole lesson."""

    title: str
    level: Literal["basic", "advanced", "expert"]
    minutes: Annotated[float, Meta(gt=0, le=60)]
    """How long a learner takes."""
    summary: str
    """One sentence for the list."""
    teaches: Annotated[tuple[str, ...], Meta(min_length=1, max_length=8)]
    step: Annotated[tuple[Step, ...], Meta(min_length=1, max_length=20)]
    explanation: str
    """Markdown, shown at the end: what happened and what to do about it elsewhere."""
    needs: tuple[str, ...] = ()
    """What a learner should know before."""
    stack: StackSpec = StackSpec()
    arms: Annotated[tuple[ArmSpec, ...], Meta(max_length=2)] = field(default=(), name="side")
    plot: Annotated[tuple[str, ...], Meta(max_length=4)] = ("hit_percent", "store_reads_per_s")
    """The metrics worth watching."""
    name: str = ""
    """From the file's name."""
    file: str = ""

    @property
    def arm_names(self) -> tuple[str, ...]:
        return tuple(arm.name for arm in self.arms)

    def expectations(self, step: int) -> tuple[Expectation, ...]:
        return tuple(parse_expectation(text, self.arm_names) for text in self.step[step].expect)


def load(file: str) -> Scenario:
    """Read and check a file. Raises `ConfigError` with one sentence that names line and key."""
    return parse(read_file(file, "scenario"), file)


def check_name(file_name: str, shown: str) -> None:
    """Raise `ConfigError` for a file that no scenario may be called; ``shown`` is how the user wrote it."""
    if _NAME.fullmatch(file_name.removesuffix(".toml")) is None:
        raise ConfigError(f"{shown}: a scenario's file is named with small letters, digits and -, at most 63")


def parse(text: str, file: str) -> Scenario:
    """As `load`, of a text."""
    scenario = structs.replace(
        read(text, file, Scenario, ACTION_NAMES), name=Path(file).name.removesuffix(".toml"), file=file
    )
    check_name(Path(file).name, file)
    for reason, path in _faults(scenario):
        raise complaint(file, text, reason, path)
    return scenario


def _faults(scenario: Scenario) -> Iterable[tuple[str, tuple[str | int, ...]]]:
    arms = scenario.arm_names
    if len(arms) == 1:
        yield "a comparison has two sides", ("side",)
    if len(set(arms)) != len(arms) or any(_NAME.fullmatch(arm) is None for arm in arms):
        yield "sides have different names of small letters, digits and -", ("side",)
    if "misses" in arms:
        yield "no side can be called misses", ("side",)
    if scenario.stack.ingest_writes and arms:
        yield "with sides, ingest_writes must be false: each side fills its own part of the cache", ("stack",)
    for at, metric in enumerate(scenario.plot):
        name, arm = metric_name(metric)
        if (name not in METRICS and not _is_reason(name)) or arm not in ("", *arms):
            yield f"there is no metric {metric!r}", ("plot", at)
    if (wrong := _unknown_popularity(scenario.stack.popularity)) is not None:
        yield wrong, ("stack", "popularity")
    nodes = scenario.stack.nodes + scenario.stack.spares
    adds = removes = 0
    for number, step in enumerate(scenario.step):
        for at, text in enumerate(step.expect):
            try:
                expectation = parse_expectation(text, arms)
            except ConfigError as error:
                yield str(error), ("step", number, "expect", at)
                continue
            name, _ = metric_name(expectation.metric)
            if name.startswith("misses.") and not _is_reason(name):
                reasons = ", ".join(reason.value for reason in MissReason)
                yield (
                    f"{text!r}: there is no such reason; there are {reasons}",
                    ("step", number, "expect", at),
                )
        for at, name in enumerate(step.point):
            if name not in SPANS:
                yield f"there is nothing called {name!r} to point at; there are {', '.join(SPANS)}", (
                    "step", number, "point", at,
                )  # fmt: skip
        if step.question is not None and step.question.right > len(step.question.answers):
            yield (
                f"it has {plural(len(step.question.answers), 'answer')}",
                ("step", number, "question", "right"),
            )
        for at, action in enumerate(step.do):
            here = ("step", number, "do", at)
            node = getattr(action, "node", 1)
            if node > nodes:
                yield f"the scenario has {plural(nodes, 'node')}", (*here, "node")
            if isinstance(action, Policy) and action.arm and action.arm not in arms:
                yield f"the scenario has no side {action.arm!r}", (*here, "side")
            reading = action.popularity if isinstance(action, ReadersAction) else None
            if reading and (wrong := _unknown_popularity(reading)) is not None:
                yield wrong, (*here, "popularity")
            adds += isinstance(action, Add)
            removes += isinstance(action, Remove)
            if adds > scenario.stack.spares:
                yield f"nodes to spare: {scenario.stack.spares}, and more are to be added", here
            if removes >= scenario.stack.nodes:
                yield "at least one node must stay", here


def _is_reason(name: str) -> bool:
    return name.startswith("misses.") and name.removeprefix("misses.") in {one.value for one in MissReason}


def _unknown_popularity(text: str) -> str | None:
    if text == "one":
        return None
    try:
        popularity(text, 10, 1)
    except UsageError:
        return f"{text!r} is no popularity: it may be one, uniform, scan, zipf or zipf:EXPONENT"
    return None


# Where scenarios are


def folders(more: Iterable[str] = ()) -> list[Path]:
    """``more``, ``./scenarios`` and the user's config folder, in turn; then ours."""
    import platformdirs

    shipped = Path(str(files("iotcache_simulator.lab"))) / "scenarios"
    own = [Path(folder) for folder in more]
    return [*own, Path("scenarios"), platformdirs.user_config_path("iotcache") / "scenarios", shipped]


def catalogue(more: Iterable[str] = ()) -> tuple[list[Scenario], list[ConfigError]]:
    """All scenarios by level and title, and what is wrong with files that are none."""
    found: dict[str, Scenario] = {}
    wrong: list[ConfigError] = []
    for folder in folders(more):
        for path in sorted(folder.glob("*.toml")) if folder.is_dir() else ():
            if path.stem in found:
                continue  # the user's own wins over ours of the same name
            try:
                found[path.stem] = load(str(path))
            except ConfigError as error:
                wrong.append(error)
    levels = ("basic", "advanced", "expert")
    return sorted(found.values(), key=lambda one: (levels.index(one.level), one.title)), wrong


def find(name: str, more: Iterable[str] = ()) -> Scenario:
    """A scenario by its name or its file. Raises `UsageError` with the nearest name, or `ConfigError`."""
    if name.endswith(".toml"):
        return load(name)
    for folder in folders(more):
        path = folder / f"{name}.toml"
        if _NAME.fullmatch(name) and path.is_file():
            return load(str(path))
    from difflib import get_close_matches

    names = [one.name for one in catalogue(more)[0]]
    close = get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
    if _NAME.fullmatch(name) and Path(f"{name}.toml").is_file():
        hint = f"did you mean the file {name}.toml?"
    raise UsageError(f"there is no scenario {name!r}: {hint}")
