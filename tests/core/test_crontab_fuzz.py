"""Whatever the text, the parser answers for every line and the planner answers for every entry."""

from __future__ import annotations

import random

import pytest

from backbeat.core.crontab import parse
from backbeat.core.crontab_jobs import Names, Refused, Taken, Taking, plan
from backbeat.core.crontab_lines import Entry, Other

PIECES = [
    *"0123456789*/,-~?#%=@'\" \t\\$()&|;<>{}`!",
    *("*/5", "1-5", "mon", "JAN", "@daily", "@every 5m", "@reboot", "@99999999999", "@0", "root", "/bin/x", "CRON_TZ=", "Mars/X"),
    *(
        "SHELL=",
        "HOME=",
        "TZ=:",
        "MAILTO=",
        "RANDOM_DELAY=",
        "99999",
        "\\%",
        "\r",
        "\0",
        "\ufeff",
        "\u2028",
        "é",
        "\udce9",
        "\x1b[2J",
    ),
    *("* * * * * ", "0 3 * * * ", "@daily ", "#0 3 * * * ", "-n ", "bash -c '", "sudo -u ", "flock -n ", "\n", "\n", "\n"),
]


@pytest.mark.parametrize("seed", range(40))
def test_any_text_is_answered_line_by_line(seed: int) -> None:
    chance = random.Random(seed)
    text = "".join(chance.choice(PIECES) for _ in range(1500))

    for style in (None, "user", "system"):
        crontab = parse(text, style)  # type: ignore[arg-type]
        results = list(plan(crontab, Taking(tz="Europe/Berlin", pool="as-{user}"), Names()))

        assert [line.line for line in crontab.lines] == list(range(1, len(crontab.lines) + 1))
        asked = [line.line for line in crontab.lines if isinstance(line, (Entry, Other))]
        assert [result.place for result in results] == asked
        assert all(result.reason if isinstance(result, Refused) else result.spec.name for result in results)
        names = [result.spec.name for result in results if isinstance(result, Taken)]
        assert len(set(names)) == len(names)
