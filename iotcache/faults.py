"""Exceptions that nobody foresaw, contained where they rise: counted, logged once in a while, survived.

What arrives is written by strangers, and no list of foreseen errors is complete. Every stage that handles a
message therefore catches `Exception`, notes it here and goes on without what it could not handle.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

from iotcache.clock import SYSTEM_CLOCK, Clock
from iotcache.errors import IotCacheError
from iotcache.tasks import first_error
from iotcache.text import printable

_T = TypeVar("_T")

log = logging.getLogger(__name__)

LOG_EVERY_S: Final = 10.0
"""The same exception in the same stage is logged at most once in this time: messages come by the thousand."""
RESTART_S: Final = 5.0
"""Background work that failed begins anew after this long."""
_KINDS_LIMIT: Final = 1_000
_TEXT_LIMIT: Final = 160


def describe(error: BaseException) -> str:
    """An exception's name and text; safe to show."""
    name = type(error).__name__
    try:
        text = printable(str(error), _TEXT_LIMIT)
    except Exception:  # an exception whose text cannot be made
        text = ""
    return f"{name}: {text}" if text else name


class Faults:
    """Counts contained exceptions, and logs them at a bounded rate."""

    def __init__(self, clock: Clock = SYSTEM_CLOCK) -> None:
        self._clock = clock
        self._logged: dict[tuple[str, str], tuple[float, int]] = {}
        """By stage and exception: when it was logged last, and how many there were since."""
        self.count = 0
        """All of them since the start."""

    def note(self, stage: str, error: BaseException) -> None:
        """``error`` was caught in ``stage`` (a noun: "decoding a message")."""
        self.count += 1
        key, now_s = (stage, type(error).__name__), self._clock.monotonic()
        last_s, unlogged = self._logged.get(key, (now_s - LOG_EVERY_S, 0))
        if now_s - last_s < LOG_EVERY_S:
            self._logged[key] = (last_s, unlogged + 1)
            return
        if len(self._logged) >= _KINDS_LIMIT:
            self._logged.clear()
        self._logged[key] = (now_s, 0)
        more = f" (and {unlogged:,} more like it)" if unlogged else ""
        log.error("%s failed%s at %s: %s", stage, more, _place(error), describe(error))

    @contextmanager
    def contained(self, stage: str) -> Iterator[None]:
        """What is inside may fail unforeseen; the rest of its block is left out then. An `IotCacheError` is
        foreseen, and passes."""
        try:
            yield
        except IotCacheError:
            raise
        except Exception as error:
            self.note(stage, error)

    async def all_or_each(
        self, stage: str, work: Callable[[list[_T]], Awaitable[object]], items: Sequence[_T]
    ) -> list[_T]:
        """Work on all items at once; where that fails unforeseen, on each alone. Those that fail alone are
        left out, and returned. Raises `IotCacheError` of ``work``: that is foreseen."""
        if not items:
            return []
        try:
            await work(list(items))
        except IotCacheError:
            raise
        except Exception as error:
            self.note(stage, error)
        else:
            return []
        failed: list[_T] = []
        for item in items:
            try:
                await work([item])
            except IotCacheError:
                raise
            except Exception:  # noted already, with all of them
                failed.append(item)
        return failed

    async def keep_running(self, stage: str, work: Callable[[], Awaitable[None]]) -> None:
        """Run background work until it returns or is cancelled; it begins anew after an exception."""
        while True:
            try:
                await work()
                return
            except Exception as error:
                self.note(stage, error)
            await asyncio.sleep(RESTART_S)


def _place(error: BaseException) -> str:
    """File and line where an exception rose; of a group, where its first one did."""
    frames = traceback.extract_tb(first_error(error).__traceback__)
    if not frames:
        return "an unknown place"
    return f"{frames[-1].filename.replace(chr(92), '/').rpartition('/')[2]}:{frames[-1].lineno}"
