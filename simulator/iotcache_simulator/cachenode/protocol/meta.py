"""The meta commands ``mg ms md ma me mn``. Source: protocol.txt, "Meta Commands"; ``proto_text.c`` 1.6.38.

Quiet mode (``q``) hides only the answer a client expects: a miss of ``mg``, success of ``ms``, ``md`` and
``ma``. All else, errors above all, is answered, so that a pipeline ended by ``mn`` tells what went wrong.
"""

from __future__ import annotations

from collections.abc import Callable

from iotcache_simulator.cachenode.memory.items import BINARY_KEY, FETCHED, KEY_MAX_BYTES, STALE, WON, Item
from iotcache_simulator.cachenode.memory.storage import Counted, Stored, Verb, count, note_uncounted, store
from iotcache_simulator.cachenode.node import BundledNode
from iotcache_simulator.cachenode.protocol.flags import (
    FlagError,
    MetaLine,
    check_line,
    check_opaque,
    key_word,
    parse,
)
from iotcache_simulator.cachenode.protocol.replies import (
    BAD_CHUNK,
    BAD_FORMAT,
    ERROR,
    NON_NUMERIC,
    TOO_LARGE,
    Refusal,
    Reply,
    Upload,
)
from iotcache_simulator.cachenode.tokens import int32

_BAD_FLAG = b"CLIENT_ERROR invalid or duplicate flag\r\n"
_TOO_MANY_FLAGS = b"CLIENT_ERROR options flags too long\r\n"
_TOO_MANY_GET_FLAGS = b"CLIENT_ERROR options flags are too long\r\n"

_STORED = {Stored.STORED: b"HD", Stored.EXISTS: b"EX", Stored.NOT_FOUND: b"NF", Stored.NOT_STORED: b"NS"}
_MODES = {
    b"": Verb.SET,
    b"S": Verb.SET,
    b"E": Verb.ADD,
    b"R": Verb.REPLACE,
    b"A": Verb.APPEND,
    b"P": Verb.PREPEND,
}
_UP = {b"": True, b"I": True, b"+": True, b"D": False, b"-": False}


def _ttl(item: Item, now: int) -> int:
    """Seconds left, -1 for ever; an item that was just given a past time has 0, not a negative number."""
    return max(0, item.expires_at - now) if item.expires_at else -1


def _mg(node: BundledNode, tokens: list[bytes]) -> bytes:
    """``mg <key> <flags>*``"""
    if len(tokens) < 2:
        return ERROR
    try:
        check_line(tokens, _TOO_MANY_GET_FLAGS)
        line = parse(tokens[1], tokens[2:])
        check_opaque(line)
    except FlagError as error:
        return error.answer
    items = node.items
    item = items.find(line.key)
    created = item is None and line.vivify_exptime is not None
    if created:
        item = Item(line.key, b"", 0, 0)
        item.state = BINARY_KEY if line.binary_key else 0
        items.put(item, line.new_cas)
    _count_get(node, item, touching=line.exptime is not None)
    if item is None:
        return b"" if line.quiet else b"EN%b\r\n" % line.reflected()
    flags = _got(node, line, item, created)
    if b"u" not in line.letters:
        items.bump(item)
    if b"v" in line.letters:
        return b"VA %d%b\r\n%b\r\n" % (len(item.value), flags, item.value)
    return b"HD%b\r\n" % flags


def _count_get(node: BundledNode, item: Item | None, *, touching: bool) -> None:
    """``mg`` counts as ``get``, and with ``T`` as ``touch`` instead; an item created by ``N`` was a hit."""
    counters = node.counters
    if touching:
        counters.cmd_touch += 1
        if item is None:
            counters.touch_misses += 1
        else:
            item.slab.counters.touch_hits += 1
    else:
        counters.cmd_get += 1
        if item is None:
            counters.get_misses += 1
        else:
            item.slab.counters.get_hits += 1


def _got(node: BundledNode, line: MetaLine, item: Item, created: bool) -> bytes:
    """The flags of a hit, in the order asked for; what they change, they change in that order too."""
    items = node.items
    out: list[bytes] = []
    won = False
    for word in line.words:
        match word[:1]:
            case b"t":
                out.append(b" t%d" % _ttl(item, items.now))
            case b"f":
                out.append(b" f%d" % item.flags)
            case b"k":
                out.append(key_word(item.key, bool(item.state & BINARY_KEY)))
            case b"O":
                out.append(b" " + word)
            case b"c":
                out.append(b" c%d" % item.cas)
            case b"s":
                out.append(b" s%d" % len(item.value))
            case b"l":
                out.append(b" l%d" % (items.now - item.used_at))
            case b"h":
                out.append(b" h1" if item.state & FETCHED else b" h0")
            case b"T":
                item.expires_at = items.expiry(line.exptime or 0)
            case b"N":
                if created:
                    item.expires_at = items.expiry(line.vivify_exptime or 0)
                    won = True
            case b"R":
                soon = items.expiry(line.recache_exptime or 0)
                if not created and not item.state & WON and 0 < item.expires_at < soon:
                    won = True
    if item.state & WON:
        out.append(b" Z")
    if item.state & STALE:
        out.append(b" X")
        won = won or not item.state & WON
    if won:
        out.append(b" W")
        item.state |= WON
    return b"".join(out)


def _ms(node: BundledNode, tokens: list[bytes]) -> Reply:
    """``ms <key> <datalen> <flags>*`` and a data block."""
    if len(tokens) < 2:
        return ERROR
    if len(tokens) == 2 or len(tokens[1]) > KEY_MAX_BYTES:
        return BAD_FORMAT
    try:
        check_line(tokens, _TOO_MANY_FLAGS)
    except FlagError as error:
        return error.answer
    value_bytes = int32(tokens[2])
    if value_bytes is None or value_bytes < 0:
        return BAD_FORMAT
    try:
        line = parse(tokens[1], tokens[3:])
        check_opaque(line)
        if line.mode not in _MODES:
            raise FlagError(b"CLIENT_ERROR invalid mode for ms M token\r\n")
    except FlagError as error:
        return Refusal(error.answer, value_bytes)
    items = node.items
    if not items.fits(line.key, value_bytes, line.client_flags):
        node.counters.store_too_large += 1
        old = items.find(line.key)
        if old is not None:  # in any mode: rather no value than a wrong one
            items.drop(old)
        return Refusal(TOO_LARGE, value_bytes)
    verb = _MODES[line.mode]
    exptime = line.exptime or 0
    vivify = line.vivify_exptime is not None and verb in (Verb.APPEND, Verb.PREPEND)
    if vivify:
        exptime = line.vivify_exptime or 0
    if line.cas is not None and verb in (Verb.SET, Verb.REPLACE):
        verb = Verb.CAS
    expires_at = items.expiry(exptime)

    def finish(value: bytes) -> bytes:
        item = Item(line.key, value, line.client_flags, expires_at)
        item.state = BINARY_KEY if line.binary_key else 0
        outcome, item = store(
            items,
            verb,
            item,
            cas=line.cas or 0,
            new_cas=line.new_cas,
            may_be_stale=b"I" in line.letters,
            vivify=vivify,
        )
        if outcome is Stored.STORED and line.quiet:
            return b""
        return _STORED[outcome] + _set_flags(line, item) + b"\r\n"

    return Upload(value_bytes, finish, BAD_CHUNK)


def _set_flags(line: MetaLine, item: Item) -> bytes:
    out: list[bytes] = []
    for word in line.words:
        match word[:1]:
            case b"O":
                out.append(b" " + word)
            case b"k":
                out.append(key_word(line.key, line.binary_key))
            case b"c":  # 0 when nothing was stored
                out.append(b" c%d" % item.cas)
            case b"s":
                out.append(b" s%d" % len(item.value))
    return b"".join(out)


def _md(node: BundledNode, tokens: list[bytes]) -> bytes:
    """``md <key> <flags>*``: delete, or mark stale (``I``), or keep a stub without its value (``x``)."""
    if len(tokens) < 2:
        return ERROR
    try:
        check_line(tokens, _TOO_MANY_FLAGS)
        line = parse(tokens[1], tokens[2:])
    except FlagError as error:
        return error.answer if error.answer in (BAD_FORMAT, _TOO_MANY_FLAGS) else _BAD_FLAG
    try:
        check_opaque(line)
    except FlagError as error:
        return error.answer
    code = _delete(node, line)
    return b"" if code == b"HD" and line.quiet else code + line.reflected() + b"\r\n"


def _delete(node: BundledNode, line: MetaLine) -> bytes:
    items = node.items
    item = items.find(line.key)
    if item is None:
        node.counters.delete_misses += 1
        return b"NF"
    if line.cas is not None and item.cas != line.cas:
        node.counters.delete_misses += 1
        return b"EX"
    expires_at = items.expiry(line.exptime or 0)
    emptied = b"x" in line.letters
    if emptied:
        stub = Item(item.key, b"", line.client_flags, expires_at)
        stub.state = item.state & BINARY_KEY
        items.put(stub, line.new_cas or item.cas)
        item = stub
    if b"I" in line.letters:
        if line.exptime is not None:
            item.expires_at = expires_at
        item.state = (item.state | STALE) & ~WON
        item.cas = line.new_cas or items.next_cas()
        return b"HD"
    item.slab.counters.delete_hits += 1
    if not emptied:
        items.drop(item)
    return b"HD"


def _ma(node: BundledNode, tokens: list[bytes]) -> bytes:
    """``ma <key> <flags>*``: count up or down."""
    if len(tokens) < 2:
        return ERROR
    try:
        check_line(tokens, _TOO_MANY_FLAGS)
        line = parse(tokens[1], tokens[2:])
    except FlagError as error:
        return error.answer if error.answer in (BAD_FORMAT, _TOO_MANY_FLAGS) else _BAD_FLAG
    try:
        check_opaque(line)
    except FlagError as error:
        return error.answer
    if line.mode not in _UP:
        return b"CLIENT_ERROR invalid mode for ma M token\r\n"
    return _count(node, line, up=_UP[line.mode])


def _count(node: BundledNode, line: MetaLine, *, up: bool) -> bytes:
    items = node.items
    outcome, item = count(items, line.key, up=up, delta=line.delta, cas=line.cas or 0, new_cas=line.new_cas)
    if outcome is Counted.NON_NUMERIC:
        return NON_NUMERIC
    if outcome is Counted.EXISTS:
        return b"EX%b\r\n" % line.reflected()
    created = item is None and line.vivify_exptime is not None
    if created:
        item = Item(line.key, b"%d" % line.initial, 0, 0)
        item.state = BINARY_KEY if line.binary_key else 0
        _, item = store(items, Verb.ADD, item, new_cas=line.new_cas)
    if item is None:
        note_uncounted(items, up=up)
        return b"NF%b\r\n" % line.reflected()
    flags = _counted_flags(node, line, item, created)
    if line.quiet and not created:
        return b""
    if b"v" in line.letters:
        number = item.value.rstrip(b" ")
        return b"VA %d%b\r\n%b\r\n" % (len(number), flags, number)
    return b"HD%b\r\n" % flags


def _counted_flags(node: BundledNode, line: MetaLine, item: Item, created: bool) -> bytes:
    items = node.items
    out: list[bytes] = []
    for word in line.words:
        match word[:1]:
            case b"c":
                out.append(b" c%d" % item.cas)
            case b"t":
                out.append(b" t%d" % _ttl(item, items.now))
            case b"T":
                item.expires_at = items.expiry(line.exptime or 0)
            case b"N":
                if created:
                    item.expires_at = items.expiry(line.vivify_exptime or 0)
            case b"O":
                out.append(b" " + word)
            case b"k":
                out.append(key_word(line.key, line.binary_key))
    return b"".join(out)


def _me(node: BundledNode, tokens: list[bytes]) -> bytes:
    """``me <key> [b]``: what is known of an item. Touches neither the LRU nor a hit counter."""
    if len(tokens) < 2 or len(tokens[1]) > KEY_MAX_BYTES:
        return BAD_FORMAT
    key = tokens[1]
    if len(tokens) > 2 and tokens[2] == b"b":
        try:
            key = parse(key, [b"b"]).key
        except FlagError:
            return BAD_FORMAT
    node.counters.cmd_meta += 1
    item = node.items.find(key)
    if item is None:
        return b"EN\r\n"
    now = node.items.now
    return b"ME %b exp=%d la=%d cas=%d fetch=%b cls=%d size=%d\r\n" % (
        key_word(item.key, bool(item.state & BINARY_KEY))[2:].removesuffix(b" b"),
        _ttl(item, now),
        now - item.used_at,
        item.cas,
        b"yes" if item.state & FETCHED else b"no",
        item.slab.number,
        item.size_bytes,
    )


def _mn(node: BundledNode, tokens: list[bytes]) -> bytes:
    """The barrier behind a quiet pipeline."""
    return b"MN\r\n"


COMMANDS: dict[bytes, Callable[[BundledNode, list[bytes]], Reply]] = {
    b"mg": _mg,
    b"ms": _ms,
    b"md": _md,
    b"ma": _ma,
    b"me": _me,
    b"mn": _mn,
}
