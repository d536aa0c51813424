"""Settings from flags, environment, file and defaults, in that order, with where each came from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import Struct

from iotcache.config.contexts import VARIABLE, ConfigContext, require_context, selected_context, take_contexts
from iotcache.config.fields import SECRETS, SettingField, fields, nearest, sections
from iotcache.config.file_owner import SAFE_CONFIG, require_own
from iotcache.config.node_lists import is_node_list
from iotcache.config.schema import Settings
from iotcache.config.tables import given_tables, given_texts, is_texts, table_type
from iotcache.config.urls import mask, parse_broker, without_login
from iotcache.config.validation import CHECKS, check_range, check_together, describe
from iotcache.errors import ConfigError
from iotcache.text import printable

ENVIRONMENT_PREFIX = "IOTCACHE_"
RESERVED_VARIABLES = frozenset({"IOTCACHE_CONFIG", "IOTCACHE_RUNTIME_DIR", VARIABLE, SAFE_CONFIG})
"""Variables of ours that are no settings."""
SECRET_FILES = {
    "broker.password_file": "broker.password",
    "cache.password_file": "cache.password",
    "store.password_file": "store.password",
    "http.token_file": "http.token",
    "alerting.webhook_file": "alerting.webhook",
}
_SECRET_LIMIT_BYTES = 64 * 1024
FLAG, ENVIRONMENT = COMMANDED = ("flag ", "environment ")
"""How origins begin that are of this run alone."""


class LoadedSettings(Struct, frozen=True):
    """Settings in force, and where each came from."""

    settings: Settings
    origins: Mapping[str, str]
    """By dotted key: ``default``, or the file, variable or flag."""
    file: Path | None
    context: ConfigContext | None = None
    """The context that was chosen."""
    contexts: tuple[ConfigContext, ...] = ()
    """All that the file has."""

    def commanded(self, path: str) -> bool:
        """Whether a flag or the environment names the key: for this run, whatever else was chosen before."""
        return self.origins[path].startswith(COMMANDED)


class _Value(Struct, frozen=True):
    value: Any
    origin: str


def load(
    flags: Mapping[str, object] | None = None,
    config_file: str | None = None,
    environ: Mapping[str, str] | None = None,
    spelled: Mapping[str, str] = MappingProxyType({}),
    context: str | None = None,
) -> LoadedSettings:
    """All settings, validated.

    ``flags`` are dotted keys and their values, as typed objects or as the text a person typed; ``spelled``
    tells which flag a key came by, where that was not ``--set``. A user and a password in the broker's URL
    move to ``broker.username`` and ``broker.password``. ``context`` is one of the file's contexts.
    Raises `ConfigError` with one sentence that names the key, its value and what is allowed.
    """
    environ = os.environ if environ is None else environ
    file = find_file(config_file, environ)
    values: dict[str, _Value] = {}
    contexts: dict[str, tuple[ConfigContext, dict[str, _Value]]] = {}
    if file is not None:
        values, contexts = _from_file(file)
    wanted, by = selected_context(context, environ)
    if wanted:
        require_context(wanted, by, contexts)
        own = contexts[wanted][1]
        for file_key, key in SECRET_FILES.items():
            # A secret of the context takes the place of the file's, whichever way each is given.
            if file_key in own or key in own:
                values.pop(file_key, None)
                values.pop(key, None)
        values.update(own)
    values.update(_from_environment(environ))
    for path, value in (flags or {}).items():
        flag = spelled.get(path, "--set")
        field = _known(path, f"{printable(path, 80)} (flag {flag})")
        values[path] = _Value(_from_text(field, value) if isinstance(value, str) else value, f"flag {flag}")
    values = {path: _Value(_checked(fields()[path], given), given.origin) for path, given in values.items()}
    _read_secret_files(values)
    _move_login(values)
    tree: dict[str, Any] = {}
    for path, given in values.items():
        place = tree
        *tables, name = path.split(".")
        for table in tables:
            place = place.setdefault(table, {})
        place[name] = given.value
    settings = msgspec.convert(tree, Settings)
    wrong = check_together(settings)
    if wrong:
        raise ConfigError(wrong)
    origins = {path: values[path].origin if path in values else "default" for path in fields()}
    known = {one.name: one for one, _ in contexts.values()}
    return LoadedSettings(settings, origins, file, known.get(wanted), tuple(known.values()))


def find_file(config_file: str | None, environ: Mapping[str, str]) -> Path | None:
    """The file that ``--config``, ``$IOTCACHE_CONFIG``, the working folder or the user's folder names.

    Raises `ConfigError` for one in the working folder that belongs to somebody else: it was not asked for.
    """
    for named, by in ((config_file, "--config"), (environ.get("IOTCACHE_CONFIG"), "IOTCACHE_CONFIG")):
        if named:
            path = os.path.expanduser(named)  # noqa: PTH111 (Path's raises for an unknown user)
            if not os.path.exists(path) or os.path.isdir(path):  # noqa: PTH110, PTH112 (a pipe is fine)
                what = "a folder" if os.path.isdir(path) else "missing"  # noqa: PTH112
                raise ConfigError(f"the configuration file {printable(named)} ({by}) is {what}")
            return Path(path)
    here = Path("config.toml")
    if here.is_file():
        require_own(here, environ)
        return here
    import platformdirs

    user = platformdirs.user_config_path("iotcache") / "config.toml"
    # A folder that we may not look into counts as without a file.
    return user if os.path.isfile(user) else None  # noqa: PTH113


def _from_file(
    file: Path,
) -> tuple[dict[str, _Value], dict[str, tuple[ConfigContext, dict[str, _Value]]]]:
    """What stands in a file, and in each of its contexts: a mistake in one is told of before it is needed."""
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
    contexts: dict[str, tuple[ConfigContext, dict[str, _Value]]] = {}
    for name, (context, own) in take_contexts(tree, shown).items():
        inside: dict[str, _Value] = {}
        where = f"{shown}, context {name}"
        _flatten(own, "", where, inside)
        for path, given in inside.items():
            _checked(fields()[path], given)
        contexts[name] = context, inside
    found: dict[str, _Value] = {}
    _flatten(tree, "", shown, found)
    return found, contexts


def _flatten(tree: Mapping[str, Any], prefix: str, file: str, found: dict[str, _Value]) -> None:
    for name, value in tree.items():
        path = f"{prefix}{name}"
        if path in sections():
            if not isinstance(value, dict):
                raise ConfigError(f"{path} in {file} is a table: write [{path}] above its keys")
            _flatten(value, f"{path}.", file, found)
        else:
            _known(path, f"the key {printable(path, 80)} in {file}")
            found[path] = _Value(value, file)


def _known(path: str, where: str) -> SettingField:
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
            raise ConfigError(f"the environment variable {printable(name, 80)} is not a setting{hint}")
        found[field.path] = _Value(_from_text(field, text), f"environment {name}")
    return found


def variable_of(path: str) -> str:
    """The environment variable that sets a key: ``cache.ttl.jitter`` is ``IOTCACHE_CACHE_TTL_JITTER``."""
    return ENVIRONMENT_PREFIX + path.replace(".", "_").upper()


def _from_text(field: SettingField, text: str) -> object:
    """What a person typed in a shell, as the type the field wants where it can be."""
    if field.path == "cache.nodes":
        is_text = text.startswith("embedded") or text == "none" or is_node_list(text)
        return text if is_text else _list(text)
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


def _list(text: str) -> list[Any]:
    """``a, b`` or a TOML list; ``[::1]:11211`` is a list of one address."""
    import tomli

    if text.lstrip().startswith("["):
        try:
            found = tomli.loads(f"list = {text}")["list"]
        except tomli.TOMLDecodeError:
            pass
        else:
            return list(found)
    return [part.strip() for part in text.split(",") if part.strip()]


def _checked(field: SettingField, given: _Value) -> object:
    if (kind := table_type(field.type)) is not None:
        return given_tables(field.path, kind, given.value, given.origin)
    if is_texts(field.type):
        return given_texts(field.path, given.value, given.origin)
    shown = "its value" if field.path in SECRETS else printable(_literal(given.value), 80)
    try:
        value = msgspec.convert(given.value, field.type)
    except msgspec.ValidationError:
        raise ConfigError(
            f"{field.path} ({given.origin}) is {shown}: allowed is {describe(field.type)}"
        ) from None
    try:
        if field.range is not None:
            check_range(value, field.range)
        check = CHECKS.get(field.path)
        if check is not None:
            check(value)
    except ValueError as error:
        raise ConfigError(f"{field.path} ({given.origin}) is {shown}: allowed is {error}") from None
    except ConfigError as error:  # of an address: it names the value itself
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


def _read_secret_files(values: dict[str, _Value]) -> None:
    for file_key, key in SECRET_FILES.items():
        name = values[file_key].value if file_key in values else ""
        if not name:
            continue
        if key in values and values[key].value:
            raise ConfigError(f"{key} and {file_key} are both set: keep one of them")
        values[key] = _Value(_secret(file_key, name), f"{values[file_key].origin}, {file_key}")


def _secret(key: str, name: str) -> str:
    shown = printable(name, 120)
    try:
        with Path(os.path.expanduser(name)).open("rb") as file:  # noqa: PTH111 (as in find_file)
            raw = file.read(_SECRET_LIMIT_BYTES + 1)
        secret = raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise ConfigError(f"{key}: {shown} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{key}: {shown} is not UTF-8 text") from None
    except ValueError:
        raise ConfigError(f"{key}: {shown} is no file's name") from None
    if not secret:
        raise ConfigError(f"{key}: {shown} is empty")
    if len(raw) > _SECRET_LIMIT_BYTES:
        raise ConfigError(f"{key}: {shown} is over {_SECRET_LIMIT_BYTES // 1024} KiB, too long for a secret")
    return secret


def _move_login(values: dict[str, _Value]) -> None:
    """Move user and password out of the broker's URL into their keys: one place, whoever reads them.

    Where both are given, the higher origin wins; two of one origin must not contradict.
    """
    url = values.get("broker.url")
    if url is None or "@" not in url.value:
        return
    address = parse_broker(url.value)
    for key, text in (("broker.username", address.username), ("broker.password", address.password)):
        other = values.get(key)
        if not text or (other and other.value and _rank(other) > _rank(url)):
            continue
        if other and other.value not in ("", text) and _rank(other) == _rank(url):
            raise ConfigError(
                f"{key} ({other.origin}) and broker.url ({url.origin}) differ: keep one of them"
            )
        values[key] = _Value(text, url.origin)
    values["broker.url"] = _Value(without_login(url.value), url.origin)


def _rank(given: _Value) -> int:
    return 2 if given.origin.startswith(FLAG) else 1 if given.origin.startswith(ENVIRONMENT) else 0
