"""Fleets of any size from real data: Fuel's own catalog, and contexts of real nodes with five network cards each.

From 20 nodes on 3 are controllers; of the rest 70 % are compute, 20 % ceph-osd, 10 % cinder. A node's data is a real
node's with name and addresses of its own. Nodes are written to JSON one by one, so that a fleet costs its bytes only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import yaml

from rackwright.core.catalog import Role, Task
from rackwright.core.resolution import Member, tags_of
from rackwright.engine.catalogs.read import read_catalog
from rackwright.engine.serialization import Snapshot, State

Scenario = Literal["initial", "redeploy", "delta"]
"""``initial``: nothing ever ran. ``redeploy``: nothing changed since. ``delta``: the last node is new, and so is the
public host name."""
scenarios: tuple[Scenario, ...] = get_args(Scenario)

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "fuel"
"""The real data, beside the checkout."""

_OF_A_NODE = (
    "uid", "fqdn", "status", "vms_conf", "fail_if_error", "ip", "online", "network_scheme", "node_volumes", "roles",
    "user_node_name", "test_vm_image", "configuration", "management_network_range", "storage_network_range",
)  # fmt: skip
"""Keys of a real context that are one node's own; all others are common."""
_CONTEXTS = {
    "controller": "neut_vlan.ceph-primary-controller",
    "compute": "neut_vlan.ceph-compute",
    "ceph-osd": "neut_vlan.ceph-ceph-osd",
    "cinder": "neut_vlan.cblock.murano.sahara.ceil-cinder",
}
_REST = ("compute", "compute", "ceph-osd", "cinder", "compute", "compute", "compute", "ceph-osd", "compute", "compute")
_NETWORKS = {"mgmt": "192.168", "storage": "192.169", "admin": "10.109", "public": "172.16"}
_ENDPOINTS = {"br-fw-admin": "admin", "br-mgmt": "mgmt", "br-storage": "storage", "br-ex": "public"}
_PER_SUBNET = 240
_LARGE = 20


class Fleet(msgspec.Struct, frozen=True):
    """The nodes with their tags, and the data of a scenario."""

    members: list[Member]
    state: State


def tasks(data: Path = DATA) -> tuple[Task, ...]:
    """Fuel's deployment tasks."""
    return read_catalog(data / "tree" / "deployment").graphs["deploy"].tasks


def build(nodes: int, scenario: Scenario = "initial", data: Path = DATA) -> Fleet:
    """Make a fleet; its nodes are called ``1`` to ``nodes``."""
    draft = _Draft(nodes, data)
    new = Snapshot(draft.common(draft.members), draft.nodes)
    old = _before(draft) if scenario == "delta" else new if scenario == "redeploy" else None
    return Fleet(draft.members, State(new=new, old=old))


def marked(state: State, number: int) -> State:
    """The same data to every task, as another text: what all nodes share has one more key, that nothing reads."""

    def other(snapshot: Snapshot) -> Snapshot:
        common = msgspec.Raw(b'{"round":%d,' % number + bytes(snapshot.common)[1:])
        return Snapshot(common, snapshot.nodes)

    new = other(state.new)
    old = new if state.old is state.new else other(state.old) if state.old is not None else None
    return State(new=new, old=old)


def size_of(state: State) -> int:
    """Bytes of the JSON of a state; what old and new share counts once."""
    snapshots = [state.new, *([state.old] if state.old else [])]
    parts = {id(part): part for snapshot in snapshots for part in (snapshot.common, *snapshot.nodes.values())}
    return sum(len(memoryview(part)) for part in parts.values())


def _before(draft: _Draft) -> Snapshot:
    """What the scenario ``delta`` found: the last node missing, another host name."""
    common = draft.common(draft.members[:-1], hostname="before.test")
    return Snapshot(common, {uid: part for uid, part in draft.nodes.items() if uid != draft.members[-1].name})


class _Draft:
    """What a fleet is made of: the members, and the JSON of each node's own part and of what all share."""

    def __init__(self, count: int, data: Path) -> None:
        contexts = {role: _yaml(data / "contexts" / "astute.yaml" / f"{file}.yaml") for role, file in _CONTEXTS.items()}
        own = {role: {key: context[key] for key in _OF_A_NODE if key in context} for role, context in contexts.items()}
        bound = {str(number): (role,) for number, role in enumerate(_roles(count), start=1)}
        self.members = [Member(name=uid, tags=tags) for uid, tags in tags_of(bound, _known_roles(data)).items()]
        self.nodes = {member.name: _json(_node(own[bound[member.name][0]], member)) for member in self.members}
        self.nodes |= {"master": _json({"uid": "master", "roles": ["master"]}), "null": _json({})}
        self._base = contexts["controller"]
        entries = list(self._base["network_metadata"]["nodes"].values())
        self._controller = next(entry for entry in entries if "controller" in entry["node_roles"][0])
        self._other = next(entry for entry in entries if entry["node_roles"] == ["compute"])

    def common(self, members: Sequence[Member], hostname: str | None = None) -> msgspec.Raw:
        """Give what all nodes share, when the fleet is these members; with ``hostname`` another public host name."""
        base = self._base
        common = {key: value for key, value in base.items() if key not in _OF_A_NODE}
        common["cluster"] = {key: base["cluster"][key] for key in ("id", "name", "fuel_version", "status", "mode")}
        common["release"] = {key: base["release"].get(key) for key in ("name", "version", "operating_system")}
        common["use_cinder"] = True
        entries = {f"node-{member.name}": _json(self._entry(member)) for member in members}
        common["network_metadata"] = {"nodes": entries, "vips": base["network_metadata"]["vips"]}
        common["nodes"] = [_json(row) for member in members for row in _rows(member)]
        if hostname is not None:
            common["public_ssl"] = {**common["public_ssl"], "hostname": hostname}
        return _json(common)

    def _entry(self, member: Member) -> dict[str, Any]:
        """What every node knows of this one."""
        like = self._controller if {"controller", "primary-controller"} & set(member.tags) else self._other
        addresses = _addresses(member.name)
        roles = {role: _moved(address, addresses) for role, address in like["network_roles"].items()}
        return {
            **like,
            **_names(member.name),
            "swift_zone": member.name,
            "node_roles": member.tags,
            "network_roles": roles,
        }


def _node(own: Mapping[str, Any], member: Member) -> dict[str, Any]:
    """A node's own part: a real one of its role, with this node's name, tags and addresses."""
    addresses, names = _addresses(member.name), _names(member.name)
    scheme = own["network_scheme"]
    ends = {key: _end(key, value, addresses) for key, value in scheme["endpoints"].items()}
    machine = {
        "uid": member.name,
        "name": names["name"],
        "hostname": names["fqdn"],
        "power_address": addresses["admin"],
        "profile": "ubuntu_bootstrap",
    }
    return {
        **own,
        "uid": member.name,
        "fqdn": names["fqdn"],
        "user_node_name": names["name"],
        "roles": member.tags,
        "status": "ready",
        "ip": addresses["admin"],
        "online": True,
        "network_scheme": {**scheme, "endpoints": ends},
        "provision": machine,
    }


def _end(name: str, end: Any, addresses: Mapping[str, str]) -> Any:
    """An endpoint of the network scheme, at this node's address where it had one."""
    if name not in _ENDPOINTS or not isinstance(end.get("IP"), list):
        return end
    return {**end, "IP": [f"{addresses[_ENDPOINTS[name]]}/24"]}


def _rows(member: Member) -> Iterator[dict[str, Any]]:
    """A row for each tag of the node, as old manifests of Fuel want them."""
    addresses, mask = _addresses(member.name), "255.255.255.0"
    for tag in member.tags:
        yield {
            **_names(member.name),
            "role": tag,
            "swift_zone": member.name,
            "internal_address": addresses["mgmt"],
            "internal_netmask": mask,
            "storage_address": addresses["storage"],
            "storage_netmask": mask,
        }


def _names(uid: str) -> dict[str, str]:
    name = f"node-{uid}"
    return {"fqdn": f"{name}.test.domain.local", "name": name, "user_node_name": name, "uid": uid}


def _addresses(uid: str) -> dict[str, str]:
    """A node's address by network. Past 61,440 nodes the third number is over 255: text is all that is asked of it."""
    subnet, host = divmod(int(uid) - 1, _PER_SUBNET)
    return {network: f"{prefix}.{subnet}.{5 + host}" for network, prefix in _NETWORKS.items()}


def _moved(address: str | None, addresses: Mapping[str, str]) -> str | None:
    """An address of a real node becomes this node's address in the same network."""
    if address is None:
        return None
    real = {"172.16": "public", "10.109": "admin", "192.168.1.": "storage"}
    return addresses[next((network for prefix, network in real.items() if address.startswith(prefix)), "mgmt")]


def _roles(count: int) -> list[str]:
    controllers = 3 if count >= _LARGE else 1
    return ["controller"] * controllers + [_REST[number % len(_REST)] for number in range(count - controllers)]


def _known_roles(data: Path) -> dict[str, Role]:
    """Fuel's roles with their tags, and of which tags one node is the primary one."""
    releases = (entry["fields"] for entry in _yaml(data / "metadata" / "openstack.yaml"))
    release = next(fields for fields in releases if fields.get("roles_metadata"))
    with_primary = {tag for tag, said in release["tags_metadata"].items() if said.get("has_primary")}
    roles = {}
    for name, said in release["roles_metadata"].items():
        tags = tuple(said.get("tags", (name,)))
        roles[name] = Role(name=name, tags=tags, primary=tuple(tag for tag in tags if tag in with_primary))
    return roles


def _yaml(path: Path) -> Any:
    return yaml.load(path.read_bytes(), Loader=yaml.CSafeLoader)


def _json(value: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))
