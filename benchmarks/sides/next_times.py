"""One library answers "when next?" for many schedules: next_times.py LIBRARY COUNT prints rate and a checksum of the answers."""

import json
import random
import sys
import time
from collections.abc import Callable
from datetime import datetime
from zlib import crc32
from zoneinfo import ZoneInfo

ZONE = "Europe/Berlin"
BERLIN = ZoneInfo(ZONE)
EXPRESSIONS = [
    f"{minute} {hour} * * {day}" for minute in (0, 15, 30) for hour in ("*", "*/2", "9-17", "4") for day in ("*", "1-5")
]
NOON = 1_790_000_000
"""21 September 2026: no clock changes near."""


def backbeat(expr: str) -> Callable[[int], int]:
    from backbeat.core.occurrence import next_after
    from backbeat.core.when import Cron

    cron = Cron(expr, tz=ZONE)
    return lambda after: (next_after(cron, after * 1000) or 0) // 1000


def croniter(expr: str) -> Callable[[int], int]:
    from croniter import croniter as library

    return lambda after: round(library(expr, datetime.fromtimestamp(after, BERLIN)).get_next(float))


def cronsim(expr: str) -> Callable[[int], int]:
    from cronsim import CronSim

    return lambda after: round(next(CronSim(expr, datetime.fromtimestamp(after, BERLIN))).timestamp())


def main() -> None:
    """Ask as a scheduler does: schedules come in any order, moments lie within an hour."""
    library, count = sys.argv[1], int(sys.argv[2])
    ask = [globals()[library](expr) for expr in EXPRESSIONS]
    chance = random.Random(1)
    questions = [(ask[chance.randrange(len(ask))], NOON + chance.randrange(3600)) for _ in range(count)]
    checksum = crc32(json.dumps([asked(after) for asked, after in questions[:1000]]).encode())
    start = time.perf_counter()
    for asked, after in questions:
        asked(after)
    print(json.dumps({"next_per_s": count / (time.perf_counter() - start), "checksum": checksum}))


main()
