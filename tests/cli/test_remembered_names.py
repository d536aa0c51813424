"""Names at a Tab: the second is answered without the settings, and never with what has changed since."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from iotcache.model import Reading, StoredReading
from iotcache.store.sqlite.store import SqliteStore
from tests.cli.test_main import ENVIRONMENT

ASK = """
import sys
from iotcache_tui.cli.main import main
code = main(sys.argv[1:])
print("loaded" if "iotcache.config" in sys.modules else "remembered", file=sys.stderr)
sys.exit(code)
"""


class Prompt:
    """A user with a home of their own, in a folder with a configuration file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def configure(self, store: str, nodes: str = '["10.0.0.1:11211"]', more: str = "") -> None:
        text = f'[store]\nurl = "sqlite:///{store}"\n[cache]\nnodes = {nodes}\n{more}'
        (self.folder / "config.toml").write_text(text)

    async def stored(self, store: str, *devices: str) -> None:
        async with SqliteStore(self.folder / store) as file:
            await file.commit(
                [StoredReading(Reading(device=one, sensor="t", value=1.0, ts_us=1)) for one in devices]
            )

    def asks(self, kind: str, *flags: str, **environment: str) -> tuple[str, list[str]]:
        """How it was answered, and the names."""
        run = subprocess.run(
            [sys.executable, "-P", "-c", ASK, "completion", "--names", kind, *flags],
            cwd=self.folder,
            env=ENVIRONMENT | {"HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder)} | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return run.stderr.strip(), run.stdout.split()


@pytest.fixture
def prompt(tmp_path: Path) -> Prompt:
    return Prompt(tmp_path)


async def test_the_second_tab_loads_no_settings_and_finds_devices_that_are_new(prompt: Prompt) -> None:
    prompt.configure("a.db")
    await prompt.stored("a.db", "pump-1", "$(reboot)", "-rf", "a b")
    assert prompt.asks("devices") == ("loaded", ["pump-1"])
    await prompt.stored("a.db", "pump-2", "$(halt)")
    assert prompt.asks("devices") == ("remembered", ["pump-1", "pump-2"])
    assert prompt.asks("sensors") == ("loaded", ["t"])
    assert prompt.asks("sensors") == ("remembered", ["t"])
    assert prompt.asks("nodes") == ("loaded", ["10.0.0.1:11211"])
    assert prompt.asks("nodes") == ("remembered", ["10.0.0.1:11211"])


async def test_what_has_changed_since_is_found_anew(prompt: Prompt) -> None:
    prompt.configure("a.db")
    await prompt.stored("a.db", "pump-1")
    await prompt.stored("b.db", "fan-1")
    for kind in ("devices", "nodes", "contexts"):
        prompt.asks(kind)
    prompt.configure("b.db", '["10.0.0.2:11211"]', "[context.east]\n[context.west]\n")
    assert prompt.asks("devices") == ("loaded", ["fan-1"])
    assert prompt.asks("nodes") == ("loaded", ["10.0.0.2:11211"])
    assert prompt.asks("contexts") == ("loaded", ["east", "west"])
    assert prompt.asks("contexts") == ("remembered", ["east", "west"])
    other = f"sqlite:///{prompt.folder}/a.db"
    assert prompt.asks("devices", IOTCACHE_STORE_URL=other) == ("loaded", ["pump-1"])
    assert prompt.asks("devices") == ("loaded", ["fan-1"]), "one answer is remembered, with what it is for"
    assert prompt.asks("devices", "--store", other) == ("loaded", ["pump-1"])
    assert prompt.asks("devices") == ("remembered", ["fan-1"])
    (prompt.folder / "config.toml").unlink()
    assert (
        prompt.asks("devices", IOTCACHE_STORE_URL=other, IOTCACHE_CACHE_NODES="10.0.0.1:11211")[0] == "loaded"
    )


async def test_what_cannot_be_read_again_is_found_anew(prompt: Prompt) -> None:
    prompt.configure("a.db")
    await prompt.stored("a.db", "pump-1")
    prompt.asks("devices")
    (memory,) = (prompt.folder / ".cache" / "iotcache").iterdir()
    assert memory.stat().st_mode & 0o077 == 0
    for damaged in ("", "[]", '{"place": 1}', memory.read_text().replace("a.db", "gone.db")):
        memory.write_text(damaged)
        assert prompt.asks("devices") == ("loaded", ["pump-1"])
    assert prompt.asks("devices") == ("remembered", ["pump-1"])
