"""Runs, attempts and omissions in partitions of a month on PostgreSQL; elsewhere each run only learns its month.

See docs/decisions/010-history-by-month.md. Every row is copied once, in one transaction, so that nothing is half moved.
"""

from datetime import date
from typing import Any

from django.db import migrations, models

import backbeat.admin.models.fields

# What lies further back stays in the partition for the rest, which retention empties by and by.
MONTHS_BACK = 24


def file_rows(apps: Any, schema_editor: Any) -> None:
    """Give each row its month: that of its occurrence, else of its beginning."""
    if schema_editor.connection.vendor == "postgresql":
        month = (
            "coalesce(to_date(substring(run_id from '@(\\d{4}-\\d\\d)-\\d\\dT'), 'YYYY-MM'), "
            "date_trunc('month', queued_at at time zone 'UTC')::date)"
        )
    else:
        month = "strftime('%%Y-%%m-01', coalesce(nominal, queued_at))"
    schema_editor.execute(f"UPDATE backbeat_run SET month = {month}", params=())
    schema_editor.execute(
        "UPDATE backbeat_attempt SET month = r.month FROM backbeat_run AS r WHERE r.run_id = backbeat_attempt.run_id", params=None
    )


def partition(apps: Any, schema_editor: Any) -> None:
    """Replace the three tables by partitioned ones of the same names, with the same rows, columns and indexes."""
    if schema_editor.connection.vendor != "postgresql":
        return
    run, attempt, omission = (apps.get_model("backbeat", name) for name in ("Run", "Attempt", "Omission"))
    # Compared by bytes, the key also finds what an id begins with, so that no second index is needed for it.
    by_bytes = 'ALTER TABLE {} ALTER COLUMN run_id TYPE varchar(400) COLLATE "C"'
    _rebuild(
        schema_editor, run, "month", "month::timestamp", [by_bytes], 'CONSTRAINT "backbeat_run_pkey" PRIMARY KEY (run_id, month)'
    )
    schema_editor.execute(
        "CREATE UNIQUE INDEX run_once_per_occurrence ON backbeat_run (job, schedule, nominal, month) "
        "WHERE nominal IS NOT NULL AND schedule <> ''"
    )
    numbered = 'CONSTRAINT "attempt_once_per_number" UNIQUE (run_id, number, month)'
    _rebuild(schema_editor, attempt, "month", "month::timestamp", [by_bytes], numbered)
    ranged = 'CONSTRAINT "omission_once_per_range" UNIQUE (job, schedule, reason, first)'
    _rebuild(schema_editor, omission, "first", "first at time zone 'UTC'", [], ranged)
    schema_editor.execute('ALTER TABLE backbeat_omission ADD CONSTRAINT "backbeat_omission_pkey" PRIMARY KEY (id, first)')


def flatten(apps: Any, schema_editor: Any) -> None:
    """Put everything back into three plain tables. Each row is copied twice, and the disk must hold it twice.

    Of a caller's key that was used in two months, the newer run stays: a plain table has one run of an id.
    """
    if schema_editor.connection.vendor != "postgresql":
        return
    for name, key in (("Run", "run_id"), ("Attempt", "run_id, number"), ("Omission", "")):
        model = apps.get_model("backbeat", name)
        table, columns = model._meta.db_table, ", ".join(field.column for field in model._meta.concrete_fields)
        once = f"DISTINCT ON ({key}) {columns} FROM {table} ORDER BY {key}, month DESC" if key else f"{columns} FROM {table}"
        schema_editor.execute(f"CREATE TABLE {table}_all AS SELECT {once}")
        schema_editor.execute(f"DROP TABLE {table}")
        schema_editor.create_model(model)
        schema_editor.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM {table}_all")
        schema_editor.execute(f"DROP TABLE {table}_all")
        if model._meta.auto_field is not None:
            sequence = f"pg_get_serial_sequence('{table}', 'id')"
            schema_editor.execute(f"SELECT setval({sequence}, coalesce(max(id), 0) + 1, false) FROM {table}")


def _rebuild(schema_editor: Any, model: Any, key: str, moment: str, changes: list[str], constraint: str) -> None:
    table = model._meta.db_table
    schema_editor.execute(f"ALTER TABLE {table} RENAME TO {table}_flat")
    for change in changes:
        schema_editor.execute(change.format(f"{table}_flat"))
    schema_editor.execute(
        f"CREATE TABLE {table} (LIKE {table}_flat INCLUDING DEFAULTS INCLUDING CONSTRAINTS) PARTITION BY RANGE ({key})"
    )
    schema_editor.execute(f"CREATE TABLE {table}_rest PARTITION OF {table} DEFAULT")
    for first, after in _months(schema_editor, table, moment):
        schema_editor.execute(
            f"CREATE TABLE {table}_{first:%Y_%m} PARTITION OF {table} FOR VALUES FROM ('{first} 00:00+00') TO ('{after} 00:00+00')"
        )
    schema_editor.execute(f"INSERT INTO {table} SELECT * FROM {table}_flat")
    schema_editor.execute(f"DROP TABLE {table}_flat")
    schema_editor.execute(f"ALTER TABLE {table} ADD {constraint}")
    for index in model._meta.indexes:
        schema_editor.add_index(model, index)
    if model._meta.auto_field is not None:
        _number(schema_editor, table)


def _months(schema_editor: Any, table: str, moment: str) -> list[tuple[date, date]]:
    """(First day, first day after) of each month that has rows, and of this one."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT date_trunc('month', {moment})::date FROM {table}_flat "
            f"WHERE {moment} BETWEEN now() - interval '{MONTHS_BACK} months' AND now() + interval '1 month' "
            f"UNION SELECT date_trunc('month', now() at time zone 'UTC')::date"
        )
        found = sorted(row[0] for row in cursor.fetchall())
    return [(first, date(first.year + first.month // 12, first.month % 12 + 1, 1)) for first in found]


def _number(schema_editor: Any, table: str) -> None:
    """Ids go on: identity columns know no partitions before PostgreSQL 17, a sequence does."""
    schema_editor.execute(f"CREATE SEQUENCE {table}_id_seq OWNED BY {table}.id")
    schema_editor.execute(f"ALTER TABLE {table} ALTER COLUMN id SET DEFAULT nextval('{table}_id_seq')")
    schema_editor.execute(f"SELECT setval('{table}_id_seq', coalesce(max(id), 0) + 1, false) FROM {table}")


class Migration(migrations.Migration):
    dependencies = [
        ("backbeat", "0004_backfills"),
    ]

    operations = [
        migrations.AddField(
            model_name="attempt",
            name="month",
            field=models.DateField(default=backbeat.admin.models.fields.this_month, editable=False),
        ),
        migrations.AddField(
            model_name="run",
            name="month",
            field=models.DateField(default=backbeat.admin.models.fields.this_month, editable=False),
        ),
        migrations.RunPython(file_rows, migrations.RunPython.noop),
        migrations.RunPython(partition, flatten),
    ]
