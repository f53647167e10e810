"""Decisions, and nothing but decisions: no Redis, Celery, Django, clock or chance. Facts in, data out."""
