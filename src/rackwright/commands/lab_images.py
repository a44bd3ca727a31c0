"""What the machines of a lab boot and get: images that are built once and kept in a folder for all labs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from rackwright.core.errors import RackwrightError

DISCOVERY = ("discovery", "--variant", "lab")
"""What `rackwright image build` is told for the discovery system: drivers for virtio only, so that it is small."""
DEBIAN = ("debian",)
DEBIAN_NAME = "debian-12"
"""The name of the image that it makes."""


def build(folder: Path, what: tuple[str, ...]) -> Path:
    """Build an image, or take the one that was built before from the same packages; gives the folder that it is in.
    Raises RackwrightError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = folder / what[0]
    _rackwright(folder, "image", "build", *what, "--output", str(made))
    return made


def bring(site: Path, image: Path) -> None:
    """Hand an image to the api of the site. Raises RackwrightError."""
    _rackwright(site, "image", "import", str(image))


def _rackwright(data: Path, *words: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RACKWRIGHT_")}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "rackwright", *words],
        env=environment | {"RACKWRIGHT_DATA": str(data)},
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        raise RackwrightError(f"`rackwright {' '.join(words)}` failed", mend="its words above say why")
