"""The form of a graph: a row for each node, with its job and the nodes that it waits for. It works without scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.forms.formsets import BaseFormSet

from backbeat.admin.pages.inputs import Duration, Json, Names
from backbeat.core.dag import Dag, Rule
from backbeat.core.dag_data import from_data, node_data, to_data
from backbeat.core.dag_params import TYPES

MOST = 200
"""Nodes that the form can hold; a larger graph is edited as a file."""
EMPTY_ROWS = 3
_ROW = ("id", "job", "after", "kwargs", "rule")
_TEXT = forms.TextInput(attrs={"class": "vTextField"})


class GraphForm(forms.Form):
    """What concerns the graph as a whole."""

    name = forms.CharField(max_length=150, widget=_TEXT)
    description = forms.CharField(required=False, widget=_TEXT)
    owner = forms.CharField(max_length=150, required=False)
    max_active = forms.IntegerField(label="Runs at once", min_value=1, initial=16)
    timeout = Duration(label="Timeout of a run")
    required = Names(label="Parameters to give", help_text="Names, parted by commas; each run must give them.")
    params = Json(label="Parameters with defaults", empty=dict, help_text='A JSON object, such as {"day": "mon"}.')
    types = Json(
        label="Types of parameters",
        empty=dict,
        help_text=f'A JSON object, such as {{"day": "string"}}: {", ".join(TYPES)}. A run with another value is refused.',
    )
    cron = forms.CharField(
        label="Cron", max_length=128, required=False, help_text="Such as 30 2 * * *; empty: it runs when asked."
    )
    tz = forms.CharField(label="Zone", max_length=64, initial="UTC", required=False)

    def __init__(self, *args: Any, new: bool, **options: Any) -> None:
        super().__init__(*args, **options)
        if not new:
            # A name is an identity, and schedules stand with the job.
            self.fields["name"].disabled = True
            del self.fields["cron"], self.fields["tz"]


class NodeForm(forms.Form):
    """One node."""

    id = forms.CharField(label="Node", max_length=150)
    job = forms.ChoiceField()
    after = forms.MultipleChoiceField(label="Waits for", required=False, widget=forms.CheckboxSelectMultiple)
    kwargs = Json(
        label="Arguments", empty=dict, initial={}, widget=forms.Textarea(attrs={"rows": 2, "cols": 24, "spellcheck": "false"})
    )
    rule = forms.ChoiceField(choices=[(rule.value, rule.value) for rule in Rule], initial=Rule.ALL_SUCCESS.value)
    more = Json(label="More", empty=dict, initial={}, widget=forms.Textarea(attrs={"rows": 2, "cols": 24, "spellcheck": "false"}))

    def __init__(self, *args: Any, jobs: Sequence[str], ids: Sequence[str], **options: Any) -> None:
        super().__init__(*args, **options)
        self.fields["job"].choices = [("", "choose a job"), *((name, name) for name in jobs)]  # type: ignore[attr-defined]  # of a ChoiceField
        self.fields["after"].choices = [(name, name) for name in ids]  # type: ignore[attr-defined]  # of a ChoiceField
        for name in ("id", "job", "rule", "kwargs", "more"):
            # The heading of the column is no label to a screen reader.
            self.fields[name].widget.attrs["aria-label"] = self.fields[name].label or name.capitalize()

    def clean_kwargs(self) -> Any:
        """An object, for it is put together with others."""
        return self._object("kwargs")

    def clean_more(self) -> Any:
        """An object, for the same reason."""
        return self._object("more")

    def _object(self, name: str) -> Any:
        given = self.cleaned_data[name]
        if not isinstance(given, dict):
            raise forms.ValidationError(f'expected an object, such as {{"retry": 2}}; got {given!r}.')
        return given


NodeForms = forms.formset_factory(NodeForm, extra=EMPTY_ROWS, can_delete=True, max_num=MOST, absolute_max=MOST)


def rows_of(graph: Dag) -> list[dict[str, Any]]:
    """The nodes as the form shows them; what has no field of its own stands under `more`."""
    rows = []
    for data in map(node_data, graph.nodes):
        plain = {name: data.pop(name) for name in _ROW if name in data}
        rows.append({**plain, "more": data})
    return rows


def node_forms(jobs: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> BaseFormSet[NodeForm]:
    """The rows to be filled in, with some empty ones."""
    ids = [str(row["id"]) for row in rows]
    named = sorted({*jobs, *(str(row["job"]) for row in rows)})
    return NodeForms(initial=[dict(row) for row in rows], prefix="nodes", form_kwargs={"jobs": named, "ids": ids})


def sent_forms(jobs: Sequence[str], post: Any) -> BaseFormSet[NodeForm]:
    """The rows as a browser sent them. A job or parent that is not there is kept, for the check to name it."""
    count = min(int(post.get("nodes-TOTAL_FORMS") or 0), MOST) if str(post.get("nodes-TOTAL_FORMS")).isdecimal() else 0
    ids = [post.get(f"nodes-{place}-id", "").strip() for place in range(count)]
    parents = [parent for place in range(count) for parent in post.getlist(f"nodes-{place}-after")]
    named = [post.get(f"nodes-{place}-job", "") for place in range(count)]
    known = {"jobs": sorted({*jobs, *filter(None, named)}), "ids": list(dict.fromkeys(filter(None, [*ids, *parents])))}
    return NodeForms(post, prefix="nodes", form_kwargs=known)


def rows_in(forms_: BaseFormSet[NodeForm]) -> list[dict[str, Any]]:
    """The nodes of valid rows, in their order, without those that are to go."""
    filled = [form.cleaned_data for form in forms_ if form.cleaned_data.get("id") and not form.cleaned_data.get("DELETE")]
    return [{name: given[name] for name in (*_ROW, "more")} for given in filled]


def graph_of(before: Dag | None, given: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Dag:
    """The graph that was drawn; what the form does not show stays as it was. Raises GraphError with everything odd."""
    data = {} if before is None else to_data(before)
    data |= {
        "dag": given["name"],
        "description": given["description"],
        "owner": given["owner"],
        "max_active": given["max_active"],
    }
    data |= {"timeout": given["timeout"], "required": list(given["required"]), "params": given["params"], "types": given["types"]}
    if given.get("cron"):
        data["schedules"] = [{"cron": given["cron"], "tz": given.get("tz") or "UTC"}]
    # A field of the row wins over the same word under `more`.
    data["nodes"] = [{**row["more"], **{name: row[name] for name in _ROW if row[name] or name in ("id", "job")}} for row in rows]
    return from_data(data)
