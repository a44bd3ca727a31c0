"""Load runs as they look after the fact: a steady open load on a service that stops for a few seconds."""

from __future__ import annotations

import random
from collections.abc import Sequence

from rackwright.core.load.result import (
    WHOLE,
    Firing,
    Health,
    Judgement,
    Part,
    RunResult,
    Sample,
    Second,
    WorkloadResult,
)
from rackwright.core.load.track import Track
from rackwright.core.load.track import track as track_of

STARTED_AT = 1_795_000_000.0
RATE = 100
STALL = (20, 23)
"""From this second until that one nothing is answered."""
SLOWEST = "POST /orders <b>&"
"""An action whose name is not made for pages."""


def take(part: Part, latency: float, service: float, *, failed: bool = False) -> None:
    """Count one iteration."""
    part.total += 1
    part.errors += failed
    part.latency.add(latency)
    part.service.add(service)
    part.every.add(service)
    if not failed:
        part.good.add(service)


def seconds(length: int, seed: int, *, rate: int = RATE, slow: float = 1.0, stall: bool = True) -> list[Second]:
    """The seconds of one workload: log-normal service times around ``slow`` times 4 ms."""
    chance = random.Random(seed)
    made = {at: Second(at=at, intended=rate, in_flight=3, cpu=0.2) for at in range(length)}
    for number in range(length * rate):
        start = number / rate
        service = slow * chance.lognormvariate(-5.5, 0.5)
        late = max(STALL[1] - start, 0.0) if stall and STALL[0] <= start < STALL[1] else 0.0
        end = min(int(start + late + service), length - 1)
        failed = late > 2.5
        second = made[int(start)]
        second.started += 1
        second.lag.add(chance.expovariate(20_000))
        take(made[end].parts.setdefault(WHOLE, Part()), late + service, late + service, failed=failed)
        take(made[end].parts.setdefault("GET /", Part()), service * 0.4, service * 0.4)
        take(made[end].parts.setdefault(SLOWEST, Part()), late + service * 0.6, late + service * 0.6, failed=failed)
    return list(made.values())


def whole(of: Sequence[Second]) -> dict[str, Part]:
    """All seconds merged."""
    merged = Second(at=0)
    for second in of:
        merged.merge(second)
    return merged.parts


def track(workload: WorkloadResult) -> Track:
    """A workload whose seconds are in memory, as reports read it."""
    return track_of(workload, lambda: workload.seconds)


def workload(
    name: str = "Shop", *, length: int = 40, seed: int = 1, slow: float = 1.0, stall: bool = True, position: int = 0
) -> WorkloadResult:
    """One workload with everything that a report can show."""
    of = seconds(length, seed, slow=slow, stall=stall)
    return WorkloadResult(
        name=name,
        position=position,
        scenario="HttpRequests.check_request",
        description="Orders something, and looks at the shop.",
        args={"url": "http://127.0.0.1:8080/", "status_code": 200},
        runner={"rps": {"times": length * RATE, "rps": RATE}},
        contexts={"users": {"tenants": 1}},
        sla={"failure_rate": {"max": 0}},
        hooks=[{"action": {"sys_call": "systemctl restart shop"}, "trigger": {"event": {"unit": "time", "at": [20]}}}],
        started_at=STARTED_AT,
        load_duration=float(length),
        full_duration=length + 1.5,
        seconds=of,
        whole=whole(of),
        judgements=_judgements(stall=stall),
        firings=[
            Firing(
                action="sys_call",
                trigger="event",
                value=20,
                started_at=20.01,
                finished_at=22.9,
                status="success",
                output="</script><script>alert(1)</script>",
            )
        ],
        samples=[
            Sample(
                kind="TimeoutError",
                message="no answer & no end <within> 2 s",
                count=50,
                first_at=20.2,
                trace="line 1\nline 2",
            )
        ],
        health=[
            Health(name="process 0", host="h1", iterations=length * 50, peak_rss=60 << 20),
            Health(name="process 1", host="h2", iterations=length * 50, covered=0.97, lost_at=38.0, clock_offset=0.004),
        ],
        notes=["generator-limited: 12 starts came late"] if stall else [],
    )


def _judgements(*, stall: bool) -> list[Judgement]:
    held = Judgement(criterion="percentiles", success=True, detail="p50 is 4.1 ms, the limit is 10 ms")
    if not stall:
        return [held]
    broken = Judgement(
        criterion="failure_rate",
        success=False,
        detail="1.25 % failed, at most 0 % may",
        broken=[(20.0, 23.0), (37.0, None)],
    )
    return [broken, held]


def run(id_: str = "run-1", *, slow: float = 1.0, stall: bool = True, workloads: int = 1) -> RunResult:
    """A finished run."""
    return RunResult(
        id=id_,
        title="The shop <under> load",
        description="Before the sale.",
        tags=("shop", "nightly"),
        status="finished",
        started_at=STARTED_AT,
        finished_at=STARTED_AT + 42,
        version="0.1",
        task={"version": 2, "title": "The shop under load", "subtasks": []},
        workloads=[
            workload(f"Shop {number}", seed=number, slow=slow, stall=stall, position=number)
            for number in range(workloads)
        ],
    )
