"""Public names are the trade's words, no private word comes back, and few class names have two meanings."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "iotcache": ROOT / "iotcache",
    "iotcache_simulator": ROOT / "simulator" / "iotcache_simulator",
    "iotcache_tui": ROOT / "tui" / "iotcache_tui",
}
PRIVATE_WORDS = frozenset(
    {
        "chosen", "crew", "ear", "gots", "heard", "hopeful", "lane", "leash", "letter", "letters", "odd",
        "parcel", "said", "tally", "told", "wary", "wish",
    }
)  # fmt: skip
"""Words that once stood for messages, callbacks, threads, elections, overrides, processes and counters."""
MEANT = frozenset({"letters", "LETTERS"})
"""Letters of the alphabet: the flags of a meta command, the labels of the jump overlay."""
HOMONYMS_ALLOWED = 10


def words(name: str) -> set[str]:
    """The words of a name in snake_case or CamelCase, in small letters; a dead letter is the trade's."""
    name = re.sub(r"(?i)dead_?letters?", "", name)
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def bound_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Classes, functions, parameters, attributes and module variables that a module binds, with lines."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name):
                yield name, node.lineno
                for statement in node.body:
                    yield from _assigned(statement)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, node.lineno
                arguments = node.args
                if not name.startswith("_") or name == "__init__":
                    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
                        yield argument.arg, argument.lineno
            case ast.Attribute(value=ast.Name(id="self"), ctx=ast.Store()):
                yield node.attr, node.lineno
    for statement in tree.body:
        yield from _assigned(statement)


def _assigned(statement: ast.stmt) -> Iterator[tuple[str, int]]:
    match statement:
        case ast.Assign(targets=targets):
            for target in targets:
                if isinstance(target, ast.Name):
                    yield target.id, statement.lineno
        case ast.AnnAssign(target=ast.Name(id=name)):
            yield name, statement.lineno


@pytest.mark.parametrize("package", PACKAGES)
def test_no_public_name_has_a_private_word(package: str) -> None:
    found = set()
    for path in PACKAGES[package].rglob("*.py"):
        for name, line in bound_names(ast.parse(path.read_text(encoding="utf-8"))):
            if not name.startswith("_") and name not in MEANT and words(name) & PRIVATE_WORDS:
                found.add(f"{path.relative_to(ROOT)}:{line} {name}")
    assert not found, "\n".join(sorted(found))


def test_few_class_names_have_two_meanings() -> None:
    """Those within another class (Textual's messages) do not count, nor do private ones."""
    places: defaultdict[str, set[str]] = defaultdict(set)
    for root in PACKAGES.values():
        for path in root.rglob("*.py"):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places[node.name].add(str(path.relative_to(ROOT)))
    homonyms = {name: sorted(files) for name, files in places.items() if len(files) > 1}
    assert len(homonyms) <= HOMONYMS_ALLOWED, homonyms
