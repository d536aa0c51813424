"""``iotcache-tui``: the live dashboard, over embedded servers or those that the settings name."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import threading
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from iotcache.errors import ConfigError, IotCacheError, UsageError

if TYPE_CHECKING:
    from iotcache.config import LoadedSettings
    from iotcache.config.schema import Settings
    from iotcache_tui.app import IotCacheApp
    from iotcache_tui.feed.live import LiveFeed
    from iotcache_tui.record.recorder import Recorder

HEADLESS = "'iotcache-tui --plain', 'snapshot', 'stack', 'simulate' and 'ingest' run without one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    switch = argparse.BooleanOptionalAction
    parser.add_argument(
        "--no-simulate", action="store_true", help="embedded servers without a synthetic fleet"
    )
    parser.add_argument("--tour", action=switch, default=None, help="the guided tour, also a second time")
    parser.add_argument("--booth", action="store_true", help="tour and lessons in turn, until any key")
    parser.add_argument("--read-only", action=switch, default=None, help="keep acts that change things away")
    parser.add_argument(
        "--serve", metavar="HOST:PORT", nargs="?", const="127.0.0.1:8000",
        help="in a browser; 127.0.0.1:8000 and read-only",
    )  # fmt: skip
    parser.add_argument(
        "--serve-url", metavar="URL", default="", help="where visitors see it, behind a proxy"
    )
    parser.add_argument(
        "--serve-token", metavar="TOKEN", nargs="?", const="",
        help="only for who has it; made up without one",
    )  # fmt: skip
    parser.add_argument(
        "--serve-sessions", metavar="N", type=int, default=8, help="most visitors at a time (8)"
    )
    parser.add_argument("--plain", action="store_true", help="a line an event instead of a screen")
    parser.add_argument("--record", metavar="FILE", help="record it for 'iotcache-tui replay FILE'")
    parser.add_argument(
        "--record-values", action=switch, default=True, help="with what devices measured (yes)"
    )
    parser.add_argument(
        "--record-payloads", action="store_true", help="with raw payloads that were looked at"
    )


def in_browser() -> bool:
    """Whether this process is a visitor's session of ``--serve``."""
    return "web_driver" in os.environ.get("TEXTUAL_DRIVER", "")


def require_terminal() -> None:
    """Raise `UsageError` where no dashboard can be drawn."""
    if in_browser():
        return
    for stream, name in ((sys.stdin, "input"), (sys.stdout, "output")):
        if not stream.isatty():
            raise UsageError(f"the dashboard needs a terminal, and standard {name} is not one; {HEADLESS}")
    if os.name == "posix" and os.environ.get("TERM", "dumb") in ("dumb", "unknown", ""):
        kind = os.environ.get("TERM") or "not set"
        raise UsageError(f"the dashboard cannot draw on this terminal (TERM is {kind}); {HEADLESS}")


def require_keys(loaded: LoadedSettings) -> None:
    """Raise `ConfigError` for keys that the dashboard cannot be given."""
    if loaded.settings.dashboard.keys:
        from iotcache_tui.keymap import check_keys

        check_keys(loaded.settings.dashboard.keys, loaded.origins["dashboard.keys"])


def _require_theme(name: str, known: Iterable[str]) -> None:
    """Raise `ConfigError` for a theme that Textual and we do not have."""
    if name not in known:
        from iotcache.config.fields import nearest
        from iotcache.text import printable

        ours = ", ".join(theme for theme in known if theme.startswith("iotcache-"))
        raise ConfigError(
            f'dashboard.theme is "{printable(name)}", which is no theme: there are {ours} and '
            f"Textual's own{nearest(name, known)}"
        )


def run(args: argparse.Namespace) -> int:
    from iotcache_tui.cli.options import load_settings

    loaded = load_settings(args)
    settings = _with_flags(args, loaded.settings)
    if not args.plain:
        require_keys(loaded)
    if not args.plain and args.serve is None:
        require_terminal()

    import platformdirs

    from iotcache.logs import set_up

    set_up(settings.log, default_file=platformdirs.user_log_path("iotcache") / "dashboard.log")
    if args.plain:
        if args.record:
            raise UsageError("--record does not go with --plain: 'iotcache-tui record FILE' needs no screen")
        from iotcache_tui.cli.commands.plain import run_plain

        return run_plain(settings)
    if args.serve is not None:
        from iotcache_tui.cli.serving import ServeOptions, serve

        if args.record:
            raise UsageError(
                "--record does not go with --serve, where every visitor would write the same file: "
                "'iotcache-tui record FILE' needs no screen"
            )
        return serve(
            settings,
            ServeOptions(
                args.serve,
                url=args.serve_url,
                token=args.serve_token,
                sessions=args.serve_sessions,
                read_only=args.read_only is not False,
            ),
        )

    return _screens(args, loaded)


def _with_flags(args: argparse.Namespace, settings: Settings) -> Settings:
    """The settings of a context with what the command line says of every one."""
    from msgspec.structs import replace

    if args.no_simulate:
        settings = replace(settings, simulator=replace(settings.simulator, enabled=False))
    if args.read_only is not None:
        settings = replace(settings, dashboard=replace(settings.dashboard, read_only=args.read_only))
    return settings


def _screens(args: argparse.Namespace, loaded: LoadedSettings) -> int:
    """The dashboard over one context's servers after another, until the user leaves."""
    from iotcache_tui.cli.options import load_settings

    recorder = None
    if args.record:
        from iotcache_tui.record.recorder import Recorder

        recorder = Recorder(Path(args.record), values=args.record_values, payloads=args.record_payloads)
    ending: list[threading.Thread] = []
    first = "fleet"
    after: threading.Thread | None = None
    try:
        while True:
            app = _one(args, loaded, recorder, first, ending, after=after)
            if app.switch_to is None:
                break
            args.context, first = app.switch_to, app.shown_screen
            had_own, loaded = _starts_servers(loaded.settings), load_settings(args)
            # Two embedded stacks would be one too many.
            after = ending[-1] if had_own and _starts_servers(loaded.settings) else None
    finally:
        for thread in ending:
            thread.join()
        if recorder is not None:
            recorder.close()
    if recorder is not None and recorder.problem:
        print(f"iotcache-tui: {recorder.problem}", file=sys.stderr)
    if app.state.failure:
        print(f"iotcache-tui: {app.state.failure}", file=sys.stderr)
    return app.return_code or 0


def _one(
    args: argparse.Namespace,
    loaded: LoadedSettings,
    recorder: Recorder | None,
    first: str,
    ending: list[threading.Thread],
    *,
    after: threading.Thread | None,
) -> IotCacheApp:
    """Run the dashboard over one context's servers. What it has begun is ended by a thread in ``ending``.

    Its own servers are not started before ``after``, which ends those of the context before, has ended.
    """
    from iotcache.config.parts import without_idle_parts
    from iotcache_simulator.stack.forks import held, processor_is_free, roles

    wanted = roles(without_idle_parts(_with_flags(args, loaded.settings)), readers=True)
    with ExitStack() as holding:
        # A fork server loads for the children what they need, beside us if there is room for both: on a busy
        # machine it would hold the first frame up.
        beside = processor_is_free()
        if beside:
            holding.enter_context(held(wanted, fork=True))
        gc.disable()  # what is being loaded is no garbage
        try:
            app, feed = _made(args, loaded, recorder, first, after=after)
        finally:
            if not gc.get_freeze_count():  # of a context before, some is by now
                gc.freeze()
            gc.enable()
        if not beside:
            holding.enter_context(held(wanted, fork=True))
        try:
            app.run()
        finally:
            thread = threading.Thread(target=feed.stop, name="ending")
            thread.start()
            ending.append(thread)
    return app


def _made(
    args: argparse.Namespace,
    loaded: LoadedSettings,
    recorder: Recorder | None,
    first: str,
    *,
    after: threading.Thread | None,
) -> tuple[IotCacheApp, LiveFeed]:
    from iotcache_tui.app import IotCacheApp
    from iotcache_tui.cli.options import load_settings
    from iotcache_tui.feed.live import LiveFeed
    from iotcache_tui.feed.request_context import is_read_only
    from iotcache_tui.preferences import PreferencesFile
    from iotcache_tui.screens.context_choice import ContextChoice

    def mistake(name: str) -> str:
        try:
            require_keys(load_settings(argparse.Namespace(**vars(args) | {"context": name})))
        except IotCacheError as error:
            return str(error)
        return ""

    settings = _with_flags(args, loaded.settings)
    preferences_file = PreferencesFile() if in_browser() else PreferencesFile.of_user()
    feed = LiveFeed(settings, after=after)
    app = IotCacheApp(
        feed,
        settings.dashboard,
        read_only=is_read_only(settings),
        # A visitor is not the user whose preferences these are.
        preferences_file=preferences_file,
        recorder=recorder,
        first=first,
        theme_named=loaded.commanded("dashboard.theme"),
        # A recording is of one context, and a visitor sees the one that is served.
        contexts=ContextChoice(
            loaded.context, () if recorder is not None or in_browser() else loaded.contexts, mistake
        ),
        guide=guide_of(args, settings, new_user=not preferences_file.load().toured),
        opening=True,
    )
    _require_theme(settings.dashboard.theme, app.available_themes)
    return app, feed


def guide_of(args: argparse.Namespace, settings: Settings, *, new_user: bool) -> Literal["", "tour", "booth"]:
    """Who leads through the program. Raises `UsageError` where that was asked for and cannot be."""
    from iotcache.config.parts import absent_parts, named_parts
    from iotcache_tui.feed.request_context import is_read_only

    foreign = (*named_parts(settings), *absent_parts(settings))
    own = not foreign and not is_read_only(settings) and settings.simulator.enabled is not False
    asked = "--booth" if args.booth else "--tour" if args.tour else ""
    if asked and (not own or in_browser()):
        raise UsageError(f"with {asked} a cache node is killed: it needs servers and a fleet of our own")
    if asked:
        return "booth" if args.booth else "tour"
    greets = settings.dashboard.tour and args.tour is None and args.record is None
    return "tour" if greets and own and new_user and not in_browser() else ""


def _starts_servers(settings: Settings) -> bool:
    nodes = settings.cache.nodes
    return "embedded" in (settings.broker.url, settings.store.url) or (
        isinstance(nodes, str) and nodes.startswith("embedded")
    )
