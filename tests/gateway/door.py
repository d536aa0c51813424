"""A worker with its gateway, asked over plain HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from iotcache.worker.gateway import Gateway
from iotcache.worker.worker import Ingest


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Door:
    """A worker with its gateway, asked over plain HTTP."""

    def __init__(self, worker: Ingest, gateway: Gateway) -> None:
        self.worker = worker
        self.url = gateway.url
        host, _, port = gateway.url.removeprefix("http://").rpartition(":")
        self.host, self.port = host, int(port)

    async def ask(
        self, method: str, path: str, body: bytes = b"", raw: bytes = b"", /, **headers: str
    ) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        lines = {"Host": f"{self.host}:{self.port}", "Connection": "close"}
        if body:
            lines["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in (lines | named).items())
        request = raw or f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body
        reader, writer = await asyncio.open_connection(self.host, self.port)
        writer.write(request)
        async with asyncio.timeout(15):
            answer = await reader.read()
        writer.close()
        top, _, content = answer.partition(b"\r\n\r\n")
        status, *fields = top.decode().split("\r\n")
        pairs = (field.split(": ", 1) for field in fields)
        return Answer(int(status.split()[1]), {name.lower(): value for name, value in pairs}, content)

    async def post(self, content: object, **headers: str) -> Answer:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return await self.ask("POST", "/v1/readings", body, **headers)


Open = Callable[..., Any]
READING = {"device": "dev-1", "sensor": "temp", "value": 21.5, "unit": "C", "ts": "2026-11-22T12:00:00Z"}
