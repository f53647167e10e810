"""Where Celery lives: beat, tasks, worker steps, keeper."""
