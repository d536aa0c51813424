"""The values that travel between the parts of iotcache, each defined once.

All are small frozen structs. Times are integers in microseconds since the Unix epoch (``_us``) where
they identify something, floats in seconds (``_s``) or milliseconds (``_ms``) where they measure.
"""

from iotcache.model.aggregates import AggregateRead, BucketRead, Figures
from iotcache.model.alerts import Alert, AlertState
from iotcache.model.batches import CommittedBatch, Follower
from iotcache.model.dead_letters import DeadLetter
from iotcache.model.deaths import SenderDeath
from iotcache.model.documents import (
    DeviceMessage,
    DeviceRetired,
    Document,
    DocumentKind,
    DocumentName,
    DocumentRead,
    LifecycleResult,
)
from iotcache.model.messages import Message
from iotcache.model.nodes import Event, NodeHealth, NodeState, Severity
from iotcache.model.readings import (
    MissReason,
    Read,
    Reading,
    ReadWay,
    Series,
    Source,
    StoredReading,
    Value,
    figure_of,
    same_value,
)

__all__ = [
    "AggregateRead",
    "Alert",
    "AlertState",
    "BucketRead",
    "CommittedBatch",
    "DeadLetter",
    "DeviceMessage",
    "DeviceRetired",
    "Document",
    "DocumentKind",
    "DocumentName",
    "DocumentRead",
    "Event",
    "Figures",
    "Follower",
    "LifecycleResult",
    "Message",
    "MissReason",
    "NodeHealth",
    "NodeState",
    "Read",
    "ReadWay",
    "Reading",
    "SenderDeath",
    "Series",
    "Severity",
    "Source",
    "StoredReading",
    "Value",
    "figure_of",
    "same_value",
]
