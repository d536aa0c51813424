"""An edge node of Sparkplug B as its specification describes one: births, aliases, commands, a last will."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from iotcache.mqtt import MqttLink, Will
from tests.ingest.test_formats import field

INT32, DOUBLE, BOOLEAN, UINT64 = 3, 10, 11, 8
Link = Callable[..., Any]


def metric(name: str, kind: int, value: bytes, *, alias: int | None = None, more: bytes = b"") -> bytes:
    return (
        (field(1, name.encode()) if name else b"")
        + (b"" if alias is None else field(2, alias))
        + field(3, round(time.time() * 1e3))
        + (field(4, kind) if kind else b"")
        + more + value
    )  # fmt: skip


def payload(*metrics: bytes, seq: int | None = None) -> bytes:
    body = field(1, round(time.time() * 1e3)) + b"".join(field(2, one) for one in metrics)
    return body if seq is None else body + field(3, seq)


class EdgeNode:
    """One edge node with one device that has one metric, `temp`, behind an alias."""

    def __init__(self, group: str = "G", node: str = "E", *, bd_seq: int = 0) -> None:
        self.group, self.node, self.bd_seq = group, node, bd_seq
        self.seq = 0
        self.rebirths = 0
        self.value = 0.0
        self.link: MqttLink | None = None
        self._task: asyncio.Task[None] | None = None

    def topic(self, kind: str, device: str = "") -> str:
        return f"spBv1.0/{self.group}/{kind}/{self.node}" + (f"/{device}" if device else "")

    def death(self) -> bytes:
        return payload(metric("bdSeq", UINT64, field(11, self.bd_seq)))

    async def start(self, connect: Link, port: int) -> EdgeNode:
        self.link = await connect(
            port, f"edge-{self.node}-{self.bd_seq}", subscriptions=[(self.topic("NCMD"), 1)],
            will=Will(self.topic("NDEATH"), self.death(), 1, retain=False),
        )  # fmt: skip
        self._task = asyncio.create_task(self._obey())
        return self

    async def _obey(self) -> None:
        assert self.link is not None
        while True:
            for message in await self.link.batch(10):
                assert b"Node Control/Rebirth" in message.payload
                self.rebirths += 1
                self.birth()
            self.link.ack([message])

    def _next(self) -> int:
        seq, self.seq = self.seq, (self.seq + 1) % 256
        return seq

    def post(self, kind: str, *metrics: bytes, device: str = "", is_lost: bool = False) -> None:
        assert self.link is not None
        message = payload(*metrics, seq=self._next())
        if not is_lost:
            assert self.link.post(self.topic(kind, device), message)

    def birth(self) -> None:
        self.seq = 0
        unit = field(9, field(1, b"engUnit") + field(2, field(1, 12) + field(8, "°C".encode())))
        self.post(
            "NBIRTH",
            metric("bdSeq", UINT64, field(11, self.bd_seq)),
            metric("Node Control/Rebirth", BOOLEAN, field(14, 0)),
        )
        self.post("DBIRTH", metric("temp", DOUBLE, field(13, self.value), alias=7, more=unit), device="dev1")

    def data(self, value: float, *, is_lost: bool = False) -> None:
        self.value = value
        self.post("DDATA", metric("", 0, field(13, value), alias=7), device="dev1", is_lost=is_lost)

    async def vanish(self) -> None:
        """As a crash would: the broker publishes the last will."""
        assert self.link is not None
        assert self._task is not None
        self._task.cancel()
        self.link._closing = True
        self.link.drop("a test")
