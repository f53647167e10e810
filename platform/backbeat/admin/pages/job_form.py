"""The form of a job. What it asks for is checked by the same validator as `@job` and the importers."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.utils.html import format_html

from backbeat.admin.definitions import keys_unknown
from backbeat.admin.models import Job, Source
from backbeat.admin.pages.inputs import Duration, Labels, Memory, Names
from backbeat.admin.pages.ownership import mark
from backbeat.admin.rows import RETRY, Values, spec_of, values_in
from backbeat.core.check import problems
from backbeat.core.job import JobSpec
from backbeat.core.priority import PRIORITIES
from backbeat.core.retry import BACKOFFS
from backbeat.errors import DefinitionError

OVERLAPS = [
    ("skip", "skip: leave the later occurrence out"),
    ("queue", "queue: run it when the earlier one has ended"),
    ("replace", "replace: cancel the earlier run"),
    ("allow", "allow: run both at once"),
]
MISFIRES = [
    ("latest", "latest: run the newest one only"),
    ("all", "all: run every one, within the limits below"),
    ("skip", "skip: run none of them"),
]
_NAMED = {9: "9 (most urgent)", 5: "5 (normal)", 0: "0 (least urgent)"}
PRIORITY_CHOICES = [(number, _NAMED.get(number, str(number))) for number in reversed(PRIORITIES)]
# Where the form has another name for what a DefinitionError calls by the option's name.
_FORM_NAME = {"retry": "retry_max"}
_OPTION_OF = {form_name: option for option, form_name in _FORM_NAME.items()}


def suggesting(name: str, css: str = "vTextField") -> forms.TextInput:
    """A text input with suggestions, helpful but never binding; the page holds the list of that name."""
    return forms.TextInput(attrs={"list": f"bb-{name}", "class": css, "spellcheck": "false"})


class JobForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only for type checkers
    """A job without its schedules, which are forms of their own below it."""

    task = forms.CharField(
        max_length=255,
        widget=suggesting("tasks"),
        help_text="The function that does the work: a job of the code, or any Celery task by its name.",
    )
    pool = forms.CharField(
        max_length=50, initial="default", widget=suggesting("pools", ""), help_text="The group of workers that takes its runs."
    )
    priority = forms.TypedChoiceField(choices=PRIORITY_CHOICES, coerce=int, initial=5)
    owner = forms.CharField(max_length=150, required=False)
    labels = Labels()
    retry_max = forms.IntegerField(label="Retries", min_value=0, initial=0, help_text="Further attempts after the first.")
    retry_backoff = forms.ChoiceField(label="Distance", choices=[(word, word) for word in BACKOFFS], initial="exp")
    retry_delay = Duration(label="First delay", empty=1.0, help_text="1s when empty.")
    retry_cap = Duration(label="Longest delay", empty=600.0, help_text="10m when empty.")
    retry_on = Names(label="Retry on", help_text="Class names of errors, parted by commas; any error when empty.")
    retry_give_up_on = Names(label="Give up on", help_text="Class names of errors that are not worth another attempt.")
    timeout = Duration(help_text="Hard limit of one attempt, for example 20m: the worker's child is killed.")
    soft_timeout = Duration(help_text="After this long the job is asked to stop by itself.")
    memory = Memory(help_text="What its process may take, for example 512MiB: more, and the worker's child is killed.")
    start_deadline = Duration(help_text="A run not started so long after its time expires instead.")
    overlap = forms.ChoiceField(choices=OVERLAPS, help_text="When it is due while an earlier run is unfinished.")
    misfire = forms.ChoiceField(choices=MISFIRES, initial="latest", help_text="When nothing could fire in time.")
    misfire_limit = forms.IntegerField(min_value=1, initial=100, help_text="At most so many late occurrences are run.")
    misfire_window = Duration(empty=86400.0, help_text="Older occurrences are not run late; 1d when empty.")
    batch = forms.IntegerField(min_value=1, initial=1, help_text="How many due runs one message may carry; for tiny jobs, 100.")
    version = forms.IntegerField(widget=forms.HiddenInput, required=False)

    class Meta:
        model = Job
        fields: ClassVar[list[str]] = [
            "name",
            "task",
            "description",
            "owner",
            "labels",
            "enabled",
            "pool",
            "priority",
            *(f"retry_{part}" for part in RETRY),
            "timeout",
            "soft_timeout",
            "memory",
            "start_deadline",
            "overlap",
            "misfire",
            "misfire_limit",
            "misfire_window",
            "max_concurrency",
            "concurrency_key",
            "rate",
            "rate_key",
            "rate_burst",
            "batch",
            "version",
        ]
        widgets: ClassVar[dict[str, Any]] = {
            "description": forms.Textarea(attrs={"rows": 2, "class": "vLargeTextField"}),
            "name": forms.TextInput(attrs={"class": "vTextField", "spellcheck": "false"}),
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        saved = self.instance.pk is not None
        # A name is an identity: a job by another name is another job.
        fixed = {"name": saved, "task": saved and self.instance.source == Source.CODE}
        # Whoever may only look gets a form without fields.
        for name, field in self.fields.items():
            field.disabled = fixed.get(name, False)
            owner = mark(self.instance, _OPTION_OF.get(name, name)) if saved else ""
            if owner:
                field.help_text = format_html("{} {}", field.help_text, owner)

    def clean(self) -> dict[str, Any]:
        """Ask the one validator, and refuse to write over a change that the user has not seen."""
        cleaned = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        seen = cleaned.get("version")
        if self.instance.pk is not None and seen is not None and seen != self._version_now():
            raise forms.ValidationError(
                "Somebody changed this job after you opened it. Load the page anew and make your change again."
            )
        try:
            found = problems(self.spec([]))
        except DefinitionError as error:
            found = [error]
        for one in found or keys_unknown(self.spec([])):
            name = _FORM_NAME.get(one.field, one.field)
            self.add_error(name if name in self.fields else None, one.sentence)
        return cleaned

    def _version_now(self) -> int | None:
        return Job.objects.filter(pk=self.instance.pk).values_list("version", flat=True).first()

    def spec(self, schedules: list[Values]) -> JobSpec:
        """What the form asks for. Raises DefinitionError."""
        cleaned = self.cleaned_data
        row = Job(**{name: value for name, value in cleaned.items() if name != "version"})
        return spec_of(cleaned["name"], cleaned["task"], values_in(row, []) | {"schedules": schedules})
