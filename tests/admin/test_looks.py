"""Every state has a look, and every look has its colours."""

from __future__ import annotations

import re
from pathlib import Path

from backbeat.admin import pages
from backbeat.admin.pages.badges import LOOKS, badge, colour_of
from backbeat.admin.pages.graph import _WORST
from backbeat.admin.pages.operate import VERBS
from backbeat.admin.snapshot import _STATES, RUN_KINDS
from backbeat.core.state import RunState

STATIC = Path(pages.__file__).parent.parent / "static" / "backbeat"
CSS = (STATIC / "backbeat.css").read_text()


def test_every_state_has_a_colour_and_a_sign() -> None:
    assert set(LOOKS) == set(RunState), "Give the new state its look in admin/pages/badges.py"


def test_every_colour_is_defined_for_text_fills_and_strokes_in_both_themes() -> None:
    for kind in {kind for kind, _ in LOOKS.values()}:
        for selector in (f".bb-{kind} ", f".bb-fill-{kind}", f".bb-stroke-{kind} "):
            assert selector in CSS, f"Write {selector} in backbeat.css"
        assert len(re.findall(rf"--bb-{kind}: #", CSS)) == 3, f"Give --bb-{kind} a value for light, dark and automatic"


def test_the_graph_knows_how_bad_each_state_is() -> None:
    assert set(_WORST) == set(RunState), "Place the new state in admin/pages/graph.py"


def test_every_kind_of_event_stands_for_a_state_or_carries_one() -> None:
    assert set(_STATES) | {"finished"} == set(RUN_KINDS)


def test_nothing_is_loaded_from_elsewhere() -> None:
    for path in STATIC.iterdir():
        assert not re.search(r"(https?:)?//[a-z]", path.read_text().replace("http://www.w3.org", "")), path.name


def test_a_word_that_is_no_state_is_shown_as_it_is() -> None:
    assert "who knows" in badge("who knows")
    assert colour_of("who knows") == "idle"


def test_every_verb_has_its_words() -> None:
    assert all(verb.title and verb.button for verb in VERBS.values())
