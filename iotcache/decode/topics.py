"""Topic templates such as ``iot/{site}/{device}/{sensor}``: what to subscribe to, and what a topic names.

One template level is one topic level: a constant, a field in braces, or ``+`` for a level that says nothing.
A last ``#`` takes any further levels, or none. Topics of Sparkplug B name group, node and device in levels of
their own: a template under ``spBv1.0/`` says only which of them to subscribe to. Sources: MQTT 3.1.1 and 5.0,
sections 4.7 and 4.8.2.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from iotcache.decode.limits import NAME_LIMIT
from iotcache.errors import ConfigError

FIELDS: Final = ("device", "sensor", "site", "unit")
RESERVED_SENSORS: Final = frozenset({"cfg", "meta", "birth", "death"})
"""Levels in the sensor's place that carry no reading: configuration, metadata, birth and death messages."""
PACK_SENSORS: Final = frozenset({"pack", "senml"})
"""Levels in the sensor's place of messages whose payload names its sensors itself."""
SPARKPLUG: Final = "spBv1.0/"
"""What topics of Sparkplug B begin with (3.0, section 4.1)."""
_REMEMBERED_BYTES: Final = 64 * 1024 * 1024
"""Of topics read before: anyone who may publish chooses topics, of up to 65,535 bytes each."""
_ENTRY_BYTES: Final = 600
"""Of one topic, without its text: the dictionary's entry and the `TopicNames`, rounded up."""
_LEVEL: Final = re.compile(r"\{([A-Za-z_]*)\}")


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
    life: str = ""
    """Which of `RESERVED_SENSORS` the topic ends a device's name with."""


class TopicTemplate:
    """One template. Raises `ConfigError` for one that cannot be used."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.fields: list[str] = []
        wrong = f"ingest.topics: {text!r} is no topic template"
        if not text or text.startswith("$") or any(char in text for char in "\0\r\n"):
            raise ConfigError(f"{wrong}: allowed is for instance iot/{{site}}/{{device}}/{{sensor}}")
        pattern: list[str] = []
        levels: list[str] = []
        parts = text.split("/")
        for place, level in enumerate(parts):
            field = _LEVEL.fullmatch(level)
            if field:
                name = field[1]
                if name not in FIELDS:
                    allowed = ", ".join(f"{{{known}}}" for known in FIELDS)
                    raise ConfigError(f"{wrong}: {{{name}}} is no field; allowed are {allowed}")
                if name in self.fields:
                    raise ConfigError(f"{wrong}: {{{name}}} is there twice")
                self.fields.append(name)
                pattern.append(f"(?P<{name}>[^/]*)")
                levels.append("+")
            elif level == "+":
                pattern.append("[^/]*")
                levels.append("+")
            elif level == "#" and place == len(parts) - 1:
                levels.append("#")
            elif any(char in level for char in "{}+#"):
                raise ConfigError(f"{wrong}: {level!r} mixes text and a field; a field is a whole level")
            else:
                pattern.append(re.escape(level))
                levels.append(level)
        if "device" not in self.fields and not text.startswith(SPARKPLUG):
            raise ConfigError(f"{wrong}: it has no {{device}} level")
        self.filter = "/".join(levels)
        """The subscription that covers it."""
        further = "(?:/.*)?" if levels[-1] == "#" else ""
        self._pattern = re.compile("/".join(pattern) + further, re.DOTALL)

    def match(self, topic: str) -> dict[str, Any] | None:
        """The fields that ``topic`` fills, or ``None`` when it is not of this form."""
        found = self._pattern.fullmatch(topic)
        return found.groupdict() if found else None


class Topics:
    """All templates of a deployment; the first that fits a topic reads it."""

    def __init__(self, templates: Sequence[str]) -> None:
        self.templates = tuple(TopicTemplate(text) for text in templates)
        self._known: dict[str, TopicNames] = {}
        self._known_bytes = 0

    def filters(self, group: str = "") -> list[str]:
        """What to subscribe to; under ``$share/{group}/`` workers of that group share the messages."""
        head = f"$share/{group}/" if group else ""
        return [head + text for text in dict.fromkeys(template.filter for template in self.templates)]

    def names(self, topic: str) -> TopicNames:
        """What ``topic`` names; remembered, as a fleet has few topics and many messages."""
        names = self._known.get(topic)
        if names is None:
            self._known_bytes += _ENTRY_BYTES + 2 * sys.getsizeof(topic)
            if self._known_bytes > _REMEMBERED_BYTES:
                self._known.clear()
                self._known_bytes = 0
            names = self._known[topic] = self._read(topic)
        return names

    def _read(self, topic: str) -> TopicNames:
        if topic.startswith("iotcache/"):
            return TopicNames(reserved=True)
        if topic.startswith(SPARKPLUG):
            return TopicNames(sparkplug=True)
        for template in self.templates:
            found = template.match(topic)
            if found is None:
                continue
            for field, name in found.items():
                if not name:
                    return TopicNames(refused=f"the topic's {{{field}}} level is empty")
                if len(name) > NAME_LIMIT:
                    return TopicNames(
                        refused=f"the topic's {{{field}}} has {len(name)} characters; "
                        f"{NAME_LIMIT} are allowed"
                    )
                if "\0" in name:
                    return TopicNames(refused=f"the topic's {{{field}}} contains a NUL character")
            if found.get("sensor") in RESERVED_SENSORS:
                life = found.pop("sensor")
                return TopicNames(**found, reserved=True, life=life)
            if found.get("sensor") in PACK_SENSORS:
                found["sensor"] = ""
            return TopicNames(**found)
        forms = ", ".join(template.text for template in self.templates)
        return TopicNames(refused=f"the topic fits none of the templates in ingest.topics: {forms}")
