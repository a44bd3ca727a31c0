"""By what a machine is known again, and where nobody may guess."""

from __future__ import annotations

import pytest

from rackwright.core.errors import Conflict, InvalidInput
from rackwright.core.hardware import macs_of, serial_of, spellings, whose
from rackwright.core.machines import Known

ONE, TWO = "52:54:00:00:00:01", "52:54:00:00:00:02"


def known(name: str, *macs: str, serial: str = "") -> Known:
    return Known(id=1, name=name, rack=1, macs=frozenset(macs), serial=serial)


def test_addresses_are_told_in_one_spelling_and_each_once() -> None:
    assert macs_of(["52-54-00-00-00-02", ONE, ONE.upper(), "00:00:00:00:00:00"]) == (ONE, TWO)
    assert set(spellings([ONE])) == {ONE, "52-54-00-00-00-01"}
    assert "AA-BB-CC-DD-EE-FF" in spellings(["aa:bb:cc:dd:ee:ff"])


@pytest.mark.parametrize("macs", [[], ["ff:ff:ff:ff:ff:ff"], ["52:54:00:00:00"], ["52:54:00:00:00:0g"], ["'; --"]])
def test_what_is_no_address_is_refused(macs: list[str]) -> None:
    with pytest.raises(InvalidInput, match="Ethernet address"):
        macs_of(macs)


@pytest.mark.parametrize("said", ["", " ", "None", "To Be Filled By O.E.M.", "0000000", "Default string", "xxxx", "-"])
def test_what_makers_write_for_nothing_is_no_serial_number(said: str) -> None:
    assert serial_of(said) == ""


def test_a_serial_number_is_kept_as_it_is_up_to_a_length() -> None:
    assert serial_of(" S-1 ") == "S-1"
    assert len(serial_of("S" * 1000)) == 255


def test_a_machine_is_known_by_any_of_its_addresses() -> None:
    node = known("n1", ONE, serial="S1")
    assert whose([ONE, TWO], "S1", [node]) is node
    assert whose([ONE], "", [node]) is node
    assert whose([ONE], "S1", [known("n1", ONE)]) is not None
    assert whose([TWO], "S2", []) is None


@pytest.mark.parametrize(
    ("macs", "serial", "nodes", "why"),
    [
        ([ONE, TWO], "", [known("n1", ONE), known("n2", TWO)], "could be any of n1, n2"),
        (
            [ONE],
            "S2",
            [known("n1", ONE, serial="S1")],
            "two machines have the Ethernet address .*01: n1 with the serial",
        ),
        ([TWO], "S1", [known("n1", ONE, serial="S1")], "other Ethernet addresses says the serial number S1 of n1"),
    ],
)
def test_one_machine_is_never_taken_for_another(macs: list[str], serial: str, nodes: list[Known], why: str) -> None:
    with pytest.raises(Conflict, match=why):
        whose(macs, serial, nodes)
