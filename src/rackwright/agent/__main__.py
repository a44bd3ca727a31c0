"""``python3 -m rackwright.agent [SETTINGS [FOLDER]]``, or the agent's archive: run the agent of this machine until it
is ended. SETTINGS is the file of an installed system, FOLDER is where attempts are kept."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from rackwright.agent import inventory, lldp, nics, reading, settings, ssh
from rackwright.agent.loop import Agent

FOLDER = "/run/rackwright-agent"

HOME = Path("/root")
"""Of whom the rack signs in as."""


def main() -> int:
    """Find the settings, then live. Without a door to go to: 2."""
    file, folder = (*sys.argv[1:3], *(settings.FILE, FOLDER)[len(sys.argv[1:3]) :])
    found = settings.of_file(file) or settings.of_command_line(reading.whole("/proc/cmdline"))
    if found is None:
        _tell(f"no door is named, neither in {file} nor on the kernel's command line (rackwright.door=URL)")
        return 2
    heard: dict[str, dict[str, object]] = {}
    agent = Agent(found, folder, lambda: inventory.take(neighbours=heard), tell=_tell, let_in=_let_in)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stop())
    if found.system != "installed":
        nics.raise_all()
    threading.Thread(target=_hear, args=(agent, heard), daemon=True).start()
    agent.run()
    return 0


def _hear(agent: Agent, heard: dict[str, dict[str, object]]) -> None:
    """Neighbours speak rarely: they are told when they have been heard, nothing waits for them."""
    heard |= lldp.listen(nics.names())
    if heard:
        agent.see({"inventory.nics": nics.inventory(neighbours=heard)})


def _let_in(key: str) -> bool:
    return ssh.let_in(key, HOME)


def _tell(text: str) -> None:
    sys.stderr.write(f"rackwright-agent: {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
