"""The page of a load run, as a person meets it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rackwright.core.load.track import recording
from rackwright.load.report.page import page as report_page
from tests.unit import load_runs

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHART = "figure.chart:has(script)"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the page of a run, compared with an earlier one."""
    path = Path(tmp_path_factory.mktemp("page")) / "report.html"
    now, earlier = load_runs.run("now", slow=2.0, workloads=2), load_runs.run("earlier", workloads=2)
    path.write_text("".join(report_page([recording(now)], recording(earlier))), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def page(browser: Browser, file: str) -> Iterator[Page]:
    """The page in a window of its own, whose scripts have run; what it complained of fails the test."""
    complaints: list[str] = []
    window = browser.new_page(viewport={"width": 1280, "height": 900})
    window.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
    window.on("pageerror", lambda error: complaints.append(str(error)))
    window.on("request", lambda asked: complaints.append(asked.url) if asked.url != file else None)
    window.goto(file)
    yield window
    window.close()
    assert complaints == []


def test_the_page_is_drawn_and_asks_nobody_for_anything(page: Page) -> None:
    assert "now" in page.inner_text("body")
    drawn = page.eval_on_selector_all(
        "figure.chart > svg", "all => all.map(each => each.getBoundingClientRect().height)"
    )
    assert len(drawn) >= 16
    assert all(height > 50 for height in drawn)


def test_the_pointer_reads_values_off_a_chart(page: Page) -> None:
    chart = page.locator(CHART).first
    chart.locator(":scope > svg").hover()
    assert " s: " in chart.locator("output").inner_text()
    page.mouse.move(0, 0)
    assert chart.locator("output").inner_text() == ""


def test_a_table_is_sorted_by_the_column_that_is_pressed_and_the_keyboard_presses_too(page: Page) -> None:
    table = page.locator("table.sortable").first
    button = table.locator("thead button").first
    column = button.evaluate("each => each.parentElement.cellIndex")
    values = f"rows => rows.map(row => Number(row.cells[{column}].dataset.value))"
    button.click()
    falling = table.locator("tbody tr").evaluate_all(values)
    assert falling == sorted(falling, reverse=True)
    button.focus()
    page.keyboard.press("Enter")
    assert table.locator("tbody tr").evaluate_all(values) == sorted(falling)
    assert table.locator("th[aria-sort]").count() == 1


def test_colours_follow_the_system_and_can_be_switched(page: Page) -> None:
    def paper() -> int:
        colour: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
        return sum(int(part) for part in colour.partition("(")[2].rstrip(")").split(",")[:3])

    page.emulate_media(color_scheme="light")
    light = paper()
    page.emulate_media(color_scheme="dark")
    assert paper() < light
    page.locator("#theme").click()
    assert paper() == light


@pytest.mark.parametrize("width", [360, 800, 1920])
def test_the_page_fits_every_screen(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width


def test_it_says_the_same_without_scripts(browser: Browser, file: str) -> None:
    window = browser.new_context(java_script_enabled=False).new_page()
    window.goto(file)
    assert window.locator("figure.chart > svg").count() >= 16
    assert "failure_rate" in window.inner_text("body")
    window.close()
