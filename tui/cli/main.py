"""``iotcache-tui``: finds the command, imports only its module, and turns every failure into one sentence."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
from typing import NoReturn

from iotcache.errors import ConfigError, IotCacheError, UsageError

COMMANDS = (
    ("simulate", "publish a seeded device fleet over MQTT, with a report and a verdict"),
    ("ingest", "take readings in: broker to store to cache, then acknowledge"),
    ("stack", "run broker, cache nodes, store, ingest and fleet, headless"),
    ("get", "read one sensor through the cache"),
    ("where", "say which cache node owns a key"),
    ("doctor", "check configuration, servers and terminal, and say how to mend them"),
    ("config", "print every setting in force and where it came from"),
    ("bench", "compare ourselves with our peers, side by side"),
)
EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
PROGRAM = "iotcache-tui"


class _Parser(argparse.ArgumentParser):
    """An argument parser whose mistakes are one sentence."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def _available() -> list[tuple[str, str]]:
    return [
        (name, line) for name, line in COMMANDS if importlib.util.find_spec(f"tui.cli.{name}") is not None
    ]


def _overview() -> str:
    lines = [f"  {name:<10} {line}" for name, line in _available()]
    return "commands:\n" + "\n".join(lines) + f"\n\n'{PROGRAM} COMMAND --help' tells each one's flags."


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("iotcache-tui")
    except PackageNotFoundError:
        return "unknown (not installed)"


def _run(argv: list[str]) -> int:
    from tui.cli.options import add_common

    command = argv[0] if argv and not argv[0].startswith("-") else None
    names = [name for name, _ in _available()]
    if command is not None and command not in names:
        import difflib

        from iotcache.text import printable

        close = difflib.get_close_matches(command, names, 1)
        hint = f"; did you mean {close[0]}?" if close else f": there are {', '.join(names)}"
        raise UsageError(f"there is no command {printable(command, 40)!r}{hint}")
    module = importlib.import_module(f"tui.cli.{command or 'dashboard'}")
    if command is None:
        parser = _Parser(
            prog=PROGRAM,
            description="Without a command: the live dashboard. It starts everything it needs, or watches "
            "the servers that the configuration names.",
            epilog=_overview(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("--version", action="version", version=f"{PROGRAM} {_version()}")
        rest = argv
    else:
        parser = _Parser(prog=f"{PROGRAM} {command}", description=(module.__doc__ or "").replace("``", ""))
        rest = argv[1:]
    module.add_arguments(parser)
    add_common(parser)
    return int(module.run(parser.parse_args(rest)))


def _say(text: str) -> None:
    print(f"{PROGRAM}: {text}", file=sys.stderr)


def _unexpected(error: Exception) -> str:
    """Keep the traceback where a person can find it; returns what to say."""
    import tempfile
    import traceback
    from pathlib import Path

    import platformdirs

    from iotcache.text import printable

    what = f"an error that was not foreseen: {type(error).__name__}: {printable(str(error))}"
    for folder in (platformdirs.user_log_path("iotcache"), Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"iotcache-crash-{os.getpid()}.log"
            file.write_text("".join(traceback.format_exception(error)), "utf-8")
        except OSError:
            continue
        return f"{what}; its traceback is in {file}"
    return what


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code. No traceback reaches the user."""
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return code
    except (ConfigError, UsageError) as error:
        _say(str(error))
        return EXIT_USAGE
    except IotCacheError as error:
        _say(str(error))
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; keep the interpreter's own flush at exit from complaining.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except Exception as error:
        _say(_unexpected(error))
        return EXIT_FAILED
