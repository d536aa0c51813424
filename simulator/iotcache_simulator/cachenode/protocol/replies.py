"""What a command gives back, and the error lines that commands share (protocol.txt, "Error strings")."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

ERROR = b"ERROR\r\n"
BAD_FORMAT = b"CLIENT_ERROR bad command line format\r\n"
BAD_CHUNK = b"CLIENT_ERROR bad data chunk\r\n"
BAD_EXPTIME = b"CLIENT_ERROR invalid exptime argument\r\n"
BAD_DELTA = b"CLIENT_ERROR invalid numeric delta argument\r\n"
NON_NUMERIC = b"CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
TOO_LARGE = b"SERVER_ERROR object too large for cache\r\n"


class Upload(NamedTuple):
    """The command line was right: a data block follows."""

    value_bytes: int
    store: Callable[[bytes], bytes]
    """Takes the block, gives the answer."""
    bad_chunk: bytes
    """The answer when the block does not end where it should."""


class Refusal(NamedTuple):
    """The command is refused, but its data block is still coming and must not be read as commands."""

    answer: bytes
    value_bytes: int


Reply = bytes | Upload | Refusal | Iterator[bytes]
"""An iterator gives an answer too long to be built at once; it is asked on only as the client reads."""
