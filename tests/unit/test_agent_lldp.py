"""What switches say is decoded, and what only looks like it is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rackwright.agent import lldp


def tlv(kind: int, value: bytes) -> bytes:
    return ((kind << 9) | len(value)).to_bytes(2, "big") + value


SAID = (
    tlv(1, b"\x04" + bytes.fromhex("0011223344ff"))
    + tlv(2, b"\x05Ethernet7")
    + tlv(3, b"\x00\x78")
    + tlv(4, b"to rack 7")
    + tlv(5, b"leaf-1")
    + tlv(8, b"\x05\x01\x0a\x00\x00\x01\x02\x00\x00\x00\x01\x00")
    + tlv(127, bytes.fromhex("0080c201") + b"\x00\x64")
    + tlv(127, bytes.fromhex("00120f01") + b"\x03")
    + tlv(0, b"")
)


def test_a_switch_port_is_told_with_its_names_address_and_vlan() -> None:
    assert lldp.decode(SAID) == {
        "chassis": "00:11:22:33:44:ff",
        "port": "Ethernet7",
        "ttl": 120,
        "port_description": "to rack 7",
        "system": "leaf-1",
        "management": "10.0.0.1",
        "vlan": 100,
    }


def test_a_message_without_a_port_is_none() -> None:
    with pytest.raises(ValueError, match="chassis and port"):
        lldp.decode(tlv(1, b"\x07x") + tlv(0, b""))


def test_a_message_that_is_cut_off_is_none() -> None:
    with pytest.raises(ValueError, match="cut off"):
        lldp.decode(SAID[:20])


@given(st.binary(max_size=400))
def test_noise_on_the_wire_never_ends_the_agent(noise: bytes) -> None:
    try:
        told = lldp.decode(noise)
    except ValueError:
        return
    assert {"chassis", "port"} <= set(told)
