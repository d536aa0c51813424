"""Who of a group may end its session: a member to whom another has promised to keep its own.

What is published while no member has a session is lost, so members must not rely on what each other was going
to do. A member that leaves says so with a number of its own (``leave_id``) and waits for a promise. Only a
member that takes readings promises, or one that leaves and has decided to keep its session; and who has
promised needs another's promise before it may end its own session. Statements may come late or not at all:
who gets no promise in time keeps its session, which can be ended by hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from iotcache.published_stats import GroupMembership

PEER_S: Final = 5.0
"""A member that says nothing for so long is not there: they tell their counters once a second."""
PEERS_LIMIT: Final = 10_000


class Leaving:
    """One member's part."""

    def __init__(self, instance: str, now_s: Callable[[], float] = time.monotonic) -> None:
        self._instance = instance
        self._now_s = now_s
        self._peers: dict[str, tuple[float, GroupMembership]] = {}
        """By instance: when it was heard of last, and what it said last."""
        self._leave_id = 0
        self._keeps = False
        self._is_promised = False

    def begin(self, leave_id: int) -> None:
        """We were told to end. ``leave_id``: not 0, and another than in our former lives."""
        self._leave_id = leave_id

    def keep(self) -> None:
        """Our session stays: we may promise so."""
        self._keeps = True

    def note(self, instance: str, membership: GroupMembership) -> bool:
        """Another member spoke; whether it has just begun to leave, and waits for an answer."""
        known = self._peers.get(instance)
        if known is None and len(self._peers) >= PEERS_LIMIT:
            return False
        self._peers[instance] = self._now_s(), membership
        if self._leave_id and membership.promises.get(self._instance) == self._leave_id:
            self._is_promised = True
        return bool(membership.leave_id) and (known is None or known[1].leave_id != membership.leave_id)

    def gone(self, instance: str) -> None:
        """It has ended, or was killed."""
        self._peers.pop(instance, None)

    @property
    def peers(self) -> dict[str, GroupMembership]:
        """Those that were heard of lately."""
        since_s = self._now_s() - PEER_S
        return {instance: peer for instance, (seen_s, peer) in self._peers.items() if seen_s > since_s}

    @property
    def membership(self) -> GroupMembership:
        """What we say of ourselves."""
        promises: dict[str, int] = {}
        if not self._leave_id or self._keeps:
            promises = {instance: peer.leave_id for instance, peer in self.peers.items() if peer.leave_id}
        return GroupMembership(self._leave_id, self._keeps, promises)

    @property
    def may_end(self) -> bool | None:
        """Whether our session may be ended; ``None`` while a promise may still come."""
        if self._keeps:
            return False
        if self._is_promised:
            return True
        peers = self.peers
        if any(not peer.leave_id or peer.keeps_session for peer in peers.values()):
            return None
        # All that are there leave as well: the first of them by name keeps its session for the others.
        return False if self._instance < min(peers, default="\U0010ffff") else None
