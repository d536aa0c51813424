"""From a message to what it holds: readings, what a device says of itself, or a dead letter.

No exception leaves this module: what the decoders did not foresee becomes a dead letter with the exception's
name.
"""

from __future__ import annotations

from iotcache.decode.decoder import Decoder, decode_named
from iotcache.decode.device_messages import read_device_message
from iotcache.decode.outcomes import NothingInIt, PartlyDecoded, Refused, dead_letter
from iotcache.decode.topics import Topics
from iotcache.faults import Faults, describe
from iotcache.ingest.retained import as_retained
from iotcache.model import DeadLetter, DeviceMessage, Message, Reading

_STAGE = "decoding a message"


class MessageReader:
    """Reads the messages of one deployment."""

    def __init__(self, topics: Topics, decoder: Decoder, faults: Faults) -> None:
        self._topics = topics
        self._decoder = decoder
        self._decode = decoder.decode
        self._faults = faults

    def read(
        self, message: Message
    ) -> list[Reading] | DeviceMessage | DeadLetter | PartlyDecoded | NothingInIt | None:
        """What a message holds; ``None`` for one that is neither a reading nor a mistake."""
        topic, payload, received_us = message.topic, message.payload, message.received_us
        try:
            if message.fault:
                return dead_letter(topic, payload, message.fault, received_us, message.size)
            decoded = self._decode(topic, payload, received_us, message.size)
            if decoded:
                return _marked(decoded) if message.retain else decoded
            return read_device_message(self._topics.names(topic), message)
        except Exception as error:
            self._faults.note(_STAGE, error)
            reason = f"the decoder failed on it: {describe(error)}"
            return dead_letter(topic, payload, reason, received_us, message.size)

    def sparkplug_overdue(self, now_us: int, tolerance_us: int) -> None:
        """See `iotcache.decode.sparkplug.reader.SparkplugReader.overdue`."""
        self._decoder.sparkplug_overdue(now_us, tolerance_us)

    def read_body(self, body: bytes, received_us: int) -> list[Reading]:
        """The readings of a payload that comes without a topic. Raises `Refused`."""
        try:
            return decode_named(body, received_us)
        except Refused:
            raise
        except Exception as error:
            self._faults.note(_STAGE, error)
            raise Refused(f"the decoder failed on it: {describe(error)}") from error


def _marked(
    decoded: list[Reading] | DeadLetter | PartlyDecoded | NothingInIt,
) -> list[Reading] | DeadLetter | PartlyDecoded | NothingInIt:
    """What a retained message holds, its readings marked as such."""
    if isinstance(decoded, list):
        return as_retained(decoded)
    if isinstance(decoded, PartlyDecoded):
        return PartlyDecoded(as_retained(decoded.readings), decoded.dead_letter)
    return decoded
