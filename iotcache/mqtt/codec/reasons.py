"""Why a broker refuses, as the end of a sentence: MQTT 5, table 2-6, and MQTT 3.1.1, 3.2.2.3."""

from __future__ import annotations

from typing import Final

from iotcache.mqtt.codec.primitives import PROTOCOL_NAMES, Version
from iotcache.mqtt.codec.properties import Properties, PropertyId
from iotcache.text import printable

SESSION_TAKEN_OVER: Final = 0x8E
RETAIN_NOT_SUPPORTED: Final = 0x9A
QOS_NOT_SUPPORTED: Final = 0x9B
_OTHER: Final = {4: "5", 5: "3.1.1"}
_LOGIN: Final = "the user name or password is wrong"
_NOT_ALLOWED: Final = "the login is not allowed"
_CONNECT_V4: Final = {
    2: "it does not accept the client id",
    3: "it is not ready",
    4: _LOGIN,
    5: _NOT_ALLOWED,
}
_REASONS: Final = {
    0x80: "it gives no reason",
    0x81: "it takes our packet for malformed",
    0x82: "it takes what we sent for a protocol error",
    0x83: "it does not accept this",
    0x85: "it does not accept the client id",
    0x86: _LOGIN,
    0x87: "we are not authorized",
    0x88: "it is not ready",
    0x89: "it is busy",
    0x8A: "the client is banned",
    0x8B: "it is shutting down",
    0x8C: "it wants another way to log in",
    0x8D: "it has heard nothing from us for too long",
    SESSION_TAKEN_OVER: "another client uses our client id",
    0x8F: "it does not accept the topic filter",
    0x90: "it does not accept the topic",
    0x91: "the packet identifier is in use",
    0x92: "it does not know the packet identifier",
    0x93: "it got more at a time than it takes",
    0x94: "the topic alias is not valid",
    0x95: "the packet is too large for it",
    0x96: "messages come too fast",
    0x97: "its quota is exceeded",
    0x98: "an operator ended it",
    0x99: "the payload is not in the form that was said",
    RETAIN_NOT_SUPPORTED: "it keeps no retained messages",
    QOS_NOT_SUPPORTED: "it does not support this QoS",
    0x9C: "another server has to be used",
    0x9D: "it has moved",
    0x9E: "it has no shared subscriptions",
    0x9F: "connections come too fast",
    0xA0: "the connection lasted as long as it allows",
    0xA1: "it has no subscription identifiers",
    0xA2: "it takes no wildcards",
}
_WRONG_VERSION: Final = frozenset({0x01, 0x84})
"""A broker that does not know MQTT 5 answers with the code of MQTT 3.1.1."""
_WRONG_LOGIN_V4: Final = frozenset({4, 5})
_WRONG_LOGIN_V5: Final = frozenset({0x86, 0x87, 0x8C})


def is_wrong_version(code: int) -> bool:
    """Whether a CONNACK refuses the version of the protocol."""
    return code in _WRONG_VERSION


def is_wrong_login(code: int, version: Version) -> bool:
    """Whether a CONNACK refuses the user name or password."""
    return code in (_WRONG_LOGIN_V5 if version == 5 else _WRONG_LOGIN_V4)


def connect_refusal(code: int, version: Version, properties: Properties = ()) -> str:
    """Why a CONNACK refuses."""
    if is_wrong_version(code):
        return f'it does not speak {PROTOCOL_NAMES[version]}: set broker.protocol = "{_OTHER[version]}"'
    if version == 5:
        return _NOT_ALLOWED if code == 0x87 else refusal(code, properties)
    return _CONNECT_V4.get(code, f"return code {code}")


def refusal(code: int, properties: Properties = ()) -> str:
    """Why another packet of MQTT 5 refuses; with the broker's own words, where it sent some."""
    reason = _REASONS.get(code, f"reason code {code}")
    own = next((value for name, value in properties if name is PropertyId.REASON_STRING), None)
    return f"{reason} ({printable(own)[:200]})" if isinstance(own, str) and own else reason
