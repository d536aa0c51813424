"""What one client knows of the ring, and which ring it reads and writes by it.

**The rules of a change** from an old ring to a new one. A client looks for the ring record on each node when
it looks for outage markers (`iotcache.cluster.fence`), and takes part in what the newest one says. A node is
used only while a look at it is younger than a lease, and one that found the newest record somewhere, too. So
what has stood on every node for a lease is known to all clients, or they use no node.

====================  ===============  ==========================================
phase                 written to       read from
====================  ===============  ==========================================
invited               old              old
announced             old, then new    old
handing over          old, then new    new; on a miss old, and that is handed over
closing               old, then new    new
steady                new              new
====================  ===============  ==========================================

1. A phase begins when the one before it has stood on every node for a lease. A node that is out for the
   driver must have its outage marker for a lease instead. *Invited* must stand on a node of the old ring at
   least: who has not heard of the change looks at no other.
2. Before *handing over* begins, an item is set on every node of both rings. What a node holds below that
   item's CAS unique, of keys that it gains with the new ring, does not count: it may be left from a time
   when the node owned them, or stood in for another. It is set after all clients write to both.
3. A write goes to the old ring's node, and when it is confirmed there to the new one's. A reader hands over
   by taking a lease at the new owner, *then* reading the old one, and storing over its own lease. So what it
   has read is newer than the write, or the write takes the lease away.
4. A write is confirmed only when the rings it went to are still those that its client knows, by a look that
   is younger than a lease, when the last answer has come.
5. *Announced*, *handing over* and *closing* may be mixed: all write to both. So a change is undone by going
   back through the same phases, and two drivers that do not know of each other do no harm.

6. A look tells that a record is the newest only on a node that the one after it is put on: see
   `successors_stand_on`. A node that has left may have the record of then for ever.
7. Where no node that tells has a record, all have lost it. Who found one on them less than a lease before
   knows that no other has stood since; who did not waits until writers, which put it back, must have found
   the nodes again.

**How long floors count.** An entry may live longer than its node owns its key, and the node may gain the key
again. So the last four rings are remembered, with the floors of each; the first one's floor counts for all
keys that its node has owned ever since.

**Which witnesses.** Outage markers are put on all nodes a client knows. They are looked for on nodes that
both rings have, so that clients of phases next to each other know of each other's markers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from iotcache.cluster.copies.placed import CopyPlacement
from iotcache.cluster.outage import LEASE_S
from iotcache.cluster.rings.placed import PlacedRing, gained_with
from iotcache.cluster.rings.record import PastRing, RingRecord, addresses, same_list, texts
from iotcache.cluster.rings.types import RingPhase
from iotcache.errors import RingMismatch

if TYPE_CHECKING:
    from iotcache.config.urls import NodeAddress

NEVER: Final = float("-inf")
_BOTH: Final = (RingPhase.ANNOUNCED, RingPhase.HANDING_OVER, RingPhase.CLOSING)


class RingView:
    """One client's knowledge of the ring."""

    def __init__(
        self,
        nodes: Sequence[NodeAddress],
        placement: str,
        *,
        follow: bool,
        monotonic: Callable[[], float],
        grace_s: float,
    ) -> None:
        """``nodes`` have the indexes 0 and so on. ``grace_s``: other clients need no longer to reach a node
        that is back. Raises `ConfigError` for an unknown placement.
        """
        self.placement = placement
        self.follow = follow
        self.starting = True
        """Whether the client is being entered: then its own list must be the announced one."""
        self.indexes = {address.name: index for index, address in enumerate(nodes)}
        """Of the nodes in use by their names."""
        self.record: RingRecord | None = None
        """That this client goes by; ``None``: nobody has announced any, and its own list counts."""
        self.newest: RingRecord | None = None
        """That it has seen."""
        self.refused: RingMismatch | None = None
        self.own = texts(nodes)
        self._monotonic = monotonic
        self._placed: dict[tuple[int, tuple[str, ...]], PlacedRing] = {}
        self._past: tuple[PlacedRing, ...] = (self._place(0, self.own),)
        self._fenced: dict[int, frozenset[int]] = {}
        """By epoch: the nodes that have its floor."""
        self._floors: dict[int, dict[int, int]] = {}
        self._floors_asked: tuple[RingRecord | None, dict[int, frozenset[int]]] = (None, {})
        self._learn_from: dict[int, float] = {}
        """Of a floor that may have been put anew: when looks must have begun to count."""
        self.on: dict[int, tuple[int, int] | None] = {}
        """By node: the rank of the record that the last look found there; ``None`` for no record."""
        self.found_at: dict[int, float] = {}
        """When the last look at a node began that found the newest record there."""
        self.cas_on: dict[int, tuple[object, int]] = {}
        """By node: the connection and the CAS unique of the record there. Another process counts anew."""
        self._grace_s = grace_s
        self._none_since: float | None = None
        """When the first of the looks began that have found no record anywhere."""
        self._tell: tuple[RingRecord | None, frozenset[int]] = (None, frozenset())
        self._looked = NEVER
        """When the newest look began that found no newer record than the one this client goes by."""
        self._looked_newest = NEVER
        self._set_rings()

    def _place(self, epoch: int, nodes: tuple[str, ...]) -> PlacedRing:
        found = self._placed.get((epoch, nodes))
        if found is None:
            found = self._placed[epoch, nodes] = PlacedRing(epoch, nodes, self.placement, self.indexes)
        return found

    def _set_rings(self) -> None:
        record = self.record
        change = record.change if record is not None else None
        self.phase = record.phase if record is not None else RingPhase.STEADY
        old = self._past[-1]
        new = self._place(change.epoch, change.nodes) if change is not None else old
        self.read = new if self.phase in (RingPhase.HANDING_OVER, RingPhase.CLOSING) else old
        """The ring whose owners are read."""
        self.fallback = old if self.phase is RingPhase.HANDING_OVER else None
        """The ring whose owners are asked for what the readers' ring does not have."""
        self.writes = (old, new) if self.phase in _BOTH else (old,)
        """The rings that are written, in this order."""
        self.changing = len(self.writes) > 1
        """Whether two rings are written."""
        self.uneven = self.changing or bool(self._fenced)
        """Whether there is more to a read than its node's own fence."""
        self._chains = {id(old): self._past, id(new): (*self._past, new) if new is not old else self._past}

        hot = record.hot if record is not None else None
        self.copies = CopyPlacement(hot, old) if hot is not None else None
        """Keys that have copies, or had some until now; ``None``, as nearly always: no key has."""

    def copy_floor(self, index: int) -> int | None:
        """Above which CAS unique items of node ``index`` count as copies; ``None``: not known."""
        return self._floors.get(self.copies.hot.epoch, {}).get(index) if self.copies is not None else None

    @property
    def active(self) -> frozenset[int]:
        """Indexes of the nodes of the present ring, and of the one to be."""
        found = set(self._past[-1].indexes)
        for record in (self.record, self.newest):
            if record is not None:
                change = record.change
                nodes = record.present.nodes + (change.nodes if change is not None else ())
                names = (address.name for address in addresses(nodes))
                found.update(self.indexes[name] for name in names if name in self.indexes)
        return frozenset(found)

    @property
    def epoch(self) -> int:
        """Of the ring that is read."""
        return self.read.epoch

    # What counts -----------------------------------------------------------------------------

    def since(self, ring: PlacedRing, key: str) -> int:
        """The epoch whose floor counts for ``key`` on its owner on ``ring``; 0 for none."""
        return gained_with(self._chains[id(ring)], key) if self._fenced else 0

    def floor(self, index: int, since: int) -> int | None:
        """Above which CAS unique items count that node ``index`` gained at ``since``; ``None``: not known."""
        if index not in self._fenced.get(since, ()):
            return 0
        return self._floors.get(since, {}).get(index)

    def newest_floor(self, ring: PlacedRing, index: int) -> int | None:
        """Above which CAS unique items count that node ``index`` has in place of others on ``ring``.

        What it holds of the time before its ring was changed to ``ring`` may be its own, left from then.
        """
        for placed in reversed(self._chains[id(ring)]):
            if index in self._fenced.get(placed.epoch, ()):
                return self._floors.get(placed.epoch, {}).get(index)
        return 0

    def floors_on(self, index: int) -> tuple[int, ...]:
        """The epochs whose floors a look at node ``index`` has to ask for."""
        if self.newest is None:
            return ()
        if self._floors_asked[0] is not self.newest:
            self._floors_asked = (self.newest, self._fenced_by(self.newest, copies=True))
        return tuple(epoch for epoch, fenced in self._floors_asked[1].items() if index in fenced)

    def add_node(self, name: str, index: int) -> None:
        """A node has an index, maybe another one than before."""
        self.indexes[name] = index
        self._floors_asked = (None, {})
        self._tell = (None, frozenset())

    def note_floor(self, index: int, epoch: int, cas: int, sent: float) -> None:
        """What a look that began at ``sent`` has found of a floor."""
        if cas and sent >= self._learn_from.get(epoch, NEVER):
            self._floors.setdefault(epoch, {})[index] = cas

    def _fenced_by(self, record: RingRecord, *, copies: bool = False) -> dict[int, frozenset[int]]:
        rings = list(record.rings)
        change, hot = record.change, record.hot
        if copies and hot is not None:
            rings.append(PastRing(hot.epoch, (), hot.fenced))
        if change is not None:
            rings.append(PastRing(change.epoch, change.nodes, change.fenced))
        found = {
            ring.epoch: frozenset(self.indexes[name] for name in ring.fenced if name in self.indexes)
            for ring in rings
        }
        return {epoch: fenced for epoch, fenced in found.items() if fenced}

    # How fresh -------------------------------------------------------------------------------

    @property
    def fresh_until(self) -> float:
        """Until when (monotonic) this client may go by what it knows without another look."""
        return self._looked + LEASE_S

    def looked(self, index: int, sent: float, record: RingRecord | None, reach: Sequence[int]) -> bool:
        """Take in what a look at node ``index``, begun at ``sent``, has found; whether it is newer."""
        self.on[index] = record.rank if record is not None else None
        newest = self.newest
        if record is not None and (newest is None or record.rank > newest.rank):
            self.newest = record
            self._none_since = None
            self._looked_newest = sent if self._tells(index) else NEVER
            return True
        if record is None:
            if self._tells(index) and self._nobody_has_it(sent, reach):
                self._note_look(sent)
        elif newest is not None and record.rank == newest.rank:
            self._none_since = None
            self.found_at[index] = max(self.found_at.get(index, NEVER), sent)
            if self._tells(index):
                self._note_look(sent)
        return False

    def _note_look(self, sent: float) -> None:
        """A look that began at ``sent`` has told that no newer record stands."""
        self._looked_newest = max(self._looked_newest, sent)
        if self.newest is self.record:
            self._looked = max(self._looked, sent)

    def _tells(self, index: int) -> bool:
        """Whether the record after the newest one would be put on node ``index``."""
        newest = self.newest
        if newest is None:
            return True
        if self._tell[0] is not newest:
            names = [address.name for address in addresses(successors_stand_on(newest))]
            self._tell = (newest, frozenset(self.indexes[name] for name in names if name in self.indexes))
        return index in self._tell[1]

    def _nobody_has_it(self, sent: float, reach: Sequence[int]) -> bool:
        """Whether all nodes have lost the record, or there never was one, and no newer one can be meant."""
        if any(self.on.get(other, (0, 0)) is not None for other in reach if self._tells(other)):
            return False
        if self._none_since is None:
            self._none_since = sent
        return (
            self.newest is None
            or sent <= self._looked_newest + LEASE_S
            or sent >= self._none_since + self._grace_s
        )

    def behind(self, index: int) -> bool:
        """Whether node ``index`` lacks the newest record."""
        if self.newest is None:
            return False
        rank = self.on.get(index)
        return rank is None or rank < self.newest.rank

    # Another record --------------------------------------------------------------------------

    def check(self, record: RingRecord) -> None:
        """Raises `RingMismatch` where this client's own list cannot be meant by ``record``."""
        if record.placement != self.placement:
            raise RingMismatch(
                f"the cache nodes are in use with the placement {record.placement}, this program has "
                f"{self.placement}: set cache.placement to the same"
            )
        if self.record is not None or self.follow:
            return
        known = [record.present.nodes] if self.starting else [ring.nodes for ring in record.rings]
        if record.change is not None:
            known.append(record.change.nodes)
        if not any(same_list(self.own, nodes) for nodes in known):
            raise RingMismatch(
                f"the cache nodes have announced another ring (epoch {record.present.epoch}: "
                f"{', '.join(record.present.nodes)}) than this program's own list: {', '.join(self.own)}"
            )

    def learn(self, record: RingRecord) -> bool:
        """Begin to learn the floors that ``record`` names and this client does not know; whether any."""
        known = self._fenced if self.record is None else self._fenced_by(self.record, copies=True)
        unknown = [epoch for epoch in self._fenced_by(record, copies=True) if epoch not in known]
        for begun in (record.change, record.hot):
            if begun is not None and begun.epoch in unknown:
                # It may have been put more than once: what was seen before this record may be an earlier one.
                self._floors.pop(begun.epoch, None)
                self._learn_from[begun.epoch] = self._monotonic()
        return bool(unknown)

    def switch(self, record: RingRecord) -> None:
        """Go by ``record`` from now on."""
        self.record = record
        self._past = tuple(self._place(ring.epoch, ring.nodes) for ring in record.rings)
        self._fenced = self._fenced_by(record)
        self._floors = {epoch: self._floors.get(epoch, {}) for epoch in self._fenced_by(record, copies=True)}
        self._looked = self._looked_newest
        self._set_rings()
        wanted = {*self._past, self.read, *self.writes}
        self._placed = {key: ring for key, ring in self._placed.items() if ring in wanted}

    # Other clients' markers --------------------------------------------------------------------

    def witness_pool(self) -> frozenset[int]:
        """The nodes on which outage markers are looked for: those of the smaller ring."""
        change = self.record.change if self.record is not None else None
        old = frozenset(self._past[-1].indexes)
        if change is None:
            return old
        new = frozenset(self.indexes[address.name] for address in addresses(change.nodes))
        both = old & new
        return both if len(both) > 1 else old | new


def successors_stand_on(record: RingRecord) -> tuple[str, ...]:
    """The nodes on which any record that follows ``record`` is put, as far as they answer."""
    change, present = record.change, record.present.nodes
    if change is None or change.phase in (RingPhase.INVITED, RingPhase.ANNOUNCED):
        return present  # undone, it ends with these alone
    return change.nodes if change.phase is RingPhase.CLOSING else (*present, *change.nodes)
