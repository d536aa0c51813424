"""What a scenario consists of."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field, structs

from iotcache_simulator.lab.definition.actions import (
    AnyAction,
    Copies,
    Jitter,
    Placement,
    PolicyFields,
    QueueLength,
    ShortSeconds,
    TtlSeconds,
    ValueBytes,
    WriteRate,
    Writing,
)
from iotcache_simulator.lab.definition.expectations import Expectation, parse_expectation
from iotcache_simulator.readers.workload import ReadSpec

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
    writes_per_s: WriteRate = 0.0
    """Values that an application writes a second, to twenty series of its own."""
    writing: Writing = "through"
    """What such a write does to the cache."""
    value_bytes: ValueBytes = 0
    """How large the values are that readers put into the cache; 0: as they come."""
    memcached: bool = False
    """Whether the nodes have to be memcached itself, as only that has slab classes."""
    store_delay_ms: Annotated[float, Meta(ge=0, le=10_000)] = 0.0
    store_connections: Annotated[int, Meta(ge=0, le=100)] = 0
    """Requests of the readers that the store serves at a time; others wait in turn. 0: any number."""
    store_queue: QueueLength = 400
    """Requests that may wait for such a connection; one more is refused."""
    unknown_percent: Annotated[float, Meta(ge=0, le=100)] = 0.0
    """Share of the reads that ask for devices which are not there."""
    negative_ttl_s: ShortSeconds = 0.0
    """How long the cache keeps that the store has not got something; 0: it does not."""
    refresh_s: ShortSeconds = 0.0
    """Entries with less life left are loaded anew in the background, while their value is served; 0: none."""
    near_s: ShortSeconds = 0.0
    """How long each application keeps a value itself; 0: it does not."""
    copies: Copies = 1
    """Keys under which each entry is kept; a reader takes one of them at random."""
    ttl_s: TtlSeconds | None = None
    """One TTL for every reading; without it three of the series' own intervals."""
    config_ttl_s: Annotated[float, Meta(ge=1, le=2_592_000)] | None = None
    jitter: Jitter = 0.1
    lease: bool = True
    failover: bool = True
    placement: Placement = "ketama"
    hand_over: bool = False
    """Whether another list is a change of the ring, with a hand-over; else all applications begin anew."""


class ArmSpec(PolicyFields, frozen=True):
    """One arm of a comparison (``[[side]]`` in the file):
    the same readers over the same nodes, under another policy."""

    name: str
    reads_per_s: Annotated[float, Meta(gt=0, le=20_000)] | None = None
    batch: Annotated[int, Meta(ge=1, le=100)] | None = None
    clients: Annotated[int, Meta(ge=1, le=50)] | None = None
    popularity: str | None = None
    """Readers of this side's own; what is not said is as the stack's."""

    def reads(self, common: ReadSpec) -> ReadSpec:
        """How much its readers read, where all others read as in ``common``."""
        return structs.replace(common, rate=self.reads_per_s or common.rate, batch=self.batch or common.batch)


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
