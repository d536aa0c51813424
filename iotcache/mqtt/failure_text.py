"""Why there is no connection, as the end of a sentence whose subject is the broker."""

from __future__ import annotations

import os
import re
import ssl
from typing import Final

from iotcache.mqtt.tls import tls_trouble
from iotcache.text import printable

_ERRNO: Final = re.compile(r"\[Errno (\d+)\]")


def connection_trouble(error: BaseException) -> str:
    """What an error of the system, of TLS or of ours says."""
    if isinstance(error, ssl.SSLError):
        return tls_trouble(error)
    if not isinstance(error, OSError):
        return printable(str(error) or type(error).__name__)
    # asyncio repeats the address; where it tried several, only its text has their numbers.
    number = error.errno if error.errno is not None and error.errno > 0 else 0
    if not error.errno and (found := _ERRNO.search(str(error))):
        number = int(found[1])
    text = os.strerror(number) if number else error.strerror or str(error) or type(error).__name__
    return printable(text.lower())
