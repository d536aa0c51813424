"""No file imports itself by way of others, imports for type checking and within functions counted."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "iotcache": ROOT,
    "iotcache_simulator": ROOT / "simulator",
    "iotcache_tui": ROOT / "tui",
}


def imports(package: str, base: Path) -> dict[str, set[str]]:
    """Which modules of a package each of its modules names in import statements."""
    modules = {}
    for file in (base / package).rglob("*.py"):
        name = ".".join(file.relative_to(base).with_suffix("").parts).removesuffix(".__init__")
        modules[name] = ast.parse(file.read_text(encoding="utf-8"))
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for name, tree in modules.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                named = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{name} has a relative import"
                whole = [f"{node.module}.{alias.name}" for alias in node.names]
                named = [one if one in modules else str(node.module) for one in whole]
            else:
                continue
            graph[name] |= {one for one in named if one in modules and one != name}
    return graph


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Modules that reach one another, as groups (Tarjan's strongly connected components of two or more)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return found


def test_a_circle_is_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_file_is_in_a_circle_of_imports(package: str) -> None:
    assert circles(imports(package, PACKAGES[package])) == []
