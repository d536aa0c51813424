"""A file of nodes on this machine."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from typing import Final

from iotcache.nodelist.file_text import FILE_MAX_BYTES, parse_file
from iotcache.nodelist.listing import NodeListError, NodeListing

LOOK_EVERY_S: Final = 1.0
_SETTLE_S: Final = 0.5
"""A file that was changed less than so long ago is looked at once more: it may be half-written."""
_SETTLE_TRIES: Final = 10


class FileSource:
    """Reads the file anew each time, by its name: one that was put in its place counts."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def read(self) -> NodeListing:
        """The list, once the file stands still. Raises `NodeListError`."""
        content, age_s = await asyncio.to_thread(self._look)
        for _ in range(_SETTLE_TRIES):
            if not 0 <= age_s < _SETTLE_S:
                return NodeListing(parse_file(content), LOOK_EVERY_S)
            await asyncio.sleep(_SETTLE_S)
            before = content
            content, age_s = await asyncio.to_thread(self._look)
            if content == before:
                return NodeListing(parse_file(content), LOOK_EVERY_S)
        raise NodeListError("it is being written all the time")

    def _look(self) -> tuple[bytes, float]:
        """What is in it, and for how long it has been so."""
        try:
            # Opening a pipe would wait for its other end.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise NodeListError("it is no file")
                if status.st_mode & stat.S_IWOTH:
                    raise NodeListError("every user of this machine may write it: take that away (chmod o-w)")
                return file.read(FILE_MAX_BYTES + 1), time.time() - status.st_mtime
        except OSError as error:
            raise NodeListError(f"it cannot be read: {error.strerror}") from None
        except ValueError:
            raise NodeListError("its name is no file's name") from None
