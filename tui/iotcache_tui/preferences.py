"""What a user chose on screen and finds again the next time: theme, columns, order, panels."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from iotcache.private_files import make_private_folder
from iotcache_simulator.lab.certificate import LessonTaken

log = logging.getLogger(__name__)


class UiPreferences(Struct, frozen=True):
    """Empty values were never chosen."""

    theme: str = ""
    columns: tuple[str, ...] = ()
    sort: str = ""
    reverse: bool = False
    group: str = ""
    plots: bool | None = None
    log: bool | None = None
    toured: bool = False
    """Whether the guided tour was begun once."""
    lessons: Mapping[str, LessonTaken] = {}
    """The Lab's lessons that were gone through, by name."""


class PreferencesFile:
    """A small JSON file. A missing or broken one is as good as empty; not being able to write is no error."""

    def __init__(self, path: Path | None = None) -> None:
        """Without a ``path`` nothing is kept."""
        self._path = path

    @classmethod
    def of_user(cls) -> PreferencesFile:
        """The file in the user's own state folder."""
        import platformdirs

        return cls(platformdirs.user_state_path("iotcache") / "dashboard.json")

    def load(self) -> UiPreferences:
        if self._path is None:
            return UiPreferences()
        try:
            return msgspec.json.decode(self._path.read_bytes()[:65_536], type=UiPreferences)
        except (OSError, msgspec.MsgspecError):
            return UiPreferences()

    def save(self, preferences: UiPreferences) -> None:
        """Replace the file in one step, so that a program that is killed leaves the old or the new one."""
        if self._path is None:
            return
        try:
            make_private_folder(self._path.parent)
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=".dashboard-")
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.format(msgspec.json.encode(preferences)))
            Path(name).replace(self._path)
        except OSError as error:
            log.info("what was chosen on screen cannot be kept: %s", error.strerror)
