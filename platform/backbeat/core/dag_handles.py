"""What a `@dag` function holds in its hands: handles of nodes, parts of their outputs, and stages of several nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from enum import Enum
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeAlias, Union

from backbeat.core.dag import Later, Param, Ref
from backbeat.errors import GraphError

if TYPE_CHECKING:
    from backbeat.core.dag_build import Builder

Target: TypeAlias = Union["NodeHandle", "Part", "Stage", "list[Target]", "tuple[Target, ...]"]


@dataclass(slots=True, eq=False)
class Draft:
    """A node while it is being drawn. Its id may still change, so others hold the draft, not the id."""

    id: str
    job: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    over: Any = None
    after: dict[Draft, None] = field(default_factory=dict)
    cases: dict[str, list[Draft]] | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def parents(self) -> set[Draft]:
        """The drafts that this one waits for."""
        return {*self.after, *_used([self.over, *self.args, *self.kwargs.values()])}


class _Arrows:
    """`a >> b`, `b << a` and `b.after(a)` say the same: b waits for a, and takes nothing from it."""

    __slots__ = ()

    def after(self, *parents: Any) -> Any:
        """Wait for these nodes too. Returns the same handle."""
        _order(parents, self)
        return self

    def __rshift__(self, child: Any) -> Any:
        _order(self, child)
        return child

    def __lshift__(self, parent: Any) -> Any:
        _order(parent, self)
        return parent

    def __rrshift__(self, parents: Any) -> Any:
        _order(parents, self)
        return self

    def __rlshift__(self, children: Any) -> Any:
        _order(self, children)
        return self


class NodeHandle(_Arrows, Later):
    """One node. Handed to another job it is this node's output; `handle["rows"]` is a part of that output."""

    __slots__ = ("builder", "draft")

    def __init__(self, builder: Builder, draft: Draft) -> None:
        self.builder = builder
        self.draft = draft

    @property
    def id(self) -> str:
        """The node's id inside its DAG."""
        return self.draft.id

    def set(self, **options: Any) -> NodeHandle:
        """Options of this node alone: id, pool, priority, retry, timeout, estimate, when. Wrong ones are told when the
        drawing is done.
        """
        self.builder.change(self.draft, options)
        return self

    def choose(self, cases: Mapping[Any, Target]) -> NodeHandle:
        """Run only the children that stand under this node's output; skip those under other cases.

        `"*"` stands for every other output. An output that is a list takes several cases.
        """
        self.builder.choose(self.draft, cases)
        return self

    def __getitem__(self, key: str | int) -> Part:
        return Part(self.draft, (key,))

    def __str__(self) -> str:
        return f"the output of {self.draft.id!r}"

    __repr__ = __str__


class Part(Later):
    """A part of a node's output."""

    __slots__ = ("draft", "path")

    def __init__(self, draft: Draft, path: tuple[str | int, ...]) -> None:
        self.draft = draft
        self.path = path

    def __getitem__(self, key: str | int) -> Part:
        return Part(self.draft, (*self.path, key))

    def __str__(self) -> str:
        return f"a part of the output of {self.draft.id!r}"


class Stage(_Arrows):
    """Several nodes at once: to wait for a stage is to wait for its last nodes; its first nodes wait for it."""

    __slots__ = ("drafts",)

    def __init__(self, drafts: Iterable[Draft]) -> None:
        self.drafts = list(drafts)

    def roots(self) -> list[Draft]:
        """The nodes that wait for no other node of the stage."""
        inside = set(self.drafts)
        return [draft for draft in self.drafts if not draft.parents() & inside]

    def leaves(self) -> list[Draft]:
        """The nodes that no other node of the stage waits for."""
        waited_for = {parent for draft in self.drafts for parent in draft.parents()}
        return [draft for draft in self.drafts if draft not in waited_for]


def _order(before: Any, then: Any) -> None:
    above, below = drafts_of(before).leaves(), drafts_of(then).roots()
    for draft in below:
        draft.after |= dict.fromkeys(above)


def drafts_of(target: Any) -> Stage:
    """The nodes that a handle, a part, a stage or a list of them stands for. Raises GraphError for anything else."""
    if isinstance(target, Stage):
        return target
    if isinstance(target, (NodeHandle, Part)):
        return Stage([target.draft])
    if isinstance(target, (list, tuple)):
        return Stage(draft for item in target for draft in drafts_of(item).drafts)
    raise GraphError("dag", f"expected a node (what a job call returns inside @dag), or a list of nodes; got {target!r}.")


def to_value(given: Any, where: str, problems: list[str]) -> Any:
    """A JSON-able value in which handles have become references; what JSON can't carry is added to `problems`."""
    if isinstance(given, NodeHandle):
        return Ref(given.draft.id)
    if isinstance(given, Part):
        return Ref(given.draft.id, given.path)
    if isinstance(given, float) and not isfinite(given):
        problems.append(f"{where}: expected a number that JSON has; got {given}.")
    if isinstance(given, Enum):
        return to_value(given.value, where, problems)
    if given is None or isinstance(given, (Param, Ref, str, bool, int, float)):
        return given
    if isinstance(given, Mapping):
        return {str(key): to_value(item, where, problems) for key, item in given.items()}
    if isinstance(given, (list, tuple)):
        return [to_value(item, where, problems) for item in given]
    if isinstance(given, (date, time)):
        return given.isoformat()
    if hasattr(given, "model_dump"):
        return given.model_dump(mode="json")
    problems.append(f"{where}: expected something that JSON can carry; got {type(given).__name__} {given!r:.80}.")
    return None


def _used(values: Iterable[Any]) -> Iterator[Draft]:
    for value in values:
        if isinstance(value, (NodeHandle, Part)):
            yield value.draft
        elif isinstance(value, (list, tuple)):
            yield from _used(value)
        elif isinstance(value, Mapping):
            yield from _used(value.values())
