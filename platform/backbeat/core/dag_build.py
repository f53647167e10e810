"""Drawing a DAG by calling jobs: inside a `@dag` function a call makes a node, and what it returns stands for its output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from backbeat.core.dag import Later, Node, Rule, case_of
from backbeat.core.dag_handles import Draft, NodeHandle, Stage, Target, drafts_of, to_value
from backbeat.core.duration import seconds
from backbeat.core.priority import priority_of, queue_of
from backbeat.core.retry import Retry
from backbeat.core.schedule_data import word_of
from backbeat.errors import DefinitionError, GraphError, UnknownOption, nearest

_OPTIONS = ("id", "pool", "priority", "retry", "timeout", "estimate", "when")

_current: ContextVar[Builder | None] = ContextVar("backbeat_dag_builder", default=None)


def current() -> Builder | None:
    """The DAG that is being drawn by the calling function, or None: then a job call runs the job."""
    return _current.get()


class Builder:
    """Collects the nodes of one DAG. Mistakes are collected too, and told together by `finish`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[str] = []
        self._drafts: list[Draft] = []
        self._taken: dict[str, int] = {}
        self._prefix = ""
        self._groups: list[str] = []

    def add(
        self, job: object, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, *, when: str | None = None
    ) -> NodeHandle:
        """A node for one call of a job (its name, or anything with a `name`). A `when=` among the keyword arguments that
        names a trigger rule is taken as the rule.
        """
        return self._draw(job, tuple(args), dict(kwargs or {}), None, when)

    def add_map(
        self,
        job: object,
        over: Any,
        kwargs: Mapping[str, Any] | None = None,
        max_parallel: int | None = None,
        *,
        when: str | None = None,
    ) -> NodeHandle:
        """A node that runs a job once for each item of a list, of a parameter or of another node's output."""
        handle = self._draw(job, (), dict(kwargs or {}), over if isinstance(over, Later) else _listed(over), when)
        handle.draft.options["max_parallel"] = max_parallel
        return handle

    def choose(self, decider: Draft, cases: Mapping[Any, Target]) -> None:
        """Let a node's output decide which of its children run."""
        found = decider.cases = decider.cases or {}
        for case, target in cases.items():
            found[case_of(case)] = children = drafts_of(target).roots()
            for child in children:
                child.after[decider] = None

    def change(self, draft: Draft, options: Mapping[str, Any]) -> None:
        """Apply `.set(...)`: options of one node that differ from its job's."""
        for key, value in options.items():
            if value is None:
                continue
            try:
                self._change(draft, key, value)
            except DefinitionError as error:
                self.problems.append(f"node {draft.id!r}: {error.sentence}")

    @contextmanager
    def group(self, name: str, *, prefix: bool = False) -> Iterator[Stage]:
        """Nodes drawn inside belong together in pictures; with `prefix` their ids open with the group's name too."""
        before, start = self._prefix, len(self._drafts)
        self._groups.append(name)
        self._prefix = f"{before}{name}." if prefix else before
        stage = Stage([])
        try:
            yield stage
        finally:
            self._groups.pop()
            self._prefix = before
            stage.drafts.extend(self._drafts[start:])

    def finish(self) -> tuple[Node, ...]:
        """The nodes, in the order in which they were drawn. Raises GraphError with everything that is wrong."""
        nodes = tuple(self._node(draft) for draft in self._drafts)
        if self.problems:
            raise GraphError(self.name, self.problems)
        return nodes

    def _draw(self, job: object, args: tuple[Any, ...], kwargs: dict[str, Any], over: Any, when: str | None) -> NodeHandle:
        name = job if isinstance(job, str) else str(getattr(job, "name", job))
        if when is None and isinstance(kwargs.get("when"), str) and kwargs["when"] in set(Rule):
            when = kwargs.pop("when")
        draft = Draft(self._free(name), name, args, kwargs, over)
        self._drafts.append(draft)
        if self._groups:
            draft.options["group"] = ".".join(self._groups)
        self.change(draft, {"when": when})
        return NodeHandle(self, draft)

    def _change(self, draft: Draft, key: str, value: Any) -> None:
        if key == "id":
            draft.id = self._prefix + str(value)
        elif key == "when":
            draft.options["rule"] = word_of(Rule, value, "when")
        elif key == "retry":
            draft.options[key] = value if isinstance(value, Retry) else Retry(value)
        elif key == "priority":
            draft.options[key] = priority_of(value)
        elif key in ("timeout", "estimate"):
            draft.options[key] = seconds(value, key)
        elif key == "pool":
            queue_of(value, 0)
            draft.options[key] = value
        else:
            raise UnknownOption("node", f"a node has no option {key!r}; it has {', '.join(_OPTIONS)}.{nearest(key, _OPTIONS)}")

    def _free(self, job: str) -> str:
        label = self._prefix + job.rpartition(".")[2]
        self._taken[label] = count = self._taken.get(label, 0) + 1
        return label if count == 1 else f"{label}-{count}"

    def _node(self, draft: Draft) -> Node:
        def value(where: str, given: Any) -> Any:
            return to_value(given, f"{where} of node {draft.id!r}", self.problems)

        over = value("the mapped list", draft.over)
        return Node(
            id=draft.id,
            job=draft.job,
            args=tuple(value(f"argument {place}", given) for place, given in enumerate(draft.args, 1)),
            kwargs={key: value(f"argument {key!r}", given) for key, given in draft.kwargs.items()},
            over=tuple(over) if isinstance(over, list) else over,
            after=tuple(parent.id for parent in draft.after),
            cases=None
            if draft.cases is None
            else {case: tuple(child.id for child in found) for case, found in draft.cases.items()},
            **draft.options,
        )


@contextmanager
def drawing(builder: Builder) -> Iterator[Builder]:
    """Make a builder the current one while a `@dag` function runs."""
    token = _current.set(builder)
    try:
        yield builder
    finally:
        _current.reset(token)


def _listed(over: Iterable[Any]) -> list[Any]:
    if isinstance(over, (str, bytes, Mapping)):
        raise GraphError("map", f"expected a list to map over; got {over!r}.")
    return list(over)
