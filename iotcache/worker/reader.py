"""The reader of messages that the settings ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from iotcache.config.mappings import all_mappings, all_topics
from iotcache.decode.decoder import Decoder
from iotcache.decode.mapping.announced import AnnouncedUnits
from iotcache.decode.mapping.outcome import Mapping
from iotcache.decode.mapping.reader import reader_for
from iotcache.decode.topics import MappedTopics, Topics
from iotcache.faults import Faults
from iotcache.ingest.message_reader import MessageReader

if TYPE_CHECKING:
    from iotcache.config.schema import IngestSettings
    from iotcache.decode.sparkplug.reader import SparkplugEvent


def topics_of(ingest: IngestSettings) -> Topics:
    """What the settings have to be subscribed to and read. Raises `ConfigError` for wrong topics."""
    mapped = [
        MappedTopics(one.topics, is_subscribed=not one.pass_over, is_announcement=bool(one.announces))
        for one in all_mappings(ingest)
    ]
    return Topics(all_topics(ingest), mapped)


def decoder_for(
    ingest: IngestSettings,
    topics: Topics,
    on_sparkplug: Callable[[SparkplugEvent], None] = lambda event: None,
) -> Decoder:
    """The decoder of those topics; ``on_sparkplug`` as there."""
    announced = AnnouncedUnits()
    return Decoder(
        topics,
        reader_for(ingest.fields),
        [Mapping(mapping, n, announced) for n, mapping in enumerate(all_mappings(ingest), 1)],
        sparkplug_device=ingest.sparkplug_device,
        on_sparkplug=on_sparkplug,
        watch_sequence=not ingest.group,
    )


def message_reader(
    ingest: IngestSettings,
    topics: Topics | None = None,
    faults: Faults | None = None,
    on_sparkplug: Callable[[SparkplugEvent], None] = lambda event: None,
) -> MessageReader:
    """``on_sparkplug``: see `iotcache.decode.decoder.Decoder`. Raises `ConfigError` for wrong topics."""
    topics = topics or topics_of(ingest)
    return MessageReader(topics, decoder_for(ingest, topics, on_sparkplug), faults or Faults())
