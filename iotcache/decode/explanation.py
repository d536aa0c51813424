"""What the decoder makes of a message, and why: for a person who has a fleet to connect."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from iotcache.decode.decoder import Decoder
from iotcache.decode.mapping.outcome import Mapped, NotTaken, Trial, content_of
from iotcache.decode.mapping.proposal import propose, propose_announced
from iotcache.decode.mapping.toml_text import mapping_text
from iotcache.decode.outcomes import NothingInIt, PartlyDecoded, Refused
from iotcache.decode.topics import Topics, TopicTemplate, filter_covers
from iotcache.model import DeadLetter, Reading
from iotcache.text import printable

READ, PARTLY, DEAD, NOTHING, PASSED_OVER, NOT_SUBSCRIBED = (
    "read",
    "partly read",
    "dead letter",
    "nothing in it",
    "passed over",
    "not subscribed to",
)


class Explanation(Struct, frozen=True):
    """What becomes of one message. All texts are safe to show."""

    topic: str
    size: int
    outcome: str
    """One of `READ`, `PARTLY`, `DEAD`, `NOTHING`, `PASSED_OVER`, `NOT_SUBSCRIBED`."""
    by: str
    """What took it: a mapping, a template, a format."""
    reason: str = ""
    """Why it is a dead letter, or what of it is one."""
    trials: tuple[Trial, ...] = ()
    """Mappings that did not take it, each with why."""
    readings: tuple[Reading, ...] = ()
    preset: str = ""
    """A preset that reads it."""
    proposal: str = ""
    """A mapping that reads it, as TOML."""
    proposed: tuple[Reading, ...] = ()
    """What that mapping reads."""
    covered: int = 0
    """Topics of messages alike, this one among them, that the mapping is for."""


class Explainer:
    """Explains the messages of one deployment."""

    def __init__(self, decoder: Decoder, topics: Topics, presets: Sequence[tuple[str, Decoder]] = ()) -> None:
        """``presets`` are decoders of one preset each, by its name."""
        self._decoder = decoder
        self._topics = topics
        self._presets = presets

    def explain(
        self, topic: str, payload: bytes, received_us: int, others: Sequence[str] = ()
    ) -> Explanation:
        """What becomes of a message; ``others`` are topics of messages alike."""
        found = self._decoder.decode(topic, payload, received_us)
        by, trials = self._taken_by(topic, payload, received_us)
        shown = printable(topic, 200)
        if isinstance(found, DeadLetter | NothingInIt):
            outcome = DEAD if isinstance(found, DeadLetter) else NOTHING
            names = self._topics.names(topic)
            if names.refused and not any(filter_covers(one, topic) for one in self._topics.filters()):
                outcome = NOT_SUBSCRIBED
            made = Explanation(shown, len(payload), outcome, by, found.reason, trials)
            if names.routes:  # what it lacks is said; another mapping would only hide that
                return made
        elif isinstance(found, PartlyDecoded):
            reason = found.dead_letter.reason
            return Explanation(shown, len(payload), PARTLY, by, reason, trials, tuple(found.readings))
        elif found:
            return Explanation(shown, len(payload), READ, by, "", trials, tuple(found))
        else:
            return Explanation(shown, len(payload), PASSED_OVER, by, "", trials)
        return self._with_proposal(made, topic, payload, received_us, others)

    def _taken_by(self, topic: str, payload: bytes, received_us: int) -> tuple[str, tuple[Trial, ...]]:
        names = self._topics.names(topic)
        if names.sparkplug:
            return "Sparkplug B", ()
        if names.reserved:
            what = f"a message of a device's {names.life}" if names.life else "a topic that is never read"
            return what, ()
        if not names.routes:
            if names.refused:
                return "", ()
            return f"the template {self._topics.template_of(topic)}", ()
        try:
            mapped: Mapped = self._decoder.mapped(names, topic, payload, received_us)
        except NotTaken as error:
            return "", error.trials
        except (Refused, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return "", ()
        return f"the mapping {printable(mapped.mapping, 80)!r}" if mapped.mapping else "", mapped.trials

    def _with_proposal(
        self, made: Explanation, topic: str, payload: bytes, received_us: int, others: Sequence[str]
    ) -> Explanation:
        if topic.endswith("/config"):
            announced = _announced(payload)
            if announced:
                return msgspec.structs.replace(made, preset="home-assistant-discovery", proposal=announced)
        for name, decoder in self._presets:
            found = decoder.decode(topic, payload, received_us)
            if isinstance(found, list | PartlyDecoded) and not _is_reserved(topic):
                return msgspec.structs.replace(made, preset=name)
        proposal = propose(topic, payload, received_us, others)
        if proposal is None:
            return made
        templates = [TopicTemplate(text) for text in proposal.mapping.topics]
        covered = sum(any(one.match(other) is not None for one in templates) for other in {topic, *others})
        return msgspec.structs.replace(
            made, proposal=proposal.text, proposed=tuple(proposal.readings), covered=covered
        )


def _announced(payload: bytes) -> str:
    try:
        mapping = propose_announced(content_of(payload)[1])
    except (Refused, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return "" if mapping is None else mapping_text(mapping)


def _is_reserved(topic: str) -> bool:
    return topic.startswith("iotcache/")
