"""MQTT 3.1.1 and 5.0 as pure functions over bytes: no socket, no clock, no state beyond a buffer.

Sources: MQTT 3.1.1 (OASIS standard, 29 October 2014) and 5.0 (7 March 2019); section numbers refer to the
latter. Whatever the bytes are, decoding gives a packet or raises `MalformedPacket`.
"""

from iotcache.mqtt.codec.framing import PacketSplitter
from iotcache.mqtt.codec.packets import (
    Acknowledgement,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Ping,
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Will,
    decode_packet,
)
from iotcache.mqtt.codec.primitives import MalformedPacket, PacketType, Version
from iotcache.mqtt.codec.properties import Properties, PropertyId
from iotcache.mqtt.codec.publish import encode_publish

__all__ = [
    "Acknowledgement",
    "Auth",
    "Connack",
    "Connect",
    "Disconnect",
    "MalformedPacket",
    "Packet",
    "PacketSplitter",
    "PacketType",
    "Ping",
    "Properties",
    "PropertyId",
    "Publish",
    "Suback",
    "Subscribe",
    "Unsuback",
    "Unsubscribe",
    "Version",
    "Will",
    "decode_packet",
    "encode_publish",
]
