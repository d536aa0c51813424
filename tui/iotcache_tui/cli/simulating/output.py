"""Where reports go, and how a run is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from iotcache.errors import UsageError


@contextlib.contextmanager
def until_signalled(stop: Callable[[], object]) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP call ``stop``; a second SIGINT is what it always was."""
    loop = asyncio.get_running_loop()

    def first() -> None:
        stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
                loop.add_signal_handler(number, first)
    except (NotImplementedError, AttributeError):  # Windows
        signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(first))
    yield


def check_writable(flag: str, file: str | None) -> None:
    """Find out before the run, not after it, that the report has no place to go."""
    if file is None or file == "-":
        return
    path = Path(file)
    if path.is_dir():
        raise UsageError(f"{flag} {file}: that is a folder, not a file")
    if not path.parent.is_dir():
        raise UsageError(f"{flag} {file}: there is no folder {str(path.parent)!r}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"{flag} {file}: it cannot be written there")


def write(flag: str, file: str | None, text: bytes) -> None:
    if file is None:
        return
    try:
        if file == "-":
            sys.stdout.write(text.decode())
            sys.stdout.flush()
        else:
            Path(file).write_bytes(text)
    except OSError as error:
        if file == "-":  # what is left in the buffer would fail once more when the program ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        else:
            withdraw(file)
        raise UsageError(f"{flag} {file}: {error.strerror}") from error


def withdraw(file: str) -> None:
    """Leave no half of a file that could not be written to its end."""
    path = Path(file)
    if path.is_file():  # no device or pipe
        with contextlib.suppress(OSError):
            path.unlink()


def complain(command: str, text: str) -> None:
    """One line on standard error; a terminal that is gone keeps nothing else from being done."""
    with contextlib.suppress(OSError):
        print(f"iotcache-tui {command}: {text}", file=sys.stderr, flush=True)
