"""Whether a mapping can be used, with a sentence for each way in which it cannot."""

from __future__ import annotations

from msgspec import structs

from iotcache.decode.limits import UNIT_LIMIT
from iotcache.decode.mapping.paths import parse_path, parse_text
from iotcache.decode.mapping.reader import FieldReader
from iotcache.decode.mapping.settings import FieldPaths, IngestMapping
from iotcache.decode.mapping.times import check_zone
from iotcache.decode.topics import SPARKPLUG, TopicTemplate

PATHS = ("readings", "value", "ts", "device", "sensor", "site", "unit", "seq", "boot")


def check_mapping(mapping: IngestMapping) -> None:
    """Raises `ValueError` or `ConfigError` that names the key, its value and what is allowed."""
    if not mapping.topics:
        raise ValueError("topic is empty: it needs a topic template such as tele/{device}/SENSOR")
    has_device = bool(mapping.device)
    for text in mapping.topics:
        template = TopicTemplate(text, "topic")
        if text.startswith(SPARKPLUG):
            raise ValueError(f"topic is {text!r}: Sparkplug B is read as it is; name it in ingest.topics")
        is_read = not mapping.pass_over and not mapping.announces
        if is_read and not has_device and "device" not in template.fields:
            raise ValueError(
                f"the topic {text!r} has no {{device}} level, and device is empty: "
                "one of them must say whose the readings are"
            )
    for key in PATHS:
        given: str = getattr(mapping, key)
        try:
            FieldReader(structs.replace(_NOTHING, **{key: given}))
        except ValueError as error:
            raise ValueError(f'{key} is "{given}": allowed is {error}') from None
    try:
        check_zone(mapping.zone)
    except ValueError as error:
        raise ValueError(f'zone is "{mapping.zone}": allowed is {error}') from None
    for key in ("when", "where"):
        for path in getattr(mapping, key):
            try:
                parse_path(path)
            except ValueError:
                allowed = "a path such as method or $.params.ts"
                raise ValueError(f'{key} has "{path}": allowed is {allowed}') from None
    for sensor, unit in mapping.units.items():
        try:
            parse_text(unit)
        except ValueError as error:
            raise ValueError(f'the unit of "{sensor}" is "{unit}": in braces stands {error}') from None
        if len(unit) > UNIT_LIMIT:
            raise ValueError(f'the unit of "{sensor}" has {len(unit)} characters; {UNIT_LIMIT} are allowed')


_NOTHING = FieldPaths(ts="", device="", sensor="", site="", unit="", seq="", boot="")
