"""Whether a worker may go on with a node of a graph without a message (runtime/going_on.py), as far as policies tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from backbeat.conf import settings
from backbeat.core.dag import Dag, Node
from backbeat.core.dag_wire import Kind
from backbeat.core.template import Template, read
from backbeat.errors import StoreUnavailable, UnknownJob
from backbeat.runtime.insist import OUTAGE
from backbeat.runtime.submit import policies_of, template_of
from backbeat.store.store import open_store


def needs_no_message(template: Template) -> bool:
    """Whether nothing of these runs is to be watched that goes by messages."""
    watched = template.timeout or template.soft_timeout or template.memory or template.sending
    return bool(settings().go_on) and not watched and template.batch == 1


def going_on(dag: Dag, policies: Callable[[str], Template]) -> Callable[[Node], bool]:
    """Of each node whether a worker goes on with it: it needs no message, and is not said to be slow. `policies`: of a job."""
    policies = cache(policies)

    def goes_on(node: Node) -> bool:
        kind = Kind(node.job, node.pool, node.priority, node.retry, node.timeout)
        quick = node.estimate is None or node.estimate <= settings().go_on
        return quick and needs_no_message(changed(policies(node.job), dag, kind, None))

    return goes_on


def changed(template: Template, dag: Dag, kind: Kind, run_priority: int | None) -> Template:
    """A job's policies with what the node, else the run, else the DAG says instead."""
    wanted = next((one for one in (kind.priority, run_priority, dag.priority) if one is not None), template.priority)
    return replace(
        template,
        pool=kind.pool or dag.pool or template.pool,
        priority=min(9, wanted + kind.urgent),
        retry=kind.retry or dag.retry or template.retry,
        timeout=kind.timeout if kind.timeout is not None else template.timeout,
    )


def known_policies(job: str) -> Template:
    """The policies of a job, also where Redis does not answer (then those of the code), or nobody has defined the job yet."""
    try:
        return template_of(open_store(), job)
    except (UnknownJob, StoreUnavailable, *OUTAGE):
        text = policies_of(job)
        return read(text) if text else Template(job)
