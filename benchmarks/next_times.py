"""How many times a second can a scheduler ask a cron library for the next time of a schedule?

usage: next_times.py [--rounds 5] [--count 1000000] [--theirs 5000]

Equal for all: one process, the same 24 expressions in Europe/Berlin, the same questions in the same order, moments within
one hour, as when a scheduler advances schedules that share expressions. The libraries build their iterator for each
question, because a schedule that was fired elsewhere gives them a new moment; ours is asked through `next_after`. The
first 1,000 answers of each library are compared. The rate of ours includes a lambda and an integer division.
"""

import argparse

import harness


def main() -> None:
    """Measure, interleaved, and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--theirs", type=int, default=5_000)
    options = parser.parse_args()

    counts = {"backbeat": options.count, "croniter": options.theirs, "cronsim": options.theirs}
    # croniter is a dependency of ours and cronsim of our tests, so all three run with the same interpreter.
    sides = {
        name: lambda name=name, count=count: harness.side("next_times.py", name, count, ours=True)
        for name, count in counts.items()
    }
    answers = harness.in_turn(options.rounds, sides)
    rows = [("", "next/s"), *((name, f"{harness.median(found, 'next_per_s'):,.0f}") for name, found in answers.items())]
    ours = answers["backbeat"]
    ratios = {name: harness.paired(ours, answers[name], "next_per_s") for name in ("croniter", "cronsim")}
    checksums = {answer["checksum"] for found in answers.values() for answer in found}
    harness.report("next-times", rows, ratios, answers, {"different": len(checksums) - 1})


main()
