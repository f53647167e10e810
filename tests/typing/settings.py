"""The least that Django needs for mypy's plugin to know the models."""

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "backbeat.admin",
]
SECRET_KEY = "only for type checks"
USE_TZ = True
