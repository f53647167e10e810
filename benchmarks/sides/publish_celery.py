"""Celery's own apply_async with confirms, N times. usage: publish_celery.py RABBITMQ_URL N"""

import json
import sys
import time

from celery import Celery

url, count = sys.argv[1], int(sys.argv[2])
app = Celery("bench", broker=url)
app.conf.update(broker_transport_options={"confirm_publish": True}, task_ignore_result=True, task_default_queue="bench-celery")
work = app.signature("jobs.work")
work.apply_async(args=[0])  # the connection and the queue are made by the first
began = time.perf_counter()
for i in range(count):
    work.apply_async(args=[i])
wall = time.perf_counter() - began
with app.connection() as connection:
    channel = connection.channel()
    messages = channel.queue_declare("bench-celery", passive=True).message_count - 1
    channel.queue_delete("bench-celery")
print(json.dumps({"messages_per_s": count / wall, "messages": messages}))
