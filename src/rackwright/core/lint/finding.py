"""What lint finds: one fault of a catalog, where it is and how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal

import msgspec

from rackwright.core.catalog import Catalog, Position

Severity = Literal["error", "warning"]


class Finding(msgspec.Struct, frozen=True):
    """One fault. ``code`` is a short word that stays the same from version to version; ``mend`` says what to do."""

    severity: Severity
    code: str
    place: Position
    message: str
    mend: str = ""

    def __str__(self) -> str:
        """One line: place, message, mend."""
        mend = f" ({self.mend})" if self.mend else ""
        return f"{self.place}: {self.message}{mend}"


def silent_in_the_original(catalog: Catalog) -> Severity:
    """How grave a fault is that Fuel passed over in silence: an error in a strict catalog, else a warning."""
    return "error" if catalog.strict else "warning"


def in_reading_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort by file, line and code, and drop what is said twice."""
    return tuple(sorted(set(findings), key=lambda found: (found.place.file, found.place.line, found.code, str(found))))


def has_errors(findings: Iterable[Finding]) -> bool:
    """True when at least one finding is an error."""
    return any(found.severity == "error" for found in findings)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``did you mean x?`` for the nearest of the known names, or '' when none is near."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.7)
    return f"did you mean {near[0]}?" if near else ""
