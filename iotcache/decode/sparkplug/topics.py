"""Topics of Sparkplug B, and the names that its devices get here."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from iotcache.decode.limits import NAME_LIMIT
from iotcache.decode.sparkplug.protobuf import NotSparkplug

DeviceNaming = Literal["group/node/device", "node/device", "device"]
"""Of which parts of the topic a device's name is made. A device's own name is unique under its edge node, an
edge node's under its group (3.0, section 6.1)."""
DATA_KINDS: Final = frozenset({"NBIRTH", "DBIRTH", "NDATA", "DDATA"})
OTHER_KINDS: Final = frozenset({"NDEATH", "DDEATH", "NCMD", "DCMD", "STATE"})


class Origin(Struct, frozen=True):
    """Where a message comes from, as its topic says."""

    group: str
    kind: str
    node: str
    device: str


def parse_topic(topic: str) -> Origin:
    """What a Sparkplug topic says. Raises `NotSparkplug`."""
    parts = topic.split("/")
    if len(parts) >= 2 and parts[1] == "STATE":
        return Origin("", "STATE", parts[-1], "")
    if len(parts) not in (4, 5) or parts[2] not in DATA_KINDS | OTHER_KINDS or not all(parts):
        raise NotSparkplug("the topic is not spBv1.0/GROUP/TYPE/NODE or spBv1.0/GROUP/TYPE/NODE/DEVICE")
    for part in parts:
        if len(part) > NAME_LIMIT:
            raise NotSparkplug(f"a level of the topic has {len(part):,} characters; {NAME_LIMIT} are allowed")
    return Origin(parts[1], parts[2], parts[3], parts[4] if len(parts) == 5 else "")


def device_name(origin: Origin, naming: DeviceNaming) -> str:
    """The name of the device (or of the edge node itself) that a message is of."""
    if naming == "device":
        return origin.device or origin.node
    parts = (
        [origin.node, origin.device]
        if naming == "node/device"
        else [origin.group, origin.node, origin.device]
    )
    return "/".join(part for part in parts if part)
