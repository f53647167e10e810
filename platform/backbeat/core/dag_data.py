"""A DAG as JSON-able data and back, without loss: what `backbeat dag import` reads, the admin edits and Redis keeps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from backbeat.core.dag import Dag, Engine, Node, Param, Ref, Rule, case_of
from backbeat.core.duration import seconds
from backbeat.core.job import Misfire, Overlap
from backbeat.core.priority import priority_of
from backbeat.core.schedule_data import list_of, only_known, retry_data, retry_from, schedule_data, schedule_from, word_of
from backbeat.errors import DefinitionError, GraphError

_REF, _PARAM, _LITERAL = "$ref", "$param", "$value"
_NODE_PLAIN = ("max_parallel", "group", "pool", "priority", "timeout", "estimate")
_NODE_KEYS = ("id", "job", "args", "kwargs", "after", "map", "rule", "choose", "retry", *_NODE_PLAIN)
_DAG_PLAIN = ("pool", "priority", "urgent_path", "timeout", "max_active", "start_deadline", "enabled", "owner", "description")
_DAG_WORDS = ("overlap", "misfire", "engine")
_DAG_KEYS = ("dag", "nodes", "params", "required", "types", "schedules", "labels", "retry", *_DAG_WORDS, *_DAG_PLAIN)
_DURATIONS = frozenset({"timeout", "estimate", "start_deadline"})
_KINDS: Mapping[str, tuple[type, str]] = {
    **dict.fromkeys(("max_parallel", "max_active"), (int, "a whole number")),
    **dict.fromkeys(("group", "pool", "owner", "description"), (str, "text")),
    **dict.fromkeys(("urgent_path", "enabled"), (bool, "true or false")),
}
_INHERITED = frozenset({"max_parallel", "pool"})
_DEFAULT = Dag("_", ())

T = TypeVar("T")


def to_data(dag: Dag) -> dict[str, Any]:
    """The whole DAG; what equals the default is left out. `from_data(to_data(dag)) == dag`."""
    data: dict[str, Any] = {"dag": dag.name}
    data |= {key: value for key in _DAG_PLAIN if (value := getattr(dag, key)) != getattr(_DEFAULT, key)}
    data |= {key: str(value) for key in _DAG_WORDS if (value := getattr(dag, key)) is not getattr(_DEFAULT, key)}
    if dag.labels:
        data["labels"] = dict(dag.labels)
    if dag.retry is not None:
        data["retry"] = retry_data(dag.retry)
    if dag.schedules:
        data["schedules"] = [schedule_data(schedule) for schedule in dag.schedules]
    return data | graph_data(dag)


def graph_data(dag: Dag) -> dict[str, Any]:
    """The part of a DAG that its version is a hash of."""
    data: dict[str, Any] = {"nodes": [node_data(node) for node in dag.nodes]}
    if dag.params:
        data["params"] = dict(dag.params)
    if dag.required:
        data["required"] = list(dag.required)
    if dag.types:
        data["types"] = dict(dag.types)
    return data


def node_data(node: Node) -> dict[str, Any]:
    """One node; what equals the default is left out."""
    data: dict[str, Any] = {"id": node.id, "job": node.job}
    if node.args:
        data["args"] = [encode(value) for value in node.args]
    if node.kwargs:
        data["kwargs"] = {key: encode(value) for key, value in node.kwargs.items()}
    if node.after:
        data["after"] = list(node.after)
    if node.over is not None:
        data["map"] = encode(node.over)
    if node.rule is not Rule.ALL_SUCCESS:
        data["rule"] = str(node.rule)
    if node.cases is not None:
        data["choose"] = {case: list(children) for case, children in node.cases.items()}
    if node.retry is not None:
        data["retry"] = retry_data(node.retry)
    return data | {key: value for key in _NODE_PLAIN if (value := getattr(node, key)) not in (None, "")}


def from_data(data: Mapping[str, Any]) -> Dag:
    """The DAG that `to_data` wrote, or a person. Raises GraphError that names every unknown key and wrong value."""
    problems: list[str] = []
    name = str(data.get("dag", "?")) if isinstance(data, Mapping) else "?"
    try:
        dag = _dag(data, problems)
    except DefinitionError as error:
        raise GraphError(name, [error.sentence, *problems]) from None
    if problems:
        raise GraphError(name, problems)
    return dag


def node_from(data: Mapping[str, Any]) -> Node:
    """The node that `node_data` wrote. Raises UnknownOption for a key that a node doesn't have."""
    only_known(data, _NODE_KEYS, "node")
    for key in ("id", "job"):
        if not isinstance(data.get(key), str):
            raise GraphError("node", f"expected {key!r} to be a name; got {data.get(key)!r}.")
    over = decode(data.get("map"))
    if over is not None and not isinstance(over, (list, Ref, Param)):
        raise GraphError("map", f"expected 'map' to be a list or a reference to one; got {over!r}.")
    return Node(
        id=data["id"],
        job=data["job"],
        args=tuple(decode(value) for value in list_of(data, "args")),
        kwargs={key: decode(value) for key, value in _object(data, "kwargs").items()},
        after=_names(data, "after"),
        over=tuple(over) if isinstance(over, list) else over,
        rule=word_of(Rule, data.get("rule", Rule.ALL_SUCCESS), "rule"),
        cases=_cases(data["choose"]) if data.get("choose") is not None else None,
        retry=retry_from(data["retry"]) if data.get("retry") is not None else None,
        **{key: _plain(key, data[key]) for key in _NODE_PLAIN if key in data},
    )


def encode(value: Any, of_ref: Callable[[Ref], Any] | None = None) -> Any:
    """A value with its references as `{"$ref": …}` (or as `of_ref` writes them) and `{"$param": …}`."""
    if isinstance(value, Ref):
        return of_ref(value) if of_ref else ref_data(value)
    if isinstance(value, Param):
        return {_PARAM: value.name}
    if isinstance(value, (list, tuple)):
        return [encode(item, of_ref) for item in value]
    if isinstance(value, Mapping):
        plain = {key: encode(item, of_ref) for key, item in value.items()}
        # A dict that only looks like one of ours is wrapped, so that no author's data is taken for a reference.
        return {_LITERAL: plain} if any(str(key).startswith("$") for key in value) else plain
    return value


def ref_data(ref: Ref) -> dict[str, Any]:
    """One reference."""
    return {_REF: ref.node, "path": list(ref.path)} if ref.path else {_REF: ref.node}


def decode(data: Any) -> Any:
    """The value that `encode` wrote. Raises GraphError."""
    if isinstance(data, list):
        return [decode(item) for item in data]
    if not isinstance(data, Mapping):
        return data
    if _REF in data:
        return _ref(data)
    if _PARAM in data:
        return Param(str(data[_PARAM]))
    inner = data.get(_LITERAL, data)
    if not isinstance(inner, Mapping):
        raise GraphError(_LITERAL, f"expected {_LITERAL!r} to hold an object; got {inner!r}.")
    return {key: decode(item) for key, item in inner.items()}


def _dag(data: Mapping[str, Any], problems: list[str]) -> Dag:
    if not isinstance(data, Mapping):
        raise GraphError("dag", f"expected an object with 'dag' and 'nodes'; got {type(data).__name__}.")
    only_known(data, _DAG_KEYS, "dag")
    nodes = _each(list_of(data, "nodes"), "node", node_from, problems)
    schedules = _each(list_of(data, "schedules"), "schedule", schedule_from, problems)
    return Dag(
        name=str(data.get("dag", "")),
        nodes=nodes,
        params=_object(data, "params"),
        required=_names(data, "required"),
        types=_object(data, "types"),
        schedules=schedules,
        overlap=word_of(Overlap, data.get("overlap", _DEFAULT.overlap), "overlap"),
        misfire=word_of(Misfire, data.get("misfire", _DEFAULT.misfire), "misfire"),
        engine=word_of(Engine, data.get("engine", _DEFAULT.engine), "engine"),
        retry=retry_from(data["retry"]) if data.get("retry") is not None else None,
        labels={key: str(value) for key, value in _object(data, "labels").items()},
        **{key: _plain(key, data[key]) for key in _DAG_PLAIN if key in data},
    )


def _each(items: list[Any], what: str, read: Callable[[Any], T], problems: list[str]) -> tuple[T, ...]:
    found = []
    for place, item in enumerate(items, 1):
        try:
            found.append(read(item))
        except DefinitionError as error:
            name = item.get("id", place) if isinstance(item, Mapping) else place
            problems.append(f"{what} {name}: {error.sentence}")
    return tuple(found)


def _ref(data: Mapping[str, Any]) -> Ref:
    node, path = data[_REF], data.get("path", ())
    if not isinstance(node, str) or not isinstance(path, (list, tuple)) or not all(isinstance(step, (str, int)) for step in path):
        raise GraphError(_REF, f'expected {{"$ref": "node", "path": ["key", 0]}}; got {dict(data)!r}.')
    return Ref(node, tuple(path))


def _cases(given: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(given, Mapping):
        raise DefinitionError("choose", f"expected 'choose' to be an object of lists; got {given!r}.")
    # YAML knows cases that are no text: `true: [a]`.
    return {case_of(case): _names(given, case) for case in given}


def _object(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key)
    if value is not None and not isinstance(value, Mapping):
        raise DefinitionError(key, f"expected {key!r} to be an object; got {value!r}.")
    for name in value or ():
        if not isinstance(name, str):
            raise DefinitionError(key, f"expected the names in {key!r} to be text; got {name!r}.")
    return dict(value or {})


def _names(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    names = list_of(data, key)
    for name in names:
        if not isinstance(name, str):
            raise DefinitionError(key, f"expected {key!r} to be a list of names; got {name!r} in it.")
    return tuple(names)


def _plain(key: str, value: Any) -> Any:
    """What is None is inherited, where the default is None too."""
    if key in _DURATIONS:
        return seconds(value, key)
    if key == "priority":
        return None if value is None else priority_of(value)
    kind, words = _KINDS[key]
    # By type(), because True is an int.
    if type(value) is not kind and not (value is None and key in _INHERITED):
        raise DefinitionError(key, f"expected {key!r} to be {words}; got {value!r}.")
    if key == "max_active" and isinstance(value, int) and value < 1:
        raise DefinitionError(key, f"expected {key!r} to be 1 or more; got {value}.")
    return value
