"""What it costs one controller to listen to many agents, and whether it misses anything they tell.

A program of its own plays the agents: each has real sockets with CURVE, heartbeats every second, answers to pings, and
one delta a second: five series of ``--samples`` durations each, so that by default a thousand agents tell of 200,000
iterations a second with four actions each. No agent makes any load. The controller merges and gives every second as in
a real run.

Given are the controller's processor time for each second of load, and for each agent of it, its highest resident size,
deltas that did not come, and how long after its end a second of all agents is whole. The limit that it is measured by
is bare work: the time that the same process needs to decode and merge the same bytes without sockets, in the same run.

    python benchmarks/load_agents.py --agents 1000 --json
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import random
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import zmq

from rackwright.core.load.result import WHOLE, Part, Second
from rackwright.core.load.schedule import Open, Stage
from rackwright.load.distributed import beats, messages
from rackwright.load.distributed.channel import Channel, client
from rackwright.load.distributed.fleet import Fleet
from rackwright.load.distributed.keys import AgentKeys, pair
from rackwright.load.distributed.messages import (
    Beat,
    Delta,
    Finished,
    Hello,
    Ping,
    Pong,
    Prepare,
    Prepared,
    Start,
    Welcome,
)
from rackwright.load.generators import Ears, LoadFailed
from rackwright.load.merging import Merging
from rackwright.load.words import Report, Work

SERIES = ("", "login", "list", "order", "pay")
KINDS = 20
"""Different seconds that agents tell in turn."""
SILENCE = 30.0
"""Seconds: this host plays everybody, and may be slow."""


def made_second(seed: int, samples: int) -> Second:
    """A second of a busy host."""
    dice = random.Random(seed)
    second = Second(at=0, intended=samples, started=samples, cpu=0.5)
    for name in SERIES:
        part = second.parts[name] = Part()
        for _ in range(samples):
            service = dice.lognormvariate(-5, 0.7)
            part.add(service * 1.1, service)
    second.lag.add_all(dice.expovariate(5_000) for _ in range(samples))
    return second


class Actor:
    """One simulated agent."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], keys: AgentKeys, address: str, number: int) -> None:
        self._context, self._keys, self._address, self._number = context, keys, address, number
        self._session = ""
        self._tasks: list[asyncio.Task[None]] = []
        control = client(context, zmq.DEALER, keys)
        self._control = Channel(control, self._hear)
        control.connect(address)
        name = f"agent-{number}"
        self._tell(Hello(token=keys.token, name=name, host=name, cores=8))

    def _tell(self, word: messages.FromAgent) -> None:
        self._control.send(messages.pack(word))

    def _hear(self, frames: Sequence[bytes]) -> None:
        word = messages.from_controller.decode(frames[-1])
        if isinstance(word, Ping):
            self._tell(Pong(sent=word.sent, monotonic=time.monotonic(), wall=time.time()))
        elif isinstance(word, Welcome):
            self._session = word.session
            seconds = client(self._context, zmq.PUSH, self._keys)
            seconds.connect(f"{self._address.rpartition(':')[0]}:{word.seconds}")
            self._seconds = Channel(seconds)
            self._tasks.append(asyncio.create_task(self._beat()))
        elif isinstance(word, Prepare):
            self._length = int(word.work.until) + 1
            self._tell(Prepared(word.load, word.piece))
        elif isinstance(word, Start):
            self._tasks.append(asyncio.create_task(self._play(word)))

    async def _beat(self) -> None:
        await asyncio.sleep(random.random() * beats.EVERY)
        while True:
            self._seconds.send(messages.pack(Beat(self._session, 0.0)))
            await asyncio.sleep(beats.EVERY)

    async def _play(self, start: Start) -> None:
        for at in range(self._length):
            await asyncio.sleep(max(0.0, start.zero + at + 1 + random.random() * 0.25 - time.monotonic()))
            second = msgspec.structs.replace(SECONDS[(self._number + at) % KINDS], at=at)
            report = Report(upto=at + 1.0, seconds=[second], iterations=at + 1)
            told = time.monotonic() - start.zero
            self._seconds.send(
                messages.pack(
                    Delta(session=self._session, load=start.load, piece=0, number=at + 1, at=told, report=report)
                )
            )
        self._tell(Finished(load=start.load, piece=0, deltas=self._length, length=float(self._length)))


SECONDS: list[Second] = []


def play(keys: AgentKeys, address: str, agents: int, samples: int) -> None:
    """The process that plays all agents, until it is ended."""
    SECONDS.extend(made_second(seed, samples) for seed in range(KINDS))

    async def stage() -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        context.set(zmq.MAX_SOCKETS, 3 * agents + 100)
        actors = [Actor(context, keys, address, number) for number in range(agents)]
        await asyncio.Event().wait()
        del actors

    asyncio.run(stage())


def bare(agents: int, samples: int) -> float:
    """Seconds of processor time to decode and merge one second of all agents, without sockets."""
    packed = [
        messages.pack(Delta(session="", load=1, piece=0, number=1, at=1.0, report=Report(upto=1.0, seconds=[each])))
        for each in (made_second(seed, samples) for seed in range(KINDS))
    ]
    merging = Merging(range(agents))
    begun = time.process_time()
    for number in range(agents):
        delta = messages.seconds.decode(packed[number % KINDS])
        assert isinstance(delta, Delta)
        merging.take(number, delta.report)
    return time.process_time() - begun


async def measure(agents: int, samples: int, seconds: int, folder: Path) -> dict[str, Any]:
    """One run."""
    controller_keys, agent_keys = pair()
    lags: list[float] = []
    counted = [0]
    async with Fleet(controller_keys, bind="tcp://127.0.0.1:*", folder=folder, silence=SILENCE) as fleet:
        player = multiprocessing.get_context("spawn").Process(
            target=play, args=(agent_keys, fleet.address, agents, samples), daemon=True
        )
        player.start()
        try:
            begun = time.monotonic()
            await fleet.gather(agents, wait=300)
            gathered = time.monotonic() - begun

            def take(second: Second) -> None:
                lags.append(time.monotonic() - load.zero - second.at - 1)
                counted[0] += second.parts[WHOLE].total

            schedule = Open(stages=(Stage(seconds, agents * samples),))
            work = Work(scenario="rackwright.load.scenarios.dummy:Dummy", schedule=schedule)
            load = fleet.load(work, Ears(take, lambda number, at: None, lambda reason: None))
            cpu, resting = time.process_time(), time.monotonic()
            try:
                await load.run()
            except LoadFailed as error:
                raise SystemExit(str(error)) from None
            cpu, resting = time.process_time() - cpu, time.monotonic() - resting
        finally:
            player.terminate()
            player.join()
    asked = agents * seconds * samples
    limit = bare(agents, samples)
    return {
        "agents": agents,
        "samples": samples,
        "seconds": seconds,
        "gathered_s": round(gathered, 2),
        "controller_cpu_per_s": round(cpu / seconds, 3),
        "controller_us_per_agent_s": round(cpu / seconds / agents * 1e6),
        "bare_merge_cpu_per_s": round(limit, 3),
        "cpu_by_bare_merge": round(cpu / seconds / limit, 2),
        "controller_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "lost_deltas": round((asked - counted[0]) / samples),
        "whole_after_s": {"p50": round(statistics.median(lags), 3), "max": round(max(lags), 3)},
        "faults": len(load.faults) + len(load.notes),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=1_000)
    parser.add_argument("--samples", type=int, default=200, help="durations of each series, agent and second")
    parser.add_argument("--seconds", type=int, default=15, help="of load")
    parser.add_argument("--small", action="store_true", help="a quick look: 50 agents, 5 seconds")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.small:
        options.agents, options.seconds = 50, 5
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(measure(options.agents, options.samples, options.seconds, Path(folder)))
    if options.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(name, value)


if __name__ == "__main__":
    main()
