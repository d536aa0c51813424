"""Alert rules in the settings: read as tables, and a clear sentence for every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from iotcache.config import Settings, load
from iotcache.config.schema import AlertRuleSettings
from iotcache.errors import ConfigError

HOT = '[[alerts]]\nname = "hot"\nkind = "threshold"\n'


def loaded(folder: Path, text: str, **environ: str) -> Settings:
    file = folder / "mine.toml"
    file.write_text(text, "utf-8")
    return load(config_file=str(file), environ=environ).settings


def test_rules_are_read_and_stand_instead_of_the_default_ones(tmp_path: Path) -> None:
    settings = loaded(
        tmp_path,
        HOT + 'above = 8\nseverity = "error"\n[[alerts]]\nname = "gone"\nkind = "silent"\nfor_s = 30',
    )
    assert settings.alerts == (
        AlertRuleSettings(name="hot", kind="threshold", above=8.0, severity="error"),
        AlertRuleSettings(name="gone", kind="silent", for_s=30.0),
    )
    assert loaded(tmp_path, "alerts = []").alerts == ()
    assert loaded(tmp_path, "").alerts == Settings().alerts


def test_rules_can_come_from_the_environment(tmp_path: Path) -> None:
    text = '[{name = "hot", kind = "threshold", above = 1}]'
    assert loaded(tmp_path, "", IOTCACHE_ALERTS=text).alerts[0].above == 1.0


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ('[[alerts]]\nkind = "silent"', ["alerts[1]", "has no name", "a text"]),
        ('[[alerts]]\nname = "a"', ["alerts[1]", "has no kind"]),
        ('[[alerts]]\nname = "a"\nkind = "thresold"', ["alerts[1].kind", '"thresold"', '"threshold" or']),
        (HOT + "abov = 3", ["alerts[1].abov", "did you mean above?"]),
        (HOT + 'above = "x"', ["alerts[1].above", '"x"', "a number"]),
        (HOT + "above = nan", ["alerts[1].above", "nan", "a number"]),
        (HOT, ["alerts[1] (hot)", "needs above, below, or both"]),
        (HOT + "above = 3\nbelow = 2\nhysteresis = 1", ["alerts[1] (hot)", "no room for its hysteresis"]),
        (HOT + "above = 3\nhysteresis = -1", ["hysteresis is -1"]),
        (HOT + 'above = 3\nnode = "x"', ["node means nothing", '"threshold"']),
        (HOT + "above = 1\n" + HOT + "above = 2", ["alerts[2] (hot)", "a name of its own"]),
        ('[[alerts]]\nname = "a/b"\nkind = "silent"', ["alerts[1].name", '"a/b"', "1 to 64"]),
        ('[[alerts]]\nname = "a"\nkind = "hit_ratio"\nbelow = 800', ["needs below", "percent"]),
        ('[[alerts]]\nname = "a"\nkind = "node_down"\nabove = 1', ["mean nothing", "node_down"]),
        ('[[alerts]]\nname = "a"\nkind = "node_down"\nsite = "n"', ["site means nothing"]),
        ("alerts = 3", ["alerts", "list of tables", "[[alerts]]"]),
        ("[alerts]\nname = 'x'", ["alerts", "list of tables"]),
        ('[alerting]\nwebhook = "ftp://x/secret"', ["alerting.webhook", "http:// or https://"]),
        ('[alerting]\nwebhook = "http://a:b@x/"', ["alerting.webhook", "without a user"]),
    ],
)
def test_a_mistake_is_named_with_its_place_and_what_is_allowed(
    tmp_path: Path, text: str, parts: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, text)
    said = str(caught.value)
    assert "\n" not in said
    assert "secret" not in said
    for part in parts:
        assert part in said
