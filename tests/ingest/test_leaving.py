"""Members of a group that leave in any order, with statements that come late: one session is always there."""

from __future__ import annotations

from collections import deque
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotcache.published_stats import GroupMembership
from iotcache.worker.leaving import PEER_S, Leaving

NAMES = ("a", "b", "c")


class LooksAround(Leaving):
    """Ends its session where others seem to go on, and relies on the first by name of those that leave."""

    @property
    def may_end(self) -> bool | None:
        me = self._instance
        return any(not peer.leave_id or instance < me for instance, peer in self.peers.items())


class Broker:
    """Sessions, and statements under way: in order from each member to each other one."""

    def __init__(self, rule: type[Leaving], names: tuple[str, ...] = NAMES) -> None:
        self.now_s = 0.0
        self.names = names
        self.rule = rule
        self.sessions = set(names)
        self.members: dict[str, Leaving] = {}
        self.leaving: set[str] = set()
        self.under_way = {
            (one, other): deque[GroupMembership]() for one in NAMES for other in NAMES if one != other
        }
        self.leaves = 0
        for name in names:
            self.start(name)
        self.deliver_all()

    def start(self, name: str) -> None:
        """Begin, or begin again after a kill or an end; the broker has a session for it from now on."""
        self.sessions.add(name)
        self.leaving.discard(name)
        self.members[name] = self.rule(name, lambda: self.now_s)
        for one in self.names:
            if one != name:
                self.under_way[one, name].clear()
        self.say(name)

    def say(self, name: str) -> None:
        for other in self.names:
            if other != name:
                self.under_way[name, other].append(self.members[name].membership)

    def deliver(self, one: str, other: str) -> None:
        queue = self.under_way[one, other]
        if queue and other in self.members and self.members[other].note(one, queue.popleft()):
            self.say(other)

    def deliver_all(self) -> None:
        while any(self.under_way.values()):
            for one, other in self.under_way:
                if other in self.members:
                    self.deliver(one, other)
                else:
                    self.under_way[one, other].clear()

    def leave(self, name: str) -> None:
        if name in self.members and name not in self.leaving:
            self.leaves += 1
            self.leaving.add(name)
            self.members[name].begin(self.leaves)
            self.say(name)

    def decide(self, name: str, *, late: bool) -> None:
        """It looks whether it may end its session; ``late``: it has waited long enough."""
        if name not in self.leaving:
            return
        may_end = self.members[name].may_end
        if may_end:
            self.sessions.discard(name)
        elif may_end is None and not late:
            return
        else:
            self.members[name].keep()
            self.say(name)
        self.kill(name)

    def kill(self, name: str) -> None:
        """It is gone; a session that it has stays."""
        self.members.pop(name, None)
        self.leaving.discard(name)


def play(broker: Broker, steps: list[tuple[str, str, str]]) -> bool:
    """Whether there was a session all the time."""
    for what, one, other in steps:
        match what:
            case "leave":
                broker.leave(one)
            case "look" | "late":
                broker.decide(one, late=what == "late")
            case "kill":
                broker.kill(one)
            case "start" if one not in broker.members:
                broker.start(one)
            case "say" if one in broker.members:
                broker.say(one)
            case "hear" if one != other:
                broker.deliver(one, other)
            case "pause":
                broker.now_s += PEER_S
        if not broker.sessions:
            return False
    return True


ACTS = ("leave", "look", "late", "kill", "start", "say", "hear", "hear", "hear", "pause")
name = st.sampled_from(NAMES)


@given(st.lists(st.tuples(st.sampled_from(ACTS), name, name), max_size=200))
def test_one_session_is_always_there(steps: list[tuple[str, str, str]]) -> None:
    assert play(Broker(Leaving), steps)


def test_looking_around_is_not_enough() -> None:
    """The same game finds the fault of members that rely on what others seem to do."""

    def drawn(seed: int) -> list[tuple[str, str, str]]:
        random, two = Random(seed), NAMES[:2]
        acts = [act for act in ACTS if act not in ("kill", "pause")]
        return [(random.choice(acts), random.choice(two), random.choice(two)) for _ in range(80)]

    assert not all(play(Broker(LooksAround, NAMES[:2]), drawn(seed)) for seed in range(50))
    assert all(play(Broker(Leaving, NAMES[:2]), drawn(seed)) for seed in range(50))


@pytest.mark.parametrize("leavers", [("a",), ("b", "c"), NAMES], ids="".join)
def test_who_leaves_while_others_go_on_ends_its_session(leavers: tuple[str, ...]) -> None:
    broker = Broker(Leaving)
    for leaver in leavers:
        broker.leave(leaver)
    broker.deliver_all()
    for leaver in leavers:
        broker.decide(leaver, late=False)
        broker.deliver_all()
    assert broker.sessions == set(NAMES).difference(leavers) or broker.sessions == {"a"}
