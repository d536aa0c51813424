"""The reader of messages that the settings ask for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from iotcache.decode.decoder import Decoder
from iotcache.decode.field_paths import reader_for
from iotcache.decode.topics import Topics
from iotcache.ingest.faults import Faults
from iotcache.ingest.message_reader import MessageReader

if TYPE_CHECKING:
    from iotcache.config.schema import IngestSettings


def message_reader(
    ingest: IngestSettings,
    topics: Topics | None = None,
    faults: Faults | None = None,
    on_unknown_birth: Callable[[str, str], None] = lambda group, node: None,
) -> MessageReader:
    """``on_unknown_birth``: see `iotcache.decode.decoder.Decoder`. Raises `ConfigError` for wrong topics."""
    topics = topics or Topics(ingest.topics)
    decoder = Decoder(
        topics,
        reader_for(ingest.fields.paths),
        sparkplug_device=ingest.sparkplug_device,
        on_unknown_birth=on_unknown_birth,
    )
    return MessageReader(topics, decoder, faults or Faults())
