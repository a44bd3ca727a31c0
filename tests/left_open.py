"""A plugin of pytest: the module of tests that leaves something open is the one that fails.

What nobody closed (a socket, a transport, a process, an event loop, a coroutine) complains when the garbage collector
finds it. Left to chance, that is in the middle of another module. So garbage is collected where each module ends.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Leave alone what was there before the first test: then each look takes a tenth of the time."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None, None, None]:
    """After all fixtures of a module are torn down, fail its last test with what it left open."""
    yield
    if nextitem is None or nextitem.path != item.path:
        getattr(item, "funcargs", {}).clear()
        complaints = left_open()
        if complaints:
            pytest.fail("\n".join([f"{item.path.name} leaves open:", *complaints]), pytrace=False)


def left_open() -> list[str]:
    """Collect garbage; give what complained because nobody had closed it."""
    with _listening() as complaints:
        gc.collect()
    return complaints


@contextmanager
def _listening() -> Iterator[list[str]]:
    heard: list[str] = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda complaint: heard.append(f"{complaint.exc_value or complaint.exc_type}")
    try:
        yield heard
    finally:
        sys.unraisablehook = before
