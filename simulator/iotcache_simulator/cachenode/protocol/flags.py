"""The flags of a meta command: single letters, some with a token. Source: protocol.txt, "Meta Commands"."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode

from iotcache_simulator.cachenode.memory.items import KEY_MAX_BYTES
from iotcache_simulator.cachenode.protocol.replies import BAD_FORMAT
from iotcache_simulator.cachenode.tokens import int32, uint32, uint64

_WORDS_MAX = 19  # memcached: 20 tokens, its end marker counted
_OPAQUE_MAX_BYTES = 32  # the O itself counted

_KNOWN = frozenset(bytes([letter]) for letter in b"bNTRlOPLkstcfvhuqxFCEMJDI")
_BAD_TOKEN = b"CLIENT_ERROR bad token in command line format\r\n"
_NUMBERS = {
    b"N": ("vivify_exptime", int32, _BAD_TOKEN),
    b"T": ("exptime", int32, _BAD_TOKEN),
    b"R": ("recache_exptime", int32, _BAD_TOKEN),
    b"F": ("client_flags", uint32, BAD_FORMAT),
    b"C": ("cas", uint64, _BAD_TOKEN),
    b"E": ("new_cas", uint64, _BAD_TOKEN),
    b"J": ("initial", uint64, b"CLIENT_ERROR invalid numeric initial value\r\n"),
    b"D": ("delta", uint64, b"CLIENT_ERROR invalid numeric delta value\r\n"),
}


class FlagError(Exception):
    """The command line is refused; ``answer`` says why."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(answer)
        self.answer = answer


class MetaLine:
    """A meta command's key and flags, checked."""

    vivify_exptime: int | None = None  # N
    exptime: int | None = None  # T
    recache_exptime: int | None = None  # R
    client_flags = 0  # F
    cas: int | None = None  # C
    new_cas = 0  # E
    initial = 0  # J
    delta = 1  # D
    mode = b""  # M

    def __init__(self, key: bytes, words: list[bytes]) -> None:
        self.key = key
        self.words = words
        self.letters: frozenset[bytes] | set[bytes] = frozenset()

    @property
    def binary_key(self) -> bool:
        return b"b" in self.letters

    @property
    def quiet(self) -> bool:
        return b"q" in self.letters

    def reflected(self) -> bytes:
        """The flags that every answer carries back: opaque and key, in the order asked for."""
        letters = self.letters
        if b"O" not in letters and b"k" not in letters:
            return b""
        parts = []
        for word in self.words:
            if word[:1] == b"O":
                parts.append(b" " + word)
            elif word[:1] == b"k":
                parts.append(key_word(self.key, self.binary_key))
        return b"".join(parts)


def key_word(key: bytes, binary: bool) -> bytes:
    """``k`` as an answer carries it; a binary key goes back in base64, with ``b`` behind."""
    return b" k%b b" % b64encode(key) if binary else b" k" + key


def check_line(tokens: list[bytes], too_many: bytes) -> None:
    """Refuse what is wrong before any flag is read. Raises :class:`FlagError`."""
    if len(tokens[1]) > KEY_MAX_BYTES:
        raise FlagError(BAD_FORMAT)
    if len(tokens) > _WORDS_MAX:
        raise FlagError(too_many)


def parse(key: bytes, words: list[bytes]) -> MetaLine:
    """Read the flags of a meta command. Raises :class:`FlagError`.

    memcached reads all flags before it complains, and then of the last fault, except that an unknown or
    repeated flag ends it at once.
    """
    line = MetaLine(key, words)
    letters: set[bytes] = set()
    fault = b""
    for word in words:
        letter = word[:1]
        if letter >= b"\x7f" or letter in letters:
            raise FlagError(b"CLIENT_ERROR duplicate flag\r\n")
        if letter not in _KNOWN:
            raise FlagError(b"CLIENT_ERROR invalid flag\r\n")
        letters.add(letter)
        if letter in _NUMBERS:
            name, read, complaint = _NUMBERS[letter]
            number = read(word[1:])
            if number is None:
                fault = complaint
            else:
                setattr(line, name, number)
        elif letter == b"b":
            try:
                line.key = b64decode(key)
            except binascii.Error:
                line.key = b""
            if not line.key:
                fault = b"CLIENT_ERROR error decoding key\r\n"
        elif letter == b"M":
            line.mode = word[1:]
            if len(word) != 2:
                fault = b"CLIENT_ERROR incorrect length for M token\r\n"
    if fault:
        raise FlagError(fault)
    line.letters = letters
    return line


def check_opaque(line: MetaLine) -> None:
    """Raises :class:`FlagError` for an opaque that is too long to send back."""
    if b"O" in line.letters and any(
        word[:1] == b"O" and len(word) > _OPAQUE_MAX_BYTES for word in line.words
    ):
        raise FlagError(b"CLIENT_ERROR opaque token too long\r\n")
