"""How fast do fires that wait in the outbox reach RabbitMQ, persistent, mandatory and confirmed?

usage: publish.py [--rounds 3] [--count 10000] [--celery 1000]

Equal for all: one RabbitMQ node, loopback TCP, one process and one connection, one durable queue a side, persistent
messages of the same job with one small argument, each confirmed by the broker; the queue is counted by the broker.
`raw` is a plain py-amqp loop that publishes 500 messages that are ready to be sent, then waits for their confirms:
no outbox, no Redis, nothing that could be lost before. Ours takes the letters of as many fires from the outbox, sends
them, and trims the outbox by what was confirmed. Celery is `apply_async` with `confirm_publish`, by itself.
"""

import argparse

import harness

from tests.support.servers import RabbitServer, RedisServer


def main() -> None:
    """Measure, interleaved, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--celery", type=int, default=1_000)
    options = parser.parse_args()

    with harness.folder() as place, harness.folder() as other:
        rabbit, redis = RabbitServer(place), RedisServer(other, options=harness.STEADY)
        rabbit.start()
        redis.start()
        try:
            sides = {
                "raw": lambda: harness.side("publish.py", "raw", rabbit.url, redis.url, options.count, ours=True),
                "backbeat": lambda: harness.side("publish.py", "ours", rabbit.url, redis.url, options.count, ours=True),
                "celery": lambda: harness.side("publish_celery.py", rabbit.url, options.celery, ours=False),
            }
            answers = harness.in_turn(options.rounds, sides)
        finally:
            redis.stop()
            rabbit.stop()
    ours = answers["backbeat"]
    rows = [("", "messages", "a second")]
    for name, count in (("raw", options.count), ("backbeat", options.count), ("celery", options.celery)):
        rows.append((name, count, f"{harness.median(answers[name], 'messages_per_s'):,.0f}"))
    ratios = {peer: harness.paired(ours, answers[peer], "messages_per_s") for peer in ("raw", "celery")}
    checks = {
        "lost": sum(max(0, options.count - answer["messages"]) for answer in ours),
        "doubled": sum(max(0, answer["messages"] - options.count) for answer in ours),
        "left in the outbox": sum(answer["left"] for answer in ours),
    }
    harness.report("publish", rows, ratios, answers, checks)


if __name__ == "__main__":
    main()
