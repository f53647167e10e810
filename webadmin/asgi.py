"""The ASGI entry point."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

from webadmin.celery import app as celery_app

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "webadmin.settings")
application = get_asgi_application()

# The forms check arguments against the jobs' own parameters, so this process knows the jobs as well.
celery_app.loader.import_default_modules()
