"""What the dashboard has loaded when its first frame is out: by name, as times differ between machines."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from pathlib import Path

from tests.cli.test_main import ENVIRONMENT

PROGRAM = """
import gc, os, sys
from textual.drivers.linux_driver import LinuxDriver

write = LinuxDriver.write

def first_frame(driver, data):
    write(driver, data)
    if "iotcache" in data:
        with open("seen", "w") as file:
            collects = f"{gc.isenabled()} {gc.get_freeze_count() > 10_000}"
            file.write("\\n".join([data.replace("\\n", " "), collects, *sys.modules]))
        os._exit(0)

LinuxDriver.write = first_frame
from iotcache_tui.cli.main import main
main([])
"""
STACK = """
import os, sys
from iotcache_simulator.stack.stack import Stack

async def start(stack):
    with open("seen", "w") as file:
        file.write("\\n".join(sys.modules))
    os._exit(0)

Stack.start = start
from iotcache_tui.cli.main import main
main([])
"""
LATER = {
    "aiomqtt", "email", "importlib.metadata", "numpy", "paho", "plotext", "psycopg", "pymemcache", "sqlite3",
    "iotcache.alerts", "iotcache.cache", "iotcache.cluster", "iotcache.config.alert_rules",
    "iotcache.config.presets", "iotcache.model", "iotcache.mqtt", "iotcache.store",
    "iotcache_simulator.fleet",
    "iotcache_simulator.lab.definition", "iotcache_simulator.stack.stack", "iotcache_tui.feed.dispatcher",
    "iotcache_tui.feed.work", "iotcache_tui.screens.guide", "iotcache_tui.screens.view",
    "iotcache_tui.state.dashboard", "iotcache_tui.state.updates",
}  # fmt: skip


def seen(program: str, tmp_path: Path) -> list[str]:
    """The lines that ``program``, run in a terminal, has left in the file ``seen``."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-P", "-c", program], stdin=theirs, stdout=theirs, cwd=tmp_path,
        env=ENVIRONMENT | {
            "TERM": "xterm-256color", "COLUMNS": "120", "LINES": "40",
            "XDG_STATE_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path),
        },
    ) as running:  # fmt: skip
        os.close(theirs)
        with contextlib.suppress(OSError):  # Linux ends a terminal without a writer so
            while os.read(ours, 65_536):
                pass
        assert running.wait(60) == 0
    os.close(ours)
    return (tmp_path / "seen").read_text("utf-8").splitlines()


def test_the_first_frame_waits_for_nothing_that_it_does_not_show(tmp_path: Path) -> None:
    frame, collects, *loaded = seen(PROGRAM, tmp_path)
    assert "STARTING" in frame
    assert collects == "True True", "no garbage is looked for in what was loaded, but in all else"
    assert "[1 Fleet]" in frame
    assert LATER & set(loaded) == set()
    assert "iotcache_tui.feed.live" in loaded


def test_the_stack_does_not_wait_for_what_looks_at_it(tmp_path: Path) -> None:
    loaded = seen(STACK, tmp_path)
    later = {"iotcache_tui.feed.work", "iotcache.cache", "iotcache.cluster", "pymemcache"}
    assert later & set(loaded) == set()
