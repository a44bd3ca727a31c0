"""The network of an installed system, as a tree of interfaces, and its forms: systemd-networkd, netplan (which is also
cloud-init's second version), ifupdown and kickstart.

A network is ``{"interfaces": [...], "dns": {"addresses": [...], "search": [...]}}``. An interface has a ``name`` and
a ``type``: ``physical`` (matched by ``mac``, else by its name), ``bond`` (``members``, ``mode``), ``vlan`` (``link``,
``id``) or ``bridge`` (``members``). Each may have ``dhcp``, ``addresses`` (with prefix), ``gateway``, ``routes``
(``to``, ``via``) and ``mtu``. What is written follows systemd.network(5), systemd.netdev(5), netplan's reference,
interfaces(5) and the kickstart reference of Anaconda.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from told import Refused

Interface = dict[str, Any]
Network = dict[str, Any]

_NAME = re.compile(r"[A-Za-z][\w.-]{0,14}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_MEND = "correct the attribute os.network"


def checked(network: Network | None, macs: list[str], dns: list[str] | None = None) -> Network:
    """A network without faults; with nothing wished, DHCP on the interface with the first of ``macs``.

    Raises Refused for names that the kernel does not take, members that are not there or have two masters, wrong
    addresses, and gateways that cannot be reached.
    """
    if not network or not network.get("interfaces"):
        return {"interfaces": [_plain(macs)], "dns": _dns(network, dns)}
    interfaces = [_filled(one) for one in network["interfaces"]]
    _check_names(interfaces)
    _check_members(interfaces)
    for one in interfaces:
        _check_addresses(one)
    return {"interfaces": interfaces, "dns": _dns(network, dns)}


def netplan(network: Network) -> dict[str, Any]:
    """The mapping below ``network:`` of netplan; cloud-init takes it as its network-config of version 2."""
    plan: dict[str, Any] = {"version": 2}
    sections = {"physical": "ethernets", "bond": "bonds", "vlan": "vlans", "bridge": "bridges"}
    for one in network["interfaces"]:
        body = _netplan_own(one) | _netplan_addresses(one, network["dns"])
        plan.setdefault(sections[one["type"]], {})[one["name"]] = body
    return plan


def networkd(network: Network) -> dict[str, str]:
    """Texts of /etc/systemd/network by file name."""
    files = {}
    for number, one in enumerate(network["interfaces"], start=10):
        if one["type"] != "physical":
            files[f"{number}-{one['name']}.netdev"] = _netdev(one)
        files[f"{number}-{one['name']}.network"] = _network_unit(one, network)
    return files


def links(network: Network) -> dict[str, str]:
    """Texts of /etc/systemd/network by file name that give physical interfaces the names which people want."""
    return {
        f"70-{one['name']}.link": f"[Match]\nMACAddress={one['mac']}\nType=ether\n\n[Link]\nName={one['name']}\n"
        for one in network["interfaces"]
        if one["type"] == "physical" and one["mac"] and one["rename"]
    }


def ifupdown(network: Network) -> str:
    """The text of /etc/network/interfaces. Interfaces are known by name there: see ``links``."""
    lines = ["auto lo", "iface lo inet loopback"]
    for one in network["interfaces"]:
        lines += ["", f"auto {one['name']}", *_stanzas(one, network)]
    return "\n".join([*lines, ""])


def kickstart(network: Network) -> list[str]:
    """``network`` commands of kickstart. Physical members of a bond or bridge need none of their own."""
    interfaces = network["interfaces"]
    held = {member for one in interfaces for member in one.get("members", ())}
    return [_command(one, network) for one in interfaces if one["type"] != "physical" or one["name"] not in held]


# ---- what is wished


def _plain(macs: list[str]) -> Interface:
    mac = macs[0] if macs else ""
    return _filled({"name": "primary" if mac else "any", "mac": mac, "dhcp": True, "rename": False})


def _filled(one: Interface) -> Interface:
    filled = {"type": "physical", "mac": "", "dhcp": False, "addresses": [], "routes": [], "rename": True, **one}
    return {**filled, "mac": str(filled["mac"] or "").lower()}


def _dns(network: Network | None, fallback: list[str] | None) -> dict[str, list[str]]:
    said = (network or {}).get("dns") or {}
    return {"addresses": list(said.get("addresses") or fallback or []), "search": list(said.get("search") or [])}


def _check_names(interfaces: list[Interface]) -> None:
    names = [str(one.get("name", "")) for one in interfaces]
    for one, name in zip(interfaces, names, strict=True):
        if not _NAME.fullmatch(name):
            raise Refused(f"{name!r} is no name of an interface: a letter, then at most 14 more signs", _MEND)
        if names.count(name) > 1:
            raise Refused(f"two interfaces are named {name}", _MEND)
        if one["mac"] and not _MAC.fullmatch(one["mac"]):
            raise Refused(f"{one['mac']} is no MAC address (interface {name})", _MEND)


def _check_members(interfaces: list[Interface]) -> None:
    names = {one["name"] for one in interfaces}
    master: dict[str, str] = {}
    for one in interfaces:
        wanted = [one["link"]] if one["type"] == "vlan" and one.get("link") else one.get("members", [])
        if not wanted:
            if one["type"] in ("bond", "vlan", "bridge"):
                raise Refused(f"the {one['type']} {one['name']} stands on no interface", _MEND)
            continue
        for member in wanted:
            if member not in names:
                raise Refused(f"{one['name']} stands on {member}, which is no interface of the list", _MEND)
            if one["type"] != "vlan" and master.setdefault(member, one["name"]) != one["name"]:
                raise Refused(f"{member} is a member of {master[member]} and of {one['name']}", _MEND)
        if one["type"] == "vlan" and not 1 <= int(one.get("id", 0)) <= 4094:
            raise Refused(f"the vlan {one['name']} needs an id from 1 to 4094", _MEND)


def _check_addresses(one: Interface) -> None:
    name = one["name"]
    try:
        own = [ipaddress.ip_interface(address) for address in one["addresses"]]
        gateway = ipaddress.ip_address(one["gateway"]) if one.get("gateway") else None
    except ValueError as error:
        raise Refused(f"interface {name}: {error}", _MEND) from None
    if any(address.network.prefixlen == address.max_prefixlen for address in own) and gateway is None:
        raise Refused(f"interface {name}: an address without a prefix reaches nobody", "write it as 10.0.0.5/24")
    if gateway is not None and not any(gateway in address.network for address in own):
        raise Refused(f"interface {name}: the gateway {gateway} is in no network of its addresses", _MEND)


# ---- netplan and cloud-init


def _netplan_own(one: Interface) -> dict[str, Any]:
    if one["type"] == "physical":
        if one["name"] == "any":
            return {"match": {"name": "e*"}, "optional": True}
        match = {"match": {"macaddress": one["mac"]}} if one["mac"] else {}
        return {**match, **({"set-name": one["name"]} if one["mac"] and one["rename"] else {})}
    if one["type"] == "bond":
        return {"interfaces": one["members"], "parameters": {"mode": _mode(one), "mii-monitor-interval": 100}}
    if one["type"] == "vlan":
        return {"id": int(one["id"]), "link": one["link"]}
    return {"interfaces": one["members"], "parameters": {"stp": bool(one.get("stp", False))}}


def _netplan_addresses(one: Interface, dns: dict[str, list[str]]) -> dict[str, Any]:
    # Racks know machines by their MACs; the default is an identity that every installation makes anew.
    body: dict[str, Any] = {"dhcp4": bool(one["dhcp"]), **({"dhcp-identifier": "mac"} if one["dhcp"] else {})}
    if one.get("mtu"):
        body["mtu"] = int(one["mtu"])
    if not one["addresses"]:
        return body
    routes = [{"to": route["to"], "via": route["via"]} for route in _routes(one)]
    named = {key: value for key, value in dns.items() if value}
    return body | {
        "addresses": one["addresses"],
        **({"routes": routes} if routes else {}),
        **({"nameservers": named} if named else {}),
    }


def _mode(one: Interface) -> str:
    return str(one.get("mode") or "active-backup")


def _routes(one: Interface) -> list[dict[str, str]]:
    gateway = one.get("gateway")
    default = [{"to": "::/0" if ":" in gateway else "0.0.0.0/0", "via": gateway}] if gateway else []
    return [*default, *one["routes"]]


# ---- systemd-networkd


def _netdev(one: Interface) -> str:
    lines = ["[NetDev]", f"Name={one['name']}", f"Kind={one['type']}"]
    if one["type"] == "bond":
        lines += ["", "[Bond]", f"Mode={_mode(one)}", "MIIMonitorSec=100ms"]
    elif one["type"] == "vlan":
        lines += ["", "[VLAN]", f"Id={one['id']}"]
    else:
        lines += ["", "[Bridge]", f"STP={'yes' if one.get('stp') else 'no'}"]
    return "\n".join([*lines, ""])


def _network_unit(one: Interface, network: Network) -> str:
    others = network["interfaces"]
    match = f"MACAddress={one['mac']}" if one["mac"] else f"Name={'e*' if one['name'] == 'any' else one['name']}"
    # A bond and its vlans may share the MAC of a member: only what a driver made is physical.
    kind = ["Type=ether", "Kind=!*"] if one["mac"] and one["type"] == "physical" else []
    lines = ["[Match]", match, *kind]
    # Where any interface will do, a start must not wait for those without a cable.
    link = [f"MTUBytes={one['mtu']}"] if one.get("mtu") else []
    link += ["RequiredForOnline=no"] if one["name"] == "any" else []
    lines += ["", "[Link]", *link] if link else []
    lines += ["", "[Network]", f"DHCP={'yes' if one['dhcp'] else 'no'}"]
    lines += [f"Bond={other['name']}" for other in others if other["type"] == "bond" and _is_member(one, other)]
    lines += [f"Bridge={other['name']}" for other in others if other["type"] == "bridge" and _is_member(one, other)]
    lines += [f"VLAN={other['name']}" for other in others if other["type"] == "vlan" and other["link"] == one["name"]]
    lines += [f"Address={address}" for address in one["addresses"]]
    if one["addresses"] or one["dhcp"]:
        lines += [f"DNS={address}" for address in network["dns"]["addresses"]]
        lines += [f"Domains={' '.join(network['dns']['search'])}"] if network["dns"]["search"] else []
    for route in _routes(one):
        lines += ["", "[Route]", f"Destination={route['to']}", f"Gateway={route['via']}"]
    lines += ["", "[DHCPv4]", "ClientIdentifier=mac"] if one["dhcp"] else []
    return "\n".join([*lines, ""])


def _is_member(one: Interface, other: Interface) -> bool:
    return one["name"] in other.get("members", ())


# ---- ifupdown


def _stanzas(one: Interface, network: Network) -> list[str]:
    options = _ifupdown_options(one)
    if one["dhcp"] or not one["addresses"]:
        return [f"iface {one['name']} inet {'dhcp' if one['dhcp'] else 'manual'}", *options]
    lines = []
    for number, address in enumerate(one["addresses"]):
        family = "inet6" if ":" in address else "inet"
        lines += [f"iface {one['name']} {family} static", f"    address {address}"]
        gateway = one.get("gateway")
        if gateway and (":" in gateway) == (":" in address) and not _earlier(one, number, family):
            lines.append(f"    gateway {gateway}")
        if number == 0:
            dns = network["dns"]
            lines += [f"    dns-nameservers {' '.join(dns['addresses'])}"] if dns["addresses"] else []
            lines += [f"    dns-search {' '.join(dns['search'])}"] if dns["search"] else []
            lines += [f"    up ip route add {route['to']} via {route['via']}" for route in one["routes"]]
            lines += options
    return lines


def _earlier(one: Interface, number: int, family: str) -> bool:
    """True when an earlier address is of the same family: a gateway is said once."""
    return any((":" in address) == (family == "inet6") for address in one["addresses"][:number])


def _ifupdown_options(one: Interface) -> list[str]:
    lines = [f"    mtu {one['mtu']}"] if one.get("mtu") else []
    if one["type"] == "bond":
        lines += [f"    bond-slaves {' '.join(one['members'])}", f"    bond-mode {_mode(one)}", "    bond-miimon 100"]
    elif one["type"] == "vlan":
        lines += [f"    vlan-raw-device {one['link']}", f"    vlan-id {one['id']}"]
    elif one["type"] == "bridge":
        lines += [f"    bridge_ports {' '.join(one['members'])}", f"    bridge_stp {'on' if one.get('stp') else 'off'}"]
    return lines


# ---- kickstart


def _command(one: Interface, network: Network) -> str:
    words = ["network", f"--device={_device(one, network)}", *_made_of(one, network)]
    v4 = [ipaddress.ip_interface(address) for address in one["addresses"] if ":" not in address]
    v6 = [address for address in one["addresses"] if ":" in address]
    if one["dhcp"]:
        words.append("--bootproto=dhcp")
    elif v4:
        words += ["--bootproto=static", f"--ip={v4[0].ip}", f"--netmask={v4[0].netmask}"]
        words += [f"--gateway={one['gateway']}"] if one.get("gateway") and ":" not in one["gateway"] else []
    else:
        words.append("--noipv4")
    words += [f"--ipv6={v6[0]}"] if v6 else []
    words += [f"--mtu={one['mtu']}"] if one.get("mtu") else []
    servers = network["dns"]["addresses"] if one["addresses"] else []
    words += [f"--nameserver={','.join(servers)}"] if servers else []
    return " ".join([*words, "--activate", "--onboot=yes"])


def _device(one: Interface, network: Network) -> str:
    """What a command is about: a vlan is made on its link."""
    if one["type"] == "vlan":
        return next(_called(other) for other in network["interfaces"] if other["name"] == one["link"])
    return "link" if one["name"] == "any" else _called(one)


def _called(one: Interface) -> str:
    return str(one["mac"] or one["name"]) if one["type"] == "physical" else str(one["name"])


def _made_of(one: Interface, network: Network) -> list[str]:
    members = [_called(other) for other in network["interfaces"] if _is_member(other, one)]
    if one["type"] == "bond":
        return [f"--bondslaves={','.join(members)}", f"--bondopts=mode={_mode(one)},miimon=100"]
    if one["type"] == "bridge":
        stp = "yes" if one.get("stp") else "no"
        return [f"--bridgeslaves={','.join(members)}", f"--bridgeopts=stp={stp}"]
    return [f"--vlanid={one['id']}", f"--interfacename={one['name']}"] if one["type"] == "vlan" else []
