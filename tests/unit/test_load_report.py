"""The page of a run: it shows everything, it needs nothing, and nothing that a run says can harm it."""

from __future__ import annotations

import base64
import itertools
import json
import re
import struct
import zlib
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwright.core.load.result import WHOLE, RunResult
from rackwright.core.load.summary import Change
from rackwright.core.load.timeline import timeline
from rackwright.core.load.track import recording
from rackwright.load.report import words
from rackwright.load.report.chart import HEIGHT, TOP, Axis, Line, chart, scale_of
from rackwright.load.report.heat import heat_map, png
from rackwright.load.report.page import page, trends_page
from rackwright.load.report.trends import trends
from tests.unit import load_runs

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Page(HTMLParser):
    """What a browser sees; ``faults`` are elements that were closed wrongly."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.faults: list[str] = []
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self.source = source
        self.feed(self.source)
        self.faults += self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data: str) -> None:
        (self.scripts if self.open[-1:] == ["script"] else self.text).append(data)

    def all(self, tag: str, **wanted: str) -> list[dict[str, str | None]]:
        given = {name.rstrip("_"): value for name, value in wanted.items()}
        return [attrs for name, attrs in self.found if name == tag and given.items() <= attrs.items()]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def _page(run: RunResult, against: RunResult | None = None) -> Page:
    return Page("".join(page([recording(run)], recording(against) if against else None)))


@pytest.fixture(scope="module")
def shown() -> Page:
    return _page(load_runs.run(workloads=2), load_runs.run("run-0", slow=0.5, stall=False))


def test_every_element_is_closed_where_it_was_opened(shown: Page) -> None:
    assert shown.faults == []


def test_the_page_asks_the_network_for_nothing(shown: Page) -> None:
    addresses = [
        value or ""
        for _, attrs in shown.found
        for name, value in attrs.items()
        if name in ("src", "href", "action", "srcset", "data", "poster")
    ]
    assert [address for address in addresses if not address.startswith(("#", "data:image/png;"))] == []
    assert re.findall(r"url\(|@import|fetch\(|XMLHttpRequest|import\(", shown.source) == []
    [policy] = shown.all("meta", **{"http-equiv": "Content-Security-Policy"})
    assert "default-src 'none'" in str(policy["content"])


def test_what_a_run_says_stays_text(shown: Page) -> None:
    assert "The shop <under> load" in shown.words
    assert "</script><script>alert(1)</script>" in shown.words
    assert load_runs.SLOWEST in shown.words
    assert not [script for script in shown.scripts if "alert(1)" in script]
    assert shown.all("b") == shown.all("under") == []


def test_the_verdict_stands_in_words_not_in_colours_alone(shown: Page) -> None:
    assert "✘ Failed: the run finished, and did not hold its SLA." in shown.words
    assert (
        "✘ broken failure_rate iterations 1.25 % failed, at most 0 % may from 20 s to 23 s, from 37 s to the end"
        in (shown.words)
    )


def test_a_run_that_held_passes() -> None:
    assert "✔ Passed: the run finished." in _page(load_runs.run(stall=False)).words


def test_a_run_that_was_aborted_never_passes() -> None:
    run = load_runs.run(stall=False)
    run.status = "aborted"
    assert "✘ Failed: the run aborted by hand." in _page(run).words


def test_every_drawing_has_a_title_and_says_what_it_shows(shown: Page) -> None:
    ids = [attrs["id"] for _, attrs in shown.found if attrs.get("id")]
    assert len(ids) == len(set(ids))
    drawings = shown.all("svg", role="img")
    assert len(drawings) == 2 * (8 + 2)
    for drawing in drawings:
        assert set(str(drawing["aria-labelledby"]).split()) <= set(ids)


def test_every_chart_shows_when_the_sla_was_broken_and_when_hooks_fired(shown: Page) -> None:
    drawings = len(shown.all("svg", role="img"))
    assert len(shown.all("rect", class_="band")) == 2 * drawings
    assert len(shown.all("path", class_="mark")) == drawings
    assert "hook sys_call at 20 s: success" in shown.words


def test_what_the_script_reads_out_is_what_is_drawn(shown: Page) -> None:
    data = [json.loads(script) for script in shown.scripts if script.startswith("{")]
    rate = data[0]
    assert [line["name"] for line in rate["lines"]] == ["intended", "started", "ended"]
    assert sum(rate["lines"][2]["values"]) == 40 * load_runs.RATE
    latency = data[2]
    assert [line["name"] for line in latency["lines"]] == ["p50", "p90", "p99", "p99.9", "p99 before"]


def test_a_second_in_which_nothing_ended_is_a_gap_in_the_percentiles(shown: Page) -> None:
    data = [json.loads(script) for script in shown.scripts if script.startswith("{")]
    assert None in data[2]["lines"][0]["values"]


def test_the_comparison_tells_what_got_worse(shown: Page) -> None:
    assert "Compared with run-0" in shown.words
    assert re.search(r"latency p50 [\d.]+ ms [\d.]+ ms \+\d+(\.\d)? % ▼ worse", shown.words)


def test_a_workload_without_a_counterpart_says_so(shown: Page) -> None:
    assert "run-0 has no such workload to compare with." in shown.words


def test_generators_that_did_not_do_their_share_are_named(shown: Page) -> None:
    assert "process 1 h2 2,000 97.00 % at 38 s 4 ms" in shown.words
    assert "Note: generator-limited: 12 starts came late" in shown.words


def test_a_run_of_nothing_has_a_page_too() -> None:
    run = RunResult(id="r", title="Nothing", status="crashed")
    assert "✘ Failed: the run crashed." in _page(run).words
    empty = load_runs.workload()
    empty.seconds, empty.whole, empty.judgements, empty.load_duration = [], {}, [], 0.0
    run.workloads = [empty]
    assert _page(run).faults == []


def test_a_page_does_not_grow_with_the_length_of_its_run() -> None:
    short, long = load_runs.run(), load_runs.run()
    seconds = short.workloads[0].seconds
    long.workloads[0].seconds = [
        type(second)(at=second.at + 40 * times, parts=second.parts) for times in range(50) for second in seconds
    ]
    assert len(_page(long).source) < 4 * len(_page(short).source)


def test_a_page_does_not_grow_with_how_often_something_broke_or_fired() -> None:
    run = load_runs.run()
    workload = run.workloads[0]
    few = len(_page(run).source)
    workload.judgements[0].broken = [(n / 100, n / 100 + 0.005) for n in range(4000)]
    workload.firings = [workload.firings[0]] * 5000
    many = _page(run)
    assert len(many.source) < 2 * few
    assert "and 3,980 more" in many.words
    assert "The first 200 of 5,000." in many.words
    assert "hook sys_call at 20 s: success, and 4999 more" in many.words


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 50)), max_size=20))
def test_bands_of_a_criterion_cover_all_that_was_broken_and_never_overlap(broken: list[tuple[float, float]]) -> None:
    axis = Axis(100, [(start, start + length, "x") for start, length in broken])
    spans = axis.spans()
    for start, length in broken:
        left, right = axis.place(start), axis.place(start + length)
        assert any(span.x - 0.2 <= left and right <= span.x + span.width + 0.2 for span in spans)
    assert all(one.x + one.width <= other.x for one, other in itertools.pairwise(spans))


def _luminance(colour: str) -> float:
    """The relative luminance of a colour, by WCAG 2.2."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_words_and_lines_stand_out_from_both_backgrounds(shown: Page, theme: int) -> None:
    colours = [
        dict(re.findall(r"--([\w-]+): (#\w{6})\b", block)) for block in re.findall(r"{([^{}]*--[^}]*)}", shown.source)
    ]
    of = {name: _luminance(colour) for name, colour in colours[theme].items()}
    for back in ("paper", "sheet"):
        for name, least in (
            dict.fromkeys(("ink", "soft", "a", "bad", "good"), 4.5).items() | dict.fromkeys("bcd", 3.0).items()
        ):
            low, high = sorted((of[back], of[name]))
            assert (high + 0.05) / (low + 0.05) >= least, (back, name)


def test_many_runs_are_on_one_page() -> None:
    source = "".join(page([recording(load_runs.run("run-1st")), recording(load_runs.run("run-2nd"))]))
    assert source.index("run-1st") < source.index("run-2nd")
    assert [source.count(f'<article id="w{n}"') for n in (1, 2, 3)] == [1, 1, 0]


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e6)), max_size=20), st.booleans())
def test_no_line_leaves_its_drawing(values: list[float | None], log: bool) -> None:
    axis = Axis(max(len(values), 1))
    drawn = chart("x", axis, [Line("x", range(len(values)), values, "a")], "seconds", log=log)
    places = [float(y) for y in re.findall(r"[ML][\d.-]+ ([\d.-]+)", drawn.lines[0].path)]
    assert all(TOP - 0.1 <= y <= HEIGHT for y in places)
    assert len(places) == sum(value is not None and (value > 0 or not log) for value in values)


def test_a_value_alone_between_gaps_can_be_seen() -> None:
    drawn = chart("x", Axis(3), [Line("x", (0, 1, 2), (None, 5.0, None), "a")], "count")
    assert drawn.lines[0].path.endswith("h3")


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=9))
def test_a_scale_has_a_place_for_every_value(values: list[float]) -> None:
    for log in (False, True):
        scale = scale_of(values, log=log)
        assert all(value <= scale.high * 1.000001 for value in values)
        assert not log or all(value >= scale.low * 0.999999 for value in values)


def _pixels(image: bytes) -> list[bytes]:
    """The rows of an image of ours: its chunks are checked on the way."""
    place, found = 8, {}
    while place < len(image):
        [size] = struct.unpack(">I", image[place : place + 4])
        name, data = image[place + 4 : place + 8], image[place + 8 : place + 8 + size]
        assert struct.unpack(">I", image[place + 8 + size : place + 12 + size])[0] == zlib.crc32(name + data)
        found[name] = data
        place += 12 + size
    width, height = struct.unpack(">II", found[b"IHDR"][:8])
    lines = zlib.decompress(found[b"IDAT"])
    return [lines[row * (width + 1) + 1 : (row + 1) * (width + 1)] for row in range(height)]


def test_an_image_holds_its_pixels() -> None:
    rows = [bytes([0, 1, 2]), bytes([63, 0, 5])]
    assert _pixels(png(rows)) == rows


def test_the_slowest_are_at_the_top_of_the_heat_map_and_the_many_are_the_densest() -> None:
    points = timeline(load_runs.seconds(40, 1), 40)
    drawn = heat_map("x", Axis(40), points)
    assert drawn is not None
    rows = _pixels(base64.b64decode(drawn.image.split(",")[1]))
    assert [column for column, level in enumerate(rows[0]) if level] == [load_runs.STALL[1]]
    assert max(map(max, rows)) == 63
    assert all(not any(row[load_runs.STALL[0] + 1 : load_runs.STALL[1]]) for row in rows)


def test_trends_are_a_page_with_a_name_for_each_run() -> None:
    runs = [load_runs.run(f"<r{n}>", slow=1.0 + n, stall=n == 1) for n in range(12)]
    found = Page("".join(trends_page(trends([recording(run) for run in runs]))))
    assert found.faults == []
    assert len(found.all("svg", role="img")) == 3
    assert "<r1> 2026-11-18 11:06:40 UTC ✘ broken" in found.words
    assert "highest in <r11>" in found.words
    latency = json.loads(found.scripts[0])
    assert [latency["names"][0], len(latency["names"]), latency["lines"][0]["times"][0]] == ["<r0>", 12, 0.5]


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0, "0 s"),
        (8.5e-4, "850 µs"),
        (0.00421, "4.21 ms"),
        (1.5, "1.5 s"),
        (125, "2 m 5 s"),
        (3600, "1 h"),
        (3e-9, "3 ns"),
    ],
)
def test_durations_are_told_in_the_unit_that_suits_them(seconds: float, told: str) -> None:
    assert words.duration(seconds) == told


def test_a_small_percentage_never_looks_like_none() -> None:
    assert [words.percent(value) for value in (0, 1e-5, 1.25)] == ["0.00 %", "< 0.01 %", "1.25 %"]


def test_iterations_have_a_name_of_their_own() -> None:
    assert words.action(WHOLE) == "iterations"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [(100.0, 99.99, "+0.0 %"), (100.0, 90.0, "-10.0 %"), (1.0, 25.0, "25 times"), (0.0, 0.0, "0 both times")],
)
def test_a_change_is_told_as_people_say_it(before: float, after: float, told: str) -> None:
    assert words.change(Change(action="", number="rate", unit="per second", before=before, after=after)) == told
