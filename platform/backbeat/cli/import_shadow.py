"""`backbeat import … --shadow 30m`: watch the old scheduler without touching anything, and compare it with ours."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field

import click

from backbeat.cli.import_report import Report, clean
from backbeat.core.entry import Timing
from backbeat.core.shadow import Snapshot, Verdict, Watched, judge
from backbeat.core.taking import Taken
from backbeat.core.when import iso

Look = Callable[[], Mapping[str, Snapshot]]
TOLERANCE = 5_000
"""How far (ms) a fire may lie from its time and still be that occurrence's; a busy scheduler is late."""
LISTED = 3


@dataclass(slots=True)
class Watch:
    """What was seen of one entry so far."""

    taken: Taken
    first: Snapshot
    final: Snapshot
    fires: list[int] = field(default_factory=list)

    def see(self, now: Snapshot) -> None:
        """Note what has changed since the last look."""
        if now.last is not None and now.last != self.final.last and now.count > self.final.count:
            self.fires.append(now.last)
        self.final = now


def shadow(report: Report, look: Look, length: float, *, every: float, grace: float, output: str) -> None:
    """Watch for `length` seconds, looking each `every` seconds, and print what differs. Ends with exit code 1 when it does.

    `grace` (seconds) is how late the old scheduler writes down what it fired. Ctrl-C ends the watch early.
    """
    taken = {str(one.place): one for sheet in report.sheets for one in sheet.taken() if one.spec.enabled}
    first = look()
    watches = {name: Watch(one, first[name], first[name]) for name, one in taken.items() if name in first}
    since = time.time()
    click.echo(f"Watching {len(watches)} entries for {length:g} s; nothing is changed. Ctrl-C ends it early.", err=True)
    with suppress(KeyboardInterrupt):
        while (left := since + length - time.time()) > 0:
            time.sleep(min(every, left))
            for name, snapshot in look().items():
                if name in watches:
                    watches[name].see(snapshot)
    until = time.time()
    verdicts = [_judged(name, watch, since, until, grace) for name, watch in watches.items()]
    _show(report, verdicts, until - since, output)
    if not all(one.agrees for one in verdicts):
        raise click.exceptions.Exit(1)


def _judged(name: str, watch: Watch, since: float, until: float, grace: float) -> Verdict:
    schedule = watch.taken.schedule
    timing = Timing(schedule.when, schedule.start, schedule.end)
    watched = Watched(name, timing, watch.first, watch.final, tuple(watch.fires))
    return judge(watched, round(since * 1000), round(until * 1000), TOLERANCE, round(grace * 1000))


def _show(report: Report, verdicts: Sequence[Verdict], length: float, output: str) -> None:
    if output == "json":
        refused = [{"entry": one.place, "reason": one.reason} for sheet in report.sheets for one in sheet.refused()]
        found = [
            {**asdict(one), "agrees": one.agrees, "missing": [*map(iso, one.missing)], "extra": [*map(iso, one.extra)]}
            for one in verdicts
        ]
        click.echo(json.dumps({"seconds": round(length, 3), "entries": found, "not_compared": refused}, indent=2))
    else:
        for line in _table(verdicts):
            click.echo(line)
    differ = sum(not one.agrees for one in verdicts)
    predicted, fired = sum(one.predicted for one in verdicts), sum(one.fired for one in verdicts)
    said = f"{differ} of {len(verdicts)} entries differ" if differ else f"all {len(verdicts)} entries agree"
    not_compared = f"; {report.plural(report.refused())} can't be taken and were not compared" if report.refused() else ""
    click.echo(f"{predicted} fires predicted, {fired} seen: {said}{not_compared}.", err=output == "json")


def _table(verdicts: Sequence[Verdict]) -> Iterator[str]:
    width = max((len(clean(one.name, 60)) for one in verdicts), default=0)
    yield f"{'':<{width}}  predicted  fired  largest lag"
    for one in verdicts:
        mark = "" if one.agrees else "  DIFFERS"
        yield f"{clean(one.name, 60):<{width}}  {one.predicted:>9}  {one.fired:>5}  {one.drift / 1000:>9.3f} s{mark}"
        yield from _listed("not fired", one.missing)
        yield from _listed("fired, but not due", one.extra)
    yield ""


def _listed(title: str, moments: Sequence[int]) -> Iterator[str]:
    if moments:
        more = f" and {len(moments) - LISTED} more" if len(moments) > LISTED else ""
        yield f"    {title}: {', '.join(map(iso, moments[:LISTED]))}{more}"
