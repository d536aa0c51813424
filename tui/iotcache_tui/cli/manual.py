"""The manual page, from the parsers of all commands."""

from __future__ import annotations

from typing import Final

from argparse_manpage.manpage import Manpage

from iotcache_tui.cli.help_text import EXAMPLES
from iotcache_tui.cli.parsers import PROGRAM, commands_of, program_version, usage_of, whole_parser

_FILES: Final = (
    ("config.toml", "in the working folder, else in the user's configuration folder"),
    ("IOTCACHE_CONFIG", "names another configuration file"),
    ("IOTCACHE_SECTION_KEY", "sets one key, as IOTCACHE_STORE_URL sets store.url"),
)
_STATUS: Final = (
    ("0", "all went well"),
    ("1", "it failed, or what was checked does not hold"),
    ("2", "the command line or the configuration is wrong"),
    ("130", "it was interrupted"),
)


def page() -> str:
    """The page as roff, section 1."""
    parser = whole_parser()
    parser.epilog = None  # the list of commands, which the page has in full
    for name, each in commands_of(parser).items():
        taken = [one for one in each._actions if not one.option_strings]
        each.usage = " ".join((PROGRAM, name, *map(usage_of, taken), "[flags]"))
    manual = Manpage(
        parser,
        {
            "project_name": PROGRAM,
            "version": program_version(),
            "manual_title": "User Commands",
            "description": "see and simulate a Memcached cache of device readings",
        },
    )
    manual.add_section(
        "EXAMPLES",
        ">",
        _list(
            [
                (" ".join(filter(None, (PROGRAM, command, words))), text)
                for command, made in EXAMPLES.items()
                for words, text in made
            ]
        ),
    )
    manual.add_section("FILES AND ENVIRONMENT", ">", _list(_FILES))
    manual.add_section("EXIT STATUS", ">", _list(_STATUS))
    return str(manual)


def _list(rows: tuple[tuple[str, str], ...] | list[tuple[str, str]]) -> str:
    return "\n".join(f".TP\n.B {_escaped(term)}\n{_escaped(text)}" for term, text in rows)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")
