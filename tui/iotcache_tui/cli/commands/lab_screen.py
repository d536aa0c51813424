"""``iotcache-tui lab run NAME``: the dashboard on its Lab screen, with nothing else started."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from iotcache.text import printable

if TYPE_CHECKING:
    from iotcache.config.load import LoadedSettings
    from iotcache_simulator.lab.definition.scenario import Scenario


def show(scenario: Scenario, loaded: LoadedSettings, *, auto: bool, record: str | None = None) -> int:
    """Run the scenario on the screen until the user leaves, recorded to ``record``.

    Raises `UsageError` without a terminal, and `IotCacheError` where no recording can be begun.
    """
    from iotcache_tui.cli.commands.dashboard import require_terminal

    require_terminal()

    from iotcache_tui.app import IotCacheApp
    from iotcache_tui.feed.lab_only import LabFeed
    from iotcache_tui.preferences import PreferencesFile
    from iotcache_tui.screens.lab import LabScreen

    recorder = None
    if record:
        from iotcache_tui.record.recorder import Recorder

        recorder = Recorder(Path(record), values=True, payloads=False)
    settings = loaded.settings
    feed = LabFeed(settings)
    app = IotCacheApp(
        feed,
        settings.dashboard,
        read_only=True,
        preferences_file=PreferencesFile.of_user(),
        recorder=recorder,
        first="lab",
        theme_named=loaded.commanded("dashboard.theme"),
    )
    lab = app.view("lab")
    assert isinstance(lab, LabScreen)
    # A file of the user's own is found again by its path.
    lab.begin_with = (scenario.file if scenario.file.endswith(".toml") else scenario.name, auto)
    try:
        app.run()
    finally:
        feed.stop()
        if recorder is not None:
            recorder.close()
    if recorder is not None and recorder.problem:
        print(f"iotcache-tui: {recorder.problem}", file=sys.stderr)
    if app.state.failure:
        print(f"iotcache-tui: {printable(app.state.failure, 500)}", file=sys.stderr)
    return app.return_code or 0
