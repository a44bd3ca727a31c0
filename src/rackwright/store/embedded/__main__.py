"""``python -m rackwright.store.embedded DATA LINGER``: leave a guard behind, and return.

The guard is a process of its own session, so neither a Ctrl-C nor the end of the command that started it reaches it.
What it has to say comes on standard output until it is settled.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from rackwright.core.errors import RackwrightError
from rackwright.store.embedded.folder import Folder, file_errors, opened
from rackwright.store.embedded.guard import Guard
from rackwright.store.embedded.log import Log
from rackwright.store.embedded.report import Report, failed


def main(data: Path, linger: float) -> None:
    """Become the guard of the folder ``data``, with the first standard output as its report."""
    # uvloop leaves further ends of its pipes open in the processes that it starts: the starter would wait for them.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    report = Report(os.dup(1))
    try:
        folder = opened(data)
        with file_errors(folder.log):
            _detach(folder)
        Guard(folder, report, linger).run()
    except RackwrightError as error:
        report.say(failed(error))


def _detach(folder: Folder) -> None:
    if os.fork() > 0:
        os._exit(0)
    os.setsid()
    os.chdir("/")
    log = Log(folder.log).open()
    for descriptor, target in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log), (2, log)):
        os.dup2(target, descriptor)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
