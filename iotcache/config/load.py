"""Settings from flags, environment, file and defaults, in that order, with where each came from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from iotcache.config.fields import SECRETS, Field, fields, nearest, sections
from iotcache.config.rules import CHECKS, check_together, describe
from iotcache.config.schema import Settings
from iotcache.config.urls import mask
from iotcache.errors import ConfigError
from iotcache.text import printable

ENVIRONMENT_PREFIX = "IOTCACHE_"
RESERVED_VARIABLES = frozenset({"IOTCACHE_CONFIG", "IOTCACHE_RUNTIME_DIR"})
"""Variables of ours that are no settings."""
SECRET_FILES = {
    "broker.password_file": "broker.password",
    "cache.password_file": "cache.password",
    "store.password_file": "store.password",
    "http.token_file": "http.token",
}
_SECRET_LIMIT_BYTES = 64 * 1024


class Loaded(Struct, frozen=True):
    """Settings in force, and where each came from."""

    settings: Settings
    origins: Mapping[str, str]
    """By dotted key: ``default``, or the file, variable or flag."""
    file: Path | None


class _Value(Struct, frozen=True):
    value: Any
    origin: str


def load(
    flags: Mapping[str, object] | None = None,
    config_file: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Loaded:
    """All settings, validated.

    ``flags`` are dotted keys and their values, as typed objects or as the text a person typed.
    Raises `ConfigError` with one sentence that names the key, its value and what is allowed.
    """
    environ = os.environ if environ is None else environ
    file = find_file(config_file, environ)
    values: dict[str, _Value] = {}
    if file is not None:
        values.update(_from_file(file))
    values.update(_from_environment(environ))
    for path, value in (flags or {}).items():
        field = _known(path, f"the flag --set {path}")
        values[path] = _Value(_from_text(field, value) if isinstance(value, str) else value, "flag")
    tree: dict[str, Any] = {}
    for path, given in values.items():
        value = _checked(fields()[path], given)
        place = tree
        *tables, name = path.split(".")
        for table in tables:
            place = place.setdefault(table, {})
        place[name] = value
    _read_secret_files(values, tree)
    settings = msgspec.convert(tree, Settings)
    wrong = check_together(settings)
    if wrong:
        raise ConfigError(wrong)
    origins = {path: values[path].origin if path in values else "default" for path in fields()}
    return Loaded(settings, origins, file)


def find_file(config_file: str | None, environ: Mapping[str, str]) -> Path | None:
    """The file that ``--config``, ``$IOTCACHE_CONFIG``, the working folder or the user's folder names."""
    for named, by in ((config_file, "--config"), (environ.get("IOTCACHE_CONFIG"), "IOTCACHE_CONFIG")):
        if named:
            path = Path(named).expanduser()
            if not path.is_file():
                what = "a folder" if path.is_dir() else "missing"
                raise ConfigError(f"the configuration file {printable(named)} ({by}) is {what}")
            return path
    here = Path("config.toml")
    if here.is_file():
        return here
    import platformdirs

    user = platformdirs.user_config_path("iotcache") / "config.toml"
    return user if user.is_file() else None


def _from_file(file: Path) -> dict[str, _Value]:
    import tomli

    shown = printable(str(file))
    try:
        tree = tomli.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"the configuration file {shown} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the configuration file {shown} is not UTF-8 at byte {error.start}") from error
    except tomli.TOMLDecodeError as error:
        raise ConfigError(f"the configuration file {shown} is not TOML: {printable(str(error))}") from error
    found: dict[str, _Value] = {}
    _flatten(tree, "", shown, found)
    return found


def _flatten(tree: Mapping[str, Any], prefix: str, file: str, found: dict[str, _Value]) -> None:
    for name, value in tree.items():
        path = f"{prefix}{name}"
        if path in sections():
            if not isinstance(value, dict):
                raise ConfigError(f"{path} in {file} is a table: write [{path}] above its keys")
            _flatten(value, f"{path}.", file, found)
        else:
            _known(path, f"the key {printable(path)} in {file}")
            found[path] = _Value(value, file)


def _known(path: str, where: str) -> Field:
    field = fields().get(path)
    if field is None:
        known = [*fields(), *sections()]
        raise ConfigError(f"{where} is not a setting{nearest(path, known)}")
    return field


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Value]:
    by_variable = {variable_of(path): field for path, field in fields().items()}
    found: dict[str, _Value] = {}
    for name, text in environ.items():
        if not name.startswith(ENVIRONMENT_PREFIX) or name in RESERVED_VARIABLES:
            continue
        field = by_variable.get(name)
        if field is None:
            hint = nearest(name, [*by_variable, *RESERVED_VARIABLES])
            raise ConfigError(f"the environment variable {printable(name)} is not a setting{hint}")
        found[field.path] = _Value(_from_text(field, text), f"environment {name}")
    return found


def variable_of(path: str) -> str:
    """The environment variable that sets a key: ``cache.ttl.jitter`` is ``IOTCACHE_CACHE_TTL_JITTER``."""
    return ENVIRONMENT_PREFIX + path.replace(".", "_").upper()


def _from_text(field: Field, text: str) -> object:
    """What a person typed in a shell, as the type the field wants where it can be."""
    if field.path == "cache.nodes":
        return text if text.startswith("embedded") else _list(text)
    kind = field.type
    if kind is str:
        return text
    if isinstance(field.default, tuple):
        return _list(text)
    if text.lower() in ("true", "false", "yes", "no", "on", "off"):
        return text.lower() in ("true", "yes", "on")
    for number in (int, float):
        try:
            return text if field.default in ("3.1.1", "5") else number(text)
        except ValueError:
            continue
    return text


def _list(text: str) -> list[str]:
    text = text.strip()
    if text.startswith("["):
        text = text.strip("[]").replace('"', "").replace("'", "")
    return [part.strip() for part in text.split(",") if part.strip()]


def _checked(field: Field, given: _Value) -> object:
    shown = "its value" if field.path in SECRETS else printable(_literal(given.value), 80)
    try:
        value = msgspec.convert(given.value, field.type)
    except msgspec.ValidationError:
        raise ConfigError(
            f"{field.path} ({given.origin}) is {shown}: allowed is {describe(field.type)}"
        ) from None
    try:
        check = CHECKS.get(field.path)
        if check is not None:
            check(value)
    except ValueError as error:
        raise ConfigError(f"{field.path} ({given.origin}) is {shown}: allowed is {error}") from None
    except ConfigError as error:
        raise ConfigError(f"{field.path} ({given.origin}): {error}") from None
    return value


def _literal(value: object) -> str:
    if isinstance(value, str):
        return f'"{mask(value)}"'
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    return mask(str(value))


def _read_secret_files(values: Mapping[str, _Value], tree: dict[str, Any]) -> None:
    for file_key, key in SECRET_FILES.items():
        name = values[file_key].value if file_key in values else ""
        if not name:
            continue
        if key in values and values[key].value:
            raise ConfigError(f"{key} and {file_key} are both set: keep one of them")
        shown = printable(str(name))
        try:
            raw = Path(name).expanduser().read_bytes()
            secret = raw[:_SECRET_LIMIT_BYTES].decode("utf-8").removesuffix("\n").removesuffix("\r")
        except OSError as error:
            raise ConfigError(f"{file_key}: {shown} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError:
            raise ConfigError(f"{file_key}: {shown} is not UTF-8 text") from None
        section, _, short = key.partition(".")
        tree.setdefault(section, {})[short] = secret
