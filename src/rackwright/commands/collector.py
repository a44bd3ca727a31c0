"""The collector of cycles, set for a process that handles batches of rows."""

from __future__ import annotations

import gc

YOUNG = 20_000
"""New objects between two looks. A batch of 500 node tasks makes some ten thousand, and hardly a cycle among them: with
Python's 700 a quarter of the time went into looking at them again and again (measured)."""


def spare_what_stays() -> None:
    """Leave alone what is loaded already, and look at what is new less often. Call it once, when all is imported."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)
