"""``iotcache-tui ingest preset``: the mappings of well-known fleets, to be read, copied and changed."""

from __future__ import annotations

from collections.abc import Sequence

from iotcache.errors import UsageError
from iotcache.text import printable


def show(words: Sequence[str]) -> int:
    """``list`` or ``show NAME``. Raises `UsageError`."""
    from iotcache.config.fields import nearest
    from iotcache.config.presets import preset_names, preset_text, summary

    match words:
        case [] | ["list"]:
            width = max(map(len, preset_names()))
            for name in preset_names():
                print(f"{name:<{width}}  {summary(name)}")
            return 0
        case ["show", name] if name in preset_names():
            print(preset_text(name), end="")
            return 0
        case ["show", name]:
            shown = printable(name, 60)
            raise UsageError(f"there is no preset '{shown}'{nearest(name, preset_names())}; 'list' names all")
    raise UsageError("ingest preset needs 'list' or 'show NAME'")
