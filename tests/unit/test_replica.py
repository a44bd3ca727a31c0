"""The rack's replica: what it finds, how it takes deltas over, and what outlives it."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import pytest

from rackwright.core.bootenv import Bootenv
from rackwright.core.errors import RackwrightError
from rackwright.core.served import Delta, Network, ServedNode, ServedRack
from rackwright.rack.replica import NEVER, Replica

RACK = ServedRack(name="r1", networks=(Network(cidr="10.77.0.0/24", address="10.77.0.1"),))
N7 = ServedNode(id=7, name="n7", macs=("52:54:00:00:00:07",), address="10.77.0.7")
N8 = ServedNode(id=8, name="n8", macs=("52:54:00:00:00:08", "52:54:00:00:01:08"))
FIRST = Delta(after=NEVER, generation=10, full=True, rack=RACK, nodes=(N7, N8))


@pytest.fixture
def replica(tmp_path: Path) -> Replica:
    return Replica(str(tmp_path))


async def test_a_fresh_replica_holds_nothing(replica: Replica) -> None:
    assert (replica.generation, replica.applied, replica.rack(), replica.node(7)) == (NEVER, NEVER, None, None)


async def test_a_node_is_found_by_every_name_that_it_has(replica: Replica) -> None:
    await replica.apply(FIRST)
    assert replica.generation == 10
    assert replica.rack() == RACK
    assert replica.node(7) == replica.named("n7") == replica.node_by_mac("52-54-00-00-00-07".upper()) == N7
    assert replica.node_by_mac("52:54:00:00:01:08") == N8
    assert replica.node_by_token(replica.token(N8)) == N8
    assert list(replica.nodes()) == [N7, N8]
    assert replica.node_by_token("x" * 26) is None


async def test_a_delta_changes_moves_and_deletes(replica: Replica) -> None:
    await replica.apply(FIRST)
    moved = ServedNode(id=8, name="n8", macs=N7.macs)
    await replica.apply(Delta(after=10, generation=12, nodes=(moved,), gone=(7,)))
    assert replica.node(7) is None
    assert replica.node_by_mac("52:54:00:00:00:07") == moved
    assert replica.node_by_mac("52:54:00:00:00:08") is None
    assert replica.rack() == RACK


async def test_a_delta_from_elsewhere_changes_nothing(replica: Replica) -> None:
    await replica.apply(FIRST)
    await replica.apply(Delta(after=11, generation=12, gone=(7,)))
    assert replica.generation == 10
    assert replica.node(7) == N7


async def test_a_full_delta_replaces_all_even_with_an_older_generation(replica: Replica) -> None:
    await replica.apply(FIRST)
    await replica.set_applied(10)
    await replica.apply(Delta(after=NEVER, generation=5, full=True, rack=RACK, nodes=(N8,)))
    assert (replica.generation, replica.applied) == (5, 5)
    assert list(replica.nodes()) == [N8]


async def test_a_raised_epoch_voids_the_token(replica: Replica) -> None:
    await replica.apply(FIRST)
    before = replica.token(N7)
    await replica.apply(Delta(after=10, generation=11, nodes=(ServedNode(id=7, name="n7", epoch=1),)))
    assert replica.node_by_token(before) is None


async def test_everything_outlives_the_process(tmp_path: Path) -> None:
    first = Replica(str(tmp_path))
    await first.apply(FIRST)
    await first.set_applied(10)
    first.close()
    second = Replica(str(tmp_path))
    assert (second.generation, second.applied, second.rack()) == (10, 10, RACK)
    assert second.node_by_token(first.token(N7)) == N7
    second.close()


async def test_an_installer_that_is_done_is_never_booted_again(tmp_path: Path) -> None:
    replica = Replica(str(tmp_path))
    wanted = ServedNode(id=7, name="n7", bootenv=Bootenv(kind="install", request="q1", data={"hostname": "n7"}))
    await replica.apply(Delta(after=NEVER, generation=10, full=True, rack=RACK, nodes=(wanted,)))
    assert replica.effective_bootenv(wanted).kind == "install"
    await replica.mark_installed(7, "q1")
    assert replica.effective_bootenv(wanted) == Bootenv(kind="local", request="q1", data={"hostname": "n7"})
    replica.close()
    again = Replica(str(tmp_path))
    assert again.effective_bootenv(wanted).kind == "local"
    await again.apply(Delta(after=10, generation=11, nodes=(wanted,)))
    assert again.effective_bootenv(wanted).kind == "local"
    other = ServedNode(id=7, name="n7", bootenv=Bootenv(kind="install", request="q2"))
    await again.apply(Delta(after=11, generation=12, nodes=(other,)))
    assert again.effective_bootenv(other).kind == "install"
    again.close()


async def test_who_waits_hears_of_a_change(replica: Replica) -> None:
    waiting = asyncio.create_task(replica.changed())
    await asyncio.sleep(0)
    assert not waiting.done()
    await replica.apply(FIRST)
    await asyncio.wait_for(waiting, 60)


async def test_the_key_is_for_the_rack_alone(tmp_path: Path) -> None:
    Replica(str(tmp_path)).close()
    assert stat.S_IMODE(os.stat(tmp_path / "node.key").st_mode) == 0o600


async def test_a_damaged_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "node.key").write_bytes(b"short")
    with pytest.raises(RackwrightError, match="5 bytes instead of 32"):
        Replica(str(tmp_path))


async def test_a_damaged_replica_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "replica.sqlite").write_bytes(b"this is no database " * 100)
    replica = Replica(str(tmp_path))
    assert replica.generation == NEVER
    assert (tmp_path / "replica.sqlite.unreadable").exists()
    await replica.apply(FIRST)
    assert replica.node(7) == N7
