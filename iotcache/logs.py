"""The one place that sets logging up: one line a record, UTC, and nothing foreign unescaped."""

from __future__ import annotations

import logging
import os
import re
import time
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

from iotcache.errors import ConfigError
from iotcache.private_files import make_private_folder, private_opener
from iotcache.text import printable

if TYPE_CHECKING:
    from iotcache.config.schema import LogSettings

_LINE_LIMIT = 4_000
_DEFAULT_FILE_BYTES = 4_000_000
_OURS = "iotcache"
_CHATTY = ("psycopg.pool",)
"""Libraries that log a line for every use and every failed attempt; what fails is raised as well."""
# A URL's password within running text; libraries put the addresses that they fail on into their errors.
_PASSWORD = re.compile(r"(\w://[^/@:\s]*:)\S*@")


class _OneLine(logging.Formatter):
    """A record as one printable line; a traceback's lines are joined by ``|``."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record).replace("\n", " | ")
        return printable(_PASSWORD.sub(r"\1***@", text), _LINE_LIMIT)


def set_up(settings: LogSettings, *, default_file: Path | None = None) -> Path | None:
    """Log as ``[log]`` says: to its file, else to ``default_file``, else to standard error.

    A default file is bounded: it starts anew at 4 MB, and the one before is kept. Returns the file in use.
    Raises `ConfigError` when the file that the settings name cannot be written; a default one that cannot be
    is done without.
    """
    handler: logging.Handler = logging.StreamHandler()
    file = default_file
    if settings.file:
        file = Path(os.path.expanduser(settings.file))  # noqa: PTH111 (Path's raises for an unknown user)
        try:
            handler = _named_file(file)
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise ConfigError(f"log.file {printable(settings.file)} cannot be written: {why}") from error
    elif file is not None:
        try:
            make_private_folder(file.parent)
            handler = _rotating_file(file)
        except OSError:
            handler, file = logging.NullHandler(), None
    _install(handler, settings.level.upper())
    return file


def begin() -> None:
    """Until settings are known: warnings to standard error, as harmless as all later ones."""
    _install(logging.StreamHandler(), "WARNING")


def _install(handler: logging.Handler, level: str) -> None:
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.set_name(_OURS)
    root = logging.getLogger()
    for old in [one for one in root.handlers if one.get_name() == _OURS]:
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(level)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(logging.ERROR)
    # A log that cannot be written must not print tracebacks into a terminal or over a dashboard.
    logging.raiseExceptions = False


def _named_file(file: Path) -> logging.Handler:
    # A file that the user names is turned over by the user's own tools: notice when it was moved away.
    if os.name == "posix":
        from logging.handlers import WatchedFileHandler

        class WatchedFile(_Private, WatchedFileHandler):
            pass

        return WatchedFile(file, encoding="utf-8")
    return _Private(file, encoding="utf-8")


def _rotating_file(file: Path) -> logging.Handler:
    # Loaded where there is such a file: the module brings sockets and queues for handlers of no use here.
    from logging.handlers import RotatingFileHandler

    class RotatingFile(_Private, RotatingFileHandler):
        pass

    return RotatingFile(file, maxBytes=_DEFAULT_FILE_BYTES, backupCount=1, encoding="utf-8")


class _Private(logging.FileHandler):
    """Makes files that only their owner may read: a log has names of devices and of servers in it."""

    def _open(self) -> TextIOWrapper:
        descriptor = private_opener(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        return TextIOWrapper(os.fdopen(descriptor, "ab"), encoding=self.encoding, errors=self.errors)
