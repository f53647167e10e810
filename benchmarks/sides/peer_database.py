"""Django on PostgreSQL with django-celery-results, as each side that measures it sets it up."""

from typing import Any
from urllib.parse import urlsplit

import django
from django.conf import settings


def use(address: str, **database: Any) -> None:
    """Configure Django for the database at this URL; `database` holds more of its settings."""
    url = urlsplit(address)
    place = {"NAME": url.path[1:], "USER": url.username, "HOST": url.hostname, "PORT": url.port}
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", **place, **database}},
        INSTALLED_APPS=["django_celery_results"],
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    )
    django.setup()
