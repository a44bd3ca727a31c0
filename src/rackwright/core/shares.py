"""Shares of a whole as people write them: a number, or a percentage."""

from __future__ import annotations

import re

from rackwright.core.errors import InvalidInput

_PERCENT = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)%")


def share(said: int | str, total: int, *, least: int = 0) -> int:
    """How many of ``total`` are meant: a number as it is, ``N%`` rounded down as Fuel does; at least ``least``.

    Raises InvalidInput for anything else, and for a number below zero.
    """
    text = str(said).strip()
    percent = _PERCENT.fullmatch(text)
    if percent is not None:
        whole, _, part = percent[1].partition(".")
        return max(least, int(whole + part) * total // int("100" + "0" * len(part)))
    if not text.isdecimal() or len(text) > 9:
        raise InvalidInput(f"{said!r} is neither a number nor a percentage", mend='write 3 or "10%"')
    return max(least, int(text))
