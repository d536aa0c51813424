"""The user's own keys: they act, the old ones do not, the screen names them, and mistakes are told."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from iotcache.config import load
from iotcache.errors import ConfigError
from iotcache_tui.cli.main import main
from iotcache_tui.keymap import check_keys, key_actions
from iotcache_tui.screens.catalog import SCREENS
from iotcache_tui.screens.dialogs.help import HelpScreen
from iotcache_tui.screens.view import ViewScreen
from iotcache_tui.widgets.common.key_footer import KeyFooter
from tests.conforming import conforming
from tests.tui.conftest import RunApp, screen_lines, screen_text, until_shown


def footer(app: object) -> str:
    return screen_lines(app)[-1]  # type: ignore[arg-type]


async def test_a_moved_act_answers_its_new_keys_only(run_app: RunApp) -> None:
    async with run_app(keys={"fleet.filter": "ctrl+f", "app.events": "f5, E"}) as (app, pilot):
        line = app.screen.query_one("FilterLine")
        await pilot.press("slash")
        assert not line.has_pseudo_class("focus-within")
        await pilot.press("ctrl+f")
        await pilot.pause()
        assert line.has_pseudo_class("focus-within")
        await pilot.press("escape")
        await pilot.press("7")
        assert app.screen is app.view("fleet")
        await pilot.press("E")
        assert app.screen is app.view("events")
        await pilot.press("1", "f5")
        assert app.screen is app.view("events")


async def test_footer_tabs_help_and_texts_name_the_users_keys(run_app: RunApp) -> None:
    keys = {"fleet.filter": "ctrl+f", "app.device": "f2", "device.next": "ctrl+n", "view.pause": "P"}
    async with run_app(devices=1, keys=keys) as (app, pilot):
        assert "^f Filter" in footer(app)
        assert "/ Filter" not in footer(app)
        assert "P Pause" in footer(app)
        assert "Space" not in footer(app)
        assert "f2 Device" in screen_lines(app)[1]
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)
        rows = [line.split() for line in screen_lines(app)]
        assert any(("^f", "Filter") in itertools.pairwise(row) for row in rows)
        assert not any(("/", "Filter") in itertools.pairwise(row) for row in rows)
        await pilot.press("escape", "f2")
        await pilot.pause()
        app.frame()
        await pilot.pause()
        assert "On the Fleet screen (1)" in screen_text(app)
        assert "press ^n here" in screen_text(app)


async def test_a_key_in_the_footer_can_be_clicked_and_one_on_a_narrow_screen_is_whole(
    run_app: RunApp,
) -> None:
    async with run_app((80, 24)) as (app, pilot):
        await until_shown(app, pilot, "q Quit")
        shown = app.screen.query_one(KeyFooter).shown
        assert all(f" {key.display} {key.description} " in f" {footer(app)} " for key in shown)
        await pilot.click(KeyFooter, offset=(footer(app).index("? Help"), 0))
        await pilot.pause()
        assert isinstance(app.screen, HelpScreen)


async def test_a_pair_in_the_footer_is_told_apart_when_one_of_it_moves(run_app: RunApp) -> None:
    async with run_app(keys={"nodes.weight_down": "w"}) as (app, pilot):
        await pilot.press("3")
        await until_shown(app, pilot, "Try weight")
        assert "+ Try weight" in footer(app)
        assert "+ -" not in footer(app)


async def test_acts_trade_keys(run_app: RunApp) -> None:
    keys = {"fleet.sort": "S", "fleet.sort_before": "s"}
    check_keys(keys, "config.toml")
    async with run_app(keys=keys) as (app, _pilot):
        moved = {key: one.binding.id for key, one in app.screen.active_bindings.items()}
        assert moved["S"] == "fleet.sort"
        assert moved["s"] == "fleet.sort_before"


async def test_what_shared_a_key_with_a_moved_act_keeps_it(run_app: RunApp) -> None:
    async with run_app(keys={"lab.faults": "ctrl+f"}) as (app, pilot):
        await pilot.press("6")
        bindings = dict(app.screen._binding_chain)[app.screen].key_to_bindings
        assert [one.id for one in bindings["f"]] == ["_answer.f"]
        assert {one.id for one in bindings["ctrl+f"]} == {"lab.faults"}


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"fleet.filtr": "x"}, "'fleet.filtr' is no act; did you mean fleet.filter?"),
        ({"sort": "x"}, "did you mean keys.sort?"),
        ({"_answer.f": "x"}, "is no act"),
        ({"\x1b[31m": "x"}, "'\\x1b[31m' is no act"),
        ({"fleet.sort": "controll+s"}, "'controll+s' is no key"),
        ({"fleet.sort": "bogus_key"}, "'bogus_key' is no key"),
        ({"fleet.sort": ""}, "empty key"),
        ({"fleet.sort": "s,,x"}, "empty key"),
        ({"fleet.sort": "ctrl+S"}, "write ctrl+s"),
        ({"fleet.sort": "shift+s"}, "write S"),
        ({"fleet.sort": "\x07"}, "control character"),
        ({"fleet.sort": "m"}, "fleet.sort and fleet.mark are both on m on the Fleet screen"),
        ({"fleet.sort": "q"}, "fleet.sort and app.quit are both on q"),
        ({"fleet.sort": "?"}, "fleet.sort and app.help are both on question_mark"),
        ({"fleet.sort": "k"}, "table.up and fleet.sort are both on k"),
        ({"view.jump": "x"}, "both on x on the Device screen"),
        ({"table.down": "q"}, "table.down and app.quit"),
        ({"fleet.sort": "ctrl+c"}, "which is fixed,"),
        ({"lab.skip": "a"}, "lab.skip and 'Answer a', which is fixed, are both on a"),
        ({"fleet.sort": "x", "fleet.mark": "x"}, "are both on x"),
    ],
)
def test_a_wish_that_cannot_be_met_is_one_sentence(keys: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_keys(keys, "config.toml")
    assert says in str(caught.value)
    assert "config.toml" in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"fleet.sort": "o", "keys.sort": "o"},
        {"fleet.filter": "ctrl+f", "app.quit": "Q, f10", "view.pause": "space"},
        {"table.down": "down,n"} | {"device.next": "]", "replay.on": "}", "replay.on_minute": "f12"}
        | {"events.nodes": "N", "lab.next": "right", "device.before": "["} | {"replay.back": "f11"},
        {"fleet.sort": "ü", "fleet.group": "alt+x"},
    ],
)  # fmt: skip
def test_wishes_that_can_be_met(keys: dict[str, str]) -> None:
    check_keys(keys, "config.toml")


def test_every_binding_has_an_id_of_its_own_meaning() -> None:
    known = {act.id: act for act in key_actions()}
    assert known["fleet.filter"].keys == ("slash",)
    assert known["view.pause"].keys == ("space", "p")
    assert known["app.quit"].where == "everywhere"
    fixed = {act.what for act in key_actions() if not act.id}
    assert not [what for what in fixed if not what.startswith(("Scroll", "Page", "Copy", "Quit"))]


async def test_config_keys_lists_every_binding_that_help_shows(
    run_app: RunApp, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["config", "keys", "--json"]) == 0
    listed = conforming("config-keys", capsys.readouterr().out)
    pairs = {(row["id"], key) for row in listed for key in row["keys"]}
    shown = 0
    async with run_app() as (app, pilot):
        for entry in SCREENS:
            app.action_show(entry.name)
            await pilot.pause()
            screen = app.screen
            assert isinstance(screen, ViewScreen)
            for panel in [None, *screen.focus_chain]:
                if panel is not None:
                    panel.focus()
                    await pilot.pause()
                    assert isinstance(panel, screen.PANELS)
                for active in screen.active_bindings.values():
                    one = active.binding
                    private = (one.id or "").startswith("_")
                    if private or not one.description or one.system or type(panel).__name__ == "Input":
                        continue
                    if one.id is None and type(panel).__name__ == "FilterInput":
                        continue
                    assert (one.id, one.key) in pairs, (entry.name, panel, one)
                    shown += 1
    assert shown > 200


def test_the_file_says_it_and_the_command_line_tells(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "config.toml"
    file.write_text('[dashboard.keys]\nfleet.filter = "ctrl+f"\n"app.quit" = "Q"\n')
    loaded = load(environ={})
    assert loaded.settings.dashboard.keys == {"app.quit": "Q", "fleet.filter": "ctrl+f"}
    assert loaded.origins["dashboard.keys"] == "config.toml"
    assert main(["config", "keys"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("fleet.filter ")] == ["ctrl+f"]
    assert main(["config", "show"]) == 0
    assert '"fleet.filter": "ctrl+f"' in capsys.readouterr().out
    for text, says in (
        ('[dashboard.keys]\n"fleet.filter" = "s"\n', "fleet.filter and fleet.sort are both on s"),
        ('[dashboard.keys]\n"fleet.filter" = 3\n', 'dashboard.keys."fleet.filter" (config.toml) is 3'),
        ('[dashboard]\nkeys = "s"\n', "write [dashboard.keys] above its keys"),
    ):
        file.write_text(text)
        for arguments in ([], ["--serve"], ["config", "keys"]):
            assert main(arguments) == 2
            message = capsys.readouterr().err
            assert says in message
            assert message.count("\n") == 1
