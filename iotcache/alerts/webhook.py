"""Alerts posted to a webhook: in the background, from a bounded queue, tried again a few times.

One ``POST`` of JSON a change, HTTP/1.1 over asyncio's streams: no redirects are followed, no proxy is used.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import ssl
from collections import deque
from typing import Final

from iotcache.backoff import Backoff
from iotcache.config.urls import parse_hook
from iotcache.faults import Faults
from iotcache.model.alerts import Alert, encode_alert
from iotcache.text import printable

log = logging.getLogger(__name__)

WAITING: Final = 1_000
TRIES: Final = 4
RETRY_MIN_S: Final = 1.0
RETRY_MAX_S: Final = 10.0
_ANSWER_LIMIT: Final = 4_096
_ERRNO: Final = re.compile(r"\[Errno (\d+)\]")


class _Refused(Exception):
    """The other side does not want it: sent again it would not want it either."""


class Webhook:
    """Posts what it is given, one after the other. Run `run` beside whoever calls `put`."""

    def __init__(
        self,
        url: str,
        timeout_s: float = 5.0,
        *,
        retry_min_s: float = RETRY_MIN_S,
        faults: Faults | None = None,
    ) -> None:
        self._hook = parse_hook(url)
        self._timeout_s = timeout_s
        self._retry_min_s = retry_min_s
        self._faults = faults or Faults()
        self._waiting: deque[Alert] = deque()
        self._some = asyncio.Event()
        self.posted = 0
        self.failed = 0
        """Not taken after the last try, or for want of room in the queue."""

    def put(self, alert: Alert) -> None:
        """Have an alert posted; never waits. The oldest goes when too many wait."""
        if len(self._waiting) >= WAITING:
            self._waiting.popleft()
            self.failed += 1
        self._waiting.append(alert)
        self._some.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._some.wait()
            while self._waiting:
                try:
                    await self._deliver(self._waiting.popleft())
                except Exception as error:
                    self.failed += 1
                    self._faults.note("posting an alert", error)
            self._some.clear()

    async def _deliver(self, alert: Alert) -> None:
        why = ""
        backoff = Backoff(self._retry_min_s, RETRY_MAX_S)
        for attempt in range(TRIES):
            if attempt:
                await backoff.wait()
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._post(encode_alert(alert))
            except _Refused as error:
                why = str(error)
                break
            except TimeoutError:
                why = f"no answer within {self._timeout_s:g} s"
            except (OSError, EOFError, ValueError) as error:
                why = _trouble(error)
            else:
                self.posted += 1
                return
        self.failed += 1
        log.warning(
            "the webhook at %s did not take the alert %s: %s", self._hook.host, alert.name, printable(why)
        )

    async def _post(self, body: bytes) -> None:
        hook = self._hook
        tls = ssl.create_default_context() if hook.tls else None
        reader, writer = await asyncio.open_connection(hook.host, hook.port, ssl=tls, limit=_ANSWER_LIMIT)
        try:
            host = f"[{hook.host}]" if ":" in hook.host else hook.host
            head = (
                f"POST {hook.target} HTTP/1.1\r\nHost: {host}:{hook.port}\r\nUser-Agent: iotcache\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            writer.write(head.encode("ascii") + body)
            await writer.drain()
            answer = await reader.readline()
            if not answer:
                raise EOFError("it hung up without an answer")
            line = answer.decode("latin-1").split(None, 2)
            if len(line) < 2 or not line[0].startswith("HTTP/") or not line[1].isdigit():
                raise ValueError("the answer is not HTTP")
            status = int(line[1])
            if 200 <= status < 300:
                return
            if status in (408, 425, 429) or status >= 500:
                raise ValueError(f"it answers {status}")
            raise _Refused(f"it answers {status}")
        finally:
            writer.close()


def _trouble(error: Exception) -> str:
    """An error of the connection as the end of a sentence whose subject is the webhook."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {(error.reason or str(error)).replace('_', ' ').lower()}"
    if isinstance(error, OSError) and not isinstance(error, socket.gaierror):
        # asyncio's own text names the call that failed, and for several addresses it is all there is.
        match = _ERRNO.search(str(error))
        if match is not None:
            return os.strerror(int(match[1]))
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
