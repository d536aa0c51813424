"""Where a running stack can be found: one small file a stack in the user's runtime folder.

So ``iotcache-tui get`` in a second terminal needs no flags. The file names the process and when it started,
so that a number used again by another process is not taken for the stack. Files of stacks that are gone
(killed, power cut) are removed by whoever looks next, and their temporary folders with them. Only addresses
of embedded services are written: those of foreign servers are in the reader's own configuration, passwords
included.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import tempfile
import time
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from iotcache.config.schema import Settings
from iotcache.errors import StackError

TEMP_PREFIX = "iotcache-stack-"
_DRAFT_PREFIX = ".stack-"
_FILE_LIMIT_BYTES = 64 * 1024
NOT_RUNNING = (
    "no stack is running: start one with 'iotcache-tui stack', "
    "or name servers with --broker, --nodes and --store / --config"
)


class RunFile(Struct, frozen=True):
    """What a running stack says of itself. Empty addresses: that part is not embedded, or not there yet."""

    pid: int
    started: str
    """When the process started, in its platform's own words; with ``pid`` it names the process for good."""
    created_s: float
    folder: str = ""
    """Its temporary folder, which goes with it."""
    broker: str = ""
    broker_v5: str = ""
    nodes: tuple[str, ...] = ()
    bundled: bool = False
    store: str = ""
    http: str = ""


def runtime_folder() -> Path:
    """The user's own folder for such files, made when missing.

    ``$IOTCACHE_RUNTIME_DIR``, else the platform's runtime folder, else a folder a user in the temporary
    folder. Raises :class:`StackError` when it cannot be made, or when it belongs to somebody else.
    """
    configured = os.environ.get("IOTCACHE_RUNTIME_DIR")
    if configured:
        return _private(Path(configured))
    with contextlib.suppress(StackError):
        return _private(_platform_folder())
    uid = os.getuid() if hasattr(os, "getuid") else 0
    return _private(Path(tempfile.gettempdir()) / f"iotcache-run-{uid}")


def _platform_folder() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if sys.platform == "linux" and not runtime:
        # platformdirs would name a folder that only a login session makes.
        runtime = f"/run/user/{os.getuid()}"
        if not Path(runtime).is_dir():
            raise StackError(f"{runtime} does not exist")
    if sys.platform == "linux" and runtime:
        return Path(runtime) / "iotcache"
    from platformdirs import user_runtime_dir

    return Path(user_runtime_dir("iotcache", appauthor=False))


def _private(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise StackError(f"the runtime folder {folder} cannot be used: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode):
        raise StackError(f"the runtime folder {folder} cannot be used: it is not a folder")
    if hasattr(os, "geteuid") and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
        raise StackError(
            f"the runtime folder {folder} cannot be used: it belongs to, or can be changed by, other users"
        )
    return folder


class Announcement:
    """The file of this process's stack; written whole each time, so that a reader never sees half of one."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder if folder is not None else runtime_folder()
        self._path: Path | None = None

    def write(self, entry: RunFile) -> None:
        """Write or replace the file. Raises :class:`StackError`."""
        try:
            # Of mode 0600; its name tells whose it was, should we be killed before it has its own.
            fd, draft = tempfile.mkstemp(prefix=f"{_DRAFT_PREFIX}{entry.pid}-", dir=self._folder)
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.encode(entry))
            if self._path is None:
                self._path = self._folder / f"{Path(draft).name.removeprefix('.')}.json"
            Path(draft).replace(self._path)
        except OSError as error:
            raise StackError(
                f"the runtime folder {self._folder} cannot be written: {error.strerror}"
            ) from error

    def remove(self) -> None:
        """Take the file away; safe to call twice."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                self._path.unlink()
            self._path = None


def running(folder: Path | None = None) -> list[RunFile]:
    """The stacks that run now, newest first. What dead ones left is removed on the way."""
    folder = folder if folder is not None else runtime_folder()
    alive: list[RunFile] = []
    for path in folder.glob("stack-*.json"):
        entry = _read(path)
        if entry is None:
            continue
        if process_started(entry.pid) == entry.started:
            alive.append(entry)
        else:
            _sweep(path, entry)
    for draft in folder.glob(f"{_DRAFT_PREFIX}*"):
        pid = draft.name.removeprefix(_DRAFT_PREFIX).partition("-")[0]
        if pid.isdecimal() and not process_started(int(pid)):
            with contextlib.suppress(OSError):
                draft.unlink()
    return sorted(alive, key=lambda entry: entry.created_s, reverse=True)


def find_running(settings: Settings) -> Settings:
    """``settings`` with every "embedded" replaced by the address of the newest running stack that has one.

    Raises :class:`StackError` when an address is wanted and no stack has it.
    """
    broker, nodes, store = settings.broker, settings.cache, settings.store
    wants_broker = broker.url == "embedded"
    wants_nodes = isinstance(nodes.nodes, str) and nodes.nodes.startswith("embedded")
    wants_store = store.url == "embedded"
    if not (wants_broker or wants_nodes or wants_store):
        return settings
    for entry in running():
        broker_url = entry.broker_v5 if broker.protocol != "3.1.1" else entry.broker
        if (wants_broker and not broker_url) or (wants_nodes and not entry.nodes):
            continue
        if wants_store and not entry.store:
            continue
        return replace(
            settings,
            broker=replace(broker, url=broker_url) if wants_broker else broker,
            cache=replace(nodes, nodes=entry.nodes) if wants_nodes else nodes,
            store=replace(store, url=entry.store) if wants_store else store,
        )
    raise StackError(NOT_RUNNING)


def process_started(pid: int) -> str:
    """When the process started, in a form that only compares; empty when there is no such process."""
    if sys.platform == "linux":
        return _started_linux(pid)
    if sys.platform == "win32":
        return _started_windows(pid)
    import subprocess

    listed = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=5
    )
    return listed.stdout.strip()


def _started_linux(pid: int) -> str:
    """Clock ticks since boot, field 22 of ``/proc/PID/stat``, with the boot's own name. Source: proc(5)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
    return "" if fields[0] in ("Z", "X") else f"{boot}:{fields[19]}"


def _started_windows(pid: int) -> str:
    import subprocess

    listed = subprocess.run(
        ["tasklist", "/fi", f"PID eq {pid}", "/fo", "csv", "/nh"],
        capture_output=True,
        text=True,
        check=False,
        timeout=5,
    )
    return "running" if f'"{pid}"' in listed.stdout else ""


def _read(path: Path) -> RunFile | None:
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        with os.fdopen(fd, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return None
            if hasattr(os, "geteuid") and status.st_uid != os.geteuid():
                return None
            return msgspec.json.decode(file.read(_FILE_LIMIT_BYTES), type=RunFile)
    except (OSError, msgspec.DecodeError, ValueError):
        return None


def _sweep(path: Path, entry: RunFile) -> None:
    """Remove what a dead stack left: its temporary folder, if that is one of ours, and its file."""
    folder = Path(entry.folder)
    if entry.folder and is_stack_folder(folder):
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.unlink()


def new_stack_folder() -> Path:
    """The name of a folder for one stack's files, to be announced before there is one: whoever is killed in
    between leaves nothing that nobody knows of. Raises :class:`StackError` without a temporary folder."""
    try:
        return Path(tempfile.gettempdir()) / f"{TEMP_PREFIX}{os.urandom(8).hex()}"
    except OSError as error:
        raise _no_folder(error) from error


def make_stack_folder(folder: Path) -> None:
    """Make it, private. Raises :class:`StackError` when it cannot be made, or is there already."""
    try:
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise _no_folder(error) from error


def _no_folder(error: OSError) -> StackError:
    where = error.filename or tempfile.tempdir or "the temporary folder"
    return StackError(f"no temporary folder for the stack can be made in {where}: {error.strerror}")


def is_stack_folder(folder: Path) -> bool:
    """Whether ``folder`` is such a folder, ours to remove: its name, its place, its owner and its kind."""
    try:
        status = folder.lstat()
        in_temp = Path(tempfile.gettempdir()).resolve() == folder.parent.resolve()
    except OSError:
        return False
    owned = not hasattr(os, "geteuid") or status.st_uid == os.geteuid()
    return in_temp and owned and stat.S_ISDIR(status.st_mode) and folder.name.startswith(TEMP_PREFIX)


def entry_of_this_process(folder: Path | None) -> RunFile:
    """A first entry, without addresses: enough for others to clean up after us."""
    return RunFile(os.getpid(), process_started(os.getpid()), time.time(), str(folder or ""))
