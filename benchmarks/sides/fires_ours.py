"""Fire N schedules that are all due, with one scheduler. usage: fires_ours.py REDIS_URL N"""

import json
import resource
import sys
import time

from backbeat.core.job import JobSpec, Overlap, Schedule
from backbeat.core.when import Cron
from backbeat.runtime.firing import Firer
from backbeat.store.connect import connect
from backbeat.store.leases import Leases
from backbeat.store.slots import Slots
from backbeat.store.store import Store

url, count = sys.argv[1], int(sys.argv[2])
store = Store(Slots(connect(url, timeout=60.0), "bb", 16))
client = store.slots.client
before = client.info("memory")["used_memory"]
specs = (
    JobSpec(f"job.number{i:07d}", "jobs.work", schedules=(Schedule(Cron("*/5 * * * *"), args=(i,)),), overlap=Overlap.ALLOW)
    for i in range(count)
)
began = time.perf_counter()
store.index.put_many(specs)
loaded = time.perf_counter() - began
held = client.info("memory")["used_memory"] - before

now = store.slots.now_ms()
for keys in store.slots.all:
    for ids in iter(lambda keys=keys: client.zrangebyscore(keys.due, now, "+inf", start=0, num=5000), []):
        client.zadd(keys.due, dict.fromkeys(ids, now - 1000))

written = []
firer = Firer(store, lambda: written.append(time.perf_counter()))
leases = Leases(store.slots, "bench", 600).take(range(16))
cpu = resource.getrusage(resource.RUSAGE_SELF)
server = client.info("cpu")
began = time.perf_counter()
while client.llen("default.p5") < count:
    firer.step(leases)
wall = time.perf_counter() - began
after, server_after = resource.getrusage(resource.RUSAGE_SELF), client.info("cpu")
print(
    json.dumps(
        {
            "fires_per_s": count / wall,
            "first_ms": (written[0] - began) * 1000,
            "messages": client.llen("default.p5"),
            "bytes_per_schedule": held / count,
            "loads_per_s": count / loaded,
            "client_us": (after.ru_utime + after.ru_stime - cpu.ru_utime - cpu.ru_stime) / count * 1e6,
            "server_us": sum(
                float(server_after[f"used_cpu_{part}"]) - float(server[f"used_cpu_{part}"]) for part in ("user", "sys")
            )
            / count
            * 1e6,
            "rss_mb": after.ru_maxrss / 1024,
        }
    )
)
