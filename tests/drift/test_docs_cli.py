"""docs/reference/cli.md lists the commands that there are, the gates and codes of `why`, and what a state allows."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click

from backbeat.cli import main
from backbeat.core import why, why_due, why_start
from backbeat.core.state import ASKS, TERMINAL, Ask, RunState
from tests.drift.tree import ROOT

PAGE = (ROOT / "docs" / "reference" / "cli.md").read_text()


def commands(group: click.Group, path: str = "backbeat") -> Iterator[str]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}"


def table(head: str) -> dict[str, str]:
    """First and second column of the table that opens with this head."""
    rows = PAGE.partition(head)[2].partition("\n\n")[0]
    return dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|", rows, re.MULTILINE))


def test_every_command_has_a_row_and_every_row_is_a_command() -> None:
    listed = {name.strip("`") for name in table("| command | what it does | needs |\n|---|---|---|\n")}

    assert listed == set(commands(main)), "docs/reference/cli.md and the commands of backbeat/cli must be the same."


def test_every_gate_has_a_row_in_their_order() -> None:
    gates = list(table("| gate | codes of a shut one |\n|---|---|\n"))

    assert gates == [gate.__name__.replace("_", " ") for gate in why.GATES]


def test_every_code_of_a_shut_gate_is_listed() -> None:
    listed = {
        code for codes in table("| gate | codes of a shut one |\n|---|---|\n").values() for code in re.findall("`(.+?)`", codes)
    }
    source = inspect.getsource(why_due) + inspect.getsource(why_start)
    written = set(re.findall(r'shut\("[a-z ]+", "([a-z_-]+)"', source))

    assert written <= listed, f"Add these codes to docs/reference/cli.md: {written - listed}"


def test_what_a_state_allows_is_told_as_the_table_of_states_has_it() -> None:
    told = table("| verb | states | asked twice |\n|---|---|---|\n")

    states = {verb.strip("`"): text for verb, text in told.items()}
    assert set(states) == {ask.value for ask in Ask}
    assert set(states["cancel"].split(", ")) == {state.value for state in ASKS[Ask.CANCEL]}
    assert states["release"] == "quarantined"
    assert (states["retry"], ASKS[Ask.RETRY]) == ("every end but succeeded", TERMINAL - {RunState.SUCCEEDED})
    assert (states["again"], ASKS[Ask.AGAIN]) == ("every state", frozenset(RunState))
