"""Images as a rack's facts tell of them: which one is meant, and by which identity it is asked for."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from told import Refused

Manifest = dict[str, Any]

_KINDS = {"image": "disk", "memory": "memory", "preseed": "installer", "autoinstall": "installer",
          "kickstart": "installer"}  # fmt: skip


_FIELDS = ("name", "version", "kind", "arch", "firmware", "files", "arguments", "properties", "made_at")
_OF_A_FILE = ("name", "part", "bytes", "sha256", "compression", "raw_bytes", "raw_sha256")


def digest(manifest: Manifest) -> str:
    """By what the image is asked for: the digest that is told with it; else SHA-256 (hexadecimal) of the manifest
    without its signature, as JSON without spaces, fields in their order and properties by name."""
    if manifest.get("digest"):
        return str(manifest["digest"])
    files = [{name: one[name] for name in _OF_A_FILE} for one in manifest["files"]]
    properties = json.loads(json.dumps(manifest["properties"], sort_keys=True))
    known = {**manifest, "files": files, "properties": properties}
    said = {**{name: known[name] for name in _FIELDS}, "key": "", "signature": ""}
    return hashlib.sha256(json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


def find(images: dict[str, Manifest] | None, wanted: str) -> Manifest:
    """The image of this name or digest. Raises Refused with the names that there are."""
    known = images or {}
    if wanted in known:
        return known[wanted]
    for manifest in known.values():
        if wanted in (digest(manifest), f"{manifest['name']}@{manifest['version']}"):
            return manifest
    names = ", ".join(f"{name}@{known[name]['version']}" for name in sorted(known)) or "none"
    if not wanted:
        raise Refused("nothing says which system to install", f"set the attribute os.image; images: {names}")
    raise Refused(f"the rack knows no image {wanted}", f"import it, or choose another; images: {names}")


def method_of(manifest: Manifest, wished: str | None) -> str:
    """How this image comes onto a machine. Raises Refused when it cannot come the wished way."""
    method = wished or manifest.get("properties", {}).get("method") or {"disk": "image"}.get(manifest["kind"], "")
    method = method or ("memory" if manifest["kind"] == "memory" else "")
    if method not in _KINDS:
        mend = f"set the attribute os.method to one of {', '.join(_KINDS)}"
        raise Refused(f"nothing says how the image {manifest['name']} is installed", mend)
    if _KINDS[method] != manifest["kind"]:
        what = f"the image {manifest['name']} is of the kind {manifest['kind']}, and {method} needs {_KINDS[method]}"
        raise Refused(what, "choose another image or another os.method")
    return method


def file(manifest: Manifest, part: str) -> dict[str, Any]:
    """The first file of this part. Raises Refused when there is none."""
    for one in manifest.get("files", []):
        if one["part"] == part:
            return dict(one)
    raise Refused(f"the image {manifest['name']} has no file for {part}", "build or import it again")
