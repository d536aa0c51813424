"""No stale value after a node returns, whoever else reads and writes: marks, leases and fences.

A node that was cut off wakes up with what it had, while newer values were written elsewhere, perhaps by other
processes, perhaps by one that has died since. So nothing here rests on a list of what was written:

* **Mark.** Before a client writes to a stand-in for node A it puts a *mark* (``iotcache:out:…``, an item of a
  few seconds' life that it keeps touching) on the nodes that are up, and waits one lease.
* **Lease.** Every client looks for marks several times in a lease, on A's *witnesses* (the next three nodes
  by name), and may use A only while its last look is younger than that. So when the first write to a stand-in
  is confirmed, nobody reads A any more.
* A stand-in's items count for A only when their CAS unique is above the mark's own on that stand-in: what is
  left of an earlier outage lies below it.
* **Fence.** A client that finds A answering again removes its mark (if nobody shares it), waits until no mark
  is left, then puts an item on A, ``iotcache:fence``. What A holds with a CAS unique at or below the fence's
  counts as not there, for every client, also for those that start later: they find the fence on the node. One
  more lease, in which writes go to both, and A is up.

Nothing of others is touched on a shared node. All clients must give their nodes the same names. Not covered:
two clients that each reach only nodes which the other cannot.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

from iotcache.cluster.node import Node
from iotcache.cluster.wire.answers import ErrorReply, LineReplies, StoreReplies
from iotcache.cluster.wire.connection import Connection
from iotcache.cluster.wire.facts import FACTS
from iotcache.cluster.wire.protocol import BARRIER, delete_request, probe_request
from iotcache.errors import NodeError

POLL_S: Final = 0.12
LEASE_S: Final = 0.5
"""How long a client may go on without having looked for marks."""
_MARK_TTL_S: Final = 3
"""memcached counts whole seconds, so a mark lives 2 to 3 s after the last touch."""
_MARK_SURE_S: Final = 0.8
"""A mark touched this recently outlives any write that starts now."""
_FENCE_TTL_S: Final = 2_592_000
"""30 days, the longest relative life; by then hardly anything of before is alive."""
_FENCE_KEY: Final = b"iotcache:fence"
_SHARED: Final = 0
"""Client flags of a mark that several clients rely on; else they are the one client's number."""
_JOURNAL_MAX: Final = 100_000
_WITNESSES: Final = 3


def mark_key(name: str) -> bytes:
    """The key of the mark that says "node ``name`` is out"."""
    return b"iotcache:out:" + blake2b(name.encode(), digest_size=8).hexdigest().encode()


def witnesses(names: Sequence[str]) -> list[frozenset[int]]:
    """For each node the others that marks about it are looked for on: a few, the same for all clients.

    A look at all of them would cost every client the square of the number of nodes.
    """
    order = sorted(range(len(names)), key=names.__getitem__)
    place = {index: at for at, index in enumerate(order)}
    count = min(_WITNESSES, len(names) - 1)
    return [
        frozenset(order[(place[index] + step) % len(order)] for step in range(1, count + 1))
        for index in range(len(names))
    ]


class _Declaration:
    """This client's word that a node is out."""

    __slots__ = ("confirmed", "last_write", "since", "task")

    def __init__(self, now: float) -> None:
        self.confirmed: dict[int, float] = {}
        """When the mark was last known to stand, by the node it stands on."""
        self.since: float | None = None
        """Since when it has stood on every node that is up."""
        self.last_write = now
        self.task: asyncio.Task[None] | None = None


class Fences:
    """What this client knows of marks and fences, and what it puts there itself."""

    def __init__(self, nodes: Sequence[Node], *, timeout_s: float, keep_declared_s: float) -> None:
        self._nodes = nodes
        self._timeout_s = timeout_s
        self._keep_declared_s = keep_declared_s
        self._number = secrets.randbits(31) | 1
        self._mark_keys = [mark_key(node.name) for node in nodes]
        self._witnesses = witnesses([node.name for node in nodes])
        self.floors = [0] * len(nodes)
        """CAS unique of each node's fence; 0 for none. Items at or below it are not there."""
        self._marks: list[dict[int, int]] = [{} for _ in nodes]
        """On node x: CAS unique of the mark that says node a is out."""
        self._looked = [float("-inf")] * len(nodes)
        self._undeclared = [float("-inf")] * len(nodes)
        self._declared: dict[int, _Declaration] = {}
        self.returning: dict[int, Connection] = {}
        """Nodes that answer again and are being made safe, by index."""
        self._journal: dict[int, set[bytes]] = {}
        self.valid_until = float("-inf")
        """Until when (monotonic) nodes may be used without looking for marks first."""
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._watch(index)) for index in range(len(self._nodes))]

    async def close(self) -> None:
        tasks = [*self._tasks, *(word.task for word in self._declared.values() if word.task is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # Reading ---------------------------------------------------------------------------------

    async def renew(self) -> None:
        """Look for marks everywhere now: the lease has run out, for instance as the program was stalled."""
        await self._look_at(self._up())

    def stand_in_floor(self, stand_in: int, owner: int) -> int | None:
        """Above which CAS unique the stand-in's items count for ``owner``; ``None``: none does."""
        mark = self._marks[stand_in].get(owner, 0)
        if not mark or owner in self.returning or time.monotonic() > self._looked[stand_in] + LEASE_S:
            return None
        return max(mark, self.floors[stand_in])

    # Writing ---------------------------------------------------------------------------------

    def declared(self, owner: int) -> bool:
        """Whether everybody knows by now that ``owner`` is out, so that a stand-in may be written to."""
        word = self._declared.get(owner)
        if word is None or word.since is None:
            return False
        now = time.monotonic()
        if now < word.since + LEASE_S:
            return False
        return all(word.confirmed.get(index, 0.0) > now - _MARK_SURE_S for index in self._up())

    def declare(self, owner: int) -> asyncio.Task[None]:
        """Say that ``owner`` is out; the task ends when everybody knows, after about a lease."""
        now = time.monotonic()
        word = self._declared.get(owner)
        if word is None:
            word = self._declared[owner] = _Declaration(now)
        word.last_write = now
        if word.task is None or word.task.done():
            word.task = asyncio.create_task(self._establish(owner, word))
        return word.task

    def wrote_elsewhere(self, owner: int, keys: Iterable[bytes]) -> None:
        """Note keys to be deleted on ``owner`` when it returns, for readers that know nothing of fences."""
        journal = self._journal.setdefault(owner, set())
        if len(journal) < _JOURNAL_MAX:
            journal.update(keys)
        word = self._declared.get(owner)
        if word is not None:
            word.last_write = time.monotonic()

    async def _establish(self, owner: int, word: _Declaration) -> None:
        await self._look_at(self._up())
        if word.since is None:
            if not self._up() or not all(index in word.confirmed for index in self._up()):
                return
            word.since = time.monotonic()
        await asyncio.sleep(max(0.0, word.since + LEASE_S * 1.02 - time.monotonic()))
        if not self.declared(owner):
            await self._look_at(self._up())

    # Looking ---------------------------------------------------------------------------------

    def _up(self) -> list[int]:
        return [index for index, node in enumerate(self._nodes) if node.up]

    async def _watch(self, index: int) -> None:
        """Look at one node again and again while it is up; so one that hangs is found though nobody asks."""
        while True:
            await asyncio.sleep(POLL_S)
            if self._nodes[index].up:
                await self._look_at([index])
            old = time.monotonic() - self._keep_declared_s
            for owner in [owner for owner, word in self._declared.items() if word.last_write < old]:
                # Everything this client wrote elsewhere has expired: no need to keep others off the node.
                del self._declared[owner]

    async def _look_at(self, indexes: Sequence[int]) -> None:
        async def look(index: int) -> None:
            connection = self._nodes[index].connection
            if connection is not None:
                with contextlib.suppress(NodeError):
                    await self.look(index, connection)

        await asyncio.gather(*(look(index) for index in indexes))

    async def look(self, index: int, connection: Connection) -> None:
        """Read a node's fence and the marks on it, and set or touch this client's own. Raises `NodeError`."""
        sent = time.monotonic()
        # Of nodes that are up only their witnesses are looked at, of the others all: any may stand in.
        others = [
            other
            for other, node in enumerate(self._nodes)
            if other != index and (not node.up or index in self._witnesses[other])
        ]
        mine = [other for other in others if other in self._declared]
        asked = [other for other in others if other not in self._declared]
        words = [self._declared[other] for other in mine]
        requests = [probe_request(_FENCE_KEY), *(probe_request(self._mark_keys[other]) for other in asked)]
        for other in mine:
            key = self._mark_keys[other]
            requests.append(b"ms %b 1 T%d F%d ME\r\n1\r\n" % (key, _MARK_TTL_S, self._number))
            requests.append(b"mg %b T%d f c\r\n" % (key, _MARK_TTL_S))
        lines = await self._ask(connection, requests)
        self._note_fence(index, _cas_of_item(lines[0]))
        for other, line in zip(asked, lines[1:], strict=False):
            self._note_mark(index, other, _cas_of_item(line), sent)
        placed = lines[1 + len(asked) :]
        for other, word, added, touched in zip(mine, words, placed[::2], placed[1::2], strict=True):
            await self._confirm(index, other, word, connection, sent, added, touched)
        self._looked[index] = sent
        self._renew_lease()
        self._review()

    async def _confirm(  # noqa: PLR0917
        self,
        index: int,
        owner: int,
        word: _Declaration,
        connection: Connection,
        sent: float,
        added: bytes | ErrorReply,
        touched: bytes | ErrorReply,
    ) -> None:
        """Take in what became of this client's own mark for ``owner`` on node ``index``."""
        flags, cas = _flags_and_cas(touched)
        if cas and flags not in (self._number, _SHARED):
            (line,) = await self._ask(
                connection, [b"ms %b 1 T%d F%d c\r\n1\r\n" % (self._mark_keys[owner], _MARK_TTL_S, _SHARED)]
            )
            _, cas = _flags_and_cas(line)
        if added == b"HD" and index in word.confirmed:
            word.since = None  # it had lapsed, so others may have come back: start over
        if cas:
            word.confirmed[index] = sent
            self._note_mark(index, owner, cas, sent)

    def _note_fence(self, index: int, cas: int) -> None:
        if cas:
            self.floors[index] = max(cas, self.floors[index])

    def _note_mark(self, index: int, owner: int, cas: int, sent: float) -> None:
        if sent >= self._undeclared[owner]:
            self._marks[index][owner] = cas

    def _renew_lease(self) -> None:
        up = set(self._up())
        # A node's lease is as fresh as the freshest look at one of its witnesses.
        looked = [
            max(self._looked[witness] for witness in self._witnesses[owner] if witness in up)
            for owner in up
            if not up.isdisjoint(self._witnesses[owner])
        ]
        self.valid_until = min(looked) + LEASE_S if looked else float("inf")

    def _review(self) -> None:
        for owner, node in enumerate(self._nodes):
            if node.up and self._marked(owner):
                node.put_out("another client cannot reach it")

    def _marked(self, owner: int) -> bool:
        return any(self._marks[index].get(owner, 0) for index in self._up())

    async def _ask(self, connection: Connection, requests: list[bytes]) -> list[bytes | ErrorReply]:
        answers = LineReplies(len(requests), bytes)
        await connection.submit(b"".join(requests) + BARRIER, answers, self._timeout_s)
        return answers.out

    # Coming back -----------------------------------------------------------------------------

    async def before_up(self, index: int, connection: Connection, *, returning: bool) -> None:
        """Make sure that nothing stale can be read from a node that answers. Raises `NodeError`."""
        if self._nodes[index].restarted:
            self.floors[index] = 0
        if returning:
            self.returning[index] = connection
            try:
                await self._make_safe(index, connection)
                await self.look(index, connection)
            except BaseException:
                self.came_up(index)
                raise
            return
        await self.look(index, connection)
        if self._marked(index):
            raise NodeError("another client cannot reach it")

    def came_up(self, index: int) -> None:
        """The node is up, or its return has failed."""
        self.returning.pop(index, None)
        self._renew_lease()

    def went_out(self, index: int, *, declare: bool) -> None:
        """A node is no longer up; ``declare`` that at once when writes to a stand-in are likely to follow."""
        self._renew_lease()
        if declare and self._up() and not self._marked(index):
            self.declare(index)

    async def _make_safe(self, index: int, connection: Connection) -> None:
        await self._undeclare(index)
        while True:
            while await self._still_marked(index):
                await self._ask(connection, [probe_request(_FENCE_KEY)])  # it must go on answering
                await asyncio.sleep(POLL_S)
            await self._fence(index, connection)
            await asyncio.sleep(LEASE_S * 1.02)
            if not await self._still_marked(index):
                return

    async def _still_marked(self, index: int) -> bool:
        await self._look_at(self._up())
        return self._marked(index)

    async def _undeclare(self, index: int) -> None:
        """Take this client's mark away where nobody else relies on it; a shared one runs out by itself."""
        word = self._declared.pop(index, None)
        if word is None:
            return
        if word.task is not None:
            word.task.cancel()
        self._undeclared[index] = time.monotonic()
        key = self._mark_keys[index]
        for other in self._up():
            connection = self._nodes[other].connection
            if connection is None:
                continue
            with contextlib.suppress(NodeError):
                (line,) = await self._ask(connection, [b"mg %b f c\r\n" % key])
                flags, cas = _flags_and_cas(line)
                if cas and flags == self._number:
                    await self._ask(connection, [delete_request(key, cas)])

    async def _fence(self, index: int, connection: Connection) -> None:
        (line,) = await self._ask(connection, [b"ms %b 1 T%d c\r\n1\r\n" % (_FENCE_KEY, _FENCE_TTL_S)])
        _, cas = _flags_and_cas(line)
        if not cas:
            raise NodeError("the node does not take a fence against stale values")
        self.floors[index] = cas
        keys = list(self._journal.pop(index, ()))
        for start in range(0, len(keys), 1_024):
            window = keys[start : start + 1_024]
            answers = StoreReplies(len(window))
            await connection.submit(
                b"".join([*map(delete_request, window), BARRIER]), answers, self._timeout_s
            )


def _cas_of_item(line: bytes | ErrorReply) -> int:
    """CAS unique in an answer to ``me``; 0 when the item is not there, or the node has no ``me``."""
    if isinstance(line, ErrorReply):
        return 0
    facts = FACTS(line)
    return facts.cas if facts is not None else 0


def _flags_and_cas(line: bytes | ErrorReply) -> tuple[int, int]:
    """``f`` and ``c`` of an answer such as ``HD f7 c55``; (0, 0) when there is no item."""
    if isinstance(line, ErrorReply) or not line.startswith(b"HD"):
        return 0, 0
    flags = cas = 0
    for part in line.split(b" ")[1:]:
        if part[:1] == b"f" and part[1:].isdigit():
            flags = int(part[1:])
        elif part[:1] == b"c" and part[1:].isdigit():
            cas = int(part[1:])
    return flags, cas
