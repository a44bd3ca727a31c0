"""A rehearsal on the rack's side: the jig is not asked, so that it cannot forget to do nothing."""

from __future__ import annotations

from rackwright.core.jig import Outcome, Work
from rackwright.core.messages import Claim
from rackwright.rack.attempt import Workshop


class Hammer:
    """A jig that must not be asked."""

    async def open(self) -> None:
        """Nothing to open."""

    async def run(self, work: Work) -> Outcome:
        """Fail the test."""
        raise AssertionError(f"{work.claim.task} was carried out")

    def kept(self) -> list[int]:
        """Nothing is kept."""
        return []

    async def drop(self, ids: list[int]) -> None:
        """Nothing to stop."""

    async def close(self, grace: float) -> None:
        """Nothing to close."""


def claim(jig: str) -> Claim:
    return Claim(
        id=1, attempt=2, revision=3, deployment="d", task="wipe", scope="n1", jig=jig, timeout=5.0, noop=True
    )  # fmt: skip


async def test_a_rehearsed_claim_has_no_effect_and_says_what_would_run() -> None:
    workshop = Workshop("r1", "/nonexistent", {"hammer": Hammer()})
    result = await workshop.attempt(claim("hammer"), "/nonexistent/log")
    assert (result.outcome, result.facts, result.reason) == ("ok", {}, "the jig hammer would run it; nothing was done")


async def test_a_rehearsal_tells_that_a_jig_is_missing() -> None:
    result = await Workshop("r1", "/nonexistent", {}).attempt(claim("hammer"), "/nonexistent/log")
    assert result.outcome == "failed"
    assert "no jig 'hammer'" in result.reason
