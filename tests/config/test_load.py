"""Settings: precedence, origins, and a clear sentence for every mistake."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iotcache.config import Settings, load
from iotcache.config.fields import fields
from iotcache.config.load import SECRET_FILES, variable_of
from iotcache.config.schema import IngestSettings
from iotcache.errors import ConfigError
from iotcache.text import printable

SHIPPED = Path(__file__).parents[2] / "config.toml"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No configuration file is found by chance."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    return tmp_path


def written(folder: Path, text: str) -> str:
    file = folder / "mine.toml"
    file.write_text(text, "utf-8")
    return str(file)


def mistake(**kwargs: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(environ={}, **kwargs)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_the_shipped_file_documents_every_key_with_its_default() -> None:
    loaded = load(config_file=str(SHIPPED), environ={})
    assert loaded.settings == Settings()
    missing = [path for path, origin in loaded.origins.items() if origin == "default"]
    assert missing == ["ingest.mapping"]  # an empty list of tables would forbid [[ingest.mapping]] below it
    assert "# [[ingest.mapping]]" in SHIPPED.read_text("utf-8")
    for line_before, line in zip(
        SHIPPED.read_text("utf-8").splitlines(), SHIPPED.read_text("utf-8").splitlines()[1:], strict=False
    ):
        if line.startswith("["):
            assert not line_before.strip()


def test_flag_over_environment_over_file_over_default(tmp_path: Path) -> None:
    file = written(tmp_path, "[simulator]\ndevices = 10\nseed = 11\nrate = 12.5\n")
    environ = {"IOTCACHE_SIMULATOR_DEVICES": "20", "IOTCACHE_SIMULATOR_SEED": "21", "PATH": "/bin"}
    loaded = load({"simulator.devices": "30"}, file, environ)
    simulator = loaded.settings.simulator
    assert (simulator.devices, simulator.seed, simulator.rate, simulator.qos) == (30, 21, 12.5, 1)
    assert loaded.origins["simulator.devices"] == "flag --set"
    assert loaded.origins["simulator.seed"] == "environment IOTCACHE_SIMULATOR_SEED"
    assert loaded.origins["simulator.rate"] == file
    assert loaded.origins["simulator.qos"] == "default"


def test_the_file_is_searched_in_the_stated_order(tmp_path: Path) -> None:
    (tmp_path / "xdg" / "iotcache").mkdir(parents=True)
    (tmp_path / "xdg" / "iotcache" / "config.toml").write_text("[simulator]\nseed = 1001\n")
    assert load(environ={}).settings.simulator.seed == 1001
    (tmp_path / "config.toml").write_text("[simulator]\nseed = 1002\n")
    assert load(environ={}).settings.simulator.seed == 1002
    named = written(tmp_path, "[simulator]\nseed = 1003\n")
    assert load(environ={"IOTCACHE_CONFIG": named}).settings.simulator.seed == 1003
    other = tmp_path / "other.toml"
    other.write_text("[simulator]\nseed = 1004\n")
    assert load(config_file=str(other), environ={"IOTCACHE_CONFIG": named}).settings.simulator.seed == 1004


def test_every_key_can_be_set_by_its_variable() -> None:
    assert len({variable_of(path) for path in fields()}) == len(fields())
    loaded = load(
        environ={
            "IOTCACHE_CACHE_NODES": "a:1, b:2=3",
            "IOTCACHE_CACHE_TTL_JITTER": "0",
            "IOTCACHE_BROKER_PROTOCOL": "5",
            "IOTCACHE_INGEST_ENABLED": "false",
            "IOTCACHE_STORE_PASSWORD": "12345",
        }
    )
    assert loaded.settings.cache.nodes == ("a:1", "b:2=3")
    assert loaded.settings.cache.ttl.jitter == 0
    assert loaded.settings.broker.protocol == "5"
    assert loaded.settings.ingest.enabled is False
    assert loaded.settings.store.password == "12345"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[broker]\nulr = 'x'\n", ["broker.ulr", "did you mean broker.url"]),
        ("[brokr]\nurl = 'x'\n", ["brokr", "did you mean broker"]),
        ("[cache.tll]\njitter = 0.1\n", ["cache.tll", "did you mean cache.ttl"]),
        ("broker = 3\n", ["broker", "is a table"]),
        ("[dashboard]\nframe_hz = 11\n", ["dashboard.frame_hz", "is 11", "1 to 10"]),
        ("[dashboard]\nframe_hz = 'fast'\n", ["dashboard.frame_hz", '"fast"', "a whole number"]),
        ("[dashboard]\nframe_hz = 2.5\n", ["dashboard.frame_hz", "2.5", "a whole number"]),
        ("[dashboard]\nascii = 1\n", ["dashboard.ascii", "true or false"]),
        ("[cache.ttl]\njitter = 0.9\n", ["cache.ttl.jitter", "0.9", "0 to 0.5"]),
        ("[cache.ttl]\nvolatile_intervals = 0\n", ["cache.ttl.volatile_intervals", "above 0"]),
        ("[cache.ttl]\nvolatile_intervals = nan\n", ["cache.ttl.volatile_intervals", "above 0"]),
        ("[simulator]\ndevices = 0\n", ["simulator.devices", "is 0", "from 1"]),
        ("[simulator]\nqos = 2\n", ["simulator.qos", "is 2", "0 or 1"]),
        ("[broker]\nurl = 'http://h'\n", ["broker.url", "mqtt://"]),
        ("[broker]\nurl = 'mqtt://h:0'\n", ["broker.url", "port", "1 to 65535"]),
        ("[broker]\nurl = 'mqtt://h:99999'\n", ["broker.url", "port"]),
        ("[broker]\nprotocol = '4'\n", ["broker.protocol", '"3.1.1" or "5"']),
        ("[store]\nurl = 'mysql://h/d'\n", ["store.url", "sqlite:///", "postgresql://"]),
        ("[store]\nurl = 'sqlite:///'\n", ["store.url"]),
        ("[cache]\nnodes = 'embedded:0'\n", ["cache.nodes", "embedded:1"]),
        ("[cache]\nnodes = 'localhost'\n", ["cache.nodes", "embedded:3"]),
        ("[cache]\nnodes = []\n", ["cache.nodes", "at least one"]),
        ("[cache]\nnodes = ['a:1', 'a:1=2']\n", ["cache.nodes", "twice"]),
        ("[cache]\nnodes = ['a:1=0']\n", ["cache.nodes", "weight"]),
        ("[cache]\nnodes = ['a b:1']\n", ["cache.nodes", "host:port"]),
        ("[cache]\nprefix = 'a b'\n", ["cache.prefix", "blanks"]),
        ("[ingest]\ntopics = []\n", ["ingest.topics", "at least one topic template"]),
        ("[ingest]\ntopics = ['iot/{devise}/{sensor}']\n", ["ingest.topics", "{devise}"]),
        ("[ingest]\ntopics = ['iot/a+b/{device}/{sensor}']\n", ["ingest.topics", "a+b"]),
        ("[ingest]\ngroup = 'g'\n", ["ingest.group", "broker.url"]),
        ("[cache.breaker]\nopen_min_s = 9\nopen_max_s = 1\n", ["open_min_s", "open_max_s"]),
        ("[broker]\ntls_cert_file = 'x'\n", ["tls_cert_file", "tls_key_file"]),
        ("[broker]\nurl = 'mqtt://h'\ntls_ca_file = 'x'\n", ["tls_ca_file", "mqtts://"]),
        ("[broker]\nurl = 'mqtts://h'\ntls_ca_file = '/nonexistent/ca'\n", ["tls_ca_file", "cannot be read"]),
        ("[broker]\nurl = 'mqtts://h'\ntls_ca_file = '/a\\u0000b'\n", ["tls_ca_file"]),
        ("[broker]\nurl = 'mqtt://h'\npassword = 'x'\n", ["broker.password", "without broker.username"]),
        ("[cache]\nnodes = ['a:1']\npassword = 'x'\n", ["cache.password", "without cache.username"]),
        ("[cache]\ntls_ca_file = 'x'\n", ["cache.tls_ca_file", "cache.tls = true"]),
        ("[http]\nlisten = '0.0.0.0:80'\n", ["http.listen", "http.token"]),
        ("[http]\nlisten = '80'\n", ["http.listen", "host:port"]),
        ("[http]\nlisten = 'h:70000'\n", ["http.listen", "host:port"]),
        ('[broker]\npassword_file = "a\\u0000b"\n', ["broker.password_file"]),
        ("[store]\npassword_file = '/dev/zero'\n", ["store.password_file", "too long"]),
        ("[http]\ntoken_file = '/dev/null'\n", ["http.token_file", "is empty"]),
        ("[broker]\nurl = 2026-01-01\n", ["broker.url", "a text"]),
        ("[broker.url]\nx = 1\n", ["broker.url", "a table"]),
        ("[broker]\nurl = \n", ["not TOML", "line 2", "column"]),
        ("a = 1\na = 2\n", ["not TOML"]),
    ],
)
def test_a_mistake_is_one_sentence_with_key_value_and_what_is_allowed(
    tmp_path: Path, text: str, parts: list[str]
) -> None:
    said = mistake(config_file=written(tmp_path, text))
    for part in parts:
        assert part in said


def test_mistakes_in_flags_and_environment_name_them() -> None:
    assert "did you mean cache.ttl.jitter" in mistake(flags={"cache.ttl.jiter": "1"})
    assert "did you mean dashboard.frame_hz" in mistake(flags={"frame_hz": "1"})
    with pytest.raises(ConfigError, match="did you mean IOTCACHE_BROKER_URL"):
        load(environ={"IOTCACHE_BROKER_URI": "x"})
    assert "missing" in mistake(config_file="nowhere.toml")
    assert "a folder" in mistake(config_file=".")


def test_secrets_come_from_files_and_never_stand_in_a_sentence(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cr3t\n")
    for file_key, key in SECRET_FILES.items():
        settings = load({file_key: str(secret)}, environ={}).settings
        section, _, name = key.partition(".")
        assert getattr(getattr(settings, section), name) == "s3cr3t"
    assert "keep one" in mistake(flags={"broker.password": "x", "broker.password_file": str(secret)})
    assert "cannot be read" in mistake(flags={"broker.password_file": str(tmp_path / "none")})
    said = mistake(flags={"broker.url": "mqtt://user:s3cr3t@host:0"})
    assert "s3cr3t" not in said
    assert "***" in said
    said = mistake(flags={"store.url": "oracle://user:s3cr3t@host/d"})
    assert "s3cr3t" not in said


def test_a_hostile_value_is_shown_escaped(tmp_path: Path) -> None:
    said = mistake(flags={"broker.url": "mqtt://\x1b[31m\n"})
    assert "\x1b" not in said


def test_every_number_has_its_range() -> None:
    without = {path for path, field in fields().items() if field.type in (int, float) and field.range is None}
    assert without == set()


def test_the_ranges_hold_for_whoever_decodes_the_settings() -> None:
    assert msgspec.convert({"batch_max": 100_000}, IngestSettings).batch_max == 100_000
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"batch_max": 100_001}, IngestSettings)


def test_a_login_in_the_url_moves_to_its_keys() -> None:
    loaded = load({"broker.url": "mqtt://me:hu%40sh@h:1884"}, environ={}, spelled={"broker.url": "--broker"})
    broker = loaded.settings.broker
    assert (broker.url, broker.username, broker.password) == ("mqtt://h:1884", "me", "hu@sh")
    assert loaded.origins["broker.username"] == "flag --broker"
    both = load(
        {"broker.url": "mqtt://me@[::1]"}, environ={"IOTCACHE_BROKER_PASSWORD": "hush"}
    ).settings.broker
    assert (both.url, both.username, both.password) == ("mqtt://[::1]", "me", "hush")


def test_two_logins_meet_by_precedence_or_contradict(tmp_path: Path) -> None:
    file = written(tmp_path, "[broker]\nurl = 'mqtt://a:1@h'\nusername = 'b'\npassword = '1'\n")
    assert "broker.username" in mistake(config_file=file)
    file = written(tmp_path, "[broker]\nusername = 'b'\npassword = '2'\n")
    broker = load({"broker.url": "mqtt://a:1@h"}, file, {}).settings.broker
    assert (broker.username, broker.password) == ("a", "1")
    file = written(tmp_path, "[broker]\nurl = 'mqtt://a:1@h'\n")
    broker = load({"broker.username": "b"}, file, {"IOTCACHE_BROKER_PASSWORD": "2"}).settings.broker
    assert (broker.username, broker.password) == ("b", "2")


def test_settings_never_show_their_secrets() -> None:
    loaded = load(
        {"broker.url": "mqtt://me:hush@h", "store.url": "postgresql://me:hush@h/d", "http.token": "hush",
         "cache.username": "me", "cache.password": "hush"}, environ={},
    )  # fmt: skip
    assert "hush" not in repr(loaded)
    assert "hush" not in str(loaded.settings)
    assert "me" in repr(loaded)


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("a:1,b:2", ("a:1", "b:2")),
        ("[::1]:11211", ("[::1]:11211",)),
        ("[::1]:1, [::2]:2=3", ("[::1]:1", "[::2]:2=3")),
        ('["a:1", "/run/x.sock"]', ("a:1", "/run/x.sock")),
        ("embedded:2", "embedded:2"),
    ],
)
def test_lists_typed_in_a_shell(text: str, nodes: object) -> None:
    assert load({"cache.nodes": text}, environ={}).settings.cache.nodes == nodes


def test_a_pipe_can_be_the_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text("[simulator]\nseed = 77\n"))
    writer.start()
    assert load(config_file=str(pipe), environ={}).settings.simulator.seed == 77
    writer.join(5)


@given(st.text(max_size=30), st.sampled_from(sorted(fields())))
def test_any_text_for_any_key_is_taken_or_told_of(text: str, key: str) -> None:
    try:
        load({key: text}, str(SHIPPED), environ={})
    except ConfigError as error:
        assert printable(str(error), 5_000) == str(error)
        assert key.partition(".")[0] in str(error)


def test_what_a_flag_or_the_environment_names_is_for_this_run_alone(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[dashboard]\ntheme = "iotcache-dark"\n')
    name = "dashboard.theme"
    said = [
        load(config_file=str(file), environ={}),
        load(config_file=str(file), environ={"IOTCACHE_DASHBOARD_THEME": "iotcache-dark"}),
        load({name: "iotcache-dark"}, str(file), environ={}),
    ]
    assert [loaded.commanded(name) for loaded in said] == [False, True, True]


def _give_away(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the file be another user's."""
    if os.geteuid() == 0:
        os.chown(file, 65_534, 65_534, follow_symlinks=False)
    else:
        real = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: real + 1)


def test_a_file_found_by_chance_must_be_ones_own(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of root alone")
    here = elsewhere / "config.toml"
    here.write_text(f'[broker]\nurl = "mqtt://evil.example"\nusername = "u"\npassword_file = "{secret}"\n')
    assert load(environ={}).settings.broker.password == "of root alone"
    _give_away(here, monkeypatch)
    text = mistake()
    assert "belongs to" in text
    assert "--config config.toml" in text
    assert f"IOTCACHE_SAFE_CONFIG={elsewhere}" in text
    # Asked for by name, or allowed.
    assert load(environ={}, config_file="config.toml").settings.broker.url == "mqtt://evil.example"
    assert load(environ={"IOTCACHE_CONFIG": "config.toml"}).settings.broker.url == "mqtt://evil.example"
    for allowed in (str(elsewhere), f"/nowhere{os.pathsep}{elsewhere}/", "*"):
        assert load(environ={"IOTCACHE_SAFE_CONFIG": allowed}).settings.broker.url == "mqtt://evil.example"
    with pytest.raises(ConfigError, match="belongs to"):
        load(environ={"IOTCACHE_SAFE_CONFIG": f"/nowhere{os.pathsep}{elsewhere}/x"})


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_link_of_somebody_else_is_somebody_elses_file(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (elsewhere / "config.toml").symlink_to(written(elsewhere, "[simulator]\ndevices = 10\n"))
    assert load(environ={}).settings.simulator.devices == 10
    _give_away(elsewhere / "config.toml", monkeypatch)
    assert "belongs to nobody" in mistake()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_under_sudo_the_file_of_who_called_it_counts_as_ones_own(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = elsewhere / "config.toml"
    here.write_text("[simulator]\ndevices = 10\n")
    _give_away(here, monkeypatch)
    assert load(environ={"SUDO_UID": "65534"}).settings.simulator.devices == 10
    with pytest.raises(ConfigError, match="belongs to"):
        load(environ={"SUDO_UID": "1000"})
