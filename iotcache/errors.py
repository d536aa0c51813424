"""Every error this package raises on purpose, under one root."""

from __future__ import annotations


class IotCacheError(Exception):
    """Root of all errors of iotcache. Its text is one sentence fit for a user's eyes."""


class ConfigError(IotCacheError):
    """A setting that cannot be used: the text names its path, the value and what is allowed."""


class UsageError(IotCacheError):
    """A command line that cannot be carried out as written."""


class KeyFormatError(IotCacheError, ValueError):
    """A text that no cache key can be made of."""


class ReadingRefused(IotCacheError, ValueError):
    """A reading that no store could hold: without a name, not finite, or at a time that cannot be."""


class CorruptValue(IotCacheError, ValueError):
    """Bytes from a cache node that are not what the codec wrote."""


class NodeError(IotCacheError):
    """A cache node could not be reached or gave an answer that does not fit."""


class ClusterClosed(IotCacheError, RuntimeError):
    """A cluster client was used before it was entered, after it was closed, or in a forked process."""


class RingError(IotCacheError):
    """The ring of cache nodes cannot be used, or changed, as asked."""


class RingBusy(RingError):
    """Another change of the ring is under way, or was announced first."""


class RingRefused(RingError, ValueError):
    """A list of nodes that the ring cannot be changed to."""


class RingMismatch(RingError):
    """The nodes have announced a ring with other nodes, weights or placement than this client's own."""


class StoreError(IotCacheError):
    """The durable store refused or could not be reached. ``retryable`` tells an outage from a mistake."""

    def __init__(self, text: str, *, retryable: bool = True) -> None:
        super().__init__(text)
        self.retryable = retryable


class StoreEmpty(StoreError):
    """The store can be reached, and no ingest worker has made its tables yet."""


class BrokerError(IotCacheError):
    """The MQTT broker refused or could not be reached."""


class PublishRefused(BrokerError):
    """The broker took a message and answered that it does not accept it: sent again, it fares no better."""


class StackError(IotCacheError):
    """An embedded service did not come up."""
