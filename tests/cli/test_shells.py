"""Tab pressed in real shells: what they show, and that the program is asked only where a name is wanted."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import shlex
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from iotcache.model import Reading, StoredReading
from iotcache.store.sqlite.store import SqliteStore
from iotcache_tui.cli.completion import script

# One that shows nothing of its user's own, the name of its file of completions, and what reads that.
BEGIN = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "iotcache-tui", "source ./iotcache-tui; PS1=RE''ADY"),
    "zsh": (
        ["zsh", "-f", "-i"],
        "_iotcache-tui",
        "fpath=($PWD $fpath); autoload -U compinit; compinit -u -D; PS1=RE''ADY",
    ),
    "fish": (
        ["fish", "--no-config", "--private"],
        "iotcache-tui.fish",
        "source iotcache-tui.fish; function fish_prompt; echo -n RE''ADY; end",
    ),
}


class Shell:
    """A shell in a terminal of 100 columns."""

    def __init__(self, name: str, folder: Path) -> None:
        command, file, begin = BEGIN[name]
        (folder / file).write_text(script(name), "utf-8")
        self._asked = folder / "asked"
        program = folder / "bin" / "iotcache-tui"
        program.parent.mkdir()
        # The program itself, which leaves a line of each of its starts.
        program.write_text(
            f'#!/bin/sh\necho "$@" >> {self._asked}\n'
            f'exec {shlex.quote(sys.executable)} -P -m iotcache_tui "$@"\n'
        )
        program.chmod(0o755)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("IOTCACHE_")}
        self._terminal, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
        self._process = subprocess.Popen(
            command, cwd=folder, preexec_fn=lambda: os.login_tty(theirs),
            env=environment | {
                "PATH": f"{program.parent}:{os.environ['PATH']}", "TERM": "xterm", "COLUMNS": "100",
                "PYTHONPATH": ":".join(sys.path), "HOME": str(folder), "XDG_CONFIG_HOME": str(folder),
                "IOTCACHE_STORE_URL": f"sqlite:///{folder}/readings.db",
                "IOTCACHE_CACHE_NODES": "127.0.0.1:1",
            },
        )  # fmt: skip
        os.close(theirs)
        self._seen = ""
        self.type(begin + "\r")
        self.until("READY")

    def type(self, keys: str) -> None:
        self._seen = ""
        os.write(self._terminal, keys.encode())

    def until(self, shown: str) -> str:
        """What was written since the last keys, once ``shown`` is matched in it."""
        until_s = time.monotonic() + 30
        while not re.search(shown, self._seen):
            assert time.monotonic() < until_s, self._seen
            if select.select([self._terminal], [], [], 1.0)[0]:
                text = os.read(self._terminal, 65_536).decode("utf-8", "replace")
                self._seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]", "", text)
        return self._seen

    def asked(self) -> list[str]:
        return self._asked.read_text().splitlines() if self._asked.exists() else []

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._terminal)


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.real(name)) for name in BEGIN])
async def test_tab_completes_flags_by_itself_and_devices_by_asking(name: str, tmp_path: Path) -> None:
    async with SqliteStore(tmp_path / "readings.db") as store:
        reading = Reading(device="boiler-7", sensor="t", value=1.0, ts_us=1)
        await store.commit([StoredReading(reading, 60)])
    shell = Shell(name, tmp_path)
    try:
        shell.type("iotcache-tui simulate --cl\t\t")
        assert "--class" in shell.until("--client-id")
        assert shell.asked() == []
        shell.type("\x15iotcache-tui get boil\t")  # Ctrl-U: another line
        shell.until(r"boiler-7|er-7")
        assert shell.asked() == ["completion --names devices"]
    finally:
        shell.close()
