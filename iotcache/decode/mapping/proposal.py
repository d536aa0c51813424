"""A mapping for a message that nobody reads: a guess at where its device, time and values are, tried on it.

Pure. What is proposed has been applied to the very message: every number in it that can be kept is a reading.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from iotcache.decode.mapping.announced import entities
from iotcache.decode.mapping.check import check_mapping
from iotcache.decode.mapping.guesses import EACH, Guess, guesses, is_number, template_for
from iotcache.decode.mapping.outcome import Mapping, content_of, read_by_mappings
from iotcache.decode.mapping.paths import Step, parse_steps
from iotcache.decode.mapping.settings import IngestMapping
from iotcache.decode.mapping.toml_text import mapping_text
from iotcache.decode.outcomes import PartlyDecoded, Refused
from iotcache.decode.topics import MappedTopics, Topics
from iotcache.errors import ConfigError
from iotcache.model import Reading, Value


class Proposal(Struct, frozen=True):
    """A mapping that reads a message."""

    mapping: IngestMapping
    readings: list[Reading]
    notes: dict[str, str] = {}

    @property
    def text(self) -> str:
        """As TOML."""
        return mapping_text(self.mapping, self.notes)


def propose(topic: str, payload: bytes, received_us: int, others: Sequence[str] = ()) -> Proposal | None:
    """A mapping for the message; ``None`` where there is nothing in it that could be read.

    ``others`` are topics of messages alike: where they differ from this one is the device.
    """
    try:
        is_bare, content = content_of(payload)
    except (Refused, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    best: Proposal | None = None
    fewest = 0
    for guess in guesses(topic, is_bare, content, received_us, others):
        found = _applied(guess.mapping, topic, payload, received_us)
        if not found:
            continue
        missing = _missing(guess, content, found)
        if best is None or missing < fewest:
            best, fewest = Proposal(guess.mapping, found, guess.notes), missing
    return best


def propose_announced(content: Any) -> IngestMapping | None:
    """The mapping for the state topic that a discovery message of Home Assistant names, with its units."""
    found = list(entities(content)) if isinstance(content, dict) else []
    if not found:
        return None
    topic = found[0][0]
    template, device = template_for(topic, is_bare=not found[0][1])
    units = {"/".join(steps): unit for of, steps, unit in found if of == topic and steps}
    unit = "" if found[0][1] else f"={found[0][2]}"
    mapping = IngestMapping(topic=template, device=device, units=units, unit=unit)
    return mapping if _usable(mapping) else None


def _applied(mapping: IngestMapping, topic: str, payload: bytes, received_us: int) -> list[Reading]:
    """What a mapping makes of a message."""
    if not _usable(mapping):
        return []
    names = Topics((), [MappedTopics(mapping.topics)]).names(topic)
    if not names.routes:
        return []
    try:
        mapped = read_by_mappings([(Mapping(mapping, 1), names.routes[0][1])], topic, payload, received_us)
    except (Refused, msgspec.MsgspecError, UnicodeDecodeError):
        return []
    outcome = mapped.outcome
    if isinstance(outcome, PartlyDecoded):
        return outcome.readings
    return outcome if isinstance(outcome, list) else []


def _missing(guess: Guess, content: Any, found: Sequence[Reading]) -> int:
    """How many of a message's numbers a mapping does not read, those aside that are a time or a name."""
    mapping = guess.mapping
    record: tuple[Step, ...] = ()
    if mapping.readings:
        record = (*parse_steps(mapping.readings), EACH)
    elif isinstance(content, list) and any(isinstance(one, dict) for one in content):
        record = (EACH,)
    taken = set(guess.aside)
    for path in (mapping.ts, mapping.device, mapping.sensor, mapping.unit):
        if path and not path.startswith("=") and "{" not in path:
            is_whole = path.startswith("$.")
            taken.add(parse_steps(path[2:]) if is_whole else (*record, *parse_steps(path)))
    wanted = Counter(number for steps, number in _numbers(content) if steps not in taken)
    missing = wanted - Counter(one.value for one in found if is_number(one.value))
    return max(0, missing.total() - guess.left_out)


def _numbers(content: Any, steps: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], Value]]:
    if isinstance(content, dict):
        for name, one in content.items():
            yield from _numbers(one, (*steps, name))
    elif isinstance(content, list):
        for one in content:
            yield from _numbers(one, (*steps, EACH))
    elif is_number(content):
        yield steps, content


def _usable(mapping: IngestMapping) -> bool:
    try:
        check_mapping(mapping)
    except (ValueError, ConfigError):
        return False
    return True
