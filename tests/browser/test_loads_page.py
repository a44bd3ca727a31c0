"""The page on which loads are followed, as a person meets it while a load goes on."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
import uvicorn

from rackwright.api.app import build
from rackwright.web import loads
from tests.unit.api_loads import loaded_world, say, told
from tests.unit.api_world import World

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SOON = 60_000
"""Milliseconds."""


@pytest.fixture
def world() -> Iterator[World]:
    """A deployment with a load that nobody has begun."""
    with loaded_world() as world:
        yield world


@pytest.fixture
def address(world: World) -> Iterator[str]:
    """Where a real server gives the api and the page."""
    app = build(world.services, loads.routes)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = world.start(server.serve(sockets=[listening]))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        world.call(world.news.stop)
        server.should_exit = True
        world.run(serving)


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page in a window of its own; what it complained of, and what it asked elsewhere, fails the test."""
    complaints: list[str] = []
    window = browser.new_page(viewport={"width": 1280, "height": 900})
    window.on("pageerror", lambda error: complaints.append(str(error)))
    window.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
    window.on("request", lambda asked: None if asked.url.startswith(address) else complaints.append(asked.url))
    window.goto(f"{address}/loads")
    yield window
    window.close()
    assert complaints == []


def enter(page: Page, token: str) -> None:
    """Give the page a token."""
    page.get_by_label("token").fill(token)
    page.get_by_role("button", name="Look").click()


def test_nothing_is_shown_without_a_token_and_a_wrong_one_is_told(page: Page, world: World) -> None:
    page.get_by_text("no token was given").wait_for(timeout=SOON)
    assert page.locator("#loads").is_hidden()
    enter(page, "wrong")
    page.get_by_text("the token is damaged").wait_for(timeout=SOON)
    enter(page, world.reader)
    page.get_by_role("link", name="prove").wait_for(timeout=SOON)
    assert page.locator("#door").is_hidden()


def test_a_running_load_is_drawn_second_by_second_until_its_verdict(page: Page, world: World) -> None:
    lines = told(30)
    begun = b"".join(lines[:11])
    say(world, begun)
    enter(page, world.reader)
    page.get_by_text("10 s of 30 s").wait_for(timeout=SOON)
    ended = page.locator("figure.chart").first.locator("path.line.a").last
    before = ended.get_attribute("d")
    assert page.get_by_text("Good so far").is_visible()
    say(world, b"".join(lines[11:]), offset=len(begun), last=True)
    page.get_by_text("✘ Failed").wait_for(timeout=SOON)
    assert ended.get_attribute("d") != before
    assert page.locator("rect.band").count() >= 1
    assert page.get_by_role("row").filter(has_text="process 1").count() == 1


def test_the_pointer_goes_on_reading_while_the_picture_changes(page: Page, world: World) -> None:
    lines = told(30)
    begun = b"".join(lines[:11])
    say(world, begun)
    enter(page, world.reader)
    page.get_by_text("10 s of 30 s").wait_for(timeout=SOON)
    chart = page.locator("figure.chart").first
    chart.locator(":scope > svg").hover()
    assert "ended 100/s" in chart.locator("output").inner_text()
    say(world, b"".join(lines[11:21]), offset=len(begun))
    page.get_by_text("20 s of 30 s").wait_for(timeout=SOON)
    assert "ended 100/s" in chart.locator("output").inner_text()


def test_what_a_load_says_of_itself_is_shown_as_text(page: Page, world: World) -> None:
    say(world, b'{"event":"begin","workload":0,"name":"<img src=x onerror=alert(1)>","scenario":"s"}\n')
    enter(page, world.reader)
    page.get_by_role("heading", name="<img src=x").wait_for(timeout=SOON)
    assert page.locator("#picture img").count() == 0


@pytest.mark.parametrize("width", [360, 800, 1920])
def test_the_page_fits_every_screen(page: Page, world: World, width: int) -> None:
    say(world, b"".join(told(30)), last=True)
    enter(page, world.reader)
    page.get_by_text("✘ Failed").wait_for(timeout=SOON)
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
