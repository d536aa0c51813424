"""The fleet's filter language: ``site:plant-north sensor:temp* ttl<5 src:store hit<90 stale !pump``.

Terms stand side by side and must all hold; ``or`` between them begins another choice; ``!`` turns one round.
A plain word is looked for in device, sensor and site; quotes keep blanks, colons and the names of flags as
plain text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from fnmatch import translate
from operator import eq, ge, gt, le, lt
from typing import Final

from iotcache.text import printable
from iotcache_tui.state.fleet.devices import ON_TIME
from iotcache_tui.state.fleet.fleet_state import FROM_CACHE, FROM_NOWHERE, FROM_STORE, FleetState

Test = Callable[[FleetState, int, float, float], bool]
"""Whether a row passes, at a monotonic and a wall time."""


class FilterError(ValueError):
    """The text is no filter; says why in one short sentence."""


_TEXTS: Final[dict[str, Callable[[FleetState], Sequence[str]]]] = {
    "device": lambda fleet: fleet.device,
    "sensor": lambda fleet: fleet.sensor,
    "site": lambda fleet: fleet.site,
    "class": lambda fleet: fleet.kind,
    "unit": lambda fleet: fleet.unit,
    "node": lambda fleet: fleet.node,
    "why": lambda fleet: fleet.reason,
}
OR: Final = "or"
_SOURCES: Final = {"cache": FROM_CACHE, "store": FROM_STORE, "none": FROM_NOWHERE}


def _value(fleet: FleetState, row: int, now_s: float, wall_s: float) -> float:
    value = fleet.value[row]
    return float("nan") if value is None or isinstance(value, str) else float(value)


def _hit(fleet: FleetState, row: int, now_s: float, wall_s: float) -> float:
    reads = fleet.reads[row]
    return 100.0 * fleet.hits[row] / reads if reads else float("nan")


_NUMBERS: Final[dict[str, Callable[[FleetState, int, float, float], float]]] = {
    "ttl": lambda fleet, row, now_s, wall_s: fleet.ttl_left_s(row, now_s),
    "age": lambda fleet, row, now_s, wall_s: wall_s - fleet.measured_at[row],
    "hit": _hit,
    "value": _value,
    "reads": lambda fleet, row, now_s, wall_s: float(fleet.reads[row]),
    "interval": lambda fleet, row, now_s, wall_s: fleet.interval_s[row],
}
_TIMES: Final = {"ttl", "age", "interval"}
_FLAGS: Final[dict[str, Test]] = {
    "stale": lambda fleet, row, now_s, wall_s: fleet.is_stale(row),
    "live": lambda fleet, row, now_s, wall_s: fleet.status[row] == ON_TIME,
    "cached": lambda fleet, row, now_s, wall_s: fleet.ttl_left_s(row, now_s) > 0,
    "gone": lambda fleet, row, now_s, wall_s: not fleet.ttl_left_s(row, now_s) > 0,
    "marked": lambda fleet, row, now_s, wall_s: row in fleet.marked,
    "watched": lambda fleet, row, now_s, wall_s: row in fleet.watched,
}
_ALIASES: Final = {"from": "src", "source": "src", "reason": "why", "kind": "class"}
FIELDS: Final = (*_TEXTS, "src", *_NUMBERS)
_COMPARE: Final = {"<": lt, "<=": le, ">": gt, ">=": ge, "=": eq}
_TERM: Final = re.compile(r'(!?)("[^"]*"?|[^\s"]+(?:"[^"]*"?)?)')
_COMPARISON: Final = re.compile(r"([a-z]+)(<=|>=|<|>|=)(.*)", re.IGNORECASE)
_FIELD: Final = re.compile(r"([a-z]+):(.*)", re.IGNORECASE)
_NAMED: Final = re.compile(r"(device|sensor|site|class|kind|unit):", re.IGNORECASE)
_UNITS: Final = {"": 1.0, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class _All:
    """Tests that must all hold."""

    def __init__(self) -> None:
        self.words: list[Test] = []
        self.others: list[Test] = []

    def __bool__(self) -> bool:
        return bool(self.words or self.others)

    def rows(self, fleet: FleetState, rows: Iterable[int], now_s: float, wall_s: float) -> list[int]:
        found = list(rows)
        # Words come first: they are the quickest to say no, and look at nothing that is to be settled.
        for test in self.words:
            found = [row for row in found if test(fleet, row, now_s, wall_s)]
        if self.others:
            fleet.settle(found)
        for test in self.others:
            found = [row for row in found if test(fleet, row, now_s, wall_s)]
        return found


class Filter:
    """A parsed filter: alternatives, of each of which all terms must hold. An empty one lets all through."""

    def __init__(self, text: str, alternatives: Sequence[_All], *, timeless: bool = True) -> None:
        self.text = text
        self.timeless = timeless
        """Whether it looks at names only: a row that passes goes on passing."""
        self._alternatives = alternatives

    def __bool__(self) -> bool:
        return any(self._alternatives)

    def rows(self, fleet: FleetState, rows: Iterable[int], now_s: float, wall_s: float) -> list[int]:
        """Those of ``rows`` that pass, in their order."""
        if len(self._alternatives) == 1:
            return self._alternatives[0].rows(fleet, rows, now_s, wall_s)
        found = list(rows)
        passing: set[int] = set()
        for each in self._alternatives:
            passing.update(each.rows(fleet, (row for row in found if row not in passing), now_s, wall_s))
        return [row for row in found if row in passing]


def parse(text: str) -> Filter:
    """Raises `FilterError`."""
    alternatives = [_All()]
    terms: list[str] = []
    for match in _TERM.finditer(text):
        negated, term = match.groups()
        if term.casefold() == OR and not negated:
            alternatives.append(_All())
            continue
        terms.append(term)
        is_word, test = _term(term)
        last = alternatives[-1]
        (last.words if is_word else last.others).append(_negate(test) if negated else test)
    if len(alternatives) > 1 and not all(alternatives):
        if alternatives[-1] or not text.rstrip().casefold().endswith(OR):
            raise FilterError("or stands between two terms: stale or ttl<5")
        alternatives = [each for each in alternatives if each]  # it is still being typed
    timeless = all(_is_word(term) or _NAMED.match(term) for term in terms)
    return Filter(text.strip(), alternatives or [_All()], timeless=timeless)


def _is_word(term: str) -> bool:
    return term.startswith('"') or not (
        _COMPARISON.fullmatch(term) or _FIELD.fullmatch(term) or term.casefold() in _FLAGS
    )


def _negate(test: Test) -> Test:
    return lambda fleet, row, now_s, wall_s: not test(fleet, row, now_s, wall_s)


def _term(term: str) -> tuple[bool, Test]:
    if term.startswith('"'):
        return True, _word(term.strip('"'))
    comparison = _COMPARISON.fullmatch(term)
    if comparison is not None:
        return False, _number(*comparison.groups())
    field = _FIELD.fullmatch(term)
    if field is not None:
        return False, _text(*field.groups())
    if term[0] in "<>=":
        raise FilterError(f"no blank before {term[0]}: write for instance ttl{printable(term, 20)}")
    if term.casefold() in _FLAGS:
        return False, _FLAGS[term.casefold()]
    return True, _word(term)


def _word(word: str) -> Test:
    wanted = printable(word).casefold()
    return lambda fleet, row, now_s, wall_s: wanted in fleet.haystack[row]


def _known(name: str, among: Iterable[str]) -> str:
    """The field's own name. Raises `FilterError` with the nearest one."""
    name = _ALIASES.get(name.casefold(), name.casefold())
    names = list(among)
    if name in names:
        return name
    close = get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]}?" if close else f"the fields are {', '.join(names)}"
    raise FilterError(f"there is no field “{printable(name, 20)}”: {hint}")


def _text(name: str, pattern: str) -> Test:
    name = _known(name, (*_TEXTS, "src", "value"))
    pattern = pattern.strip('"').casefold()
    if not pattern:
        raise FilterError(f"{name}: what? For instance {name}:{'store' if name == 'src' else 'a*'}")
    if name == "src":
        named = [code for source, code in _SOURCES.items() if source.startswith(pattern)]
        if len(named) != 1:
            raise FilterError(f"src is cache, store or none, not “{printable(pattern, 20)}”")
        code = named[0]
        return lambda fleet, row, now_s, wall_s: fleet.source[row] == code
    pattern = printable(pattern)
    if name == "value":
        return _value_text(pattern)
    column = _TEXTS[name]
    if "*" in pattern or "?" in pattern:
        matches = re.compile(translate(pattern)).match
        return lambda fleet, row, now_s, wall_s: matches(column(fleet)[row].casefold()) is not None
    return lambda fleet, row, now_s, wall_s: pattern in column(fleet)[row].casefold()


def _said(value: object) -> tuple[str, ...]:
    """A value in the words that a filter may use for it."""
    if isinstance(value, bool):
        return ("on", "true") if value else ("off", "false")
    return () if value is None else (printable(str(value)).casefold(),)


def _value_text(pattern: str) -> Test:
    """Of a value as it is said: a whole text, with ``*`` and ``?``."""
    matches = re.compile(translate(pattern)).match
    return lambda fleet, row, now_s, wall_s: any(map(matches, _said(fleet.value[row])))


def _number(name: str, sign: str, text: str) -> Test:
    if name.casefold() in _TEXTS or name.casefold() in _ALIASES or name.casefold() == "src":
        raise FilterError(f"{name} is text: write {name}:{printable(text, 20) or 'a*'}")
    name = _known(name, _NUMBERS)
    if name == "value" and sign == "=" and text.strip() and not re.match(r"-?\.?\d", text.strip()):
        return _text(name, text)
    matched = re.fullmatch(r"(-?\d+(?:\.\d*)?|-?\.\d+)(ms|s|m|h|d|%)?", text.strip(), re.IGNORECASE)
    unit = (matched[2] or "").casefold() if matched else ""
    example = f"{name}{sign}{'90' if name == 'hit' else '5s' if name in _TIMES else '5'}"
    if matched is None or (unit == "%" and name != "hit") or (unit in _UNITS and unit and name not in _TIMES):
        raise FilterError(f"{name} is compared with a number, for instance {example}")
    limit = float(matched[1]) * _UNITS.get(unit, 1.0)
    figure, compare = _NUMBERS[name], _COMPARE[sign]
    return lambda fleet, row, now_s, wall_s: compare(figure(fleet, row, now_s, wall_s), limit)


# Completion

_COMPLETED_MOST: Final = 200


def completions(text: str, fleet: FleetState) -> list[str]:
    """What the last term of ``text`` may become: fields and flags, or the values that a field has."""
    if not text or text[-1].isspace():
        return []
    last = text.rsplit(maxsplit=1)[-1].lstrip("!")
    field = _FIELD.fullmatch(last)
    if field is None:
        wanted = last.casefold()
        forms = (
            [f"{name}:" for name in (*_TEXTS, "src")]
            + [f"{name}<" for name in _NUMBERS]
            + ["value:"]
            + list(_FLAGS)
        )
        return [form for form in forms if form.startswith(wanted) and form != wanted]
    name, start = _ALIASES.get(field[1].casefold(), field[1].casefold()), field[2].casefold()
    values: Iterable[str]
    if name == "src":
        values = _SOURCES
    elif name in ("site", "class", "sensor"):
        values = {"site": fleet.sites, "class": fleet.kinds, "sensor": fleet.sensors}[name]
    elif name == "value":
        values = {words[0] for value in fleet.value if not _is_number(value) and (words := _said(value))}
    elif name in _TEXTS:
        values = dict.fromkeys(_TEXTS[name](fleet)[:_COMPLETED_MOST])
    else:
        return []
    found = sorted(value for value in values if value.casefold().startswith(start) and value)
    return [
        f'{field[1]}:"{value}"' if " " in value else f"{field[1]}:{value}"
        for value in found
        if value.casefold() != start
    ][:_COMPLETED_MOST]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def complete(text: str, fleet: FleetState) -> str | None:
    """``text`` with its last term completed as far as the first completion goes."""
    return next(iter(completed(text, fleet)), None)


def completed(text: str, fleet: FleetState) -> list[str]:
    """``text`` with its last term completed, in each way there is."""
    ways = completions(text, fleet)
    if not ways:
        return []
    last = text.rsplit(maxsplit=1)[-1]
    bang = "!" if last.startswith("!") else ""
    return [text[: len(text) - len(last)] + bang + way for way in ways]


def describe() -> str:
    """The language in a few words, for the empty filter line."""
    return "word  site:a*  sensor: device: src: why:  ttl<5 age>1m hit<90  value:off  stale gone  !not  or"
