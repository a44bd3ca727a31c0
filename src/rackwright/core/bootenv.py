"""What a machine boots. It follows from facts; nobody sets it.

``kind`` is what the boot server answers: the discovery system, an installer, the rescue system, the machine's own disk,
or a system that runs from memory. ``request`` is the identity of what was asked for (a hash): the machine repeats it
when it reports, so that an old report is never taken for a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import msgspec

Kind = Literal["discovery", "install", "rescue", "local", "memory"]


class Bootenv(msgspec.Struct, frozen=True, kw_only=True):
    """One boot environment of one machine."""

    kind: Kind = "discovery"
    request: str = ""
    """Empty: nothing in particular was asked for."""
    image: str = ""
    """Name or digest of the image (see ``images``) whose kernel and ramdisk are booted; empty: the rack's discovery
    image."""
    installs: str = ""
    """Digest of the image that is written to its disk; empty: none is."""
    method: str = ""
    """For ``install``: ``preseed``, ``autoinstall`` or ``kickstart`` (images are written by the discovery system)."""
    arguments: str = ""
    """Further kernel arguments."""
    data: dict[str, Any] = {}
    """What the answers to the machine are made of: hostname, ssh_keys, user_data, network, storage, ..."""


READS = ("machine.activity", "os.plan", "os.written", "observed.os", "observed.installed")
"""The facts of a node from which its boot environment follows."""


def derive(facts: Mapping[str, Any]) -> Bootenv:
    """The boot environment of a node; ``facts`` are those of ``READS`` that are there, by path.

    An activity that needs a system of its own comes first. Then a plan of an operating system: its installer until it
    has been written or has said that it is done, its disk from then on. A machine of which nothing is known but that it
    has a system keeps it. All others boot the discovery system. What does not have the form of its fact counts as
    absent: machines and catalogs may say anything, and what others boot must not depend on it.
    """
    activity = _mapping(facts.get("machine.activity"))
    if activity.get("env") in get_args(Kind):
        given = _mapping(activity.get("parameters"))
        return Bootenv(kind=activity["env"], request=str(activity.get("id", "")), data=given)
    plan = _mapping(facts.get("os.plan"))
    if plan.get("request"):
        return _of_plan(plan, facts)
    if facts.get("observed.os"):
        return Bootenv(kind="local")
    return Bootenv()


def _of_plan(plan: Mapping[str, Any], facts: Mapping[str, Any]) -> Bootenv:
    request, method, data = str(plan["request"]), str(plan.get("method", "image")), _mapping(plan.get("data"))
    reports = [_mapping(facts.get(path)) for path in ("observed.os", "observed.installed", "os.written")]
    if method == "memory":
        kind: Kind = "memory"
    elif any(report.get("request") == request for report in reports):
        return Bootenv(kind="local", request=request, data=data)
    else:
        kind = "install"
    return Bootenv(
        kind=kind,
        request=request,
        image=str(plan.get("boot_image") or ""),
        installs=str(_mapping(plan.get("image")).get("digest") or "") if method == "image" else "",
        method=method,
        arguments=str(plan.get("arguments") or ""),
        data=data,
    )


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
