"""What a machine boots: which image, which arguments, which script. Pure."""

from __future__ import annotations

from rackwright.core.bootenv import Bootenv
from rackwright.core.errors import InvalidInput
from rackwright.core.images import Manifest, Part
from rackwright.core.machine_messages import System
from rackwright.core.served import ServedNode, ServedRack
from rackwright.rack.door.scripts import IDENTITY, Kernel, argument_words, kernel_script, local_script

DISCOVERY = "discovery"
"""Name of the discovery image where the rack's facts name no other."""

IMAGE_METHOD = "image"


def system_of(bootenv: Bootenv) -> System:
    """In which system the machine finds itself. Images are written by the discovery system."""
    if bootenv.kind in ("rescue", "memory"):
        return bootenv.kind
    return "discovery"


def wanted_image(bootenv: Bootenv, rack: ServedRack | None) -> str:
    """Name or digest of the image to boot; empty: none is needed, the disk is booted. Raises ``InvalidInput`` where
    one must be named and is not."""
    if bootenv.kind == "local":
        return ""
    if bootenv.image:
        return bootenv.image
    if bootenv.kind == "memory" or is_installer(bootenv):
        what = f"nothing says which image is booted to {bootenv.kind} ({bootenv.method or 'no method'})"
        raise InvalidInput(what, where="os.plan", mend="name it in `boot_image`")
    return discovery_image(rack)


def is_installer(bootenv: Bootenv) -> bool:
    """Whether it boots an installer of a distribution, not the discovery system."""
    return bootenv.kind == "install" and bootenv.method not in ("", IMAGE_METHOD)


def discovery_image(rack: ServedRack | None) -> str:
    """Name or digest of the rack's discovery image."""
    return str((rack.settings.get("discovery") if rack else None) or DISCOVERY)


def again_url(door: str, token: str) -> str:
    """Where a machine asks what to boot; without a token as one that is not known."""
    return f"{door}/boot/{token}/ipxe?{IDENTITY}" if token else f"{door}/boot/ipxe?{IDENTITY}"


def substituted(text: str, door: str, token: str, request: str) -> str:
    """Fill the places ``${DOOR}``, ``${TOKEN}`` and ``${REQUEST}`` of an answer or of arguments."""
    for name, value in (("DOOR", door), ("TOKEN", token), ("REQUEST", request)):
        text = text.replace(f"${{{name}}}", value)
    return text


def node_script(node: ServedNode, image: Manifest | None, door: str, token: str) -> str:
    """The script for a known machine; ``image`` is the one of ``wanted_image``."""
    again, bootenv = again_url(door, token), node.bootenv
    if image is None:
        return local_script(f"{node.name} boots its own disk", again)
    title = f"{node.name} boots {image.name} {image.version} ({bootenv.method or bootenv.kind})"
    given = argument_words(substituted(bootenv.arguments, door, token, bootenv.request), f"{node.name} os.plan")
    tokened = (f"rackwright.token={token}", f"rackwright.request={bootenv.request}")
    arguments = (*given, *_ours(door, system_of(bootenv)), *tokened)
    return kernel_script(title, again, _kernel(image, door, arguments, *_besides(bootenv)))


def stranger_script(who: str, image: Manifest, door: str) -> str:
    """The script for a machine that the rack does not know: the discovery system."""
    title = f"this machine ({who}) is new here and boots {image.name} {image.version}"
    return kernel_script(title, again_url(door, ""), _kernel(image, door, _ours(door, "discovery")))


def _ours(door: str, system: System) -> tuple[str, ...]:
    return (f"rackwright.door={door}", f"rackwright.system={system}")


def _besides(bootenv: Bootenv) -> tuple[Part, ...]:
    """The ramdisks that come over that of the discovery system."""
    if bootenv.kind == "rescue":
        return ("rescue",)
    return ("storage",) if bootenv.kind == "install" and bootenv.data.get("layout") else ()


def _kernel(image: Manifest, door: str, arguments: tuple[str, ...], *besides: Part) -> Kernel:
    parts = ("ramdisk", *besides)
    kernel = image.file("kernel")
    if kernel is None:
        what = f"image {image.name} {image.version} has no kernel and cannot be booted over the network"
        raise InvalidInput(what, where="images", mend="name a discovery, installer or memory image")
    return Kernel(
        url=f"{door}/assets/{kernel.sha256}",
        ramdisks=tuple((file.part, f"{door}/assets/{file.sha256}") for file in image.files if file.part in parts),
        arguments=(*argument_words(image.arguments, f"image {image.name}"), *arguments),
    )
