"""A scenario: one TOML file, read into structs and checked; where scenarios are looked for."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field, structs

from iotcache.errors import ConfigError, UsageError
from iotcache_simulator.fleet.toml_file import complaint, read, read_file
from iotcache_simulator.lab.definition.actions import ACTION_NAMES, AnyAction
from iotcache_simulator.lab.definition.expectations import Expectation, parse_expectation
from iotcache_simulator.lab.definition.faults import NAME_FORM, faults

PLOTTED: Final = ("hit_percent", "store_reads_per_s")
"""What is worth watching where a scenario does not say; with sides, of each."""


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
    plot: Annotated[tuple[str, ...], Meta(max_length=4)] = PLOTTED
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
    if NAME_FORM.fullmatch(file_name.removesuffix(".toml")) is None:
        raise ConfigError(f"{shown}: a scenario's file is named with small letters, digits and -, at most 63")


def parse(text: str, file: str) -> Scenario:
    """As `load`, of a text."""
    scenario = structs.replace(
        read(text, file, Scenario, ACTION_NAMES), name=Path(file).name.removesuffix(".toml"), file=file
    )
    if scenario.arms and scenario.plot == PLOTTED:
        own = tuple(f"{arm}.{metric}" for metric in PLOTTED for arm in scenario.arm_names)
        scenario = structs.replace(scenario, plot=own)
    check_name(Path(file).name, file)
    for reason, path in faults(scenario):
        raise complaint(file, text, reason, path)
    return scenario


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
        if NAME_FORM.fullmatch(name) and path.is_file():
            return load(str(path))
    from difflib import get_close_matches

    names = [one.name for one in catalogue(more)[0]]
    close = get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
    if NAME_FORM.fullmatch(name) and Path(f"{name}.toml").is_file():
        hint = f"did you mean the file {name}.toml?"
    raise UsageError(f"there is no scenario {name!r}: {hint}")
