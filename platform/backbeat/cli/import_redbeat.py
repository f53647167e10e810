"""`backbeat import redbeat`: its entries in Redis become jobs, and RedBeat's API keeps showing what they were."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import click

from backbeat.cli.import_handover import Handover
from backbeat.cli.import_options import moving, moving_options, row_of
from backbeat.cli.import_report import Report, Sheet
from backbeat.cli.import_saving import finish
from backbeat.cli.import_shadow import shadow
from backbeat.conf import settings
from backbeat.core.beat_jobs import Moving, OldEntry
from backbeat.core.celery_options import options_of
from backbeat.core.celery_schedules import when_of
from backbeat.core.redbeat import read, read_meta
from backbeat.core.shadow import Snapshot
from backbeat.core.taking import Names
from backbeat.errors import NotAllowed
from backbeat.store.connect import connect
from backbeat.store.redbeat import RawEntry, RedBeatStorage
from backbeat.store.store import open_store

_IN_CONFIGURATION = "It stands in beat_schedule; take it out there too, since the job has taken its place."


class NoEntries(click.ClickException):
    """There is nothing of RedBeat's."""

    exit_code = 3


@click.command()
@click.option("--url", help="Redis with RedBeat's entries (redbeat_redis_url). Default: this deployment's own.")
@click.option("--key-prefix", default="redbeat:", show_default=True, help="As redbeat_key_prefix.")
@moving_options
def redbeat(url: str | None, key_prefix: str, **options: Any) -> None:
    """Make a job of each entry that RedBeat keeps in Redis.

    Our scheduler fires those entries as they are; as jobs they get an admin page, policies and history of their own. Names,
    arguments, limits and the enabled flag are kept, and jobs go on after the last run. An entry stays readable for
    RedBeat's API, marked as imported, and is no longer fired as an entry. All or nothing, unless --keep-going is given;
    the same import again changes nothing.

    Exit code 0 when every entry was taken, 2 when one was not, 3 without entries, 4 while a RedBeat scheduler runs, 5
    without Redis or a database.
    """
    how = moving("redbeat", options)
    url = url or settings().redis_url
    storage = RedBeatStorage(connect(url), key_prefix, f"{key_prefix}:lock")
    if not options["dry_run"] and not options["shadow"]:
        _refuse_beside_redbeat(storage)
    raws = sorted(storage.load(storage.all()), key=lambda raw: raw.key)
    if not raws:
        raise NoEntries(f"there are no entries of RedBeat's under {key_prefix!r}; say where by --url and --key-prefix.")
    sheet = _sheet(_shown_url(url), storage, raws, how, options["tz"])
    report = Report([sheet], options["tz"], how.now, noun="entry")
    if options["shadow"]:
        shadow(
            report,
            lambda: _snapshots(storage, [raw.key for raw in raws]),
            options["shadow"],
            every=0.5,
            grace=5.0,
            output=options["output"],
        )
        return
    keys = {taken.spec.name: f"{key_prefix}{taken.place}" for taken in sheet.taken()}
    handover = Handover(storage, keys, open_store)
    finish(report, options, before=handover.take_over)


def _snapshots(storage: RedBeatStorage, keys: list[str]) -> dict[str, Snapshot]:
    rans = {storage.name_of(raw.key): read_meta(raw.meta) for raw in storage.load(keys) if raw.definition}
    return {name: Snapshot(ran.last, ran.count) for name, ran in rans.items()}


def _refuse_beside_redbeat(storage: RedBeatStorage) -> None:
    holder, left = storage.holder()
    if holder and not holder.startswith("backbeat:"):
        raise NotAllowed(
            f"a RedBeat scheduler holds the lock {storage.lock!r} and would fire these entries beside the jobs. Stop it first;"
            f" should it be dead, wait {left:.0f} s for its lock to end, or delete that key. --dry-run works meanwhile."
        )


def _sheet(source: str, storage: RedBeatStorage, raws: list[RawEntry], how: Moving, tz: str) -> Sheet:
    names, statics = Names(), storage.statics()
    rows = []
    for raw in raws:
        name = storage.name_of(raw.key)
        remarks = (_IN_CONFIGURATION,) if name in statics else ()
        rows.append(row_of(name, lambda raw=raw, name=name, said=remarks: _entry(raw, name, tz, said), how, names, _facts(raw)))  # type: ignore[misc] # the defaults bind them
    counts = {"entries": len(rows), "disabled": sum(row.facts["there"].get("enabled") is False for row in rows)}
    return Sheet(source, "entries of RedBeat", rows, counts)


def _entry(raw: RawEntry, name: str, tz: str, remarks: tuple[str, ...]) -> OldEntry:
    saved, ran = read(raw.definition), read_meta(raw.meta)
    return OldEntry(
        name=name,
        task=saved.task,
        when=when_of(saved.schedule, tz, ran.last),
        args=saved.args,
        kwargs=saved.kwargs or {},
        options=options_of(saved.options),
        enabled=saved.enabled,
        last=ran.last,
        count=ran.count,
        remarks=remarks,
    )


def _facts(raw: RawEntry) -> Mapping[str, Any]:
    """The entry's own record, as programs get it."""
    try:
        found = json.loads(raw.definition or "{}")
    except ValueError:
        return {"definition": raw.definition}
    names = ("task", "args", "kwargs", "options", "schedule", "enabled")
    return {name: found.get(name) for name in names} if isinstance(found, dict) else {"definition": raw.definition}


def _shown_url(url: str) -> str:
    """A URL without its user and password, fit for a report."""
    parts = urlsplit(url)
    return parts.path if parts.scheme == "unix" else f"{parts.hostname or 'localhost'}:{parts.port or 6379}{parts.path}"
