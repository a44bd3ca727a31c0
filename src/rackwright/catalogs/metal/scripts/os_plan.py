#!/usr/bin/env python3
"""Make the plan of one installation: its identity, what is written where, and the texts that make it this machine's.

From this fact on the machine boots its installer, so a person has to agree before a plan is replaced by another.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import sys
from typing import Any

sys.path.insert(0, os.path.join(os.environ.get("RACKWRIGHT_FILES", ""), "scripts"))

import answers
import images
import netconf
import told

_HOST = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_KEY = re.compile(r"(ssh|ecdsa|sk)-[\w@.-]+ [A-Za-z0-9+/=]+( [^\n\"']*)?")


def plan(given: dict[str, Any], text: answers.Text, nonce: str) -> dict[str, Any]:
    """The plan. ``given``: ``os`` (what is wished), ``target`` (see os_target.py) and ``node``. ``nonce`` makes this
    installation another one than the last of the same content: each runs once."""
    wished, target = given.get("os") or {}, given["target"]
    method, image = target["method"], target["image"]
    wish = wish_of(given)
    made: dict[str, Any] = {
        "method": method,
        "image": {key: image[key] for key in ("name", "version", "digest")},
        "disk": target["disks"][0] if target["disks"] else {},
        "boot_image": "" if method == "image" else image["digest"],
        "arguments": " ".join(filter(None, (_arguments(method, image, wish), str(wished.get("arguments") or "")))),
        "data": {"hostname": wish.hostname, "fqdn": wish.fqdn, "answers": _answers(method, wish, text)},
    }
    if _laid_out(target):
        made["data"]["layout"] = target["layout"]["layout"]
    if method == "image":
        made |= _written(image, target, wish, text)
        if wished.get("restart") == "kexec" and not _laid_out(target):
            made |= {"restart": "kexec", "kernel_arguments": image["arguments"]}
    made["request"] = hashlib.sha256(json.dumps([made, nonce], sort_keys=True).encode()).hexdigest()[:26]
    made["arrival"] = _arrival(method, made["request"])
    return made


def wish_of(given: dict[str, Any]) -> answers.Wish:
    """Everything that is wished, with what follows from the node and the image. Raises Refused."""
    wished, target = given.get("os") or {}, given["target"]
    properties = target["image"]["properties"]
    hostname, dot, rest = str(wished.get("hostname") or given["node"]["name"]).lower().partition(".")
    domain = str(wished.get("domain") or (rest if dot else ""))
    for label in (hostname, *filter(None, domain.split("."))):
        if not _HOST.fullmatch(label):
            mend = "set the attribute os.hostname (letters, digits and hyphens)"
            raise told.Refused(f"{label!r} is no part of a host's name", mend)
    user = str(wished.get("user") or properties.get("user") or "root")
    if not _USER.fullmatch(user):
        raise told.Refused(f"{user!r} is no name of a user", "correct the attribute os.user")
    keys = [str(key).strip() for key in wished.get("ssh_keys") or []]
    for key in keys:
        if not _KEY.fullmatch(key):
            raise told.Refused(f"{key[:40]!r} is no public SSH key", "give whole lines of *.pub in os.ssh_keys")
    dns = (wished.get("network") or {}).get("dns", {}).get("addresses")
    return answers.Wish(
        hostname=hostname,
        domain=domain,
        user=user,
        ssh_keys=keys,
        user_data=wished.get("user_data"),
        network=netconf.checked(wished.get("network"), [target["mac"]] if target["mac"] else [], dns),
        plain=not (wished.get("network") or {}).get("interfaces"),
        layout=target["layout"],
        disks=target["disks"],
        uefi=target["firmware"] == "uefi",
        mirror=str(wished.get("mirror") or properties.get("mirror") or ""),
        suite=str(properties.get("suite") or ""),
        security=bool(properties.get("security", True)),
        proxy=str(wished.get("proxy") or ""),
        packages=[str(name) for name in wished.get("packages") or []],
        **{key: str(wished[key]) for key in ("locale", "keyboard", "timezone") if wished.get(key)},
    )


def _answers(method: str, wish: answers.Wish, text: answers.Text) -> dict[str, str]:
    """What the door answers to this machine, by name."""
    if method == "preseed":
        return answers.preseed(wish, text)
    if method == "autoinstall":
        return answers.autoinstall(wish, text)
    if method == "kickstart":
        return answers.kickstart(wish, text)
    return answers.nocloud(wish)


def _arguments(method: str, image: dict[str, Any], wish: answers.Wish) -> str:
    """Kernel arguments of the installer. Places in ``${}`` are filled by the door."""
    install = "${DOOR}/install/${TOKEN}"
    if method == "preseed":
        return f"auto=true priority=critical url={install}/preseed.cfg interface=auto hostname={wish.hostname}"
    if method == "kickstart":
        return f"inst.ks={install}/kickstart inst.repo={wish.mirror} ip=dhcp"
    if method == "autoinstall":
        source = next((one for one in image["files"] if one["part"] == "other"), None)
        url = f"${{DOOR}}/assets/{source['sha256']}" if source else str(image["properties"].get("url") or "")
        if not url:
            mend = "import it with its ISO, or with the property `url`"
            raise told.Refused(f"nothing says where the ISO of the image {image['name']} is", mend)
        return f"ip=dhcp url={url} autoinstall cloud-config-url=/dev/null ds=nocloud;s=${{DOOR}}/metadata/${{TOKEN}}/"
    return "ds=nocloud;s=${DOOR}/metadata/${TOKEN}/" if method == "memory" else ""


def _written(image: dict[str, Any], target: dict[str, Any], wish: answers.Wish, text: answers.Text) -> dict[str, Any]:
    """What the agent needs to write the image."""
    properties = image["properties"]
    disk = images.file(image, "disk")
    seed = answers.image_seed(
        wish, text, cloud_init=bool(properties.get("cloud_init")), network=str(properties.get("network") or "networkd")
    )
    where, *mirror = [_which(chosen) for chosen in target["disks"]]
    layout = {key: target["layout"][key] for key in ("layout", "swap_bytes")}
    return {
        "url": f"/assets/{disk['sha256']}",
        "sha256": disk["sha256"],
        "bytes": disk.get("bytes", 0),
        "compression": disk.get("compression", "none"),
        "raw_bytes": disk.get("raw_bytes", 0),
        "raw_sha256": disk.get("raw_sha256", ""),
        "root": int(properties.get("root") or 1),
        "where": where,
        "seed": seed,
        **({"layout": layout, "mirror": mirror} if _laid_out(target) else {}),
    }


def _which(chosen: dict[str, Any]) -> dict[str, Any]:
    """How the agent finds a disk."""
    return {**{key: chosen[key] for key in ("serial", "path") if chosen.get(key)}, "min_bytes": chosen["bytes"]}


def _laid_out(target: dict[str, Any]) -> bool:
    """Whether an image's root is to stand on a volume or a mirror: the discovery system then needs more than usual."""
    return bool(target["method"] == "image" and target["layout"]["layout"] != "flat")


def _arrival(method: str, request: str) -> dict[str, str]:
    """The fact by which the machine tells that it has got where the next task wants it."""
    if method in ("image", "memory"):
        return {"observed.booted.request": request}
    return {"observed.installed.request": request}


def main() -> None:
    """Give the facts ``os.plan`` and ``os.seed``: the files that the agent puts into the image."""
    try:
        made = plan(told.inputs(), told.text, secrets.token_hex(16))
    except told.Refused as error:
        told.refuse(error)
    print(f"request {made['request']}: {made['image']['name']} {made['image']['version']} by {made['method']}")
    told.give({"os.seed": made.pop("seed", []), "os.plan": made})


if __name__ == "__main__":
    main()
