"""Which mappings a configuration means, its presets' included, and what a mapping cannot be."""

from __future__ import annotations

from collections.abc import Sequence

from iotcache.config.presets import load_preset
from iotcache.config.schema import IngestSettings
from iotcache.decode.mapping.settings import IngestMapping
from iotcache.errors import ConfigError
from iotcache.text import printable


def wrong_mapping(mappings: Sequence[IngestMapping]) -> str | None:
    """What a mapping cannot be, as a sentence; ``None`` when all can."""
    if not mappings:
        return None
    from iotcache.decode.mapping.check import check_mapping

    for n, mapping in enumerate(mappings, 1):
        named = f" ({printable(mapping.name, 60)})" if mapping.name else ""
        try:
            check_mapping(mapping)
        except (ValueError, ConfigError) as error:
            return f"ingest.mapping[{n}]{named}: {error}"
    return None


def all_topics(ingest: IngestSettings) -> tuple[str, ...]:
    """The templates of `ingest.topics`, then those of the presets."""
    presets = [load_preset(name) for name in preset_list(ingest)]
    return tuple(dict.fromkeys((*ingest.topics, *(topic for one in presets for topic in one.topics))))


def all_mappings(ingest: IngestSettings) -> tuple[IngestMapping, ...]:
    """The mappings of the configuration, then those of the presets, in the order in which they are tried."""
    presets = [load_preset(name) for name in preset_list(ingest)]
    return (*ingest.mapping, *(mapping for one in presets for mapping in one.mapping))


def preset_list(ingest: IngestSettings) -> tuple[str, ...]:
    """The names of the presets in use."""
    return (ingest.preset,) if isinstance(ingest.preset, str) else ingest.preset
