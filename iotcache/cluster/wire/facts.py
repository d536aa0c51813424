"""What ``me`` tells of an item, the one look that disturbs nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from iotcache.cluster.types import FOREVER_S
from iotcache.cluster.wire.answers import ErrorReply, ItemReply, unexpected


class ItemFacts(NamedTuple):
    """What ``me`` says of an item. Times in seconds."""

    ttl_s: float
    age_s: float
    size: int
    fetched: bool
    cas: int


def facts_reader(negated_exp: bool) -> Callable[[bytes], ItemFacts | None]:
    """A reader of ``me`` lines; ``negated_exp`` is for servers before 1.6.24.

    They print ``exp=-99`` for 99 s left, so there ``exp=-1`` is both "1 s left" and "never expires"; it is
    taken for the former, since nothing this program writes lives for ever.
    """

    def read(line: bytes) -> ItemFacts | None:
        if line == b"EN":
            return None
        parts = line.split(b" ")
        if parts[0] != b"ME" or len(parts) < 2:
            raise unexpected(line)
        fields = dict(part.partition(b"=")[::2] for part in parts[2:])
        try:
            exp = int(fields.get(b"exp", b"-1"))
            if negated_exp:
                ttl_s = float(-exp) if exp <= 0 else float(exp)
            else:
                ttl_s = FOREVER_S if exp < 0 else float(exp)
            return ItemFacts(
                ttl_s,
                float(fields.get(b"la", b"0")),
                int(fields.get(b"size", b"0")),
                fields.get(b"fetch") == b"yes",
                int(fields.get(b"cas", b"0")),
            )
        except ValueError as error:
            raise unexpected(line) from error

    return read


FACTS: Final = facts_reader(False)


def cas_of(reply: ItemReply | ErrorReply) -> int:
    """CAS unique in an answer to ``me``, ``mg … c`` or ``ms … c``; 0 when there is no item."""
    if isinstance(reply, ErrorReply) or reply.line == b"EN":
        return 0
    if reply.line.startswith(b"ME "):
        facts = FACTS(reply.line)
        return facts.cas if facts is not None else 0
    if not reply.line.startswith((b"HD", b"VA ")):
        return 0
    for part in reply.line.split(b" ")[1:]:
        if part[:1] == b"c" and part[1:].isdigit():
            return int(part[1:])
    return 0
