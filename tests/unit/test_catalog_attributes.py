"""Attributes of roles: values against the schema, and the schema itself."""

from __future__ import annotations

from typing import Any

import pytest

from rackwright.core.catalog import Role
from rackwright.engine.catalogs import check_schema, validate_attributes

NATS = Role(
    name="nats",
    attributes={
        "type": "object",
        "required": ["port"],
        "properties": {
            "port": {"type": "integer", "minimum": 1, "default": 4222},
            "log": {"enum": ["normal", "debug"]},
            "tls": {"type": "object", "properties": {"on": {"type": "boolean"}}, "additionalProperties": False},
        },
    },
)


@pytest.mark.parametrize(
    ("values", "faults"),
    [
        ({}, []),
        ({"port": 1, "log": "debug"}, []),
        ({"port": 0}, ["nats.port: 0 is less than the minimum of 1"]),
        ({"prt": 5}, ["nats.prt: the role has no such attribute (did you mean port?)"]),
        ({"tls": {"on": 1}}, ["nats.tls.on: 1 is not of type 'boolean'"]),
        ({"tls": {"off": True}}, ["nats.tls: Additional properties are not allowed ('off' was unexpected)"]),
    ],
)
def test_values_are_held_against_the_schema(values: dict[str, Any], faults: list[str]) -> None:
    assert validate_attributes(NATS, values) == faults


def test_every_fault_is_told() -> None:
    assert len(validate_attributes(NATS, {"port": "x", "log": "loud", "colour": 1})) == 3


def test_a_schema_may_admit_what_it_does_not_list() -> None:
    role = Role(name="r", attributes={"type": "object", "additionalProperties": {"type": "integer"}})
    assert validate_attributes(role, {"any": 1}) == []
    assert validate_attributes(role, {"any": "x"}) == ["r.any: 'x' is not of type 'integer'"]


def test_an_undeclared_attribute_is_told_once_when_the_schema_forbids_it_too() -> None:
    role = Role(name="r", attributes={"type": "object", "properties": {}, "additionalProperties": False})
    assert validate_attributes(role, {"x": 1}) == ["r.x: the role has no such attribute (it has: none)"]


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"type": "objekt"}, "type"),
        ({"properties": {"a": {"type": 5}}}, "properties.a.type"),
        ({"properties": {"a": {"type": "integer", "default": "x"}}}, "properties.a.default"),
        ({"properties": {"a": {"type": "integer", "minimum": "x"}}}, "properties.a.minimum"),
    ],
)
def test_a_wrong_schema_is_told_with_the_place_in_it(schema: dict[str, Any], place: str) -> None:
    assert [path for path, _ in check_schema(schema)] == [place]


def test_a_right_schema_has_no_fault_and_may_use_definitions() -> None:
    def schema(default: int) -> dict[str, Any]:
        attribute = {"$ref": "#/$defs/port", "default": default}
        return {"$defs": {"port": {"minimum": 1}}, "properties": {"a": attribute}}

    assert check_schema(NATS.attributes) == check_schema(schema(5)) == []
    assert [path for path, _ in check_schema(schema(0))] == ["properties.a.default"]
