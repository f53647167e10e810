"""`@dag`: how a function that calls jobs becomes a graph of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ParamSpec, TypedDict, TypeVar, Unpack, cast, overload

from backbeat.core import dag_build
from backbeat.core.dag import Dag, Engine, Node, Param
from backbeat.core.dag_build import Builder
from backbeat.core.dag_check import validated
from backbeat.core.dag_handles import NodeHandle, Stage, drafts_of
from backbeat.core.duration import seconds
from backbeat.core.job import Schedule
from backbeat.core.options import job_spec
from backbeat.core.retry import Retry
from backbeat.core.schedule_data import word_of
from backbeat.core.when import When
from backbeat.errors import DefinitionError, GraphError, UnknownOption, nearest
from backbeat.runtime import registry
from backbeat.runtime.binding import bind
from backbeat.runtime.handle import Job
from backbeat.runtime.registry import Place, RegisteredJob, checked

if TYPE_CHECKING:
    from backbeat.core.keys import RunId

P = ParamSpec("P")
R = TypeVar("R")
Duration = str | float | timedelta

_OF_THE_JOB = (
    "schedule", "pool", "priority", "start_deadline", "overlap", "misfire", "misfire_limit", "misfire_window", "enabled", "owner",
    "labels", "description",
)  # fmt: skip
_OF_THE_GRAPH = ("timeout", "retry", "max_active", "urgent_path", "engine")


class DagOptions(TypedDict, total=False):
    """The options of `@dag`. `pool`, `priority` and `retry` are for its nodes, `timeout` is for a whole run."""

    schedule: When | Schedule | Sequence[When | Schedule] | None
    pool: str
    priority: int | str
    retry: Retry | int
    timeout: Duration | None
    start_deadline: Duration | None
    overlap: str
    misfire: str
    misfire_limit: int
    misfire_window: Duration
    max_active: int
    urgent_path: bool
    engine: str
    enabled: bool
    owner: str
    labels: Mapping[str, str]
    description: str


class DagDefinition(Job[P, R]):
    """What `@dag` leaves in the module.

    A plain call runs the whole graph here, node after node; inside another `@dag` function it draws the graph's nodes there.
    `.start` asks for a run.
    """

    @property
    def graph(self) -> Dag:
        """The graph as data."""
        assert self._registered.dag is not None  # noqa: S101 - only DAGs are made into this class
        return self._registered.dag

    def start(
        self, *args: Any, key: str | None = None, priority: int | str | None = None, reason: str = "", **params: Any
    ) -> RunId:
        """Ask for one run with these parameters and return its id; the same `key` gives the same run.

        Raises BadArguments, StoreUnavailable.
        """
        from backbeat.runtime.submit import submit

        return submit(self, args=args, kwargs=params, key=key, priority=priority, reason=reason)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the graph here, or draw it inside another one."""
        builder = dag_build.current()
        if builder is None:
            from backbeat.runtime.dag_inline import run_inline

            return cast("R", run_inline(self.graph, *self.params.validate(args, kwargs)))
        with builder.group(self.name.rpartition(".")[2], prefix=True) as stage:
            returned = self._registered.function(*args, **kwargs)
        return cast("R", stage if returned is None else returned)


class _Decorator:
    """`dag` itself: a decorator, and `dag.group(...)` for use inside the function that it decorates."""

    @overload
    def __call__(self, name: Callable[P, R], /) -> DagDefinition[P, R]: ...
    @overload
    def __call__(
        self, name: str | None = None, *, params: type[Any] | None = None, **options: Unpack[DagOptions]
    ) -> Callable[[Callable[..., R]], DagDefinition[..., R]]: ...
    def __call__(self, name: Any = None, *, params: type[Any] | None = None, **options: Any) -> Any:
        """Make a function that calls jobs a DAG: `@dag` or `@dag("etl.daily", schedule=Cron(…), max_active=1)`.

        The function is called once, now, with placeholders for its parameters. Without a name the DAG is called after its
        module (without a leading `dags.`) and function. Raises GraphError with everything that is wrong with the graph,
        DefinitionError, UnknownOption or DuplicateJob.
        """
        if callable(name):
            return _define(name, None, params, options)
        if name is not None and not isinstance(name, str):
            raise DefinitionError("name", f"expected text; got {name!r}.")
        return lambda function: _define(function, name, params, options)

    @staticmethod
    def group(name: str) -> AbstractContextManager[Stage]:
        """Nodes that belong together: `with dag.group("load") as load: …`, then `load.after(…)`, `report().after(load)`."""
        return _drawing().group(name)

    @staticmethod
    def choose(decider: Any, cases: Mapping[Any, Any]) -> Any:
        """Run only the children under the case that the decider's output names; `"*"` is for every other output."""
        stage = drafts_of(decider)
        if len(stage.drafts) != 1:
            raise GraphError("choose", f"expected one node that decides; got {len(stage.drafts)}.")
        return NodeHandle(_drawing(), stage.drafts[0]).choose(cases)


dag = _Decorator()


def _drawing() -> Builder:
    builder = dag_build.current()
    if builder is None:
        raise GraphError("dag", "expected to be inside a @dag function; there is none around this call.")
    return builder


def _define(function: Callable[P, R], name: str | None, params: type[Any] | None, options: dict[str, Any]) -> DagDefinition[P, R]:
    if isinstance(function, Job):
        raise DefinitionError("dag", f"{function.name!r} is a job already; a DAG is a plain function that calls jobs.")
    name = name or f"{function.__module__.removeprefix('dags.')}.{function.__name__}"
    described = inspect.getdoc(function) or ""
    options.setdefault("description", described.partition("\n\n")[0].replace("\n", " "))
    _refuse_unknown(name, options)
    spec = job_spec(name, name, {option: options[option] for option in _OF_THE_JOB if option in options})
    registered = RegisteredJob(
        spec=spec,
        function=function,
        place=Place(function.__code__.co_filename, function.__code__.co_firstlineno),
        module=function.__module__,
        model=params,
    )
    graph = _drawn(registered, options)
    registered = registry.add(checked(replace(registered, dag=graph)))
    bind(name, function, dag=True)
    return DagDefinition(registered)


def _drawn(registered: RegisteredJob, options: Mapping[str, Any]) -> Dag:
    spec, builder = registered.spec, Builder(registered.name)
    required, defaults = _parameters(registered)
    with dag_build.drawing(builder):
        registered.function(*_placeholders(registered))
    nodes, retry = builder.finish(), options.get("retry")
    if wrong := list(_misfits(nodes)):
        raise GraphError(registered.name, wrong)
    return validated(
        Dag(
            name=registered.name,
            nodes=nodes,
            params=defaults,
            required=required,
            pool=options.get("pool"),
            priority=spec.priority if "priority" in options else None,
            retry=retry if retry is None or isinstance(retry, Retry) else Retry(retry),
            urgent_path=bool(options.get("urgent_path", False)),
            engine=word_of(Engine, options.get("engine", Engine.AUTO), "engine"),
            timeout=seconds(options.get("timeout"), "timeout"),
            max_active=_positive(options.get("max_active", 16)),
            schedules=spec.schedules,
            overlap=spec.overlap,
            misfire=spec.misfire,
            start_deadline=spec.start_deadline,
            enabled=spec.enabled,
            owner=spec.owner,
            labels=spec.labels,
            description=spec.description,
        ),
        registry.jobs,
    )


def _misfits(nodes: Sequence[Node]) -> Iterator[str]:
    """Calls that no job's function takes: too many arguments, or names that it doesn't have. Types show only at run time."""
    for node in nodes:
        known = registry.jobs.get(node.job)
        misfit = _misfit(known, node) if known is not None and not known.adopted else ""
        if misfit:
            yield f"node {node.id!r}: job {node.job!r} can't be called so: {misfit}."


def _misfit(job: RegisteredJob, node: Node) -> str:
    if job.model is not None:
        odd = [name for name in node.kwargs if name not in job.model.model_fields]
        return f"no parameter {odd[0]!r}{nearest(odd[0], job.model.model_fields)}" if odd else ""
    try:
        inspect.signature(job.function).bind(*(node.args if node.over is None else (None, *node.args)), **node.kwargs)
    except TypeError as error:
        return str(error)
    return ""


class _Fields:
    """Stands for the model that the function takes: each field is a parameter of the DAG."""

    def __init__(self, model: type[Any]) -> None:
        self._model = model

    def __getattr__(self, name: str) -> Param:
        if name.startswith("_") or name not in self._model.model_fields:
            raise AttributeError(f"{self._model.__name__} has no field {name!r}.{nearest(name, self._model.model_fields)}")
        return Param(name)


def _placeholders(registered: RegisteredJob) -> list[Any]:
    if registered.model is not None:
        return [_Fields(registered.model)]
    return [Param(name) for name in inspect.signature(registered.function).parameters]


def _parameters(registered: RegisteredJob) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The names that a run must give, and the defaults of the others, as JSON has them."""
    if not inspect.signature(registered.function).parameters:
        return (), {}
    schema = registered.params.json_schema()
    if schema.get("additionalProperties") not in (None, False):
        raise DefinitionError("params", f"DAG {registered.name!r} takes any parameter by **; name those that it uses.")
    required = frozenset(schema.get("required", ()))
    defaults = {name: facts for name, facts in schema["properties"].items() if name not in required}
    for name, facts in defaults.items():
        if "default" not in facts:
            cure = "Give it a plain one, or none, so that each run says its own."
            raise DefinitionError("params", f"the default of {name!r} is made anew each time, which a graph can't hold. {cure}")
    return tuple(name for name in schema["properties"] if name in required), {
        name: facts["default"] for name, facts in defaults.items()
    }


def _positive(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise DefinitionError("max_active", f"expected a whole number from 1; got {value!r}.")
    return value


def _refuse_unknown(name: str, options: Mapping[str, Any]) -> None:
    known = sorted((*_OF_THE_JOB, *_OF_THE_GRAPH))
    for option in options:
        if option not in known:
            raise UnknownOption(option, f"DAG {name!r} has no such option.{nearest(option, known)} Known: {', '.join(known)}.")
