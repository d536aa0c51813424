"""Messages of the broker made into batches for the pipeline: decoded, counted, cut to a bounded size."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from iotcache.decode.outcomes import NothingInIt, PartlyDecoded
from iotcache.ingest.batches import DecodedBatch
from iotcache.model import DeadLetter, DeviceMessage, Message, Reading

if TYPE_CHECKING:
    from iotcache.faults import Faults
    from iotcache.ingest.counters import IngestCounters
    from iotcache.ingest.message_reader import MessageReader
    from iotcache.ingest.sparkplug_host import SparkplugHost
    from iotcache.store.base import Committed
    from iotcache.worker.former_subscriptions import FormerSubscriptions

BATCH_READINGS: Final = 500
"""Packed messages are handed on in batches of about this size; other work runs in between."""


class Intake:
    """Decodes messages one after the other; one that waits for a Sparkplug birth is not settled."""

    def __init__(
        self,
        reader: MessageReader,
        sparkplug: SparkplugHost,
        counters: IngestCounters,
        faults: Faults,
        former: FormerSubscriptions,
    ) -> None:
        self._reader, self._sparkplug = reader, sparkplug
        self._counters, self._faults = counters, faults
        self._former = former

    def batches(
        self,
        messages: Sequence[Message],
        settle: Callable[[Sequence[Message], Committed | None], None],
        *,
        is_last_try: bool = False,
    ) -> Iterator[DecodedBatch]:
        """``settle`` is called with the messages of a batch once what was in them is committed."""
        readings: list[Reading] = []
        dead: list[DeadLetter] = []
        device_messages: list[DeviceMessage] = []
        done: list[Message] = []
        read, sparkplug = self._reader.read, self._sparkplug
        is_looked_at = False
        with self._faults.contained("looking for former subscriptions"):
            is_looked_at = self._former.are_possible
        for index, message in enumerate(messages):
            decoded = None if is_looked_at and self._passes_over(message) else read(message)
            if sparkplug.waiting_for is not None and self._takes_back(message, is_last_try=is_last_try):
                decoded = []
            else:
                done.append(message)
            if isinstance(decoded, list):
                readings += decoded
            elif decoded is None:
                self._counters.ignored += 1
            elif isinstance(decoded, NothingInIt):
                self._counters.note_nothing(decoded)
            elif isinstance(decoded, DeadLetter):
                dead.append(decoded)
            elif isinstance(decoded, PartlyDecoded):
                readings += decoded.readings
                dead.append(decoded.dead_letter)
            else:
                device_messages.append(decoded)
            if len(readings) >= BATCH_READINGS or index == len(messages) - 1:
                batch = DecodedBatch(readings, dead, partial(settle, done), device_messages)
                with self._faults.contained("noting the deaths of edge nodes"):
                    batch.deaths = sparkplug.take_deaths()
                yield batch
                readings, dead, device_messages, done = [], [], [], []

    def _passes_over(self, message: Message) -> bool:
        """Whether the message came by a subscription of an earlier configuration."""
        with self._faults.contained("looking for former subscriptions"):
            return self._former.pass_over(message)
        return False

    def _takes_back(self, message: Message, *, is_last_try: bool) -> bool:
        """Whether the message that was read just now waits for a birth."""
        with self._faults.contained("holding back what waits for a birth"):
            return self._sparkplug.takes_back(message, is_last_try=is_last_try)
        return False
