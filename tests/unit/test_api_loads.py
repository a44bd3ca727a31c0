"""Loads over the api: which there are, what they tell, and their pictures."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from tests.unit.api_loads import loaded_world, say, told
from tests.unit.api_world import World

PATH = "/api/v1/loads/d/n1/prove"
STREAM = "text/event-stream"


@pytest.fixture
def world() -> Iterator[World]:
    """A deployment with a load that nobody has begun."""
    with loaded_world() as world:
        yield world


def events(text: str) -> list[dict[str, str]]:
    """The events of a stream by their fields."""
    frames = [frame for frame in text.split("\n\n") if "event: " in frame]
    return [dict(line.split(": ", 1) for line in frame.split("\n")) for frame in frames]


def test_loads_are_listed_with_where_they_stand(world: World) -> None:
    (found,) = world.ask("GET", "/api/v1/loads").json()["items"]
    assert {key: found[key] for key in ("deployment", "node", "task", "rack", "state")} == {
        "deployment": "d",
        "node": "n1",
        "task": "prove",
        "rack": "r1",
        "state": "blocked",
    }
    world.work()
    (found,) = world.ask("GET", "/api/v1/loads").json()["items"]
    assert (found["state"], found["attempt"]) == ("active", 1)


def test_a_load_is_read_line_by_line_while_it_goes_on(world: World) -> None:
    begun, cut = told()[0], told()[-1][:30]
    say(world, b"words\n" + begun + cut)
    first = world.ask("GET", PATH).json()
    assert [line["event"] for line in first["lines"]] == ["begin"]
    assert not first["complete"]
    say(world, told()[-1][30:], offset=len(b"words\n" + begun + cut), last=True)
    last = world.ask("GET", f"{PATH}?offset={first['next_offset']}").json()
    assert [line["event"] for line in last["lines"]] == ["end"]
    assert last["complete"]


def test_a_load_that_nobody_has_is_not_found(world: World) -> None:
    assert world.ask("GET", PATH.replace("prove", "prov")).json()["mend"].startswith("did you mean prove")
    assert world.ask("GET", f"{PATH}/picture".replace("n1", "n9")).status_code == 404


def test_a_stream_gives_each_line_by_its_kind_and_a_reader_that_comes_back_misses_none(world: World) -> None:
    lines = told()
    say(world, b"words\n" + b"".join(lines), last=True)
    found = events(world.ask("GET", PATH, accept=STREAM).text)
    assert [event["event"] for event in found][:5] == ["begin", "second", "second", "second", "standing"]
    assert [json.loads(event["data"])["event"] for event in found] == [event["event"] for event in found]
    again = events(world.ask("GET", PATH, accept=STREAM, last_event_id=found[2]["id"]).text)
    assert again == found[3:]
    assert world.ask("GET", PATH, accept=STREAM, last_event_id="x").status_code == 400


def test_a_stream_goes_on_with_a_line_that_comes_in_two_pieces(world: World) -> None:
    whole = b"".join(told())
    say(world, whole[:500])
    stream = world.begin(PATH, accept=STREAM)
    world.until(lambda: ("load", None) in world.news._bells)
    say(world, whole[500:], offset=500, last=True)
    found = events(world.run(stream).text)
    assert b"".join(event["data"].encode() + b"\n" for event in found) == whole


def test_a_stream_ends_when_the_process_stops(world: World) -> None:
    say(world, told()[0])
    stream = world.begin(PATH, accept=STREAM)
    world.until(lambda: ("load", None) in world.news._bells)
    world.run(asyncio.sleep(0))
    world.call(world.news.stop)
    assert [event["event"] for event in events(world.run(stream).text)] == ["begin"]


def test_a_picture_shows_the_load_as_far_as_it_has_told_and_then_says_that_it_is_over(world: World) -> None:
    whole = b"".join(told(30))
    cut = whole.rindex(b"\n", 0, whole.index(b'"at":25')) + 1
    say(world, whole[:cut])
    stream = world.begin(f"{PATH}/picture", accept=STREAM)
    world.until(lambda: ("load", None) in world.news._bells)
    say(world, whole[cut:], offset=cut, last=True)
    first, last = (json.loads(event["data"]) for event in events(world.run(stream).text))
    assert (first["over"], last["over"]) == (False, True)
    assert "25 s of 30 s" in first["html"]
    assert "process 1" not in first["html"]
    assert "process 1" in last["html"]
    assert "✘ Failed" in last["html"]
    assert last["html"].count('<svg viewBox="0 0 640') == 6
