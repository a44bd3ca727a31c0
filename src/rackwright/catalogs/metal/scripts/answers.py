"""The texts that make a system this machine's own: cloud-init's NoCloud files, the first files of an image, and the
answers for installers (Debian's preseed, Ubuntu's autoinstall, kickstart).

All of it is text in which the rack's door, or the machine's agent, fills ``${DOOR}``, ``${TOKEN}`` and ``${REQUEST}``:
no fact and no plan holds a token. What is wished is ``Wish``; the catalog's templates come by path.
"""

from __future__ import annotations

import json
import shlex
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jinja2
import netconf
import storage
import yaml
from told import Refused

Text = Callable[[str], str]
"""Gives a text of the catalog by its path."""
Seed = dict[str, Any]
"""A first file: path, content, mode; or path and link."""

_PROGRAM = "/usr/local/sbin/rackwright-first-boot"
_WANTS = "/etc/systemd/system/multi-user.target.wants"
_MARK = "RACKWRIGHT-END"


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Everything that a system's texts are made of."""

    hostname: str
    domain: str = ""
    user: str = "root"
    ssh_keys: list[str] = field(default_factory=list)
    user_data: Any = None
    """A text as cloud-init takes it, or a mapping of its cloud-config."""
    network: dict[str, Any]
    plain: bool = False
    """Nothing was wished of the network: where an installer has its own way, it is left."""
    layout: dict[str, Any] = field(default_factory=dict)
    disks: list[dict[str, Any]] = field(default_factory=list)
    uefi: bool = False
    locale: str = "en_US.UTF-8"
    keyboard: str = "us"
    timezone: str = "UTC"
    mirror: str = ""
    suite: str = ""
    security: bool = True
    proxy: str = ""
    packages: list[str] = field(default_factory=list)

    @property
    def fqdn(self) -> str:
        """Host name and domain."""
        return f"{self.hostname}.{self.domain}" if self.domain else self.hostname


# ---- images


def image_seed(wish: Wish, text: Text, *, cloud_init: bool, network: str) -> list[Seed]:
    """The first files of an image: NoCloud files where it has cloud-init, else its name, keys and network themselves.
    ``network`` says what sets up the network there: networkd, netplan or ifupdown. Both tell the rack when they run."""
    own = _nocloud_seed(wish) if cloud_init else _plain_seed(wish, network)
    return [*own, *first_boot(wish, text, cloud_init=cloud_init)]


def nocloud(wish: Wish) -> dict[str, str]:
    """The four files of cloud-init's NoCloud source. The instance is the request, so a re-installation is a new one.
    What we want is vendor data: what people give in ``user_data`` goes above it."""
    meta = {"instance-id": "${REQUEST}", "local-hostname": wish.hostname, "public-keys": wish.ssh_keys}
    ours: dict[str, Any] = {"fqdn": wish.fqdn, "ssh_pwauth": False, "disable_root": wish.user != "root"}
    ours["users"] = [_user(wish)]
    return {
        "meta-data": _yaml(meta),
        "user-data": user_data(wish.user_data),
        "vendor-data": "#cloud-config\n" + _yaml(ours),
        "network-config": _yaml(netconf.netplan(wish.network)),
    }


def user_data(given: Any) -> str:
    """What people gave, as a text that cloud-init takes."""
    if not given:
        return "#cloud-config\n{}\n"
    return given if isinstance(given, str) else "#cloud-config\n" + _yaml(given)


def first_boot(wish: Wish, text: Text, *, cloud_init: bool) -> list[Seed]:
    """The program and units by which a new system tells that it runs, and gets its agent."""
    settings = {"door": "${DOOR}", "token": "${TOKEN}", "request": "${REQUEST}"}
    user = "" if cloud_init or wish.user == "root" else wish.user
    lines = [f"{name}={value}" for name, value in settings.items()] + [f"user={shlex.quote(user)}"]
    units = ("rackwright-first-boot.service", "rackwright-agent.service")
    return [
        {"path": "/etc/rackwright/agent.json", "content": json.dumps(settings) + "\n", "mode": "0600"},
        {"path": "/etc/rackwright/first-boot.env", "content": "\n".join([*lines, ""]), "mode": "0600"},
        {"path": "/etc/rackwright/authorized_keys", "content": _keys(wish), "mode": "0600"},
        {"path": _PROGRAM, "content": text("templates/first-boot.sh"), "mode": "0755"},
        *({"path": f"/etc/systemd/system/{unit}", "content": text(f"templates/{unit}"), "mode": "0644"}
          for unit in units),
        *({"path": f"{_WANTS}/{unit}", "link": f"/etc/systemd/system/{unit}"} for unit in units),
    ]  # fmt: skip


def place_script(files: list[Seed]) -> str:
    """A program for bash that puts these files into the system in which it runs."""
    lines = ["#!/bin/bash", "set -e"]
    for file in files:
        path = shlex.quote(file["path"])
        lines.append(f"mkdir -p {shlex.quote(file['path'].rpartition('/')[0] or '/')}")
        if file.get("link"):
            lines.append(f"ln -sfn {shlex.quote(file['link'])} {path}")
            continue
        if _MARK in file["content"]:
            raise Refused(f"the text of {file['path']} holds {_MARK}", "take that word out of it")
        body = file["content"] if file["content"].endswith("\n") or not file["content"] else file["content"] + "\n"
        lines += [f"cat >{path} <<'{_MARK}'\n{body}{_MARK}", f"chmod {file['mode']} {path}"]
    return "\n".join([*lines, ""])


def _nocloud_seed(wish: Wish) -> list[Seed]:
    """At the place where cloud-init looks without being told, and nowhere else."""
    folder = "/var/lib/cloud/seed/nocloud"
    files = [{"path": f"{folder}/{name}", "content": text, "mode": "0600"} for name, text in nocloud(wish).items()]
    only = "datasource_list: [NoCloud, None]\n"
    return [*files, {"path": "/etc/cloud/cloud.cfg.d/95-rackwright.cfg", "content": only, "mode": "0644"}]


def _plain_seed(wish: Wish, network: str) -> list[Seed]:
    hosts = f"127.0.0.1 localhost\n127.0.1.1 {' '.join(dict.fromkeys((wish.fqdn, wish.hostname)))}\n"
    hosts += "::1 localhost ip6-localhost ip6-loopback\n"
    files: list[Seed] = [
        {"path": "/etc/hostname", "content": f"{wish.hostname}\n", "mode": "0644"},
        {"path": "/etc/hosts", "content": hosts, "mode": "0644"},
    ]
    if wish.user == "root" and wish.ssh_keys:
        files.append({"path": "/root/.ssh/authorized_keys", "content": _keys(wish), "mode": "0600"})
    return [*files, *network_files(wish, network)]


def network_files(wish: Wish, kind: str) -> list[Seed]:
    """The files that set up the network, for networkd, netplan or ifupdown."""
    if kind == "netplan":
        text = _yaml({"network": {**netconf.netplan(wish.network), "renderer": "networkd"}})
        return [{"path": "/etc/netplan/50-rackwright.yaml", "content": text, "mode": "0600"}]
    links = [
        {"path": f"/etc/systemd/network/{name}", "content": text, "mode": "0644"}
        for name, text in netconf.links(wish.network).items()
    ]
    if kind == "ifupdown":
        text = netconf.ifupdown(wish.network)
        return [*links, {"path": "/etc/network/interfaces", "content": text, "mode": "0644"}]
    if kind != "networkd":
        raise Refused(f"nothing is known of the network set-up {kind!r}", "write networkd, netplan or ifupdown")
    files = [
        {"path": f"/etc/systemd/network/{name}", "content": text, "mode": "0644"}
        for name, text in netconf.networkd(wish.network).items()
    ]
    unit = "systemd-networkd.service"
    enabled = {"path": f"{_WANTS}/{unit}", "link": f"/lib/systemd/system/{unit}"}
    return [*links, *files, enabled, *_resolver(wish)]


def _resolver(wish: Wish) -> list[Seed]:
    """Without systemd-resolved nobody passes on what networkd knows of name servers."""
    dns = wish.network["dns"]
    if not dns["addresses"]:
        return []
    lines = [f"nameserver {address}" for address in dns["addresses"]]
    lines += [f"search {' '.join(dns['search'])}"] if dns["search"] else []
    return [{"path": "/etc/resolv.conf", "content": "\n".join([*lines, ""]), "mode": "0644"}]


# ---- installers


def preseed(wish: Wish, text: Text) -> dict[str, str]:
    """The answers for Debian's installer, and the scripts that it fetches."""
    kinds = {one["type"] for one in wish.network["interfaces"]}
    needed = [name for kind, name in (("bond", "ifenslave"), ("vlan", "vlan"), ("bridge", "bridge-utils"))
              if kind in kinds]  # fmt: skip
    packages = ["openssh-server", *(["sudo"] if wish.user != "root" else []), *needed, *wish.packages]
    partman = storage.partman(wish.layout, wish.uefi)
    answers = _rendered(text, "templates/preseed.cfg.j2", wish, partman=partman, all_packages=packages)
    names = " ".join(f"$disk{number}" for number in range(1, len(wish.disks) + 1))
    tell = f'debconf-set partman-auto/disk "{names}"\ndebconf-set grub-installer/bootdev "{names}"\n'
    return {
        "preseed.cfg": answers,
        "disks.sh": f"#!/bin/sh\nset -e\n{text('templates/find-disk.sh')}\n{_find_disks(wish)}\n{tell}",
        "place.sh": place_script(_installed_seed(wish, text, "ifupdown")),
    }


def kickstart(wish: Wish, text: Text) -> dict[str, str]:
    """The answers for Anaconda, and the script that it fetches."""
    answers = _rendered(
        text, "templates/kickstart.j2", wish,
        network=netconf.kickstart(wish.network), storage=storage.kickstart(wish.layout, wish.uefi),
        find_disk=text("templates/find-disk.sh"), find_disks=_find_disks(wish),
        all_packages=[*(["sudo"] if wish.user != "root" else []), *wish.packages],
    )  # fmt: skip
    return {"kickstart": answers, "place.sh": place_script(_installed_seed(wish, text, None))}


def autoinstall(wish: Wish, text: Text) -> dict[str, str]:
    """The answers for Ubuntu's installer: its own user data and meta data, and the scripts that it fetches."""
    theirs = _cloud_config(wish.user_data)
    target = {"fqdn": wish.fqdn, "disable_root": wish.user != "root", "users": [_user(wish)], **theirs}
    config: dict[str, Any] = {
        "version": 1,
        "locale": wish.locale,
        "keyboard": {"layout": wish.keyboard},
        "timezone": wish.timezone,
        "refresh-installer": {"update": False},
        "storage": {"config": storage.curtin(wish.layout, wish.disks, wish.uefi), "swap": {"size": 0}},
        "ssh": {"install-server": True, "allow-pw": False, "authorized-keys": wish.ssh_keys},
        "packages": wish.packages,
        "user-data": target,
        "early-commands": [_fetch("disks.sh", "/run/disks.sh"), ["bash", "/run/disks.sh"]],
        "late-commands": [
            _fetch("place.sh", "/target/root/place.sh"),
            ["curtin", "in-target", "--target=/target", "--", "bash", "/root/place.sh"],
            ["curtin", "in-target", "--target=/target", "--", _PROGRAM, "installed"],
        ],
        "shutdown": "reboot",
    }
    if not wish.plain:
        config["network"] = netconf.netplan(wish.network)
    if wish.proxy:
        config["proxy"] = wish.proxy
    if wish.mirror:
        config["apt"] = {"primary": [{"arches": ["default"], "uri": wish.mirror}], "geoip": False}
    return {
        "user-data": "#cloud-config\n" + _yaml({"autoinstall": config}),
        "meta-data": _yaml({"instance-id": "${REQUEST}", "local-hostname": wish.hostname}),
        "vendor-data": "",
        "network-config": "",
        "disks.sh": f"#!/bin/bash\nset -e\n{text('templates/find-disk.sh')}\n{_find_disks(wish)}\n",
        "place.sh": place_script(first_boot(wish, text, cloud_init=True)),
    }


def _installed_seed(wish: Wish, text: Text, network: str | None) -> list[Seed]:
    files: list[Seed] = []
    if wish.user == "root" and wish.ssh_keys:
        files.append({"path": "/root/.ssh/authorized_keys", "content": _keys(wish), "mode": "0600"})
    files += network_files(wish, network) if network and not wish.plain else []
    return [*files, *first_boot(wish, text, cloud_init=False)]


def _rendered(text: Text, path: str, wish: Wish, *, all_packages: list[str], **more: Any) -> str:
    parts = urllib.parse.urlsplit(wish.mirror)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refused(f"{wish.mirror or 'nothing'} is no URL to install from", "set the attribute os.mirror")
    mirror = {"url": wish.mirror, "scheme": parts.scheme, "host": parts.netloc, "path": parts.path or "/"}
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
        autoescape=jinja2.select_autoescape(default_for_string=False),
    )  # fmt: skip
    said = {name: getattr(wish, name) for name in wish.__dataclass_fields__}
    said |= {"fqdn": wish.fqdn, "mirror": mirror, "packages": all_packages, "dns": wish.network["dns"]["addresses"]}
    rendered: str = environment.from_string(text(path)).render(said | more)
    return rendered


def _find_disks(wish: Wish) -> str:
    lines = []
    for number, disk in enumerate(wish.disks, start=1):
        which = (disk.get("serial", ""), disk.get("path", ""), disk["bytes"])
        lines.append(f"disk{number}=$(find_disk {' '.join(shlex.quote(str(word)) for word in which)}) || exit 1")
    return "\n".join(lines)


def _fetch(name: str, target: str) -> list[str]:
    return ["wget", "--tries=5", "-O", target, f"${{DOOR}}/install/${{TOKEN}}/{name}"]


def _cloud_config(given: Any) -> dict[str, Any]:
    if isinstance(given, str):
        if given.lstrip() and not given.startswith("#cloud-config"):
            mend = "give it as #cloud-config, or use an image with cloud-init"
            raise Refused("Ubuntu's installer takes user data only as cloud-config", mend)
        given = yaml.safe_load(given) or {}
    if given and not isinstance(given, dict):
        raise Refused("the user data is no mapping", "write #cloud-config and keys below it in os.user_data")
    return dict(given or {})


def _user(wish: Wish) -> dict[str, Any]:
    user: dict[str, Any] = {"name": wish.user, "ssh_authorized_keys": wish.ssh_keys}
    if wish.user != "root":
        user |= {"shell": "/bin/bash", "lock_passwd": True, "sudo": "ALL=(ALL) NOPASSWD:ALL"}
    return user


def _keys(wish: Wish) -> str:
    return "".join(f"{key.strip()}\n" for key in wish.ssh_keys)


def _yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False, default_flow_style=False, width=1000, allow_unicode=True)
    return text
