"""Job definitions and their schedules: the durable truth from which the Redis index can be rebuilt."""

from __future__ import annotations

from django.db import models

from backbeat.admin.models.fields import NAME, SCHEDULE_ID, long, moment, seconds, short
from backbeat.core import job as core


class Source(models.TextChoices):
    """Where a definition was first written."""

    CODE = "code", "code"
    ADMIN = "admin", "admin"
    IMPORT = "import", "import"


class Job(models.Model):
    """One named function with its policies. Lengths of time are seconds.

    Words that the core may add to (policies, dialects) carry no `choices` here, or each new one would need a migration.

    `code` holds what the code asked for and `overridden` the names of the fields in which an operator decided
    otherwise, so that a deploy changes the former and leaves the latter alone.
    """

    name = models.CharField(max_length=NAME, unique=True)
    task = models.CharField(max_length=255, help_text="Name of the Celery task that does the work.")
    pool = models.CharField(max_length=50, default="default", db_index=True)
    priority = models.PositiveSmallIntegerField(default=5, help_text="0 to 9; 9 is most urgent.")
    retry_max = models.PositiveSmallIntegerField("retries", default=0, help_text="Further attempts after the first.")
    retry_backoff = models.CharField("backoff", max_length=10, default="exp")
    retry_delay = models.FloatField("first delay", default=1.0)
    retry_cap = models.FloatField("longest delay", default=600.0)
    retry_jitter = models.BooleanField("jitter", default=True, help_text="Spread the delays, so that a herd comes apart.")
    retry_on = models.JSONField("retry on", default=list, blank=True, help_text="Class names of errors; empty means any.")
    retry_give_up_on = models.JSONField("give up on", default=list, blank=True, help_text="Class names of errors.")
    timeout = seconds(help_text="Hard limit of one attempt: the worker's child is killed.")
    soft_timeout = seconds(help_text="The job is asked to stop after this long.")
    memory = models.BigIntegerField(null=True, blank=True, help_text="Bytes that the process of one attempt may take.")
    start_deadline = seconds(help_text="A run not started so long after its time expires instead.")
    overlap = models.CharField(max_length=10, default=core.Overlap.SKIP.value)
    misfire = models.CharField(max_length=10, default=core.Misfire.LATEST.value)
    misfire_limit = models.PositiveIntegerField(default=100, help_text="At most so many late occurrences are run.")
    misfire_window = models.FloatField(default=86400.0, help_text="Occurrences older than this are not run late.")
    max_concurrency = models.PositiveIntegerField(
        "at most at once",
        null=True,
        blank=True,
        help_text="Runs that work at a time, over all workers; empty for any number.",
    )
    concurrency_key = short(200, help_text="So many of each key: arguments in braces, for example {tenant}")
    rate = short(40, help_text="Starts in a time, over all workers: 10/s, 100/m, 5/10s")
    rate_key = short(200, help_text="So many of each key: arguments in braces, for example {account}")
    rate_burst = models.PositiveIntegerField(
        "burst", null=True, blank=True, help_text="Starts at once after a lull; what a second brings when empty."
    )
    batch = models.PositiveIntegerField(default=1, help_text="How many due runs one message may carry, for tiny jobs.")
    enabled = models.BooleanField(default=True, db_index=True)
    paused_at = moment()
    paused_reason = long()
    paused_by = short(150)
    paused_until = moment(help_text="Resumes by itself then; empty means until someone resumes it.")
    catch_up_from = moment(help_text="Resumed: occurrences after this are for the misfire policy to decide.")
    owner = short(150, db_index=True)
    labels = models.JSONField(default=dict, blank=True)
    description = long()
    calendar = short(100, help_text="Name of a shared calendar.")

    source = models.CharField(max_length=10, choices=Source.choices, default=Source.ADMIN, db_index=True)
    module = short(255, help_text="The module whose code defines it.")
    place = short(500, help_text="File and line of that code.")
    orphaned_at = moment(help_text="When its code was last looked for and not found.")
    code = models.JSONField(null=True, blank=True)
    overridden = models.JSONField(default=list, blank=True)
    version = models.PositiveBigIntegerField(default=0)
    published_version = models.PositiveBigIntegerField(default=0, help_text="The version that the scheduler's index holds.")
    published = models.JSONField(default=list, blank=True, help_text="Ids of the schedules that the index may hold.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        indexes = [
            # What the keeper's sweep asks for: definitions that the index does not hold yet, and pauses that end.
            models.Index(fields=["id"], condition=~models.Q(version=models.F("published_version")), name="job_unpublished"),
            models.Index(fields=["paused_until"], condition=models.Q(paused_until__isnull=False), name="job_paused_until"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def orphaned(self) -> bool:
        """Whether its code is gone."""
        return self.orphaned_at is not None

    @property
    def paused(self) -> bool:
        """Whether an operator holds it."""
        return self.paused_at is not None

    @property
    def live(self) -> bool:
        """Whether it fires: enabled, not paused, and its code is still there."""
        return self.enabled and not self.paused and not self.orphaned


class Schedule(models.Model):
    """One reason for a job to be due, with arguments of its own."""

    KINDS = [("cron", "cron"), ("every", "every"), ("once", "once"), ("rrule", "rrule"), ("solar", "solar")]

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="schedules")
    key = short(50, help_text="Tells several schedules of one job apart; empty for the only one.")
    kind = models.CharField(max_length=10, choices=KINDS, default="cron")
    expr = short(128, help_text="Cron expression, for example 30 2 * * *")
    tz = models.CharField("zone", max_length=64, default="UTC", help_text="IANA name, for example Europe/Berlin")
    dialect = models.CharField(max_length=20, default="vixie")
    gap = short(10, help_text="What a fixed time does when the clock jumps over it.")
    fold = short(10, help_text="What a fixed time does when the clock shows it twice.")
    days = models.CharField(max_length=10, default="dialect", help_text="How day of month and weekday are joined.")
    hash_key = short(SCHEDULE_ID, help_text="What H is hashed from; empty means the schedule's id.")
    interval = short(50, help_text="For example 15m or 1h30m")
    anchor = moment(help_text="Intervals are counted from here; empty means the epoch.")
    at = moment(help_text="The one moment, in UTC.")
    line = long(help_text="The whole schedule in its stored form, for kinds that have no columns of their own.")
    args = models.JSONField("arguments", default=list, blank=True)
    kwargs = models.JSONField("named arguments", default=dict, blank=True)
    enabled = models.BooleanField(default=True)
    start = moment(help_text="Not due before.")
    end = moment(help_text="Not due after.")
    max_runs = models.PositiveIntegerField(null=True, blank=True)
    jitter = models.FloatField(default=0.0, help_text="Spread over this length, always the same for one schedule.")
    calendar = short(100, help_text="The name of a calendar: nothing fires on the days that it closes.")
    calendar_mode = models.CharField(max_length=10, default="skip")

    class Meta:
        ordering = ["key"]
        constraints = [models.UniqueConstraint(fields=["job", "key"], name="schedule_once_per_job")]
        indexes = [models.Index(fields=["calendar"], condition=~models.Q(calendar=""), name="schedule_by_calendar")]

    def __str__(self) -> str:
        return f"{self.job.name}#{self.key}" if self.key else self.job.name


class Removal(models.Model):
    """A deleted job that the scheduler's index may still hold; the row goes when the index agrees."""

    job = models.CharField(max_length=NAME, unique=True)
    schedule_ids = models.JSONField(default=list)
    at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.job
