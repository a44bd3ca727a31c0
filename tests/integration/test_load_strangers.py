"""A controller and those who do not keep to its words: made by hand, word by word."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import zmq

from rackwright.commands.demo_ground import free_port
from rackwright.core.load.schedule import Closed
from rackwright.load.distributed import messages
from rackwright.load.distributed.agent import Agent
from rackwright.load.distributed.channel import Channel, client, server
from rackwright.load.distributed.door import Door
from rackwright.load.distributed.fleet import REFUSALS, Fleet
from rackwright.load.distributed.keys import AgentKeys, ControllerKeys, pair
from rackwright.load.distributed.messages import (
    Beat,
    Dismissed,
    Finished,
    FromAgent,
    FromController,
    Hello,
    Leave,
    Ping,
    Pong,
    Prepare,
    Prepared,
    Refused,
    Start,
    Welcome,
)
from rackwright.load.generators import LoadFailed
from rackwright.load.words import Work

DUMMY = "rackwright.load.scenarios.dummy:Dummy"


class Stranger:
    """Says what a test wants; answers pings by a clock that a test may turn."""

    def __init__(self, keys: AgentKeys, fleet: Fleet) -> None:
        self._keys = keys
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._address = fleet.address
        self._heard: asyncio.Queue[FromController] = asyncio.Queue()
        self.ahead = 0.0
        control = client(self._context, zmq.DEALER, keys)
        self._control = Channel(control, self._hear)
        control.connect(fleet.address)

    def say(self, packed: bytes) -> None:
        self._control.send(packed)

    def hello(self, version: int = messages.VERSION, name: str = "s") -> None:
        word = Hello(token=self._keys.token, name=name, host="h", cores=1, version=version)
        self.say(messages.pack(word))

    def beat(self, welcome: Welcome, turned: float) -> None:
        socket = client(self._context, zmq.PUSH, self._keys)
        socket.connect(f"{self._address.rpartition(':')[0]}:{welcome.seconds}")
        self._seconds = Channel(socket)
        self._seconds.send(messages.pack(Beat(welcome.session, turned)))

    async def hear(self) -> FromController:
        async with asyncio.timeout(60):
            return await self._heard.get()

    def close(self) -> None:
        self._context.destroy(linger=0)

    def _hear(self, frames: Sequence[bytes]) -> None:
        word = messages.from_controller.decode(frames[-1])
        if isinstance(word, Ping):
            now = time.monotonic() + self.ahead
            self.say(messages.pack(Pong(sent=word.sent, monotonic=now, wall=time.time())))
        else:
            self._heard.put_nowait(word)


class Controller:
    """Lets its one agent into a session that a test may change, and says what the test wants. Nobody listens where
    seconds and rows go."""

    def __init__(self, keys: ControllerKeys) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._door = Door(self._context, keys.agents, lambda address, key: None)
        self._heard: asyncio.Queue[FromAgent] = asyncio.Queue()
        self._agent = b""
        self._session = 1
        self._ports = free_port(), free_port()
        control = server(self._context, zmq.ROUTER, keys)
        self._control = Channel(control, self._hear)
        control.bind("tcp://127.0.0.1:*")
        self.address = bytes(control.getsockopt(zmq.LAST_ENDPOINT)).decode().rstrip("\0")

    def say(self, word: FromController) -> None:
        self._control.send(self._agent, messages.pack(word))

    def change(self, session: int) -> None:
        self._session = session
        self._let_in()

    async def hear(self) -> FromAgent:
        async with asyncio.timeout(60):
            return await self._heard.get()

    def close(self) -> None:
        self._control.close()
        self._door.close()
        self._context.term()

    def _let_in(self) -> None:
        seconds, rows = self._ports
        self.say(Welcome(session=str(self._session), name="a", seconds=seconds, rows=rows))
        self.say(Ping(float(self._session)))

    def _hear(self, frames: Sequence[bytes]) -> None:
        self._agent = frames[0]
        word = messages.from_agent.decode(frames[-1])
        if isinstance(word, Hello):
            self._let_in()
        else:
            self._heard.put_nowait(word)


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[tuple[Fleet, AgentKeys, list[str]]]:
    keys, agent_keys = pair()
    said: list[str] = []
    async with Fleet(keys, bind="tcp://127.0.0.1:*", folder=tmp_path, silence=10, say=said.append) as opened:
        yield opened, agent_keys, said


Opened = tuple[Fleet, AgentKeys, list[str]]


async def test_an_agent_of_another_version_is_refused_with_both_versions(fleet: Opened) -> None:
    stranger = Stranger(fleet[1], fleet[0])
    stranger.hello(version=99)
    word = await stranger.hear()
    assert isinstance(word, Refused)
    assert f"speaks version 99, the controller {messages.VERSION}" in word.reason
    assert fleet[2] == [f"an agent was refused: s speaks version 99, the controller {messages.VERSION}"]
    stranger.close()


async def test_of_many_refusals_the_newest_are_told_when_agents_do_not_come(fleet: Opened) -> None:
    stranger = Stranger(fleet[1], fleet[0])
    for number in range(REFUSALS + 10):
        stranger.hello(version=99, name=f"s-{number}")
        assert isinstance(await stranger.hear(), Refused)
    with pytest.raises(LoadFailed) as failure:
        await fleet[0].gather(1, wait=0.1)
    assert str(failure.value).count("an agent was refused") == REFUSALS
    assert f"s-{REFUSALS + 9} speaks" in str(failure.value)
    assert "s-9 speaks" not in str(failure.value)
    stranger.close()


async def test_rubbish_is_refused_and_the_controller_goes_on(fleet: Opened) -> None:
    stranger = Stranger(fleet[1], fleet[0])
    for rubbish in (b"", b"\xff" * 100, b"\x81\xa4type\xa5Never"):
        stranger.say(rubbish)
        assert isinstance(await stranger.hear(), Refused)
    stranger.hello()
    assert isinstance(await stranger.hear(), Welcome)
    await fleet[0].gather(1, wait=30)
    stranger.close()


async def test_who_was_not_let_in_is_told_to_say_hello(fleet: Opened) -> None:
    stranger = Stranger(fleet[1], fleet[0])
    stranger.say(messages.pack(messages.Prepared(1, 0)))
    assert isinstance(await stranger.hear(), Dismissed)
    stranger.close()


async def test_names_become_names_for_folders_and_nobody_has_the_name_of_another(fleet: Opened) -> None:
    strangers = [Stranger(fleet[1], fleet[0]) for _ in range(3)]
    names = []
    for stranger in strangers:
        stranger.hello(name="../a b")
        word = await stranger.hear()
        assert isinstance(word, Welcome)
        names.append(word.name)
    assert names == ["-a-b", "-a-b-2", "-a-b-3"]
    for stranger in strangers:
        stranger.close()


async def test_an_agent_whose_loop_does_not_turn_is_given_up_though_its_heart_beats(fleet: Opened) -> None:
    stranger = Stranger(fleet[1], fleet[0])
    stranger.hello()
    welcome = await stranger.hear()
    assert isinstance(welcome, Welcome)
    stranger.beat(welcome, turned=99.0)
    word = await stranger.hear()
    assert isinstance(word, Dismissed)
    assert word.reason == "it hangs: its loop has not turned for 99.0 s"
    assert fleet[0].here == []
    stranger.close()


async def test_an_agent_whose_clock_jumps_is_given_up_for_good(fleet: Opened) -> None:
    stranger = Stranger(fleet[1], fleet[0])
    stranger.hello()
    assert isinstance(await stranger.hear(), Welcome)
    await fleet[0].gather(1, wait=30)
    stranger.ahead = 3600.0
    word = await stranger.hear()
    assert isinstance(word, Refused)
    assert "its clock jumped by 3600.0 s" in word.reason
    stranger.close()


async def test_all_that_are_here_are_told_when_the_run_is_over(tmp_path: Path) -> None:
    keys, agent_keys = pair()
    async with Fleet(keys, bind="tcp://127.0.0.1:*", folder=tmp_path) as fleet:
        stranger = Stranger(agent_keys, fleet)
        stranger.hello()
        assert isinstance(await stranger.hear(), Welcome)
        await fleet.gather(1, wait=30)
    assert isinstance(await stranger.hear(), Leave)
    stranger.close()


async def test_an_agent_ends_what_it_does_for_one_controller_before_it_comes_to_the_next(tmp_path: Path) -> None:
    keys, agent_keys = pair()
    controller = Controller(keys)
    said: list[str] = []
    agent = Agent(agent_keys, controller.address, folder=tmp_path, processes=1, name="a", say=said.append)
    serving = asyncio.create_task(agent.serve())
    heard: list[FromAgent] = []
    try:
        async with asyncio.timeout(60):
            for session, seconds in ((1, 600.0), (2, 0.01)):
                if session > 1:
                    controller.change(session)
                while not (heard and isinstance(heard[-1], Pong) and heard[-1].sent == session):
                    heard.append(await controller.hear())
                work = Work(scenario=DUMMY, args={"sleep": seconds}, schedule=Closed(times=1))
                controller.say(Prepare(load=1, piece=0, work=work))
                while not isinstance(heard[-1], Prepared):
                    heard.append(await controller.hear())
                controller.say(Start(load=1, piece=0, zero=time.monotonic()))
            while not isinstance(last := heard[-1], Finished):
                heard.append(await controller.hear())
    finally:
        agent.stop()
        await serving
        controller.close()
    assert [word for word in heard if not isinstance(word, Pong)] == [Prepared(1, 0), Prepared(1, 0), last]
    assert (last.trouble, [each.iterations for each in last.health]) == (None, [1])
    assert said.count("the controller is another one, or has given this agent up") == 1
