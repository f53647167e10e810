"""The form of one schedule of a job, and of all of them together."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib.admin.widgets import AdminSplitDateTime

from backbeat.admin.definitions import misfits
from backbeat.admin.models import Calendar, Schedule
from backbeat.admin.pages.inputs import Duration, Json
from backbeat.admin.pages.job_form import suggesting
from backbeat.admin.rows import Values, schedule_spec, schedule_values_in
from backbeat.core.check import argument_problems, schedule_problems
from backbeat.core.dialect import BY_NAME
from backbeat.core.secrets import unmasked
from backbeat.core.when import DAY_POLICIES, GAP_POLICIES, OVERLAP_POLICIES, iso
from backbeat.errors import BadArguments, DefinitionError

KINDS = [
    ("cron", "cron expression"),
    ("every", "interval"),
    ("once", "one moment"),
    ("rrule", "iCalendar rule"),
    ("solar", "by the sun"),
]
MODES = [("skip", "left out"), ("shift", "moved to the next open day")]
# The input that an error about the schedule as a whole belongs to.
_FIELD_OF_KIND = {"cron": "expr", "every": "interval", "once": "at", "rrule": "line", "solar": "line"}


def _choices(words: tuple[str, ...], empty: str) -> list[tuple[str, str]]:
    return [("", empty), *((word, word) for word in words)]


def moment(**options: Any) -> forms.SplitDateTimeField:
    """A date and a time, in the two inputs that Django's admin has for them."""
    return forms.SplitDateTimeField(required=False, widget=AdminSplitDateTime, **options)


class ScheduleForm(forms.ModelForm):  # type: ignore[type-arg]  # generic only for type checkers
    """One schedule."""

    kind = forms.ChoiceField(choices=KINDS, initial="cron")
    expr = forms.CharField(label="Expression", max_length=128, required=False, widget=suggesting("presets", "bb-expr"))
    tz = forms.CharField(label="Zone", max_length=64, initial="UTC", required=False, widget=suggesting("zones", ""))
    interval = forms.CharField(max_length=50, required=False, help_text="For example 15m or 1h30m.")
    line = forms.CharField(
        label="Rule",
        max_length=500,
        required=False,
        widget=forms.TextInput(attrs={"class": "vTextField", "spellcheck": "false"}),
        help_text="rrule|Europe/Berlin|2026-11-23T09:00+01:00|FREQ=WEEKLY;BYDAY=MO or solar|sunset|52.52|13.405",
    )
    dialect = forms.ChoiceField(choices=[(row.name, f"{row.name}: {row.about}") for row in BY_NAME.values()], initial="vixie")
    gap = forms.ChoiceField(label="In spring", choices=_choices(GAP_POLICIES, "as the dialect does"), required=False)
    fold = forms.ChoiceField(label="In autumn", choices=_choices(OVERLAP_POLICIES, "as the dialect does"), required=False)
    days = forms.ChoiceField(choices=[(word, word) for word in DAY_POLICIES], initial="dialect", required=False)
    args = Json(label="Arguments", empty=list, help_text='A JSON list, for example [1, "two"].')
    kwargs = Json(label="Named arguments", empty=dict, help_text='A JSON object, for example {"limit": 10}.')
    at = moment(help_text="The one moment, in UTC.")
    anchor = moment(help_text="Intervals are counted from here (UTC); from the epoch when empty.")
    start = moment(help_text="Not due before (UTC).")
    end = moment(help_text="Not due after (UTC).")
    jitter = Duration(empty=0.0, help_text="Spread over this length, always at the same point for one schedule.")

    calendar = forms.ChoiceField(required=False, help_text="On the days that it closes nothing fires.")
    calendar_mode = forms.ChoiceField(label="On a closed day it is", choices=MODES, initial="skip", required=False)

    class Meta:
        model = Schedule
        fields: ClassVar[list[str]] = [
            "key",
            "kind",
            "expr",
            "tz",
            "interval",
            "at",
            "line",
            "args",
            "kwargs",
            "enabled",
            "dialect",
            "gap",
            "fold",
            "days",
            "anchor",
            "start",
            "end",
            "max_runs",
            "jitter",
            "calendar",
            "calendar_mode",
        ]

    task = ""
    """Name of the job's task; set by the formset, because arguments are checked against its parameters."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # A name that no calendar has (any more) is shown, or saving would take it off unseen.
        names = dict.fromkeys([*Calendar.objects.values_list("name", flat=True), self.instance.calendar])
        self.fields["calendar"].choices = [("", "none"), *((name, name) for name in names if name)]  # type: ignore[attr-defined] # a ChoiceField
        if self.instance.line:
            self.initial["line"] = readable(self.instance.line)

    def has_changed(self) -> bool:
        """A new schedule of which only choices were touched is still an empty form."""
        if (
            self.instance.pk is None
            and self.is_bound
            and not any(self._typed(name) for name in ("expr", "interval", "at_0", "at", "line"))
        ):
            return False
        return super().has_changed()

    def _typed(self, name: str) -> str:
        return str(self.data.get(self.add_prefix(name)) or "").strip()

    def clean(self) -> dict[str, Any]:
        """Ask the one validator."""
        cleaned = super().clean() or self.cleaned_data
        if self.errors:
            return cleaned
        for name in ("args", "kwargs"):
            # Secrets are shown as a mask; one that was left as it was stands for what it hides.
            cleaned[name] = unmasked(cleaned[name], getattr(self.instance, name))
        needed = _FIELD_OF_KIND[cleaned["kind"]]
        if not cleaned.get(needed):
            self.add_error(needed, "This kind of schedule needs it.")
            return cleaned
        for error in self._problems():
            self._show(error)
        return cleaned

    def _problems(self) -> list[DefinitionError]:
        if wrong := argument_problems(self.cleaned_data["args"], self.cleaned_data["kwargs"]):
            return list(wrong)
        try:
            spec = schedule_spec(self.values())
        except DefinitionError as error:
            return [error]
        return [*schedule_problems(spec), *misfits(self.task, spec)]

    def _show(self, error: DefinitionError) -> None:
        field = _FIELD_OF_KIND[self.cleaned_data["kind"]] if error.field == "schedule" else error.field
        if field in self.fields:
            self.add_error(field, error.sentence)
        else:
            # What is left names a parameter of the job's function.
            self.add_error("kwargs" if isinstance(error, BadArguments) else None, str(error))

    def values(self) -> Values:
        """The schedule's plain values. Raises DefinitionError when it names no moment."""
        kept = {name: self.cleaned_data[name] for name in self.Meta.fields if name in self.cleaned_data}
        kept["days"] = kept.get("days") or "dialect"
        kept["tz"] = kept.get("tz") or "UTC"
        kept["calendar_mode"] = kept.get("calendar_mode") or "skip"
        return schedule_values_in(Schedule(**kept, hash_key=self.instance.hash_key))


def readable(line: str) -> str:
    """A stored line with its start as a date."""
    kind, *parts = line.split("|")
    if kind == "rrule" and parts[1].lstrip("-").isdecimal():
        parts[1] = iso(int(parts[1]))
    return "|".join([kind, *parts])


class ScheduleFormSet(forms.BaseInlineFormSet):  # type: ignore[type-arg]  # generic only for type checkers
    """The schedules of one job."""

    def _construct_form(self, i: int, **options: Any) -> Any:
        form = super()._construct_form(i, **options)  # type: ignore[misc]  # Django's own hook for this, missing in its stubs
        form.task = self.data.get("task") or self.instance.task
        return form

    def clean(self) -> None:
        """Several schedules need keys to tell them apart; in our words, which Django's own check would come before."""
        if any(self.errors):
            return
        keys = [form.cleaned_data.get("key", "") for form in self.wanted()]
        for key in sorted({key for key in keys if keys.count(key) > 1}):
            raise forms.ValidationError(f"expected a key of its own for each schedule; {key!r} is there {keys.count(key)} times.")

    def wanted(self) -> list[Any]:
        """The forms that stand for a schedule after saving."""
        gone = self.deleted_forms
        return [form for form in self.forms if (form.has_changed() or form.instance.pk) and form not in gone]
