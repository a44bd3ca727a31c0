"""Two processes serve one rack by lease, as whole processes: what machines are answered while they come and go, and
from when."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.rack_process import ServedRack, served_rack
from tests.acceptance.site import eventually


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedRack]:
    with served_rack(tmp_path_factory.mktemp("rack").resolve()) as made:
        yield made


def test_the_second_process_stands_by_and_takes_over_when_the_first_leaves(rack: ServedRack) -> None:
    eventually(lambda: rack.second.said("this one stands by"), "the second stands by")
    for _ in range(3):
        rack.answers(8481)
    rack.first.end()
    rack.answers(8482)
    assert rack.address_of("n7.rack.test") == "10.77.0.7"


def test_one_that_is_killed_is_followed_by_the_other_when_its_lease_ends(rack: ServedRack) -> None:
    rack.first.start()
    eventually(lambda: rack.first.said("this one stands by"), "the first stands by")
    rack.second.kill()
    # Its servers go on until somebody takes over for good.
    assert rack.offered()["address"] == "10.77.0.7"
    eventually(rack.first.held.exists, "the first works for the rack")
    rack.second.start()
    eventually(lambda: not rack.second.held.exists(), "the second stands by")
    rack.answers(8481)
    rack.site.client.patch("/nodes/n7", {"address": "10.77.0.70"})
    rack.answers(8481, "10.77.0.70")
    eventually(lambda: rack.address_of("n7.rack.test") == "10.77.0.70", "DNS")
