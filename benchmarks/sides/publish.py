"""Publish N messages with confirms, raw or from the outbox. usage: publish.py raw|ours RABBITMQ_URL REDIS_URL N"""

import json
import sys
import time
from base64 import b64decode
from typing import Any
from uuid import uuid4

import amqp

from backbeat import Backbeat, conf
from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.message import Outline, arguments_of, envelope
from backbeat.core.when import Cron
from backbeat.runtime.firing import Firer
from backbeat.runtime.publisher import Publisher
from backbeat.store.leases import Leases
from backbeat.store.outbox import Outbox
from backbeat.store.store import open_store

what, rabbit_url, redis_url, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
BATCH = 500


def properties_of(envelope: dict[str, Any]) -> dict[str, Any]:
    """Those of a message that a worker understands."""
    return {
        "application_headers": envelope["headers"],
        "content_type": envelope["content-type"],
        "content_encoding": envelope["content-encoding"],
        "correlation_id": envelope["properties"]["correlation_id"],
        "reply_to": envelope["properties"]["reply_to"],
        "delivery_mode": 2,
    }


def raw(app: Backbeat, queue: str) -> float:
    """Batches of ready messages, each confirmed before the next."""
    outline = Outline("jobs.work", queue)
    texts = [
        envelope(outline, f"job.number{i:07d}@2026-11-23T02:00:00Z", arguments_of([i], {}), slot=0, schedule=f"job.number{i:07d}")
        for i in range(count)
    ]
    # Plain messages of py-amqp: ours are MouldedMessages.
    messages = [amqp.Message(b64decode(one["body"]), **properties_of(one)) for one in map(json.loads, texts)]
    with app.connection(transport_options={"confirm_publish": False}) as connection:
        channel = connection.channel()
        channel.queue_declare(queue, durable=True, auto_delete=False)
        channel.confirm_select()
        waiting = set()

        def settle(tag: int, multiple: bool) -> None:
            waiting.difference_update([one for one in waiting if one <= tag] if multiple else [tag])

        channel.events["basic_ack"].add(settle)
        began, tag = time.perf_counter(), 0
        for start in range(0, count, BATCH):
            for message in messages[start : start + BATCH]:
                channel.basic_publish(message, exchange="", routing_key=queue, mandatory=True)
                tag += 1
                waiting.add(tag)
            while waiting:
                connection.drain_events(timeout=30)
        return time.perf_counter() - began


def ours(app: Backbeat, pool: str) -> tuple[float, int]:
    """Fires into the outbox, and from there to the broker."""
    store = open_store()
    store.slots.client.flushdb()
    schedules = [(Schedule(Cron("*/5 * * * *"), args=(i,)),) for i in range(count)]
    store.index.put_many(
        JobSpec(f"job.number{i:07d}", "jobs.work", pool=pool, schedules=schedules[i], overlap=Overlap.ALLOW) for i in range(count)
    )
    for keys in store.slots.all:
        due = store.slots.client.zrange(keys.due, 0, -1)
        store.slots.client.zadd(keys.due, dict.fromkeys(due, store.slots.now_ms() - 1000))
    firer, leases = Firer(store), Leases(store.slots, "bench", 600).take(range(store.slots.count))
    while firer.counts["fired"] < count:
        firer.step(leases)
    publisher = Publisher(app, Outbox(store.slots, "bench"))
    publisher.begin()
    began, sent = time.perf_counter(), 0
    while sent < count:
        sent += publisher.step()
    wall = time.perf_counter() - began
    publisher.close()
    return wall, sum(store.slots.client.xlen(keys.outbox) for keys in store.slots.all)


with conf.override(redis_url=redis_url, broker_url=rabbit_url):
    app = Backbeat("bench", set_as_current=False, config_source={"imports": ()})
    pool = f"b{uuid4().hex[:12]}"
    queue, left = f"{pool}.p5", 0
    if what == "raw":
        wall = raw(app, queue)
    else:
        wall, left = ours(app, pool)
    with app.connection() as connection:
        channel = connection.channel()
        messages = channel.queue_declare(queue, passive=True).message_count
        channel.queue_delete(queue)
print(json.dumps({"messages_per_s": count / wall, "messages": messages, "left": left}))
