"""What a step of a scenario may do to its stack. Each is a table in TOML with ``act`` as its name."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from iotcache.cluster.admin import MEMORY_LEAST_MB

NodeNumber = Annotated[int, Meta(ge=1, le=16)]
"""Nodes are counted from 1."""
TtlSeconds = Annotated[float, Meta(ge=1, le=86_400)]
ShortSeconds = Annotated[float, Meta(ge=0, le=3_600)]
Jitter = Annotated[float, Meta(ge=0, le=0.5)]
Copies = Annotated[int, Meta(ge=1, le=16)]
Placement = Literal["ketama", "rendezvous", "modulo"]
Writing = Literal["through", "aside", "around", "behind"]
"""What a write does to the cache: sets the entry, deletes it, leaves it, or goes there alone at first."""
ValueBytes = Annotated[int, Meta(ge=0, le=500_000)]
QueueLength = Annotated[int, Meta(ge=0, le=2_000)]
WriteRate = Annotated[float, Meta(ge=0, le=1_000)]


class Action(Struct, frozen=True, forbid_unknown_fields=True, tag_field="act", kw_only=True):
    """Base: everything that can be done."""

    def describe(self) -> str:
        """What it does, in a few words, for the plot's marks and the report."""
        raise NotImplementedError


class Kill(Action, frozen=True, tag="kill"):
    """A node is gone as in a crash; its memory with it."""

    node: NodeNumber

    def describe(self) -> str:
        return f"node {self.node} killed"


class Pause(Action, frozen=True, tag="pause"):
    """A node hangs: it holds its connections and answers nothing."""

    node: NodeNumber

    def describe(self) -> str:
        return f"node {self.node} paused"


class Resume(Action, frozen=True, tag="resume"):
    node: NodeNumber

    def describe(self) -> str:
        return f"node {self.node} resumed"


class Restart(Action, frozen=True, tag="restart"):
    """A node comes back on its old address, empty."""

    node: NodeNumber

    def describe(self) -> str:
        return f"node {self.node} restarted"


class Remove(Action, frozen=True, tag="remove"):
    """A node is taken off everybody's list of nodes, and ended."""

    node: NodeNumber

    def describe(self) -> str:
        return f"node {self.node} taken off the list"


class Add(Action, frozen=True, tag="add"):
    """A spare node is put on everybody's list (``stack.spares``)."""

    def describe(self) -> str:
        return "a node added to the list"


class Memory(Action, frozen=True, tag="memory"):
    """``cache_memlimit`` on every node."""

    mb: Annotated[int, Meta(ge=MEMORY_LEAST_MB, le=1024)]

    def describe(self) -> str:
        return f"memory of each node: {self.mb} MB"


class Flush(Action, frozen=True, tag="flush"):
    """``flush_all`` on every node of the scenario's own."""

    def describe(self) -> str:
        return "every node flushed"


class BrokerAction(Action, frozen=True, tag="broker"):
    """The broker is cut off (paused) or killed, and comes back."""

    to: Literal["pause", "resume", "stop", "start"]

    def describe(self) -> str:
        return {
            "pause": "broker cut off",
            "resume": "broker back",
            "stop": "broker killed",
            "start": "broker started",
        }[self.to]


class StoreAction(Action, frozen=True, tag="store"):
    """The readers' way to the store becomes slow, or is cut."""

    delay_ms: Annotated[float, Meta(ge=0, le=10_000)] = 0.0
    """Before the question reaches the store."""
    answer_ms: Annotated[float, Meta(ge=0, le=10_000)] = 0.0
    """Before its answer is back with who asked."""
    queue: QueueLength | None = None
    """Requests that may wait for one of its connections; unset: as before."""
    stopped: bool = False

    def describe(self) -> str:
        if self.stopped:
            return "store cut off"
        late = f"its answers come {self.answer_ms:g} ms late" if self.answer_ms else ""
        # In the place of what it has taken so far, not beside it.
        asked = f"store takes {self.delay_ms:g} ms" if self.delay_ms or not late else "store"
        queue = f"its queue is {self.queue} long" if self.queue is not None else ""
        return ", ".join(part for part in (asked, late, queue) if part)


class IngestAction(Action, frozen=True, tag="ingest"):
    to: Literal["stop", "start"]

    def describe(self) -> str:
        return "ingest stopped" if self.to == "stop" else "ingest started"


class FleetAction(Action, frozen=True, tag="fleet"):
    """The fleet's rate, as a factor of the scenario's own."""

    load: Annotated[float, Meta(ge=0.01, le=100)]

    def describe(self) -> str:
        return f"fleet at {self.load:g} times its rate"


class ReadersAction(Action, frozen=True, tag="readers"):
    """How much is read, and what."""

    per_s: Annotated[float, Meta(gt=0, le=20_000)] | None = None
    popularity: str | None = None

    def describe(self) -> str:
        parts = [f"{self.per_s:g} reads/s"] if self.per_s is not None else []
        return ", ".join([*parts, *([self.popularity] if self.popularity else [])]) or "readers unchanged"


class WritersAction(Action, frozen=True, tag="writers"):
    """How much is written (``stack.writes_per_s``)."""

    per_s: WriteRate

    def describe(self) -> str:
        return f"{self.per_s:g} writes/s" if self.per_s else "writers stopped"


class PageMover(Action, frozen=True, tag="page_mover"):
    """``slabs automove`` on every node: whether it moves pages of memory from one slab class to another."""

    to: Literal["off", "on", "eager"]

    def describe(self) -> str:
        return f"page mover {self.to}"


class Predict(Action, frozen=True, tag="predict"):
    """The advisor says what another memory or another TTL would make of the hit ratio; nothing is changed."""

    memory_mb: Annotated[int, Meta(ge=1, le=1024)] | None = None
    """Of each node."""
    ttl_s: TtlSeconds | None = None

    def describe(self) -> str:
        what = f"{self.memory_mb} MB" if self.memory_mb is not None else f"TTL {self.ttl_s:g} s"
        return f"predicted: {what}"


class PolicyFields(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the cache is used; what is not named stays as it is."""

    ttl_s: TtlSeconds | None = None
    jitter: Jitter | None = None
    lease: bool | None = None
    failover: bool | None = None
    placement: Placement | None = None
    negative_ttl_s: ShortSeconds | None = None
    refresh_s: ShortSeconds | None = None
    near_s: ShortSeconds | None = None
    copies: Copies | None = None
    writing: Writing | None = None
    value_bytes: ValueBytes | None = None
    hand_over: bool | None = None


class Policy(PolicyFields, Action, frozen=True, tag="policy"):
    """How readers and writers use the cache from now on."""

    arm: str = field(default="", name="side")
    """Only this arm; empty: all."""
    config_ttl_s: Annotated[float, Meta(ge=1, le=2_592_000)] | None = None

    def describe(self) -> str:
        names = {
            "ttl_s": "TTL {:g} s", "config_ttl_s": "configuration's TTL {:g} s", "jitter": "jitter {:g}",
            "lease": "lease {}", "failover": "failover {}", "placement": "{}",
            "negative_ttl_s": "negative entries {:g} s", "refresh_s": "refreshed {:g} s early",
            "near_s": "near cache {:g} s", "copies": "{:g} copies",
            "writing": "write-{}", "value_bytes": "values of {:,} bytes", "hand_over": "hand-over {}",
        }  # fmt: skip
        parts = []
        for name, form in names.items():
            value = getattr(self, name)
            if value is not None:
                shown = ("on" if value else "off") if isinstance(value, bool) else value
                parts.append(form.format(shown))
        return (f"{self.arm}: " if self.arm else "") + ", ".join(parts)


class Write(Action, frozen=True, tag="write"):
    """The probe's value is changed: through the cache, or in the database behind its back."""

    value: float
    behind: bool = False
    invalidate: bool = False
    """In the database first, and then its entries are deleted."""

    def describe(self) -> str:
        how = " behind the cache's back" if self.behind else ", entry deleted" if self.invalidate else ""
        return f"probe set to {self.value:g}{how}"


class PushConfig(Action, frozen=True, tag="config"):
    """The probe device's configuration: pushed, or changed in the database behind the cache's back."""

    version: Annotated[int, Meta(ge=1, le=1_000_000)]
    behind: bool = False

    def describe(self) -> str:
        how = " behind the cache's back" if self.behind else " pushed"
        return f"configuration version {self.version}{how}"


class Invalidate(Action, frozen=True, tag="invalidate"):
    """The probe's entries are deleted from the cache."""

    def describe(self) -> str:
        return "probe invalidated"


class Warm(Action, frozen=True, tag="warm"):
    """The cache is filled from the store, in the background."""

    def describe(self) -> str:
        return "warming begun"


class Wait(Action, frozen=True, tag="wait"):
    """Nothing, for a while."""

    seconds: Annotated[float, Meta(gt=0, le=60)]

    def describe(self) -> str:
        return f"{self.seconds:g} s waited"


AnyAction = (
    Kill | Pause | Resume | Restart | Remove | Add | Memory | Flush | BrokerAction | StoreAction
    | IngestAction | FleetAction | ReadersAction | WritersAction | PageMover | Predict | Policy | Write
    | PushConfig | Invalidate | Warm | Wait
)  # fmt: skip
ACTION_NAMES = tuple(str(act.__struct_config__.tag) for act in AnyAction.__args__)
