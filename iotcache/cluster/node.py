"""One cache node: its connection, its breaker, and the task that brings it back when it is out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from random import Random
from ssl import SSLContext
from typing import TYPE_CHECKING

from iotcache.clock import Clock
from iotcache.cluster.breaker import Breaker
from iotcache.cluster.capability import Capabilities
from iotcache.cluster.greeting import ProcessWatch, greet
from iotcache.cluster.stats import NodeTelemetry
from iotcache.cluster.surroundings import Surroundings
from iotcache.cluster.wire.connection import AnswerTimeout, Connection, ConnectionLost
from iotcache.cluster.wire.dial import Dial, connect
from iotcache.config.schema import BreakerSettings
from iotcache.errors import NodeError
from iotcache.histogram import DurationHistogram
from iotcache.model import NodeHealth, NodeState
from iotcache.tasks import end

if TYPE_CHECKING:
    from iotcache.config.urls import NodeAddress

_DRAIN_GRACE_S = 2.0
"""How long a node that answers again may take to work off what lay unread on its old connection."""
_HUNG_S = 1.0
_UNSETTLED_S = 0.05
"""A node works off what lies in its sockets within milliseconds, in any order."""
_LOG = logging.getLogger(__name__)
CLOSED = "this program has closed its connections"
DRAINED = "drained: this program was told not to use it"


class Node:
    """A node and its life: starting, up, down, probing.

    A supervisor task dials, keeps the connection and, after an outage, probes at the breaker's pace until
    the node may be read again.
    """

    def __init__(
        self,
        address: NodeAddress,
        surroundings: Surroundings[Node],
        *,
        connect_timeout_s: float,
        operation_timeout_s: float,
        breaker: BreakerSettings,
        clock: Clock,
        rng: Random,
        username: str = "",
        password: str = "",
        tls_context: SSLContext | None = None,
        dial: Dial = connect,
    ) -> None:
        self.address = address
        self.name = address.name
        self.state = NodeState.STARTING
        self.reason = ""
        self.capabilities: Capabilities | None = None
        self.connection: Connection | None = None
        self.latency = DurationHistogram()
        self.errors: dict[str, int] = {}
        self.restarted = False
        """The process that answers now is another than the one known before: empty, unless it was started
        with a warm-restart file."""
        self.kept_items = False
        """It was."""
        self._process = ProcessWatch()
        self._since_s = clock.monotonic()
        self._surroundings = surroundings
        self._connect_timeout_s = connect_timeout_s
        self._operation_timeout_s = operation_timeout_s
        self._breaker = Breaker(breaker, clock, rng)
        self._clock = clock
        self._login = (username, password)
        self._tls_context = tls_context
        self._dial = dial
        self._task: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        self._change = asyncio.Event()
        self._was_out = False
        self.reachable = False
        """Out though it answers: another client cannot reach it."""
        self._old: Connection | None = None
        self._unsettled = False
        """The last connection has ended with commands unanswered: they may still be carried out."""
        self._hurry = asyncio.Event()
        self._failed_attempt = (float("-inf"), float("-inf"), False)
        """Begin and end (monotonic) of the last attempt that failed, and whether it was a time-out."""
        self._closed = False
        self._taken_back = asyncio.Event()
        self._taken_back.set()

    def __repr__(self) -> str:
        return f"<Node {self.name} {self.state.value}>"

    # What the cluster uses -------------------------------------------------------------------

    @property
    def up(self) -> bool:
        return self.state is NodeState.UP

    def health(self) -> NodeHealth:
        found = self.capabilities
        return NodeHealth(
            name=self.name,
            state=self.state,
            reason=self.reason,
            since_s=self._since_s,
            version=found.version if found else "",
            bundled=found.bundled if found else False,
            drained=self.drained,
        )

    def telemetry(self) -> NodeTelemetry:
        connection = self.connection or self._old
        return NodeTelemetry(
            latency=self.latency.copy(),
            in_flight=connection.in_flight if connection else 0,
            errors=dict(self.errors),
            missing=self.capabilities.missing() if self.capabilities else (),
        )

    async def reach(self, timeout_s: float) -> bool:
        """Try to reach a node that is out now, not only when its breaker has it; whether it is up.

        With False it was not reachable at some time since the call, unless it hangs: for one that hung a
        moment ago nobody waits.
        """
        asked_s = self._clock.monotonic()
        try:
            async with asyncio.timeout(timeout_s):
                while not self.up and not self.drained and not self._closed:
                    began_s, ended_s, hung = self._failed_attempt
                    if began_s >= asked_s or (hung and ended_s > asked_s - _HUNG_S):
                        break
                    self._hurry.set()
                    await self._change.wait()
        except TimeoutError:
            pass
        return self.up

    def start(self) -> None:
        self._task = asyncio.create_task(self._supervise(), name=f"cache node {self.name}")

    async def settled(self) -> None:
        """Return when the first attempt to reach the node is over, either way."""
        await self._settled.wait()

    def not_yet(self, reason: str) -> None:
        """It answers, but it may take a while until it can be used: who waits for the start need not wait."""
        if self.state is NodeState.STARTING:
            self.reason = reason
            self._settled.set()

    def stop(self) -> None:
        """Begin to end: nothing is dialled any more."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()

    def abandon(self) -> None:
        """The process was forked: the connections are not this one's."""
        self._closed = True
        for connection in (self.connection, self._old):
            if connection is not None:
                connection.abandon()
        self.connection = self._old = None
        self.state, self.reason = NodeState.DOWN, CLOSED

    async def close(self) -> None:
        self.stop()
        if self._task is not None:
            await end(self._task)
        for connection in (self.connection, self._old):
            if connection is not None:
                connection.close()
        self.connection = self._old = None
        self.state, self.reason = NodeState.DOWN, CLOSED
        self._change.set()

    async def ready(self, timeout_s: float) -> Connection:
        """The connection, with room for a batch. Raises `NodeError` when the node is out."""
        connection = self.connection
        if connection is not None and connection.usable and connection.has_room:
            return connection
        try:
            async with asyncio.timeout(timeout_s):
                while self.up:
                    connection = self.connection
                    if connection is None or not connection.usable:
                        await self._change.wait()
                    elif connection.has_room:
                        return connection
                    else:
                        await connection.room()
        except TimeoutError:
            raise AnswerTimeout(f"no room on the connection within {timeout_s:g} s") from None
        raise ConnectionLost(self.reason or "the node is out")

    def answered(self, seconds: float) -> None:
        """Count a batch that was answered."""
        self.latency.add(seconds * 1000.0)
        self._breaker.success()

    def failed(self, error: NodeError) -> None:
        """Count a batch that was not."""
        kind = type(error).__name__
        self.errors[kind] = self.errors.get(kind, 0) + 1

    # Taken out and back by hand --------------------------------------------------------------

    @property
    def drained(self) -> bool:
        """Whether it stays out until `rejoin`, however well it answers."""
        return not self._taken_back.is_set()

    def drain(self) -> None:
        """Stop using the node. What is under way on it fails over as in an outage."""
        self._taken_back.clear()
        self.put_out(DRAINED)

    def rejoin(self) -> None:
        """Use it again, once it has answered and is fenced, as after an outage."""
        self._taken_back.set()

    # The node's life -------------------------------------------------------------------------

    async def _supervise(self) -> None:
        while not self._closed:
            began_s = self._clock.monotonic()
            self._hurry.clear()
            try:
                connection = await self._open()
                self.connection = connection
                self._breaker.success()
                self._enter(NodeState.UP, "")
            except Exception as error:
                if not isinstance(error, NodeError):  # a mistake of ours: say so, and go on trying
                    _LOG.exception("cache node %s could not be brought up", self.name)
                # A refusal comes at once; what takes longer is silence.
                ended_s = self._clock.monotonic()
                hung = ended_s - began_s > 0.5 * min(self._connect_timeout_s, self._operation_timeout_s)
                self._failed_attempt = (began_s, ended_s, hung)
                self._out(str(error) or type(error).__name__)
                await self._until_probe()
                self._breaker.probe()
                self._enter(NodeState.PROBING, self.reason)
                continue
            lost = await self._until_lost(connection)
            if lost is None:  # the breaker opened; keep the old connection for what it still owes
                self._old = connection
                await self._until_probe()
                self._breaker.probe()
                self._enter(NodeState.PROBING, self.reason)
            else:
                self.reason = str(lost)

    async def _until_lost(self, connection: Connection) -> NodeError | None:
        """Wait for the end of the connection (its reason) or of the breaker's patience (``None``)."""
        while self.up:
            changed = asyncio.create_task(self._change.wait())
            try:
                await asyncio.wait((connection.lost, changed), return_when=asyncio.FIRST_COMPLETED)
            finally:
                await end(changed)
            if self.up and connection.lost.done():
                self.connection = None
                self._unsettled |= connection.unanswered > 0
                return connection.lost.result()
        return None

    async def _until_probe(self) -> None:
        """Wait for the breaker's next probe; less when the old connection shows life before."""
        waits = [asyncio.create_task(self._pause())]
        if self._old is not None and self._old.usable:
            waits.append(asyncio.create_task(self._old.drained()))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in waits:
                await end(waiting)
        if self.drained:
            self._enter(NodeState.DOWN, DRAINED)
            await self._taken_back.wait()

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._breaker.retry_in_s()):
                await self._hurry.wait()

    async def _open(self) -> Connection:
        """A connection over which the node has shown that it works and holds nothing stale.

        Raises `NodeError`.
        """
        connection = self._old
        if connection is None or not connection.usable or connection.in_flight:
            connection = await self._dial(
                self.address,
                lambda: Connection(self._overdue),
                timeout_s=self._connect_timeout_s,
                tls_context=self._tls_context,
            )
        try:
            login = self._login if connection is not self._old else None
            greeting = await greet(connection, login, self._operation_timeout_s)
            self.capabilities = found = greeting.capabilities
            if not found.meta:
                raise NodeError(f"memcached {found.version} has no meta commands; 1.6 or newer is needed")
            if greeting.uptime_s is not None:
                self.restarted = self._process.restarted(greeting, self._clock.monotonic())
                self.kept_items = self._process.kept
            self._surroundings.answers(self, connection)
            await self._work_off(connection)
            was_out = self._was_out
            await self._surroundings.before_up(self, connection)
            if self._was_out is not was_out:
                raise NodeError(self.reason)  # put out meanwhile
            if self.drained:
                raise NodeError(DRAINED)
        except NodeError:
            if self.drained and connection.usable:
                self._old = connection  # it serves to know of other clients
            else:
                connection.close()
            raise
        except BaseException:
            connection.close()
            raise
        self._was_out = False
        return connection

    async def _work_off(self, connection: Connection) -> None:
        """Let the node finish what lies unread on the connection it was lost on.

        A set sent just before the node hung is carried out when it wakes up. It must be over before the
        node is fenced, or it would count as new.
        """
        old, self._old = self._old, None
        if old is not None and old is not connection:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DRAIN_GRACE_S):
                    await old.drained()
            self._unsettled |= old.in_flight > 0 or old.unanswered > 0
            old.close()
        if self._unsettled and not self.restarted:
            await asyncio.sleep(_UNSETTLED_S)
        self._unsettled = False

    def _overdue(self, heard: bool) -> None:
        """A batch ran out of time; with nothing at all heard meanwhile the node hangs."""
        if self.up:
            opened = self._breaker.failure(hard=not heard)
            if opened:
                self.reachable = False
                why = "answers too slowly" if heard else "does not answer"
                reason = f"{why} (waited {self._operation_timeout_s:g} s)"
                self._enter_out(reason, AnswerTimeout(reason))

    def _enter_out(self, reason: str, error: NodeError) -> None:
        connection, self.connection = self.connection, None
        self._old = connection
        self._was_out = True
        self._enter(NodeState.DOWN, reason)
        if connection is not None:
            connection.abandon_all(error)

    def _out(self, reason: str) -> None:
        self.reachable = False
        self._breaker.failure(hard=True)
        self._was_out = True
        self._enter(NodeState.DOWN, reason)

    @property
    def returns(self) -> bool:
        """Whether it was out since it was last up, or since the start."""
        return self._was_out

    @property
    def spare(self) -> Connection | None:
        """The connection of a node that is out, while it may still answer."""
        return self._old if self._old is not None and self._old.usable else None

    def put_out(self, reason: str, *, reachable: bool = False) -> None:
        """Take the node out for a reason found elsewhere; ``reachable``: it answers this client well."""
        self.reachable = reachable
        if self.up:
            self._breaker.failure(hard=True)
            self._enter_out(reason, ConnectionLost(reason))

    def _enter(self, state: NodeState, reason: str) -> None:
        before = self.state
        self.reason = reason
        if state is not before:
            self.state = state
            self._since_s = self._clock.monotonic()
            self._surroundings.changed(self, before)
        if state in (NodeState.UP, NodeState.DOWN):
            self._settled.set()
        # A fresh event a change: whoever waits is woken by the next one, and nobody spins on the last.
        self._change.set()
        self._change = asyncio.Event()
