"""How many fires a second does one scheduler make, and what does a schedule weigh in Redis?

usage: fires.py [--rounds 3] [--count 100000] [--redbeat 4000] [--beat 10000]

Equal for all: one Redis-compatible server a round (append-only file, everysec, noeviction; no snapshot and no rewrite of
that file in the measured time), loopback TCP, one scheduler process, no workers, every entry a crontab (`*/5 * * * *`) that
is due, one small argument, a Celery protocol-2 message in a list of that server as the result; messages are counted in the
broker. RedBeat and django-celery-beat get fewer entries, so that a round ends: RedBeat's cost a fire does not depend on
their number, django-celery-beat's grows with it, so that ratio is the kinder one. All entries being due at once, it is a
burst, too: `first fire` is the time until the first batch is in the queue, and the time to drain is in proportion to fires a
second. django-celery-beat's own saving of what it fired, a row each, falls outside its measured time.
"""

import argparse
from pathlib import Path
from typing import Any

import harness

from tests.support.servers import RedisServer


def main() -> None:
    """Measure, interleaved, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--redbeat", type=int, default=4_000)
    parser.add_argument("--beat", type=int, default=10_000)
    options = parser.parse_args()

    sides = {
        "backbeat": lambda: on_a_server(lambda url, _: harness.side("fires_ours.py", url, options.count, ours=True)),
        "redbeat": lambda: on_a_server(lambda url, _: harness.side("fires_redbeat.py", url, options.redbeat, ours=False)),
        "django-celery-beat": lambda: on_a_server(
            lambda url, place: harness.side("fires_django_celery_beat.py", url, options.beat, 10, place, ours=False)
        ),
    }
    answers = harness.in_turn(options.rounds, sides)
    ours, redbeat, beat = answers.values()
    rows = [("", "entries due", "fires/s", "first fire ms", "bytes/schedule", "scheduler RSS MB")]
    for name, count in (("backbeat", options.count), ("redbeat", options.redbeat), ("django-celery-beat", options.beat)):
        figures = answers[name]
        size = f"{harness.median(figures, 'bytes_per_schedule'):.0f}" if "bytes_per_schedule" in figures[0] else "-"
        first = f"{harness.median(figures, 'first_ms'):.0f}" if "first_ms" in figures[0] else "-"
        rate, held = harness.median(figures, "fires_per_s"), harness.median(figures, "rss_mb")
        rows.append((name, count, f"{rate:,.0f}", first, size, f"{held:.0f}"))
    ratios = {
        "redbeat": harness.paired(ours, redbeat, "fires_per_s"),
        "django-celery-beat": harness.paired(ours, beat, "fires_per_s"),
        "redbeat bytes": harness.paired(ours, redbeat, "bytes_per_schedule"),
    }
    checks = {
        "lost": sum(max(0, options.count - answer["messages"]) for answer in ours),
        "doubled": sum(max(0, answer["messages"] - options.count) for answer in ours),
    }
    harness.report("fires", rows, ratios, answers, checks)


def on_a_server(run: Any) -> dict[str, Any]:
    """Give one side a server of its own."""
    with harness.folder() as place:
        server = RedisServer(Path(place), options=harness.STEADY)
        server.start()
        try:
            answer: dict[str, Any] = run(server.tcp_url, place)
        finally:
            server.stop()
        return answer


if __name__ == "__main__":
    main()
