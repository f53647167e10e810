"""What commands that need the deployment share: its folder on the path, Django set up, its Celery app."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from backbeat.errors import ConfigurationError

DEFAULT_SETTINGS = "webadmin.settings"


def use_django() -> None:
    """Set Django up for the deployment in the current folder (DJANGO_SETTINGS_MODULE, by default webadmin.settings)."""
    import django

    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", DEFAULT_SETTINGS)
    try:
        django.setup()
    except ModuleNotFoundError as error:
        wanted = os.environ["DJANGO_SETTINGS_MODULE"]
        if error.name and wanted.startswith(error.name):
            raise ConfigurationError(
                f"no module {error.name!r} here, so the deployment's settings {wanted!r} can't be loaded. "
                "Start the command in the deployment's folder, or set DJANGO_SETTINGS_MODULE."
            ) from error
        raise


def app_name(given: str | None = None) -> str:
    """What `celery -A` needs to find the deployment's app: given, or the Django project's package."""
    return given or os.environ.get("DJANGO_SETTINGS_MODULE", DEFAULT_SETTINGS).partition(".")[0]


def use_app(name: str | None = None) -> Any:
    """The deployment's Celery app, with Django set up."""
    from celery.app.utils import find_app

    use_django()
    return find_app(app_name(name))
