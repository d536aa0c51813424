"""Messages gathered by what becomes of them, and each told of on a few lines or as JSON."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from iotcache.clock import utc_text
from iotcache.decode.explanation import DEAD, NOT_SUBSCRIBED, NOTHING, Explainer, Explanation
from iotcache.text import plural, printable

if TYPE_CHECKING:
    from iotcache.config.schema import IngestSettings
    from iotcache.model import Reading

GROUPS_LIMIT: Final = 200
"""Kinds of messages that are told apart in one look at a broker."""
TOPICS_LIMIT: Final = 50
"""Topics kept of each kind."""
SAMPLE_LIMIT_BYTES: Final = 65_536
READINGS_SHOWN: Final = 12
_KEY: Final = re.compile(rb'"([^"\\]{1,40})"\s*:')


def explainer_for(ingest: IngestSettings) -> Explainer:
    """An explainer of these settings, which knows all presets besides. Raises `ConfigError`."""
    from iotcache.config.presets import preset_names
    from iotcache.config.schema import IngestSettings
    from iotcache.worker.reader import decoder_for, topics_of

    topics = topics_of(ingest)
    presets = []
    for name in preset_names():
        alone = IngestSettings(topics=(), preset=name)
        presets.append((name, decoder_for(alone, topics_of(alone))))
    return Explainer(decoder_for(ingest, topics), topics, presets)


class Gathering:
    """Messages of a broker by kind: those on topics of one depth with the same members are of one."""

    def __init__(self) -> None:
        self._samples: dict[tuple[object, ...], tuple[str, bytes, int]] = {}
        self._topics: dict[tuple[object, ...], dict[str, None]] = {}
        self._counts: dict[tuple[object, ...], int] = {}
        self.more = 0
        """Messages of further kinds than are kept, or too large to be a sample."""

    def add(self, topic: str, payload: bytes, received_us: int) -> None:
        """Take in one message; our own are passed over."""
        if topic.startswith("iotcache/"):
            return
        levels = topic.split("/")
        members = tuple(dict.fromkeys(_KEY.findall(payload[:4_096])))[:20]
        kind = (len(levels), levels[0], levels[-1] if members else "", members)
        if kind not in self._samples:
            if len(self._samples) >= GROUPS_LIMIT or len(payload) > SAMPLE_LIMIT_BYTES:
                self.more += 1
                return
            self._samples[kind] = (topic, payload, received_us)
        topics = self._topics.setdefault(kind, {})
        if len(topics) < TOPICS_LIMIT:
            topics[topic] = None
        self._counts[kind] = self._counts.get(kind, 0) + 1

    def explained(self, explainer: Explainer) -> Iterator[tuple[Explanation, int, int]]:
        """One explanation a kind, with how many messages on how many topics are of it, most first."""
        for kind in sorted(self._counts, key=lambda one: -self._counts[one]):
            topics = list(self._topics[kind])
            made = explainer.explain(*self._samples[kind], others=topics)
            yield made, self._counts[kind], len(topics)


def lines_of(text: str) -> Iterator[tuple[str, bytes]]:
    """Topic and payload of each line, as ``mosquitto_sub -v`` prints them."""
    for line in text.splitlines():
        topic, blank, payload = line.partition(" ")
        if topic and blank:
            yield topic, payload.encode()


def is_unread(explanation: Explanation) -> bool:
    """Whether nothing was used of a message that is not meant to be passed over."""
    return explanation.outcome in {DEAD, NOTHING, NOT_SUBSCRIBED}


def described(explanation: Explanation, messages: int = 1, topics: int = 1) -> Iterator[str]:
    """An explanation for people; every line is safe to show."""
    many = (
        f", {messages:,} such on {topics:,} topics" if topics > 1 else f", {messages:,} such" * (messages > 1)
    )
    yield f"{explanation.topic} ({plural(explanation.size, 'byte')}{many})"
    by = f" {'of' if is_unread(explanation) else 'by'} {explanation.by}" if explanation.by else ""
    yield f"  {explanation.outcome}{by}"
    if explanation.reason:
        yield f"  because {explanation.reason}"
    for trial in explanation.trials:
        yield f"  not by the mapping {printable(trial.mapping, 80)!r}: {printable(trial.reason, 200)}"
    yield from _listed(explanation.readings)
    if explanation.preset:
        yield f'  a preset is for it: ingest.preset = "{explanation.preset}"'
    if explanation.proposal:
        what = "it" if explanation.proposed else "what it announces"
        if explanation.proposed and explanation.covered < topics:
            what = f"it, and {explanation.covered:,} of these {topics:,} topics"
        yield f"  this mapping reads {what}:"
        yield ""
        yield from explanation.proposal.splitlines()
        yield ""
        yield from _listed(explanation.proposed)
    elif is_unread(explanation) and explanation.trials:
        yield "  mend the mapping, or what is sent"
    elif is_unread(explanation) and not explanation.preset:
        yield "  there is nothing in it that a mapping could read"


def as_json(explanation: Explanation, messages: int, topics: int) -> dict[str, Any]:
    """An explanation for programs."""
    return {
        "topic": explanation.topic, "bytes": explanation.size, "messages": messages, "topics": topics,
        "outcome": explanation.outcome, "by": explanation.by, "reason": explanation.reason,
        "not_by": [{"mapping": one.mapping, "reason": one.reason} for one in explanation.trials],
        "readings": [_row(one) for one in explanation.readings], "preset": explanation.preset,
        "proposal": explanation.proposal, "proposed": [_row(one) for one in explanation.proposed],
    }  # fmt: skip


def _row(reading: Reading) -> dict[str, object]:
    return {
        "device": reading.device, "sensor": reading.sensor, "value": reading.value, "unit": reading.unit,
        "site": reading.site, "ts": utc_text(reading.ts_us),
    }  # fmt: skip


def _listed(readings: Iterable[Reading]) -> Iterator[str]:
    readings = list(readings)
    for one in readings[:READINGS_SHOWN]:
        value = f"{one.value:.10g}" if isinstance(one.value, float) else str(one.value)
        if isinstance(one.value, str):
            value = f'"{value}"'  # a number in quotes is a text
        unit = f" {printable(one.unit, 20)}" if one.unit else ""
        names = f"{printable(one.device, 60)}  {printable(one.sensor, 60)}"
        yield f"    {names}  {printable(value, 60)}{unit}  {utc_text(one.ts_us)}"
    if len(readings) > READINGS_SHOWN:
        yield f"    and {len(readings) - READINGS_SHOWN:,} more"
