"""Subscriptions of an earlier configuration in a worker's session: found by what they bring, and ended.

A persistent session keeps its subscriptions, and a broker cannot be asked for them. A message on a topic that
none of ours covers came by one of them: we unsubscribe from whatever filter may have brought it, but for our
own (MQTT 5.0, 3.10 and 4.7), and pass such messages over. Where they keep coming all the same, something else
brings them, and they are dead letters as in a session of our own making.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from iotcache.decode.topics import Topics, filter_covers
from iotcache.errors import BrokerError
from iotcache.model import Message
from iotcache.mqtt import MqttLink
from iotcache.mqtt.connection import SubscriptionRefused
from iotcache.text import plural, printable

log = logging.getLogger(__name__)

CANDIDATES: Final = 1_000
"""Most filters to unsubscribe from for one topic: all that cover one of eight levels, and those with the
fewest wildcards of a longer one."""
EVERY_S: Final = 2.0
"""What a broker has queued still comes: only then is the next topic looked at."""
AGAIN_S: Final = 6.0
"""A topic that brings messages for so long after that may need another way."""
STILL_S: Final = 60.0
"""One that does so for so long is brought by something else."""
LEVELS: Final = 16
ENDED_REMEMBERED: Final = 100
_EXISTED: Final = 0


def covering_filters(topic: str) -> Iterator[str]:
    """The filters that cover a topic, those with few ``+`` first: 3 * 2^levels - 1 in all.

    Of a topic with more than `LEVELS` only itself, and those that end in ``#`` within so many.
    """
    levels = topic.split("/")
    is_deep = len(levels) > LEVELS
    if is_deep:
        yield topic
        levels = levels[:LEVELS]
    first = 1 if topic.startswith("$") else 0  # no wildcard covers such a first level (4.7.2)
    if not first:
        yield "#"
    for wild in range(len(levels) + 1):
        for places in itertools.combinations(range(first, len(levels)), wild):
            text = [("+" if place in places else level) for place, level in enumerate(levels)]
            if not is_deep:
                yield "/".join(text)
            # Cut behind the last "+" at the earliest: what is shorter has fewer of them.
            for end in range(max(1, places[-1] + 1 if places else first), len(text) + 1):
                yield "/".join([*text[:end], "#"])


class FormerSubscriptions:
    """Those of one worker's session. Run `run` beside whoever reads messages."""

    def __init__(
        self,
        link: MqttLink,
        topics: Topics,
        group: str = "",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.passed_over = 0
        """Messages that came by them."""
        self._link = link
        self._topics = topics
        self._share = f"$share/{group}/" if group else ""
        self._monotonic = monotonic
        self._ended_s: OrderedDict[str, float] = OrderedDict()
        """By filter, or by topic where the broker does not tell which filter it was: since when no
        subscription should bring such messages any more."""
        self._subscribed_first: set[str] = set()
        """Topics whose filters were subscribed to before they were given up."""
        self._topic: str | None = None
        """What is to be looked at next."""
        self._next_s = 0.0
        self._wanted = asyncio.Event()
        self._is_given_up = False

    @property
    def are_possible(self) -> bool:
        """Whether the session is one that was there before us."""
        return self._link.inherited and not self._is_given_up

    def pass_over(self, message: Message) -> bool:
        """Whether a message came by such a subscription: it is nothing to us."""
        topic = message.topic
        if not self._topics.names(topic).is_uncovered:
            return False
        now_s = self._monotonic()
        ended_s = next((at_s for one, at_s in self._ended_s.items() if filter_covers(one, topic)), None)
        if ended_s is not None and now_s - ended_s > STILL_S:
            self._give_up(topic)
            return False
        if self._topic is None and now_s >= self._next_s and self._is_wanted(topic, ended_s, now_s):
            self._topic = topic
            self._wanted.set()
        self.passed_over += 1
        return True

    def _is_wanted(self, topic: str, ended_s: float | None, now_s: float) -> bool:
        if ended_s is None:
            return True
        is_late = now_s - ended_s > AGAIN_S and topic in self._ended_s
        return is_late and topic not in self._subscribed_first

    async def run(self) -> None:
        """End what brings such messages, until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if self._topic is not None:
                with contextlib.suppress(BrokerError):  # it comes again on the next connection
                    await self._end(self._topic)
            self._topic = None
            self._next_s = self._monotonic() + EVERY_S

    async def _end(self, topic: str) -> None:
        filters = self._candidates(topic)
        if topic in self._ended_s:
            self._subscribed_first.add(topic)
            await self._end_by_subscribing([text for text in filters if text[0] not in "+#"])
            return
        codes = await self._link.unsubscribe(filters)
        # A broker may take two filters for one: ours stand again in any case.
        await self._link.subscribe()
        existed = [text for text, code in zip(filters, codes, strict=False) if code == _EXISTED]
        if len(existed) == len(filters):  # one that says so of every filter (ejabberd 23.01)
            existed, codes = [], []
        if codes and not existed:
            self._give_up(topic)
            return
        for one in existed or [topic]:
            self._ended_s[one.removeprefix(self._share)] = self._monotonic()
            if len(self._ended_s) > ENDED_REMEMBERED:
                self._subscribed_first.discard(self._ended_s.popitem(last=False)[0])
        log.warning(
            "the session %s at the broker had kept a subscription of an earlier configuration%s: it is "
            "ended; %s on topics like %s passed over so far",
            printable(self._link.client_id, 60),
            f", {printable(', '.join(existed), 200)}" if existed else "",
            plural(self.passed_over, "message"), printable(topic, 200),
        )  # fmt: skip

    async def _end_by_subscribing(self, filters: Sequence[str]) -> None:
        """RabbitMQ 3.10 ends a subscription only on the connection that it was made on.

        No filter that begins with a wildcard is tried: it would bring whatever there is, if for a moment.
        """
        for text in filters:
            with contextlib.suppress(SubscriptionRefused):
                await self._link.subscribe([text])
            await self._link.unsubscribe([text])
        await self._link.subscribe()

    def _give_up(self, topic: str) -> None:
        self._is_given_up = True
        log.warning(
            "the broker at %s sends messages on %s, which no subscription of ours covers, nor any other of "
            "this session that could be ended: they are dead letters",
            self._link.name, printable(topic, 200),
        )  # fmt: skip

    def _candidates(self, topic: str) -> Sequence[str]:
        ours = {_as_one(text) for text in self._link.filters}
        heads = ("", self._share) if self._share else ("",)
        found = (head + text for text in covering_filters(topic) for head in heads)
        return [text for text in itertools.islice(found, CANDIDATES) if _as_one(text) not in ours]


def _as_one(text: str) -> str:
    """A filter as RabbitMQ sees it, for which a dot and a slash are the same."""
    return text.replace(".", "/")
