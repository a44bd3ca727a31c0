"""``python -m rackwright``: the same as ``rackwright``; how processes start one another."""

from __future__ import annotations

from rackwright.cli.main import main
from rackwright.commands.tied import tie

if __name__ == "__main__":
    tie()
    main()
