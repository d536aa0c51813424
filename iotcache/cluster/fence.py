"""No stale value, whoever else reads and writes, and whichever nodes are out: what this client knows of it.

A node that was cut off wakes up with what it had, while newer values were written elsewhere, perhaps by
other processes, perhaps by one that has died since. So nothing here rests on a list of what was written.

**The rules.** A key has its nodes in an order, its owner first.

1. *Marker.* Before a client writes a key past a node A that is out for it, it puts an outage marker for A,
   with a claim of its own, on every node that is up, and waits one lease (`LEASE_S`). Only a client that
   *writes* (sets or deletes) does so; a reader's outage is its own.
2. *Lease.* Every client looks for markers several times in a lease, on A's *witnesses* (the next three
   nodes by name), and at A's own fence. It uses A only while its last look is younger than a lease. So when
   the first write past A is confirmed, nobody reads A or writes to A alone.
3. *Failover reads.* A key is read past A only on a node that has A's marker, only when this client has
   known the marker for a lease, and only items whose CAS unique is above the one the marker had when the
   last claim was put. All that was written before is below; all that a reader may have loaded from the
   store for it, it has loaded since. A node that was out while A was fenced keeps A's marker until somebody
   finds it: so A's witnesses, as far as they answer, must have it as well, by a look younger than a lease.
   With several nodes out the rule holds for each of them that comes before in the key's order.
4. *Returning.* A client for which A answers again works off what lay unread on its old connections; then it
   writes A's keys to A *and* to the failover node; then it withdraws its claim. When no claim is left whose
   client is alive, every writer does so. Then one of them puts a *fence* on A (``iotcache:fence``): what A
   holds with a CAS unique at or below the fence's counts as not there, for everybody, also for those who
   start later. Then it removes the marker, by the CAS unique it had *before* the fence: a claim made
   meanwhile has changed it.
5. *Settling.* Who sees the marker gone reads A, and for one lease more writes to both; then nobody reads
   the failover node for A any more.

**Why it holds.** Let W be a confirmed write of a key that ended before a read began.

* The read goes to A, where no marker was seen within a lease. If W went past A, its marker stood a lease
  before W was sent, so the reader has seen it, or its removal: the fence lies before that, and all of A
  that is below the fence does not count. Above it are only writes of rule 4 and later ones, and what
  readers loaded after that.
* The read goes past A. If W went to A alone, it was sent before the marker had stood for a lease, or after
  it had been gone for one. In the first case what the failover node has above the marker's floor is newer
  (rule 3); in the second the reader knows that the marker is gone, as its look is younger than a lease.
* The read and W went past A to different nodes: then another node before them in the key's order was out
  for one and not for the other, and the same argument holds for that node.

What times out is not confirmed, and what a client still has under way on a node when it loses it is either
worked off (rule 4) or lost with the connection; a fence waits until that must be over. A client that stood
still finds its lease run out; its claim is dead when its heartbeat is, and a write past A that was answered
later than that is not confirmed. Fences and markers are kept from eviction by being touched in looks, and a
fence that is missed all the same is put back. A node alone has no witnesses and needs none.

**Not covered** is a client pair that shares no node: one reaches only nodes which the other cannot; and the
loss of all markers (all nodes that have them restarted) together with all clients that knew them. See
docs/cluster.md. Nothing of others is touched on a shared node. All clients must give their nodes the same
names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from random import Random
from typing import Final

from iotcache.clock import Clock
from iotcache.cluster.declaration import Declarations
from iotcache.cluster.fence_item import keep_request, look_request, put_fence_back
from iotcache.cluster.node import Node
from iotcache.cluster.outage import (
    LEASE_S,
    MARKER_TTL_S,
    OutageMarker,
    SeenMarker,
    decode_marker,
    marker_key,
    own_claim,
    witnesses,
)
from iotcache.cluster.rings.looks import RingLooks
from iotcache.cluster.rings.placed import PlacedRing
from iotcache.cluster.rings.view import NEVER, RingView
from iotcache.cluster.stand_in import failover_floor
from iotcache.cluster.wire.answers import ErrorReply, ItemReplies, ItemReply
from iotcache.cluster.wire.connection import Connection
from iotcache.cluster.wire.facts import cas_of
from iotcache.cluster.wire.protocol import BARRIER, probe_request
from iotcache.errors import NodeError
from iotcache.tasks import end

POLL_S: Final = 0.12
_TOUCH_EVERY_S: Final = 1.0


class Fences:
    """What this client knows of markers and fences, and when it may use a node."""

    def __init__(
        self,
        nodes: Sequence[Node],
        *,
        timeout_s: float,
        keep_declared_s: float,
        role: str,
        observe: bool,
        rings: RingView,
        clock: Clock,
        rng: Random,
    ) -> None:
        """``nodes`` may grow: see `add_node`."""
        self.nodes = nodes
        self.rings = rings
        self.ring: RingLooks
        """Looks for the ring record; set before anything is started."""
        self.timeout_s = timeout_s
        self.observe = observe
        """Whether this client only looks: it touches, fences and removes nothing."""
        self.monotonic = clock.monotonic
        self.marker_keys: list[bytes] = []
        self.declarations = Declarations(
            self, own_claim(rng.getrandbits(31) | 1, role), keep_declared_s=keep_declared_s
        )
        self._witnesses: list[frozenset[int]] = []
        self.floors: list[int] = []
        """CAS unique of each node's fence; 0 for none. Items at or below it are not there."""
        self.markers: list[dict[int, SeenMarker]] = []
        """On node x: the marker that says node a is out."""
        self.marked_since: dict[int, float] = {}
        """Since when a node's marker has been known without a break."""
        self.suspect: dict[int, int] = {}
        """Nodes that must be fenced before they are used: they were marked. With the fence known by then."""
        self.returning: dict[int, Connection] = {}
        """Nodes that answer again and are being made safe; what is written past them goes to them as well."""
        self.contact: dict[int, Connection] = {}
        """Nodes that are not used and answer all the same: drained, marked or on their way back. They serve
        for markers, so that clients that use different nodes know of each other."""
        self._settling: dict[int, float] = {}
        self.looked: list[float] = []
        """When the newest look at each node began."""
        self._touched: list[float] = []
        self._outdated: list[float] = []
        self.valid_until = NEVER
        """Until when (monotonic) any node that is up may be used without another look."""
        self.last_write = NEVER
        """When this client last set or deleted something: only then it has a vote."""
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._renewing: asyncio.Future[None] | None = None
        """Done when the look is over that renews this client's lease."""
        for _ in nodes:
            self.add_node()
        self.ring_changed()

    def add_node(self) -> None:
        """``nodes`` has one more."""
        self.marker_keys.append(marker_key(self.nodes[len(self.marker_keys)].name))
        self.floors.append(0)
        self.markers.append({})
        self._witnesses.append(frozenset())
        for times in (self.looked, self._touched, self._outdated):
            times.append(NEVER)

    def ring_changed(self) -> None:
        """The view of the ring is another one."""
        names = [node.name for node in self.nodes]
        self.active = sorted(self.rings.active)
        self._witnesses = witnesses(names, self.active, self.rings.witness_pool())
        self.renew_lease()

    def start(self) -> None:
        """Begin to look at all nodes that are not looked at yet."""
        for index in self.active:
            if index not in self._tasks:
                self._tasks[index] = asyncio.create_task(self._watch(index))

    async def leave(self, index: int) -> None:
        """A node is no longer part of the ring; if it is again, it has another index by now."""
        task = self._tasks.pop(index, None)
        if task is not None:
            await end(task)
        if self.rings.indexes.get(self.nodes[index].name) == index:
            await self.declarations.withdraw(index)
        else:
            self.declarations.forget(index)

    async def close(self) -> None:
        """End the background work, and withdraw this client's claims as far as nodes answer."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks = {}
        await self.ring.close()
        await self.declarations.close()

    # May a node be used? ---------------------------------------------------------------------

    def usable(self, index: int) -> bool:
        """Whether a node is up and was looked at within a lease."""
        now = self.monotonic()
        return self.nodes[index].up and now <= self._valid_until(index) and now <= self.rings.fresh_until

    def _valid_until(self, index: int) -> float:
        if not self._witnesses[index]:
            return float("inf")
        looked = self.looked
        freshest = looked[index]
        reach = [looked[witness] for witness in self._witnesses[index] if self._reaches(witness)]
        if reach:
            # As fresh as the freshest look at one of its witnesses; each of them has every marker.
            freshest = min(freshest, max(reach))
        return freshest + LEASE_S

    def vouched(self, owner: int, *, without: int) -> bool:
        """Whether a node is up, and a look at another witness than ``without`` found no marker just now."""
        if not self.usable(owner):
            return False
        since = self.monotonic() - LEASE_S
        return any(
            self.looked[witness] >= since and owner not in self.markers[witness]
            for witness in self._witnesses[owner]
            if witness != without and self.nodes[witness].up
        )

    def looked_since(self, since: float, *, without: int) -> bool:
        """Whether a look at another node than ``without``, begun then or later, was answered."""
        return any(self.looked[index] >= since for index in self.reach() if index != without)

    async def renew(self, owners: Iterable[int]) -> None:
        """Look again where a lease has run out, for instance as the program was stalled.

        Those who ask meanwhile wait for the look that is under way: on a busy machine each of them would make
        it busier.
        """
        if self._renewing is not None:
            await asyncio.wait((self._renewing,))
            return
        now = self.monotonic()
        aged = self.rings.fresh_until < now
        stale = [
            index for index in owners if self.nodes[index].up and (aged or self._valid_until(index) < now)
        ]
        wanted = dict.fromkeys(stale)
        for index in stale:
            wanted.update(dict.fromkeys(self._witnesses[index]))
        if not wanted:
            return
        done = self._renewing = asyncio.get_running_loop().create_future()
        try:
            await self.look_at([index for index in wanted if self._reaches(index)])
            await self.ring.settled()
        finally:
            self._renewing = None
            done.set_result(None)

    def settling(self, index: int) -> bool:
        """Whether others may still take a node that is up for out: write to both."""
        until = self._settling.get(index)
        return until is not None and self.monotonic() < until

    def failover_floor(self, index: int, skipped: Iterable[int], ring: PlacedRing) -> int | None:
        """See `iotcache.cluster.stand_in.failover_floor`."""
        return failover_floor(self, index, skipped, ring)

    def fresh_witnesses(self, owner: int, since: float) -> list[int]:
        """The witnesses of ``owner`` that a look was begun at since then."""
        return [
            index for index in self._witnesses[owner] if self._reaches(index) and self.looked[index] >= since
        ]

    @property
    def votes(self) -> bool:
        """Whether this client writes: has set or deleted something lately."""
        return self.monotonic() < self.last_write + self.declarations.keep_declared_s

    def outage_markers(self) -> tuple[OutageMarker, ...]:
        """All markers this client knows of."""
        found = []
        for owner in self.active:
            node = self.nodes[owner]
            seen = [index for index in self.reach() if owner in self.markers[index]]
            if seen:
                claims = {claim.id: claim for index in seen for claim in self.markers[index][owner].claims}
                names = tuple(self.nodes[index].name for index in seen)
                found.append(OutageMarker(node.name, names, tuple(claims.values())))
        return tuple(found)

    # Looking ---------------------------------------------------------------------------------

    def up(self) -> list[int]:
        """Indexes of the nodes that are up."""
        return [index for index in self.active if self.nodes[index].up]

    def _reaches(self, index: int) -> bool:
        return self.nodes[index].up or index in self.contact

    def reach(self) -> list[int]:
        """Indexes of the nodes that answer, whether they are used or not."""
        return [index for index in self.active if self._reaches(index)]

    def link(self, index: int) -> Connection | None:
        """The connection to a node that answers."""
        return self.nodes[index].connection if self.nodes[index].up else self.contact.get(index)

    async def _watch(self, index: int) -> None:
        """Look at one node again and again while it is up; so one that hangs is found though nobody asks."""
        while True:
            await asyncio.sleep(POLL_S)
            if self._reaches(index):
                await self.look_at([index])
                if any(self.nodes[owner].up for owner in self.markers[index]):
                    await self.declarations.tidy(index)
            if index == self.active[0]:
                await self.declarations.expire()

    async def look_at(self, indexes: Sequence[int]) -> None:
        """Look at several nodes at once; one that does not answer is passed over."""

        async def look(index: int) -> None:
            connection = self.link(index)
            if connection is None:
                return
            try:
                await self.look(index, connection)
            except NodeError:
                if self.contact.get(index) is connection:
                    del self.contact[index]
                    self.renew_lease()

        if len(indexes) == 1:
            await look(indexes[0])
        else:
            await asyncio.gather(*(look(index) for index in indexes))

    async def look(self, index: int, connection: Connection) -> None:
        """Read a node's fence and the markers on it, and put this client's own claims. Raises `NodeError`."""
        sent = self.monotonic()
        # Of nodes that are up only their witnesses are looked at, of the others all: any may take over. What
        # is on its way back may have any marker, left from when it was used last.
        back = not self.nodes[index].up
        owners = [
            owner
            for owner in self.active
            if owner != index and (back or not self.nodes[owner].up or index in self._witnesses[owner])
        ]
        touch = not self.observe and sent - self._touched[index] > _TOUCH_EVERY_S
        known = self.markers[index]
        requests = [keep_request() if touch and self.floors[index] else look_request()]
        for owner in owners:
            key = self.marker_keys[owner]
            requests.append(self._read_marker(key) if owner in known else probe_request(key))
        epochs = self.rings.floors_on(index)
        ring_requests = self.ring.requests(index, touch=touch)
        requests += ring_requests
        beat = bool(self.declarations) or self.ring.driving
        if beat:
            requests.append(self.declarations.heartbeat())
        answers = await self.ask(connection, requests)
        cas = cas_of(answers[0])
        found = dict(zip(owners, answers[1 : 1 + len(owners)], strict=True))
        fresh = [owner for owner in owners if owner not in known and cas_of(found[owner])]
        if fresh:
            again = await self.ask(
                connection, [self._read_marker(self.marker_keys[owner]) for owner in fresh]
            )
            found.update(zip(fresh, again, strict=True))
        if not cas and self.floors[index] and not self.observe:
            cas = await put_fence_back(partial(self.ask, connection))
        begin = 1 + len(owners)
        await self.ring.take(index, connection, sent, epochs, answers[begin : begin + len(ring_requests)])
        if touch:
            self._touched[index] = sent
        if sent < self.looked[index] or sent <= self._outdated[index]:
            return  # a later look has been taken in, or this client has changed something since
        if cas:
            self.floors[index] = cas
        for owner, reply in found.items():
            self.note_marker(index, owner, _marker_of(reply))
        self.looked[index] = sent
        await self.declarations.claim(index, connection, owners, sent, beat=beat)
        self.renew_lease()
        self._review()

    def _read_marker(self, key: bytes) -> bytes:
        """Value and CAS unique of a marker, and another 30 days: it is not evicted while anybody looks."""
        return b"mg %b v c u\r\n" % key if self.observe else b"mg %b v c T%d\r\n" % (key, MARKER_TTL_S)

    def note_marker(self, index: int, owner: int, marker: SeenMarker | None) -> None:
        """Take in what a look has found, or what this client has put or removed."""
        before = self.markers[index].get(owner)
        if marker is None:
            if before is not None:
                del self.markers[index][owner]
                if not any(owner in markers for markers in self.markers):
                    self.marked_since.pop(owner, None)
            return
        self.markers[index][owner] = marker
        renewed = index in self._witnesses[owner] if before is None else before.floor != marker.floor
        if renewed or owner not in self.marked_since:
            # Since the answer has come, not since the question was asked: it stood at some time in between.
            self.marked_since[owner] = self.monotonic()
        self.suspect.setdefault(owner, self.floors[owner])

    def outdate_looks(self, index: int) -> None:
        """This client is about to remove a marker: looks that are under way will tell what was before."""
        self._outdated[index] = self.monotonic()

    def renew_lease(self) -> None:
        """Work out until when every node that is up may be used."""
        up = self.up()
        until = min((self._valid_until(index) for index in up), default=float("inf"))
        self.valid_until = min(until, self.rings.fresh_until) if up else until

    def _review(self) -> None:
        for owner in self.active:
            node = self.nodes[owner]
            if node.up and any(
                owner in self.markers[index]
                for index in self.reach()
                if self.nodes[index].up or index in self._witnesses[owner]
            ):
                seen = (self.markers[index].get(owner) for index in self.reach())
                claims = {claim for marker in seen if marker for claim in marker.claims}
                who = ", ".join(sorted({str(claim) for claim in claims}))
                connection = node.connection
                node.put_out("another client cannot reach it" + (f": {who}" if who else ""), reachable=True)
                if connection is not None and connection.usable:
                    # It answers us: what is written past it goes to it as well, from now on.
                    self.returning[owner] = connection

    def marked(self, owner: int) -> bool:
        """Whether a node that answers has the marker of ``owner``."""
        return any(owner in self.markers[index] for index in self.reach())

    async def ask(self, connection: Connection, requests: list[bytes]) -> list[ItemReply | ErrorReply]:
        """Send commands over one connection; the answers in their order. Raises `NodeError`."""
        answers = ItemReplies(len(requests))
        await connection.submit(b"".join(requests) + BARRIER, answers, self.timeout_s)
        return answers.out

    # Nodes come and go -----------------------------------------------------------------------

    def answers(self, index: int, connection: Connection) -> None:
        """A node that is not used answers over a connection, maybe a new one."""
        self.contact[index] = connection
        if index in self.returning:
            self.returning[index] = connection

    def came_up(self, index: int) -> bool:
        """A node is up; whether others may still take it for out."""
        self.returning.pop(index, None)
        self.contact.pop(index, None)
        self.marked_since.pop(index, None)  # a marker that is left somewhere is of an outage that is over
        settles = self.suspect.pop(index, None) is not None or (
            self.floors[index] > 0 and self._settling.get(index) is None
        )
        if settles:
            self._settling[index] = self.monotonic() + LEASE_S * 1.02
        self.renew_lease()
        return settles

    def went_out(self, index: int, contact: Connection | None, *, lost: bool) -> None:
        """A node is no longer used. ``contact`` is the connection over which it answers still; ``lost``: this
        client cannot reach it, or was told not to use it."""
        self.returning.pop(index, None)
        self.contact.pop(index, None)
        if contact is not None:
            self.contact[index] = contact
        else:
            for owner in list(self.markers[index]):
                self.note_marker(index, owner, None)
        self.renew_lease()
        if lost and self.votes and self.up():
            self.declarations.declare(index)


def _marker_of(reply: ItemReply | ErrorReply) -> SeenMarker | None:
    cas = cas_of(reply)
    if not cas:
        return None
    assert isinstance(reply, ItemReply)
    return decode_marker(reply.value, cas)
