"""The dialects of cron, one row each: field order, day rule, clock-change policies and what the grammar allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from backbeat.errors import BadSchedule, nearest

CRON = ("minute", "hour", "day", "month", "weekday")
SECONDS_FIRST = ("second", *CRON)
SECONDS_LAST = (*CRON, "second")

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
JENKINS_MACROS = {
    "@yearly": "H H H H *",
    "@annually": "H H H H *",
    "@monthly": "H H H * *",
    "@weekly": "H H * * H",
    "@daily": "H H * * *",
    "@midnight": "H H(0-2) * * *",
    "@hourly": "H * * * *",
}
CRONITER_MACROS = {
    "@yearly": "h h h h * h",
    "@annually": "h h h h * h",
    "@monthly": "h h h * * h",
    "@weekly": "h h * * h h",
    "@daily": "h h * * * h",
    "@midnight": "h h(0-2) * * * h",
    "@hourly": "h * * * * h",
}

NODE_MACROS = MACROS | {
    "@secondly": "* * * * * *",
    "@minutely": "* * * * *",
    "@weekdays": "0 0 * * 1-5",
    "@weekends": "0 0 * * 0,6",
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one family of cron understands by an expression."""

    name: str
    about: str
    layouts: tuple[tuple[str, ...], ...]
    """The orders of fields it knows, told apart by their number."""
    days: str = "debian"
    """Day of month with weekday: `either` is enough when neither is `*`; `debian` wants both when one starts with `*`;
    `robfig` takes `*/1` for `*` too; `both` always wants both; `quartz` wants one of them to be `?`."""
    gap: str = "shift"
    fold: str = "first"
    sunday: int = 0
    """The number of Sunday."""
    seven: bool = True
    """Whether 7 is Sunday as well as 0."""
    names: bool = True
    """Whether months and weekdays may be named."""
    whole_names: bool = False
    """Whether a name may be written out, as monday."""
    wraps: bool = True
    """Whether a range may run over the end: 22-2, FRI-MON."""
    open_steps: bool = True
    """Whether a step may follow a single value: 5/15."""
    special: str = "LW#?H"
    """Which of `L W # ? H` and `~` it knows."""
    alone: str = ""
    """Which of them have to stand alone in their field."""
    seconds_elapse: bool = False
    """Whether every expression with seconds follows elapsed time when the clock jumps, wildcard or not."""
    named_last: bool = True
    """Whether FRIL means the last Friday, as 5L does."""
    step_limit: bool = False
    """Whether a step as long as its field is an error rather than a step that never comes."""
    zone: str = ""
    """Where the expression may name a zone: `first`, as TZ=zone, or `last`."""
    faithful: bool = False
    """Whether croniter's own reading is kept, faults included, because that is what the name asks for."""
    macros: Mapping[str, str] = field(default_factory=lambda: MACROS)
    hashed_macros: Mapping[str, str] = field(default_factory=dict)
    """What the @ words mean for a schedule with a hash key, where that differs."""


_ROBFIG = Dialect(
    "robfig",
    "robfig/cron: seconds may come first",
    (CRON, SECONDS_FIRST),
    days="robfig",
    gap="skip",
    fold="both",
    seven=False,
    wraps=False,
    special="?",
    zone="first",
)
ROWS = (
    Dialect("vixie", "Debian cron; a sixth field is seconds", (CRON, SECONDS_LAST), special="LW#?H~"),
    Dialect(
        "cronsim",
        "cronsim of Healthchecks: Debian's, seconds may come first",
        (CRON, SECONDS_FIRST),
        wraps=False,
        special="LW#",
        seconds_elapse=True,
        named_last=False,
        macros={},
    ),
    Dialect(
        "celery",
        "celery.schedules.crontab, in cron's order",
        (CRON,),
        days="both",
        seven=False,
        whole_names=True,
        open_steps=False,
        special="",
        macros={},
    ),
    Dialect(
        "quartz",
        "Quartz: seconds first, optional year, SUN is 1",
        (SECONDS_FIRST, (*SECONDS_FIRST, "year")),
        days="quartz",
        gap="skip",
        sunday=1,
        seven=False,
        special="LW#?",
        alone="#",
        step_limit=True,
        macros={},
    ),
    Dialect(
        "jenkins",
        "Jenkins: H is hashed as Jenkins does",
        (CRON,),
        days="both",
        names=False,
        wraps=False,
        open_steps=False,
        special="H",
        macros=JENKINS_MACROS,
    ),
    _ROBFIG,
    replace(_ROBFIG, name="robfig-seconds", about="robfig/cron, six fields with seconds first", layouts=(SECONDS_FIRST,)),
    replace(_ROBFIG, name="kubernetes", about="robfig/cron of Kubernetes and Prow, five fields", layouts=(CRON,)),
    Dialect(
        "croniter",
        "croniter: a sixth field is seconds, a seventh years",
        (CRON, SECONDS_LAST, (*SECONDS_LAST, "year")),
        days="either",
        fold="both",
        alone="W",
        faithful=True,
        hashed_macros=CRONITER_MACROS,
    ),
    Dialect(
        "spring", "Spring: seconds first, both day fields must match", (SECONDS_FIRST,), days="both", wraps=False, special="LW#?"
    ),
    Dialect(
        "fugit",
        "fugit of sidekiq-cron and GoodJob: seconds may come first, a zone last",
        (CRON, SECONDS_FIRST),
        days="either",
        zone="last",
    ),
    Dialect(
        "node",
        "croner and cron-parser of Node.js: seconds may come first",
        (CRON, SECONDS_FIRST),
        days="either",
        wraps=False,
        macros=NODE_MACROS,
    ),
)
BY_NAME = {row.name: row for row in ROWS}
ALIASES = {
    "cron": "vixie",
    "cron6": "spring",
    "crontab": "vixie",
    "debian": "vixie",
    "airflow": "croniter",
    "celery-crontab": "celery",
    "cron-parser": "node",
    "croner": "node",
    "github-actions": "vixie",
    "good_job": "fugit",
    "prow": "kubernetes",
    "robfig-standard": "kubernetes",
    "sidekiq-cron": "fugit",
    "vixie-crontab": "vixie",
}


def dialect_of(name: str) -> Dialect:
    """The dialect of that name, or of another name that people give it. Raises BadSchedule."""
    try:
        return BY_NAME[ALIASES.get(name, name)]
    except KeyError:
        hint = nearest(name, [*BY_NAME, *ALIASES])
        raise BadSchedule("dialect", f"expected one of {', '.join(BY_NAME)}; got {name!r}.{hint}") from None
