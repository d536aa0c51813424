"""Help: every command under a heading with two examples that its parser takes, every flag explained."""

from __future__ import annotations

import re
import shlex

import pytest

from iotcache_tui.cli.help_text import COMMAND_GROUPS, EXAMPLES, FLAG_GROUPS
from iotcache_tui.cli.parsers import COMMANDS, command_parser, commands_of, whole_parser

NAMES = [name for name, _ in COMMANDS]


def test_every_command_stands_under_one_heading() -> None:
    assert sorted(name for names in COMMAND_GROUPS.values() for name in names) == sorted(NAMES)


@pytest.mark.parametrize("command", ["", *NAMES])
def test_each_has_two_examples_that_it_takes(command: str) -> None:
    assert len(EXAMPLES[command]) >= 2
    for words, text in EXAMPLES[command]:
        command_parser(command or None).parse(shlex.split(re.sub(r">.*", "", words)))
        assert text


@pytest.mark.parametrize("command", ["", *NAMES])
def test_help_is_narrow_and_its_flags_are_explained(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = command_parser(command or None)
    assert [action.dest for action in parser._actions if not action.help] == []
    lines = parser.format_help().splitlines()
    assert max(map(len, lines)) <= 80
    assert "examples:" in lines
    flags = {flag for action in parser._actions for flag in action.option_strings}
    assert {flag for group in FLAG_GROUPS.get(command, {}).values() for flag in group} <= flags
    # More than a dozen flags under one heading are a list that nobody reads.
    assert max(len(group._group_actions) for group in parser._action_groups) <= 12
    if not command:
        assert len(lines) <= 72


def test_a_command_in_the_parser_of_all_has_the_same_headings() -> None:
    (alone, within) = command_parser("simulate"), commands_of(whole_parser())["simulate"]
    assert {group.title for group in alone._action_groups} == {group.title for group in within._action_groups}
