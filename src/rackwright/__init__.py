"""Rackwright turns racks of bare machines into working clusters: facts in, tasks that read facts, facts out."""

from __future__ import annotations

__version__ = "0.1.0"
