"""Simulated fleets: the same seed gives the same machines and the same fates, whatever the clock does."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from rackwright.commands import sim_site
from rackwright.commands.sim_fleet import FleetSetting
from rackwright.core.errors import InvalidInput
from rackwright.sim.fleet import makeup
from rackwright.sim.fleet.chances import USUAL, Chance, Chances, Delay, read
from rackwright.sim.shape import GIB

SEEDS = some.integers(0, 65535)
NUMBERS = some.integers(1, 2**32 - 1)


@given(SEEDS, NUMBERS, some.integers(0, 20))
def test_a_fate_follows_from_seed_machine_step_and_count_alone(seed: int, machine: int, count: int) -> None:
    steps = {"erase": Chance(delay=Delay("exponential", 3.0), failed=0.2, silent=0.1)}
    first, second = Chances(seed, steps), Chances(seed, steps)
    second.fate(machine + 1, "erase", count)
    assert first.fate(machine, "erase", count) == second.fate(machine, "erase", count)


def test_another_seed_gives_other_fates() -> None:
    steps = {"erase": Chance(failed=0.5)}
    fates = [[Chances(seed, steps).fate(n, "erase", 0).ending for n in range(64)] for seed in (1, 2)]
    assert fates[0] != fates[1]


def test_things_go_wrong_as_often_as_was_asked_for() -> None:
    chances = Chances(7, {"write-image": Chance(failed=0.1, retryable=0.2, silent=0.05)})
    endings = [chances.fate(machine, "write-image", 0).ending for machine in range(20_000)]
    shares = {ending: endings.count(ending) / 20_000 for ending in ("failed", "retryable", "silent")}
    assert shares == pytest.approx({"failed": 0.1, "retryable": 0.2, "silent": 0.05}, abs=0.01)


def test_a_step_without_a_chance_takes_no_time_and_ends_well() -> None:
    fate = Chances(1, {}).fate(1, "firmware", 0)
    assert (fate.seconds, fate.ending) == (0.0, "ok")


@pytest.mark.parametrize(
    ("word", "chance"),
    [
        ("erase=3", Chance(delay=Delay("fixed", 3.0))),
        ("erase=1-2.5,failed=0.01", Chance(delay=Delay("even", 1.0, 2.5), failed=0.01)),
        ("erase=~5,silent=0.5,retryable=0.5", Chance(delay=Delay("exponential", 5.0), silent=0.5, retryable=0.5)),
        ("erase=failed=1", Chance(failed=1.0)),
    ],
)
def test_chances_are_read_as_people_write_them(word: str, chance: Chance) -> None:
    assert read([word], USUAL) == {**USUAL, "erase": chance}


@pytest.mark.parametrize(
    "word",
    [
        "erase",
        "fly=1",
        "erase=x",
        "erase=2-1",
        "erase=-1",
        "erase=failed=2",
        "erase=failed=0.6,silent=0.6",
        "erase=inf",
    ],
)
def test_a_chance_that_makes_no_sense_is_refused(word: str) -> None:
    with pytest.raises(InvalidInput):
        read([word], USUAL)


@given(some.floats(0.0, 1.0, exclude_max=True))
def test_a_delay_is_never_negative_and_keeps_its_bounds(draw: float) -> None:
    assert Delay("fixed", 2.0).seconds(draw) == 2.0
    assert 1.0 <= Delay("even", 1.0, 3.0).seconds(draw) <= 3.0
    assert Delay("exponential", 2.0).seconds(draw) >= 0.0


@given(SEEDS, NUMBERS)
def test_a_machine_is_the_same_whenever_it_is_looked_at(seed: int, number: int) -> None:
    assert makeup.inventory(seed, number) == makeup.inventory(seed, number)
    assert [nic["mac"] for nic in makeup.inventory(seed, number)["nics"]] == list(makeup.macs(seed, number))


def test_machines_of_one_fleet_share_no_address_and_no_serial() -> None:
    macs = [mac for number in range(1, 3001) for mac in makeup.macs(5, number)]
    serials = [disk["serial"] for number in range(1, 3001) for disk in makeup.inventory(5, number)["disks"]]
    assert len(set(macs)) == len(macs)
    assert len(set(serials)) == len(serials)


def test_every_model_holds_an_image_of_a_gibibyte() -> None:
    assert all(min(disk * GIB for disk in model["disks"]) >= GIB for model in makeup.MODELS)


@given(some.integers(1, 40), some.integers(0, 400), some.integers(1, 5))
def test_every_machine_stands_in_exactly_one_rack_of_exactly_one_part(racks: int, more: int, parts: int) -> None:
    nodes = racks + more
    settings = [
        FleetSetting(nodes=nodes, racks=racks, chances=Chances(1, {}), data=Path(), part=part, parts=parts)
        for part in range(1, parts + 1)
    ]
    machines = [n for setting in settings for rack in setting.own_racks() for n in setting.machines_of(rack)]
    assert sorted(machines) == list(range(1, nodes + 1))


@given(some.integers(1, 2500), some.integers(1, 900))
def test_a_racks_network_has_room_for_its_machines_and_meets_no_other(rack: int, machines: int) -> None:
    one, other = (sim_site.network(number, machines) for number in (rack, rack + 1))
    assert one["cidr"] != other["cidr"]
