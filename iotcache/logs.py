"""The one place that sets logging up: one line a record, UTC, and nothing foreign unescaped."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from iotcache.errors import ConfigError
from iotcache.text import printable

if TYPE_CHECKING:
    from iotcache.config.schema import LogSettings

_LINE_LIMIT = 4_000


class _OneLine(logging.Formatter):
    """A record as one printable line; a traceback's lines are joined by ``|``."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record).replace("\n", " | ")
        return printable(text, _LINE_LIMIT)


def set_up(settings: LogSettings, *, default_file: Path | None = None) -> Path | None:
    """Log as ``[log]`` says: to its file, else to ``default_file``, else to standard error.

    Returns the file in use. Raises `ConfigError` when the file that the settings name cannot be written;
    a default one that cannot be is done without.
    """
    handler: logging.Handler = logging.StreamHandler()
    file = Path(settings.file).expanduser() if settings.file else default_file
    if file is not None:
        try:
            if not settings.file:
                file.parent.mkdir(parents=True, exist_ok=True)
            handler = logging.FileHandler(file, encoding="utf-8", delay=False)
        except OSError as error:
            if settings.file:
                shown = printable(settings.file)
                raise ConfigError(f"log.file {shown} cannot be written: {error.strerror}") from error
            handler, file = logging.NullHandler(), None
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(settings.level.upper())
    return file
