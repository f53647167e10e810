"""Cron as other programs understand it: reference vectors of their own test suites, and expressions found in use.

A row that we answer differently stands, with the reason, in docs/reference/cron.md; what stands there must differ.
"""

from __future__ import annotations

import re

import pytest

from backbeat.core.occurrence import check, upcoming
from backbeat.core.when import Cron
from backbeat.errors import BadSchedule
from tests.conformance.cron_rows import DATA, NEVER, ROOT, Row, compared, ms, rows, verdict

VECTORS, COMPUTED, WILD = (rows(name) for name in ("cron_vectors.jsonl", "cron_computed.jsonl", "cron_wild.jsonl"))
REFERENCE = (ROOT / "docs" / "reference" / "cron.md").read_text()

pytestmark = pytest.mark.skipif(
    not DATA.exists(), reason="the reference data lies beside the project, in ../shared/data, and is not here"
)


def listed() -> set[str]:
    """The ids of rows that the documentation owns up to; `d0346 to d0350` stands for all between."""
    found = set()
    for first, last in re.findall(r"\b(d\d{4})(?: to (d\d{4}))?", REFERENCE):
        found |= {f"d{number:04}" for number in range(int(first[1:]), int((last or first)[1:]) + 1)}
    return found


def test_every_reference_vector_passes_or_is_explained() -> None:
    differing = {row["id"]: f"{row['expr']!r}: {said}" for row in VECTORS if (said := verdict(row))}

    unexplained = {name: said for name, said in differing.items() if name not in listed()}
    settled = sorted(listed() - differing.keys())

    assert not unexplained, f"Fix these, or say in docs/reference/cron.md why we differ: {unexplained}"
    assert not settled, f"These agree by now: take them out of docs/reference/cron.md: {settled}"


def computed_cron(row: Row) -> Cron:
    """The schedule of a row of computed times."""
    return Cron(row["expr"], tz=row.get("tz", "UTC"), dialect="quartz" if row["case"] == "quartz" else "vixie")


def computed(row: Row, theirs: list[str]) -> str:
    """Empty when we give these times; an expression that never comes has none."""
    try:
        return compared(upcoming(computed_cron(row), ms(row["after"]), max(len(theirs), 1)), theirs)
    except BadSchedule as refusal:
        return "" if not theirs and NEVER in str(refusal) else str(refusal)


def test_where_the_libraries_agree_on_the_next_times_so_do_we() -> None:
    differing = {f"`{row['expr']}`": said for row in COMPUTED if "next" in row and (said := computed(row, row["next"]))}

    assert not {expr: said for expr, said in differing.items() if expr not in REFERENCE}


def test_where_the_libraries_disagree_we_side_with_one_of_them() -> None:
    alone = [
        (row["case"], row["expr"], row["tz"], computed(row, []))
        for row in COMPUTED
        if "disagree" in row and all(computed(row, answer["next"]) for answer in row["disagree"])
    ]

    assert not alone


def test_what_every_library_rejects_is_refused() -> None:
    for row in COMPUTED:
        if "next" not in row and "disagree" not in row:
            with pytest.raises(BadSchedule):
                check(computed_cron(row))


# What may be refused in the wild, by the reason that has to be given.
REFUSALS = {
    "0 0 30 2 *": NEVER,
    "0 0 31 2 *": NEVER,
    "* * */100 * MON#2": NEVER,
    "0 0 */100 * MON#2": NEVER,
    "1,2 61 * * *": "hour field; got '61'",
    "1-1000 * * * *": "minute field; got '1000'",
    "0 0 10am 1,15 * ?": "hour field; got '10am'",
}


def test_expressions_in_use_are_read_or_refused_for_the_right_reason() -> None:
    refused = {}
    for row in WILD:
        try:
            check(Cron(row["expr"], tz=row.get("tz") or "UTC", dialect=row["dialect"]))
        except BadSchedule as refusal:
            refused[row["dialect"], row["expr"]] = str(refusal)

    rejected = {row["expr"] for row in COMPUTED if "rejected_by" in row and "next" not in row and "disagree" not in row}
    unexpected = {key: said for key, said in refused.items() if key[1] not in rejected and REFUSALS.get(key[1], "?") not in said}

    assert not unexpected
    assert {expr for _, expr in refused} >= rejected
