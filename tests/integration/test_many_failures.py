"""Ten thousand failures at once: each is judged, all below is blocked, and no batch grows with the fleet."""

from __future__ import annotations

import contextlib
import time
import tracemalloc

from rackwright.engine import timers
from rackwright.store.postgres import PostgresStore
from tests.integration.hands import Hands, failed

NODES = 10_000
BATCH = 200
TASKS = """
- {id: install, type: noop, roles: [web]}
- {id: start, type: noop, roles: [web], requires: [install]}
"""
LARGEST = 16 * 2**20
"""Bytes that taking one batch of failures may need for a while: far less than what the whole fleet would."""


async def test_ten_thousand_failures_at_once_are_taken_in_batches_that_do_not_grow(
    postgres_store: PostgresStore,
) -> None:
    hands = Hands(postgres_store, postgres_store.views)
    await hands.site(nodes=NODES, racks=1)
    await hands.deployment(TASKS, "- name: web\n", bind={"web": [f"n{i}" for i in range(NODES)]})
    claims = await hands.claim(capacity=NODES)
    assert len(claims) == NODES
    peak = 0
    for first in range(0, NODES, BATCH):
        ends = [failed(claim) for claim in claims[first : first + BATCH]]
        with contextlib.ExitStack() as traced:
            if first in (0, NODES - BATCH):
                tracemalloc.start()
                traced.callback(tracemalloc.stop)
            verdicts = await hands.give(*ends)
            peak = max(peak, tracemalloc.get_traced_memory()[1])
        assert all(verdict.taken for verdict in verdicts.items)
    assert peak < LARGEST
    assert await hands.claim() == []
    (deployment,) = await postgres_store.views.deployments(names=["d"])
    assert (deployment.state, deployment.tasks) == ("error", {"error": NODES, "blocked": NODES})
    assert len(deployment.reasons) == 20
    assert len(await postgres_store.views.nodes(state="error", limit=NODES + 1)) == NODES
    async with postgres_store.transaction() as tx:
        assert await tx.recount() == {}
    assert await timers.reap(postgres_store, time.time() + 3600) == 0
