"""Boot scripts: the texts that iPXE (https://ipxe.org/cmd) carries out on a machine. Pure: words in, a text out.

Every script tells on the console what it does. Where something fails it says so, waits, and asks the rack again: what
the machine is to boot may have changed by then, and a rack that was away comes back.
"""

from __future__ import annotations

import re

import msgspec

from rackwright.core.errors import InvalidInput

PAUSE = 5
"""Seconds before a machine asks again."""

_SEPARATORS = frozenset({";", "&&", "||"})
"""Words that end a command of iPXE."""

IDENTITY = "mac=${netX/mac}&serial=${serial:uristring}&uuid=${uuid}&firmware=${platform}"
"""What iPXE tells of its machine: a query."""


class Kernel(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be started: the URL of a kernel, those of its ramdisks by name, and the kernel's arguments."""

    url: str
    ramdisks: tuple[tuple[str, str], ...] = ()
    """Unpacked in this order, each over those before."""
    arguments: tuple[str, ...] = ()


def kernel_script(title: str, again: str, kernel: Kernel) -> str:
    """Start a kernel. Ramdisks are also named among the arguments, for a kernel that UEFI starts looks there."""
    words = " ".join(
        (*(f"initrd={name}" for name, _ in kernel.ramdisks), "BOOTIF=01-${netX/mac:hexhyp}", *kernel.arguments)
    )
    steps = [f"kernel --name kernel {kernel.url} {words} || goto failed"]
    steps += [f"initrd --name {name} {url} || goto failed" for name, url in kernel.ramdisks]
    return _script(title, [*steps, "boot || goto failed"], again)


def local_script(title: str, again: str) -> str:
    """Start the machine's own disk: a BIOS by its first disk, UEFI by going back to the firmware, whose next boot entry
    is the disk. It must end with a fault: firmware that follows EDK II shows its menu when an entry ends well."""
    steps = ["iseq ${platform} efi && goto firmware ||", "sanboot --no-describe --drive 0x80 || goto failed"]
    return _script(title, steps, again, ending=[":firmware", "exit 1"])


def trouble_script(reason: str, again: str) -> str:
    """Say why nothing is booted, and ask again after a while."""
    return _script(reason, ["goto failed"], again)


def question_script(again: str) -> str:
    """Ask once more, and tell which machine it is that asks."""
    return _script("The rack asks who this is", [f"chain --replace --autofree {again} || goto failed"], again)


def argument_words(text: str, where: str) -> tuple[str, ...]:
    """The words of kernel arguments. Raises ``InvalidInput`` for a word that iPXE would take for the end of the
    command or for a variable of its own."""
    words = tuple(text.split())
    for word in words:
        if word in _SEPARATORS or "${" in word or not word.isprintable():
            what = f"the kernel argument {word!r} cannot be passed on by a boot script"
            raise InvalidInput(what, where=where, mend="leave it out, or write it in another way")
    return words


def _script(title: str, steps: list[str], again: str, ending: list[str] | None = None) -> str:
    lines = [
        "#!ipxe",
        f"echo Rackwright: {_spoken(title)}",
        *steps,
        ":failed",
        f"echo Rackwright: that did not work; the rack is asked again in {PAUSE} seconds",
        f"sleep {PAUSE}",
        "imgfree",
        f"chain --replace --autofree {again} || goto failed",
        *(ending or []),
    ]
    return "\n".join(lines) + "\n"


def _spoken(text: str) -> str:
    """A text that ``echo`` says as it is: one line, no variables, no separators."""
    words = [word for word in re.sub(r"[^\x20-\x7e]|\$\{", " ", text).split() if word not in _SEPARATORS]
    return " ".join(words)
