"""Every distribution that the three packages import is declared in pyproject.toml."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import tomli

ROOT = Path(__file__).parents[1]
PACKAGES = (ROOT / "iotcache", ROOT / "simulator" / "iotcache_simulator", ROOT / "tui" / "iotcache_tui")
OWN = {package.name for package in PACKAGES}
HOSTS = {"pytest"}
"""Programs that load a module of ours as their plugin: they are there whenever it is imported."""


def normalized(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def imported() -> Iterator[tuple[str, Path]]:
    """Top-level modules that are imported, anywhere in a file, and the file."""
    for package in PACKAGES:
        for path in package.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    for alias in node.names:
                        yield alias.name.partition(".")[0], path
                elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    yield node.module.partition(".")[0], path


def declared() -> set[str]:
    """Distributions that pyproject.toml names as dependencies, extras included."""
    project = tomli.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        requirements += extra
    found = set()
    for requirement in requirements:
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[([^]]*)\])?", requirement)
        assert match is not None
        found.add(normalized(match[1]))
        # psycopg[pool] declares psycopg-pool.
        found.update(normalized(f"{match[1]}-{extra}") for extra in (match[2] or "").split(",") if extra)
    return found


def test_every_imported_distribution_is_declared() -> None:
    ours_or_given = OWN | HOSTS | sys.stdlib_module_names
    provided_by, in_pyproject = packages_distributions(), declared()
    missing = {
        f"{module} ({path.relative_to(ROOT)})"
        for module, path in imported()
        if module not in ours_or_given
        and not in_pyproject & {normalized(name) for name in provided_by.get(module, [module])}
    }
    assert not missing, f"imported, and not in pyproject.toml: {sorted(missing)}"
