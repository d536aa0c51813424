"""A scenario: one TOML file, read into structs and checked; where scenarios are looked for."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from msgspec import structs

from iotcache.errors import ConfigError, UsageError
from iotcache_simulator.fleet.toml_file import complaint, read, read_file
from iotcache_simulator.lab.definition.actions import ACTION_NAMES
from iotcache_simulator.lab.definition.faults import NAME_FORM, faults
from iotcache_simulator.lab.definition.spec import PLOTTED, ArmSpec, Question, Scenario, StackSpec, Step

__all__ = [
    "ArmSpec", "Question", "Scenario", "StackSpec", "Step",
    "catalogue", "check_name", "find", "folders", "load", "parse",
]  # fmt: skip


def load(file: str) -> Scenario:
    """Read and check a file. Raises `ConfigError` with one sentence that names line and key."""
    return parse(read_file(file, "scenario"), file)


def check_name(file_name: str, shown: str) -> None:
    """Raise `ConfigError` for a file that no scenario may be called; ``shown`` is how the user wrote it."""
    if NAME_FORM.fullmatch(file_name.removesuffix(".toml")) is None:
        raise ConfigError(f"{shown}: a scenario's file is named with small letters, digits and -, at most 63")


def parse(text: str, file: str) -> Scenario:
    """As `load`, of a text."""
    scenario = structs.replace(
        read(text, file, Scenario, ACTION_NAMES), name=Path(file).name.removesuffix(".toml"), file=file
    )
    if scenario.arms and scenario.plot == PLOTTED:
        own = tuple(f"{arm}.{metric}" for metric in PLOTTED for arm in scenario.arm_names)
        scenario = structs.replace(scenario, plot=own)
    check_name(Path(file).name, file)
    for reason, path in faults(scenario):
        raise complaint(file, text, reason, path)
    return scenario


# Where scenarios are


def folders(more: Iterable[str] = ()) -> list[Path]:
    """``more``, ``./scenarios`` and the user's config folder, in turn; then ours."""
    import platformdirs

    shipped = Path(str(files("iotcache_simulator.lab"))) / "scenarios"
    own = [Path(folder) for folder in more]
    return [*own, Path("scenarios"), platformdirs.user_config_path("iotcache") / "scenarios", shipped]


def catalogue(more: Iterable[str] = ()) -> tuple[list[Scenario], list[ConfigError]]:
    """All scenarios by level and title, and what is wrong with files that are none."""
    found: dict[str, Scenario] = {}
    wrong: list[ConfigError] = []
    for folder in folders(more):
        for path in sorted(folder.glob("*.toml")) if folder.is_dir() else ():
            if path.stem in found:
                continue  # the user's own wins over ours of the same name
            try:
                found[path.stem] = load(str(path))
            except ConfigError as error:
                wrong.append(error)
    levels = ("basic", "advanced", "expert")
    return sorted(found.values(), key=lambda one: (levels.index(one.level), one.title)), wrong


def find(name: str, more: Iterable[str] = ()) -> Scenario:
    """A scenario by its name or its file. Raises `UsageError` with the nearest name, or `ConfigError`."""
    if name.endswith(".toml"):
        return load(name)
    for folder in folders(more):
        path = folder / f"{name}.toml"
        if NAME_FORM.fullmatch(name) and path.is_file():
            return load(str(path))
    from difflib import get_close_matches

    names = [one.name for one in catalogue(more)[0]]
    close = get_close_matches(name, names, 1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
    if NAME_FORM.fullmatch(name) and Path(f"{name}.toml").is_file():
        hint = f"did you mean the file {name}.toml?"
    raise UsageError(f"there is no scenario {name!r}: {hint}")
