"""The lease script keeps the rules of the model with which the schedulers were proven (tests/core/lease_model.py)."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backbeat.store.scripts import script
from backbeat.store.store import Store
from tests.core.lease_model import TTL, Shard

STEPS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from(["take", "release", "expire"])),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_the_script_and_the_model_give_the_same_fences(store: Store, steps: list[tuple[str, str]]) -> None:
    client, key = store.slots.client, store.slots.all[0].lease
    client.delete(key)
    model = Shard()

    for holder, step in steps:
        now = store.slots.now_ms()
        if step == "expire":
            client.hset(key, "u", 0)
            model.until = 0
        elif step == "release":
            script("lease")(client, [key], [holder, TTL * 1000, "1"])
            model.release(holder)
        else:
            _, fence, _, _ = script("lease")(client, [key], [holder, TTL * 1000, "0"])
            # A far end: what is compared are the rules, and a slow machine must not end a lease between two steps.
            assert fence == model.take(holder, now)
            model.until = now + TTL * 1000
