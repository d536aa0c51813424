"""Contexts of the configuration: what is in force in each, and a sentence for every mistake in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from iotcache.config import load
from iotcache.errors import ConfigError

FILE = """
store.url = "sqlite:///here.db"
broker.password = "mine"

[context.prod]
store.url = "postgresql://iot@db/t"
cache.nodes = ["cache1:11211"]

[context.staging]
color = "yellow"
read_only = false
cache.nodes = ["cache9:11211"]
broker.password_file = "secret"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text("theirs\n")
    path = tmp_path / "mine.toml"
    path.write_text(FILE)
    return str(path)


def test_a_context_stands_above_the_file_and_below_environment_and_flags(file: str) -> None:
    plain = load(config_file=file, environ={})
    assert (plain.settings.store.url, plain.context) == ("sqlite:///here.db", None)
    assert [one.name for one in plain.contexts] == ["prod", "staging"]
    prod = load(config_file=file, environ={}, context="prod")
    assert prod.settings.store.url == "postgresql://iot@db/t"
    assert prod.origins["store.url"].endswith("mine.toml, context prod")
    assert prod.settings.broker.password == "mine"
    environ = {"IOTCACHE_CONTEXT": "prod", "IOTCACHE_STORE_URL": "sqlite:///there.db"}
    assert load(config_file=file, environ=environ).settings.store.url == "sqlite:///there.db"
    flags = {"cache.nodes": "cache5:11211"}
    assert load(flags, file, environ).settings.cache.nodes == ("cache5:11211",)
    # An empty name is none, whatever the environment says.
    assert load(config_file=file, environ=environ, context="").context is None


def test_production_is_red_and_read_only_unless_it_says_otherwise(file: str) -> None:
    prod = load(config_file=file, environ={}, context="prod")
    assert prod.context is not None
    assert (prod.context.colour, prod.settings.dashboard.read_only) == ("red", True)
    staging = load(config_file=file, environ={}, context="staging")
    assert staging.context is not None
    assert (staging.context.colour, staging.settings.dashboard.read_only) == ("yellow", False)
    with Path(file).open("a") as more:
        more.write('[context.production-eu]\ncolor = "blue"\nread_only = false\n')
    other = load(config_file=file, environ={}, context="production-eu")
    assert other.context is not None
    assert (other.context.colour, other.settings.dashboard.read_only) == ("blue", False)


def test_a_secret_of_a_context_takes_the_place_of_the_files_however_it_is_given(file: str) -> None:
    assert load(config_file=file, environ={}, context="staging").settings.broker.password == "theirs"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("[context.a]\nstore.ulr = 1", "store.ulr in {file}, context a is not a setting; did you mean"),
        ("[context.a]\nstore.retention_days = -1", "store.retention_days ({file}, context a) is -1"),
        ('[context.a]\ncolor = "pink\\u001b"', 'context.a.color in {file} is "pink\\x1b": allowed is red'),
        ("[context.a]\nread_only = 7", "dashboard.read_only ({file}, context a) is 7"),
        ("[context.a]\ndashboard = 7", "dashboard in {file}, context a is a table"),
        ('[context."a b"]\n', "the context 'a b' in {file} has no name"),
        ('[context."\\u001b[2J"]\n', "the context '\\x1b[2J' in {file}"),
        ("[context.a.context.b]\n", "context in {file}, context a is not a setting"),
    ],
)
def test_a_mistake_in_any_context_is_told_at_once(file: str, more: str, says: str) -> None:
    with Path(file).open("a") as opened:
        opened.write(f"{more}\n")
    with pytest.raises(ConfigError) as caught:
        load(config_file=file, environ={}, context="staging")
    assert says.format(file=file) in str(caught.value)
    assert str(caught.value).isprintable()


def test_contexts_that_are_no_tables(file: str) -> None:
    Path(file).write_text('context = "prod"\n')
    with pytest.raises(ConfigError, match=r"write \[context.NAME\]"):
        load(config_file=file, environ={})


@pytest.mark.parametrize(
    ("context", "says"),
    [
        ("prd", "there is no context 'prd' (--context); did you mean prod?: there are prod, staging"),
        ("\x1b", "there is no context '\\x1b'"),
    ],
)
def test_one_that_there_is_not(file: str, context: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(config_file=file, environ={}, context=context)
    assert says in str(caught.value)
    with pytest.raises(ConfigError, match=r"the file has no \[context.NAME\]"):
        load(environ={"IOTCACHE_CONTEXT": "prod"})
