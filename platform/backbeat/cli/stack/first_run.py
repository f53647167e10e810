"""The part of `backbeat dev` and `demo` that needs Django and Celery, in a process of its own that goes when it is done.

It tells its parent what happened by one JSON object a line; `event` says which.
"""

from __future__ import annotations

import json
import secrets
import sys
from typing import Any

import click

from backbeat.cli.common import use_app

USER = "admin"
_ASK_SECONDS = 0.1


@click.command()
@click.option("--reset-password", is_flag=True)
def main(reset_password: bool) -> None:
    """Prepare the database."""
    # Loads the modules of jobs and dags as a worker would.
    use_app().loader.import_default_modules()
    tell("prepared", password=_prepared_database(reset_password), user=USER, failures=_synced())


def tell(event: str, **facts: Any) -> None:
    """Send one fact to the parent."""
    sys.stdout.write(json.dumps({"event": event, **facts}, default=str) + "\n")
    sys.stdout.flush()


def _prepared_database(reset_password: bool) -> str | None:
    """Migrate and make the first user; its password when it is new, else None."""
    from django.contrib.auth import get_user_model
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)
    users = get_user_model().objects
    user = users.filter(username=USER).first()
    if user is not None and not reset_password:
        return None
    password = secrets.token_urlsafe(12)
    if user is None:
        users.create_superuser(USER, "", password)
    else:
        user.set_password(password)
        user.save()
    return password


def _synced() -> list[str]:
    """Bring the definitions of the code into the database; the modules that could not be imported."""
    from backbeat.admin.definitions import sync_from_code
    from backbeat.runtime.registry import failures

    sync_from_code()
    return [str(failure) for failure in failures]


if __name__ == "__main__":
    main()
