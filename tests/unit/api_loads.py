"""A deployment whose last task is a load, and what loads tell: for tests of the api and its page."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rackwright.load.report.lines import Lines
from tests.unit import load_runs
from tests.unit.api_world import TINY, World

TASKS = TINY["tasks.yaml"] + "- {id: prove, type: load, roles: [web], requires: [start], parameters: {task: a.yaml}}\n"


@contextlib.contextmanager
def loaded_world() -> Iterator[World]:
    """A deployment d whose node n1 has the load ``prove``; nobody has begun it."""
    world = World()
    try:
        world.site()
        files = {**TINY, "tasks.yaml": TASKS, "a.yaml": "version: 2\n"}
        assert world.ask("POST", "/api/v1/catalogs", {"name": "tiny", "files": files}).status_code == 201
        world.apply(catalog="tiny", bind={"web": ["n1"]})
        yield world
    finally:
        world.close()


def told(length: int = 3) -> list[bytes]:
    """The lines of a load of so many seconds: its beginning, its seconds, how it stands, its verdicts, its end."""
    workload = load_runs.workload(length=length)
    said: list[str] = []
    speaker = Lines(workload, said.append)
    speaker.begin("Shop", duration=float(length))
    for second in workload.seconds:
        speaker.take(second)
    speaker.stand(workload.judgements, workload.health)
    speaker.judge(workload.judgements)
    speaker.end()
    return [line.encode() + b"\n" for line in said]


def say(world: World, data: bytes, *, offset: int = 0, last: bool = False) -> None:
    """Add to the log of the load's first attempt."""
    (task,) = world.ask("GET", "/api/v1/deployments/d/tasks?task=prove").json()["items"]
    world.run(world.store.views.add_log([(task["id"], 1, offset, data, last)]))
