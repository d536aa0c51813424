"""Topic templates such as ``iot/{site}/{device}/{sensor}``: what to subscribe to, and what a topic names.

One template level is one topic level: a constant, a field in braces, ``+`` for a level that says nothing, or
``$+`` for such a one that begins with ``$``. A field that ends in ``…`` (or ``...``) takes one level or more,
and a last ``#`` any further levels, or none. What ``{rest…}`` takes is the sensor's name where nothing else
in the topic is. Topics of Sparkplug B name group, node and device in levels of their own: a template under
``spBv1.0/`` says only which to subscribe to. Sources: MQTT 3.1.1 and 5.0, sections 4.7 and 4.8.2.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

from msgspec import Struct, structs

from iotcache.decode.limits import NAME_LIMIT
from iotcache.errors import ConfigError

FIELDS: Final = ("device", "sensor", "site", "unit", "rest")
RESERVED_SENSORS: Final = frozenset({"cfg", "meta", "birth", "death"})
"""Levels in the sensor's place that carry no reading: configuration, metadata, birth and death messages."""
PACK_SENSORS: Final = frozenset({"pack", "senml"})
"""Levels in the sensor's place of messages whose payload names its sensors itself."""
SPARKPLUG: Final = "spBv1.0/"
"""What topics of Sparkplug B begin with (3.0, section 4.1)."""
SHARED_KINDS: Final = ("NDATA", "DDATA")
OWN_KINDS: Final = ("NBIRTH", "DBIRTH", "NDEATH", "DDEATH")
_REMEMBERED_BYTES: Final = 64 * 1024 * 1024
"""Of topics read before: anyone who may publish chooses topics, of up to 65,535 bytes each."""
_ENTRY_BYTES: Final = 600
"""Of one topic, without its text: the dictionary's entry and the `TopicNames`, rounded up."""
_LEVEL: Final = re.compile(r"\{([A-Za-z_]*)(…|\.\.\.)?\}")
_CLOSED: Final = ("$SYS/", "$share/", "$queue/", "$CONTROL/")
"""Topics of brokers' own that no device publishes on."""


class TopicNames(Struct, frozen=True):
    """What a topic says about its readings; empty where it says nothing."""

    device: str = ""
    sensor: str = ""
    site: str = ""
    unit: str = ""
    refused: str = ""
    """Why no reading can come from this topic; safe to show."""
    sparkplug: bool = False
    """A topic of Sparkplug B, whose payload is protobuf."""
    reserved: bool = False
    """A topic of configuration, metadata or life signs, or of our own: no reading, and no mistake."""
    routes: tuple[tuple[int, TopicNames], ...] = ()
    """Mappings that are for the topic, by their numbers, each with what the topic names by its template."""
    life: str = ""
    """Which of `RESERVED_SENSORS` the topic ends a device's name with."""
    is_uncovered: bool = False
    """No subscription of this configuration brings it."""


_NO_NAMES: Final = TopicNames()


class TopicTemplate:
    """One template. Raises `ConfigError` for one that cannot be used."""

    def __init__(self, text: str, key: str = "ingest.topics") -> None:
        """``key`` is the setting that it is from."""
        self.text = text
        self.fields: list[str] = []
        wrong = f"{key}: {text!r} is no topic template"
        if not text or text.startswith(_CLOSED) or any(char in text for char in "\0\r\n"):
            raise ConfigError(f"{wrong}: allowed is for instance iot/{{site}}/{{device}}/{{sensor}}")
        pattern: list[str] = []
        levels: list[str] = []
        parts = text.split("/")
        several = False
        for place, level in enumerate(parts):
            field = _LEVEL.fullmatch(level)
            if field:
                name = field[1]
                if name not in FIELDS:
                    allowed = ", ".join(f"{{{known}}}" for known in FIELDS)
                    raise ConfigError(f"{wrong}: {{{name}}} is no field; allowed are {allowed}")
                if name in self.fields:
                    raise ConfigError(f"{wrong}: {{{name}}} is there twice")
                if field[2] and several:
                    raise ConfigError(f"{wrong}: only one of its fields can take several levels")
                several = several or bool(field[2])
                self.fields.append(name)
                pattern.append(f"(?P<{name}>.*)" if field[2] else f"(?P<{name}>[^/]*)")
                levels.append("#" if field[2] else "+")
            elif level in ("+", "$+"):
                pattern.append("[^/]*" if level == "+" else r"\$[^/]*")
                levels.append("+")
            elif level == "#" and place == len(parts) - 1 and not several:
                levels.append("#")
            elif any(char in level for char in "{}+#"):
                raise ConfigError(f"{wrong}: {level!r} mixes text and a field; a field is a whole level")
            else:
                pattern.append(re.escape(level))
                levels.append(level)
        self.filter = "/".join(levels[: levels.index("#") + 1] if "#" in levels else levels)
        """The subscription that covers it."""
        self.takes_more = "#" in levels[:-1] or "$+" in parts
        """Whether that subscription brings topics that the template does not fit."""
        further = "(?:/.*)?" if levels[-1] == "#" and not several else ""
        self._pattern = re.compile("/".join(pattern) + further, re.DOTALL)

    def match(self, topic: str) -> dict[str, Any] | None:
        """The fields that ``topic`` fills, or ``None`` when it is not of this form."""
        found = self._pattern.fullmatch(topic)
        return found.groupdict() if found else None


class MappedTopics(Struct, frozen=True):
    """The topics of a mapping."""

    templates: tuple[str, ...]
    is_subscribed: bool = True
    """Whether its messages are asked for, and not only told apart when something else brings them."""
    is_announcement: bool = False
    """Whether its messages tell of others'."""


def filter_covers(wide: str, narrow: str) -> bool:
    """Whether every topic that the filter ``narrow`` takes is one that ``wide`` takes (section 4.7)."""
    if wide == narrow:
        return True
    if narrow.startswith("$") and wide[:1] in "+#":
        return False
    wide_levels, narrow_levels = wide.split("/"), narrow.split("/")
    for place, level in enumerate(wide_levels):
        if level == "#":
            return True
        if place >= len(narrow_levels) or narrow_levels[place] == "#":
            return False
        if level not in ("+", narrow_levels[place]):
            return False
    return len(wide_levels) == len(narrow_levels)


def _sparkplug_parts(text: str) -> tuple[list[str], list[str]]:
    """A filter of Sparkplug topics as filters of data, and of births and deaths."""
    levels = text.split("/")[1:]
    group, kind, rest = "+", "+", ["#"]  # a last "#" stands for all of them
    if levels[0] != "#":
        group = levels[0]
        if len(levels) > 1 and levels[1] != "#":
            kind, rest = levels[1], levels[2:]
    kinds = [kind] if kind != "+" else [*SHARED_KINDS, *OWN_KINDS]
    parts = {name: SPARKPLUG + "/".join([group, name, *rest]) for name in kinds}
    return (
        [part for name, part in parts.items() if name not in OWN_KINDS],
        [part for name, part in parts.items() if name in OWN_KINDS],
    )


class Topics:
    """All templates of a deployment; the first that fits a topic reads it, and mappings before them."""

    def __init__(self, templates: Sequence[str], mappings: Sequence[MappedTopics] = ()) -> None:
        """``mappings`` are in the order in which they are tried."""
        self.templates = tuple(TopicTemplate(text) for text in templates)
        self._routes = tuple(
            (number, TopicTemplate(text, "ingest.mapping"))
            for number, mapped in enumerate(mappings)
            for text in mapped.templates
        )
        self._wanted = [
            template.filter for number, template in self._routes if mappings[number].is_subscribed
        ]
        self._announcing = dict.fromkeys(
            template.filter for number, template in self._routes if mappings[number].is_announcement
        )
        self._own_filters = self.filters()
        self._known: dict[str, TopicNames] = {}
        self._known_bytes = 0

    def filters(self, group: str = "") -> list[str]:
        """What to subscribe to; under ``$share/{group}/`` workers of that group share the messages.

        A filter that another covers is left out: a broker may send what both take twice. Births and deaths
        of Sparkplug, and announcements of units, come to each worker of a group: whoever gets the data must
        know them.
        """
        head = f"$share/{group}/" if group else ""
        texts = dict.fromkeys((*(template.filter for template in self.templates), *self._wanted))
        wanted = [
            text for text in texts if not any(other != text and filter_covers(other, text) for other in texts)
        ]
        if not group:
            return wanted
        filters: list[str] = []
        for text in wanted:
            if text in self._announcing:
                continue
            shared, own = _sparkplug_parts(text) if text.startswith(SPARKPLUG) else ([text], [])
            filters += [*(head + one for one in shared), *own]
        return [*filters, *self._announcing]

    def template_of(self, topic: str) -> str:
        """The template that reads a topic, mappings' aside; empty when none fits."""
        return next((one.text for one in self.templates if one.match(topic) is not None), "")

    def names(self, topic: str) -> TopicNames:
        """What ``topic`` names; remembered, as a fleet has few topics and many messages."""
        names = self._known.get(topic)
        if names is None:
            self._known_bytes += _ENTRY_BYTES * (1 + len(self._routes)) + 2 * sys.getsizeof(topic)
            if self._known_bytes > _REMEMBERED_BYTES:
                self._known.clear()
                self._known_bytes = 0
            names = self._read(topic)
            if not any(filter_covers(one, topic) for one in self._own_filters):
                names = structs.replace(names, is_uncovered=True)
            self._known[topic] = names
        return names

    def _read(self, topic: str) -> TopicNames:
        if topic.startswith("iotcache/"):
            return TopicNames(reserved=True)
        if topic.startswith(SPARKPLUG):
            return TopicNames(sparkplug=True)
        if self._routes and (routes := tuple(self._matching(topic))):
            return TopicNames(routes=routes)
        for template in self.templates:
            found = template.match(topic)
            if found is None:
                continue
            names = _names(found)
            if not names.refused and names.sensor in RESERVED_SENSORS:
                return structs.replace(names, sensor="", reserved=True, life=names.sensor)
            return structs.replace(names, sensor="") if names.sensor in PACK_SENSORS else names
        used = [*self.templates, *(template for _, template in self._routes)]
        if any(template.takes_more and filter_covers(template.filter, topic) for template in used):
            return TopicNames(reserved=True)  # nobody asked for it: a broker's filters are coarser
        refused = "the topic fits none of the templates in ingest.topics: "
        if not any(filter_covers(one, topic) for one in self._own_filters):
            refused = (
                "no subscription of this configuration covers the topic (the session at the broker keeps "
                "those of an earlier one), and it fits none of the templates in ingest.topics: "
            )
        return TopicNames(refused=refused + ", ".join(template.text for template in used))

    def _matching(self, topic: str) -> Iterator[tuple[int, TopicNames]]:
        last = -1
        for number, template in self._routes:
            if number != last and (found := template.match(topic)) is not None:
                last = number
                yield number, _names(found)


def _names(found: dict[str, str]) -> TopicNames:
    """What the fields of a template hold, or why it cannot be read."""
    rest = found.pop("rest", "")
    if rest and "sensor" not in found:
        found["sensor"] = rest
    for field, name in found.items():
        if not name:
            return TopicNames(refused=f"the topic's {{{field}}} level is empty")
        if len(name) > NAME_LIMIT:
            return TopicNames(
                refused=f"the topic's {{{field}}} has {len(name)} characters; {NAME_LIMIT} are allowed"
            )
        if "\0" in name:
            return TopicNames(refused=f"the topic's {{{field}}} contains a NUL character")
    return structs.replace(_NO_NAMES, **found)
