"""This deployment's Celery settings, in Celery's own lower-case names. Whatever stands here wins over Backbeat's defaults.

Addresses of Redis, the broker and the database come from the environment: REDIS_URL, BROKER_URL, DATABASE_URL.
"""

# Every module below these packages is imported; one that fails is named by `backbeat doctor`, and the others still load.
imports = ("jobs", "dags")
