"""The one place where child processes are started and ended.

A child never outlives its parent. Our own Python children (:mod:`iotcache_simulator.stack.child`) watch
their stdin
and leave at end of file; a foreign program runs under :mod:`iotcache_simulator.processes.guard`, which does
that for it.
Both ask Linux for a death signal besides, so that even a stopped child goes. Every child leads a session of
its own, so that Ctrl-C in the terminal reaches the parent only, which then ends its children in order.

Where a fork server is held (:mod:`iotcache_simulator.stack.forks`) our own children are forked off it.

Waiting and reading are done by one daemon thread a child, which works on every event loop (the selector
loop, that MQTT needs on Windows, has no subprocesses of its own).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import msgspec

from iotcache.errors import StackError
from iotcache.text import printable, printable_bytes
from iotcache_simulator.processes.child_environment import child_environment
from iotcache_simulator.processes.forked import ForkedChild, start_forked
from iotcache_simulator.processes.guard import RECORD_SEPARATOR

LOG_LINES = 100
LOG_LINE_BYTES = 2_000
STOP_GRACE_S = 1.0
_KILL_WAIT_S = 2.0
_PIPE_BUF = 4_096  # a write up to this size into an empty pipe never blocks
_CHILD = "iotcache_simulator.stack.child"
_GUARD = str(Path(__file__).with_name("guard.py"))
_DETACHED = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0) | getattr(subprocess, "CREATE_NO_WINDOW", 0)


Fork = Callable[[], ForkedChild | None]
"""Starts a child; ``None`` where it is to be started by its command."""


class ChildTimeout(StackError):
    """A child runs, but has not said what was waited for."""


class Exit(msgspec.Struct, frozen=True):
    """How a process ended. ``code`` is negative for a signal, as :mod:`subprocess` has it."""

    code: int
    output: tuple[str, ...] = ()
    """The last lines it wrote, safe to show."""
    error: str = ""
    """What it gave as its reason itself."""

    @property
    def reason(self) -> str:
        """One clause for a person: ``killed by SIGKILL``, ``exit status 71: failed to listen on …``."""
        if self.code < 0:
            with contextlib.suppress(ValueError):
                return f"killed by {signal.Signals(-self.code).name}"
            return f"killed by signal {-self.code}"
        if self.error:
            return self.error
        last = self.output[-1] if self.output else ""
        return f"exit status {self.code}" + (f": {last}" if last else "")


class Process:
    """One child process, as an async context manager or with :meth:`start` and :meth:`stop`.

    ``guarded`` puts a foreign program on a guard's leash; ``user`` is whom it runs as (needs root).
    ``on_exit`` is called once, in the event loop, when the process ends without :meth:`stop` having been
    asked for. ``fork`` starts it instead of ``command`` where a fork server is held.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        guarded: bool = False,
        user: str = "",
        grace_s: float = STOP_GRACE_S,
        on_exit: Callable[[Exit], None] | None = None,
        fork: Fork | None = None,
    ) -> None:
        self.name = name
        self._command = list(command)
        self._fork = fork
        self._guarded = guarded
        self._user = user
        self._grace_s = grace_s
        self._on_exit = on_exit
        self._log: deque[bytes] = deque(maxlen=LOG_LINES)
        self._records: asyncio.Queue[dict[str, Any]] = asyncio.Queue(maxsize=64)
        self._ended = asyncio.Event()
        self._exit: Exit | None = None
        self._stopping = False
        self._popen: subprocess.Popen[bytes] | ForkedChild | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._program_pid = 0
        self._program_code: int | None = None
        self._error = ""

    async def start(self) -> None:
        """Start the program. Raises :class:`StackError` when it cannot be run at all."""
        self._loop = asyncio.get_running_loop()
        child = self._fork() if self._fork is not None else None
        self._popen = self._opened() if child is None else child
        threading.Thread(
            target=self._follow, args=(self._popen,), daemon=True, name=f"{self.name} log"
        ).start()
        try:
            if self._guarded or child is not None:
                self._program_pid = int((await self.receive("pid", 10.0))["pid"])
            else:
                self._program_pid = self._popen.pid
            if child is not None:
                child.pid = self._program_pid
        except BaseException:
            await self.stop()
            raise

    def _opened(self) -> subprocess.Popen[bytes]:
        command = self._command
        if self._guarded:
            parent = [str(os.getpid()), f"{self._grace_s:g}", self._user or "-"]
            command = [sys.executable, "-I", "-S", "-E", _GUARD, *parent, *command]
        # From this very thread: Linux's death signal is sent when the thread that started a child ends.
        try:
            return subprocess.Popen(  # 1 to 2 ms: until the program is loaded
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                start_new_session=True,
                creationflags=_DETACHED,
                env=child_environment(),
            )
        except OSError as error:
            raise StackError(f"cannot start {self.name}: {error}") from error

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        """The program's own process id (not its guard's); 0 before it runs."""
        return self._program_pid

    @property
    def running(self) -> bool:
        return self._popen is not None and self._exit is None

    @property
    def output(self) -> tuple[str, ...]:
        """The last lines the process wrote, safe to show."""
        return tuple(printable_bytes(line) for line in list(self._log))

    async def say(self, line: bytes) -> None:
        """Write one line to the child's stdin. Raises :class:`StackError` when it is gone."""
        try:
            if len(line) < _PIPE_BUF:
                self._write(line + b"\n")
            else:
                await asyncio.to_thread(self._write, line + b"\n")
        except (OSError, ValueError) as error:
            await self._until_ended(_KILL_WAIT_S)  # for its reason
            raise StackError(f"{self.name} is gone: {self._why()}") from error

    async def receive(self, key: str, timeout_s: float, during: str = "start") -> dict[str, Any]:
        """The next control record that has ``key``. ``during`` says in errors what it ended in.

        Raises :class:`StackError` when the child reports an error, ends, or sends nothing for ``timeout_s``.
        """
        ended = asyncio.ensure_future(self._ended.wait())
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    record = asyncio.ensure_future(self._records.get())
                    try:
                        await asyncio.wait((record, ended), return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        if not record.done():
                            record.cancel()
                    if not record.done() or record.cancelled():
                        raise StackError(f"{self.name} ended at {during} ({self._why()})")
                    message = record.result()
                    if "error" in message:
                        raise StackError(f"{self.name}: {self._error}")
                    if key in message:
                        return message
        except TimeoutError:
            raise ChildTimeout(f"{self.name} gave no sign of life for {timeout_s:g} s") from None
        finally:
            ended.cancel()

    async def wait(self) -> Exit:
        """Return once the process has ended."""
        await self._ended.wait()
        assert self._exit is not None
        return self._exit

    async def stop(self, timeout_s: float | None = None) -> None:
        """Ask it to end, kill it after ``timeout_s`` (its grace by default). Safe to call twice."""
        self._stopping = True
        if self._popen is None:
            return
        if timeout_s is None:
            timeout_s = self._grace_s
        try:
            if self.running and timeout_s > 0:
                with contextlib.suppress(OSError, ValueError):
                    self._write(b"stop\n")
                await self._until_ended(timeout_s)
        finally:
            self.kill()
            self._let_go()
        for last_resort in (self._popen.kill, lambda: None):
            await self._until_ended(_KILL_WAIT_S / 2)
            if self._ended.is_set():
                return
            last_resort()

    def kill(self) -> None:
        """End the program at once, as a crash would."""
        self._signal("SIGKILL")

    def _let_go(self) -> None:
        """Close the pipe the child lives by; a guard reaps its program and leaves."""
        assert self._popen is not None
        if self._popen.stdin is not None:
            with contextlib.suppress(OSError):
                self._popen.stdin.close()
        if self._guarded and hasattr(signal, "SIGCONT"):
            self._popen.send_signal(signal.SIGCONT)  # it may have been stopped itself

    def pause(self) -> None:
        """Stop the program in its tracks (SIGSTOP), as a hung machine would be; not on Windows."""
        self._signal("SIGSTOP")

    def resume(self) -> None:
        """Let a paused program go on (SIGCONT)."""
        self._signal("SIGCONT")

    def _signal(self, name: str) -> None:
        if not self.running or self._popen is None or self._program_code is not None:
            return
        if not hasattr(signal, name):  # Windows knows no SIGKILL, but can terminate
            if name != "SIGKILL":
                raise StackError(f"{name} does not exist on this platform")
            name = "SIGTERM"
        with contextlib.suppress(OSError):
            if self._guarded and self._program_pid:
                os.kill(self._program_pid, getattr(signal, name))
            elif not self._guarded:
                self._popen.send_signal(getattr(signal, name))

    def _write(self, data: bytes) -> None:
        assert self._popen is not None
        assert self._popen.stdin is not None
        rest = memoryview(data)
        while rest:
            rest = rest[self._popen.stdin.write(rest) :]

    def _follow(self, popen: subprocess.Popen[bytes] | ForkedChild) -> None:
        """In a thread of its own: read all that the child writes, then reap it."""
        assert popen.stdout is not None
        rest = b""
        with popen.stdout as pipe:
            while True:
                try:
                    chunk = os.read(pipe.fileno(), 65_536)
                except OSError:
                    break
                if not chunk:
                    break
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    self._take(line)
                if len(rest) > LOG_LINE_BYTES:
                    self._take(rest)
                    rest = b""
        if rest:
            self._take(rest)
        code = popen.wait()
        self._post(self._finish, code)

    def _take(self, line: bytes) -> None:
        before, mark, record = line.partition(RECORD_SEPARATOR)
        if before:
            self._log.append(before[:LOG_LINE_BYTES])
        if mark:
            with contextlib.suppress(msgspec.DecodeError):
                self._post(self._take_record, msgspec.json.decode(record, type=dict[str, Any]))

    def _post(self, call: Callable[[Any], None], value: object) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(call, value)

    def _take_record(self, record: dict[str, Any]) -> None:
        if "exit" in record:
            self._program_code = int(record["exit"])
            return
        if "error" in record:
            self._error = printable(str(record["error"]), 500)
        with contextlib.suppress(asyncio.QueueFull):
            self._records.put_nowait(record)

    def _finish(self, code: int) -> None:
        code = self._program_code if self._program_code is not None else code
        self._exit = Exit(code, self.output, self._error)
        self._ended.set()
        if self._on_exit is not None and not self._stopping:
            self._on_exit(self._exit)

    async def _until_ended(self, timeout_s: float) -> None:
        """Wait for the end, but not for long. (Not by ``wait_for``: Python 3.11's can lose a cancel.)"""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._ended.wait()

    def _why(self) -> str:
        if self._exit is not None:
            return self._exit.reason
        return "it closed its pipe"


def own_child(
    name: str,
    *arguments: str,
    grace_s: float = STOP_GRACE_S,
    on_exit: Callable[[Exit], None] | None = None,
    modules: Sequence[str] = (),
) -> Process:
    """A Python child of ours, not yet started (see :mod:`iotcache_simulator.stack.child`).

    ``modules`` are those that it loads anyway: a fork server has them already.
    """
    command = [sys.executable, "-P", "-m", _CHILD, str(os.getpid()), *arguments]
    return Process(
        name,
        command,
        grace_s=grace_s,
        on_exit=on_exit,
        fork=lambda: start_forked(_CHILD, arguments, modules),
    )
