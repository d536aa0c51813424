"""What Eclipse Sparkplug 3.0.0 asks of the messages of one edge node: a machine that reads them in order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.unknown_fields import UnknownFieldSet
from leaf_device.proto import sparkplug_b_pb2 as reference

from iotcache.mqtt import Message

_VALUE = {"Int64": "long_value", "UInt64": "long_value", "Double": "double_value", "Boolean": "boolean_value",
          "String": "string_value"}  # fmt: skip
"""Where the standard (6.4.16) puts the value of a metric of each datatype."""


def read(message: Message) -> Any:
    """The payload by Eclipse Tahu's schema; nothing in it may be unknown to that."""
    found = reference.Payload.FromString(message.payload)
    for part in (found, *found.metrics):
        assert len(UnknownFieldSet(part)) == 0, "a field that the schema does not know"
    for metric in found.metrics:
        if metric.HasField("datatype"):
            assert metric.WhichOneof("value") == _VALUE[reference.DataType.Name(metric.datatype)]
        else:
            assert metric.HasField("alias"), "data without a datatype go by an alias"
    return found


def check(messages: Iterable[Message]) -> None:
    """One edge node's messages, all of its sessions. Raises `AssertionError` where a rule is broken."""
    session: int | None = None
    seq = 0
    known: dict[str, set[str | int]] = {}
    alive: set[str] = set()
    for message in messages:
        _, _, kind, _, *below = message.topic.split("/")
        device = below[0] if below else ""
        content = read(message)
        if kind == "NDEATH":
            assert session is not None, "a death without a birth"
            assert content.metrics[0].long_value == session, "the death of another session"
            assert not content.HasField("seq")
            session = None
            continue
        if kind == "NBIRTH":
            alive, known, seq = set(), {}, 0
            session = next(one.long_value for one in content.metrics if one.name == "bdSeq")
        assert session is not None, f"{kind} before NBIRTH"
        assert content.seq == seq % 256, f"{kind} has number {content.seq} instead of {seq % 256}"
        seq += 1
        assert content.HasField("timestamp")
        if kind in ("NBIRTH", "DBIRTH"):
            if kind == "DBIRTH":
                alive.add(device)
            known[device] = {one.name for one in content.metrics} | {
                one.alias for one in content.metrics if one.HasField("alias")
            }
        elif kind == "DDEATH":
            assert device in alive, f"the death of {device}, which was not alive"
            alive.discard(device)
        else:
            assert kind in ("DDATA", "NDATA"), kind
            assert kind == "NDATA" or device in alive, f"data of {device}, which is not alive"
            for one in content.metrics:
                assert (one.name or one.alias) in known[device], f"{one.name} was in no birth"
