"""``iotcache-tui``: finds the command, imports only its module, and turns every failure into one sentence."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import sys
from collections.abc import Sequence

from iotcache.errors import ConfigError, IotCacheError, RingMismatch, UsageError
from iotcache.text import printable
from iotcache_tui.cli.parsers import COMMANDS, PROGRAM, command_module, command_parser

NAMES_COMMAND = ("completion", "--names")
"""As the scripts for shells ask, with the kind of names behind it."""
EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
_CANNOT_WRITE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What the system says of an output that takes no more."""
_SENTENCE_LIMIT = 2_000


def command_and_rest(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """The command and what is left, also where flags common to all commands stand before it."""
    from iotcache_tui.cli.options import VALUE_FLAGS

    at = 0
    while at < len(argv) and argv[at].startswith("-"):
        flag, equals, _ = argv[at].partition("=")
        if flag not in VALUE_FLAGS:
            return None, list(argv)
        at += 1 if equals else 2
    if at >= len(argv):
        return None, list(argv)
    return argv[at], [*argv[:at], *argv[at + 1 :]]


def _remembered(argv: Sequence[str]) -> bool:
    """Whether this was a shell's question at a Tab, and is answered: that waits for no settings."""
    if len(argv) != 3 or tuple(argv[:2]) != NAMES_COMMAND:
        return False
    from iotcache_tui.cli.remembered_names import recall

    names = recall(argv[2])
    if names is not None:
        print("\n".join(names))
    return names is not None


def _run(argv: Sequence[str]) -> int:
    if _remembered(argv):
        return 0
    command, rest = command_and_rest(argv)
    names = [name for name, _ in COMMANDS]
    if command is not None and command not in names:
        import difflib

        close = difflib.get_close_matches(command, names, 1)
        hint = f"; did you mean {close[0]}?" if close else f": there are {', '.join(names)}"
        raise UsageError(f"there is no command '{printable(command, 40)}'{hint}")
    parser = command_parser(command)
    args = parser.parse(rest)

    from iotcache.logs import begin

    begin()
    return int(command_module(command).run(args))


def _say(text: str) -> None:
    print(f"{PROGRAM}: {printable(text, _SENTENCE_LIMIT)}", file=sys.stderr)


def _first_of_ours(error: BaseException) -> BaseException:
    """The error to tell of: the first of ours, or Ctrl-C, among those of a group of tasks that failed."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    leaves = [_first_of_ours(one) for one in error.exceptions]
    return next((one for one in leaves if isinstance(one, (IotCacheError, KeyboardInterrupt))), leaves[0])


def _unexpected(error: BaseException) -> str:
    """Keep the traceback where a person can find it; returns what to say."""
    import tempfile
    import traceback
    from pathlib import Path

    import platformdirs

    from iotcache.private_files import make_private_folder

    what = f"an error that was not foreseen: {type(error).__name__}: {printable(str(error))}"
    lines = [line for part in traceback.format_exception(error) for line in part.splitlines()]
    for folder in (platformdirs.user_log_path("iotcache"), Path(tempfile.gettempdir())):
        try:
            make_private_folder(folder)
            # Not a name that can be guessed: the temporary folder is everyone's.
            with tempfile.NamedTemporaryFile(
                "w", encoding="utf-8", dir=folder, prefix="iotcache-crash-", suffix=".log", delete=False
            ) as file:
                file.writelines(f"{printable(line, 1_000)}\n" for line in lines)
        except OSError:
            continue
        return f"{what}; its traceback is in {file.name}"
    return what


def _outcome(error: BaseException) -> int:
    """The exit code of a command that ended with ``error``, of which the user is told."""
    error = _first_of_ours(error)
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else EXIT_FAILED if error.code else 0
    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    if isinstance(error, BrokenPipeError):
        _drop_output()
        return EXIT_FAILED
    if isinstance(error, OSError) and error.errno in _CANNOT_WRITE and error.filename is None:
        # What is longer than the stream's buffer fails in print, and a flush has nothing left to fail with.
        _drop_output()
        _say(f"the output cannot be written: {error.strerror}")
        return EXIT_FAILED
    if isinstance(error, OSError) and not _flushed():
        return EXIT_FAILED
    _say(str(error) if isinstance(error, IotCacheError) else _unexpected(error))
    return EXIT_USAGE if isinstance(error, (ConfigError, UsageError, RingMismatch)) else EXIT_FAILED


def _drop_output() -> None:
    """Whoever read our output has gone: keep the interpreter's own flush at exit from complaining."""
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123 (no path)
        os.dup2(nothing.fileno(), sys.stdout.fileno())


def _flushed() -> bool:
    """Whether all that was printed has gone out; the user is told when it cannot."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _drop_output()
        if not isinstance(error, BrokenPipeError):
            _say(f"the output cannot be written: {error.strerror}")
        return False
    return True


def _soften_streams() -> None:
    """Give each standard stream a form that can take any text, also where it is closed or not UTF-8."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 (lives as long as we)
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. No traceback reaches the user."""
    # Else the interpreter looks for garbage among all that is loaded when it ends: a quarter of a second.
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
    _soften_streams()
    try:
        code = _run(sys.argv[1:] if argv is None else argv)
    except BaseException as error:
        code = _outcome(error)
    return code if _flushed() else code or EXIT_FAILED
