"""Functions of the program that fail where a test wants them to: found by what runs, not by a list.

A function's code is exchanged, so that it does not matter who holds the function.
"""

from __future__ import annotations

import builtins
import gc
import inspect
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType, FunctionType
from typing import Any

_strikes: dict[str, Strike] = {}


class Unspeakable(Exception):
    """An exception whose text cannot be made."""

    def __str__(self) -> str:
        raise ValueError("no text")


def errors() -> list[Callable[[], Exception]]:
    """One maker for each kind of exception that Python has, and for worse ones."""
    found: list[Callable[[], Exception]] = [
        Unspeakable,
        lambda: UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
        lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        lambda: ExceptionGroup("many", [ValueError("one"), ExceptionGroup("more", [OSError(5, "x")])]),
        lambda: ValueError("\x1b[2J\n\0" + "x" * 100_000),
    ]
    for kind in vars(builtins).values():
        if isinstance(kind, type) and issubclass(kind, Exception) and kind not in (
            StopIteration, StopAsyncIteration, ExceptionGroup, UnicodeEncodeError, UnicodeDecodeError,
            UnicodeTranslateError,
        ):  # fmt: skip
            found.append(lambda kind=kind: kind("at the worst place"))  # type: ignore[misc]
    return found


class Strike:
    """One function fails: the next time (``mark`` empty), or whenever its arguments name the mark."""

    def __init__(self, function: FunctionType, error: Exception, mark: str = "") -> None:
        self.function = function
        self.error = error
        self.mark = mark
        self.hits = 0
        self._code = function.__code__
        self._original = FunctionType(
            self._code, function.__globals__, function.__name__, function.__defaults__, function.__closure__
        )
        self._original.__kwdefaults__ = function.__kwdefaults__
        self._name = f"strike_{id(self)}"

    def arm(self) -> None:
        flags = self._code.co_flags
        template: Callable[..., Any] = _plain
        if flags & inspect.CO_ASYNC_GENERATOR:
            template = _async_generator
        elif flags & inspect.CO_COROUTINE:
            template = _coroutine
        elif flags & inspect.CO_GENERATOR:
            template = _generator
        _strikes[self._name] = self
        self.function.__code__ = template.__code__.replace(co_name=self._name)

    def restore(self) -> None:
        self.function.__code__ = self._code
        _strikes.pop(self._name, None)

    def called(self, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if not self.mark:
            self.restore()
        elif self.mark not in repr((arguments, named)):
            return self._original(*arguments, **named)
        self.hits += 1
        raise self.error


def strike(code: CodeType, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    return _strikes[code.co_name].called(arguments, named)


def _plain(*a, **k):  # type: ignore[no-untyped-def]
    return __import__("tests.ingest.sabotage", fromlist=["x"]).strike(
        __import__("sys")._getframe().f_code, a, k
    )


async def _coroutine(*a, **k):  # type: ignore[no-untyped-def]
    return await __import__("tests.ingest.sabotage", fromlist=["x"]).strike(
        __import__("sys")._getframe().f_code, a, k
    )


def _generator(*a, **k):  # type: ignore[no-untyped-def]
    return (
        yield from __import__("tests.ingest.sabotage", fromlist=["x"]).strike(
            __import__("sys")._getframe().f_code, a, k
        )
    )


async def _async_generator(*a, **k):  # type: ignore[no-untyped-def]
    async for one in __import__("tests.ingest.sabotage", fromlist=["x"]).strike(
        __import__("sys")._getframe().f_code, a, k
    ):
        yield one


@contextmanager
def watching(wanted: Callable[[str], bool], found: dict[str, FunctionType]) -> Iterator[None]:
    """Notes by their qualified names the functions of this thread that run inside, of modules ``wanted``."""
    codes: set[CodeType] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code not in codes and wanted(frame.f_globals.get("__name__", "")):
            codes.add(frame.f_code)

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)
    gc.unfreeze()  # what is frozen (`tests.conftest`) is not looked through for referrers
    for code in codes:
        if code.co_freevars or code.co_name.startswith("<"):
            continue  # a part of the function around it, which is here by itself
        for function in gc.get_referrers(code):
            if isinstance(function, FunctionType) and function.__code__ is code:
                found[f"{function.__module__.removeprefix('iotcache.')}.{function.__qualname__}"] = function


def some_error(rng: random.Random) -> Exception:
    return rng.choice(errors())()
