"""Data as YAML text, byte for byte as PyYAML writes it in block style, at a fraction of the time."""

from __future__ import annotations

from typing import Any

import yaml

_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def yaml_text(value: Any) -> str:
    """Give plain data (mappings, lists, texts, numbers, true, false, null) as a YAML document."""
    return str(yaml.dump(value, Dumper=_DUMPER, default_flow_style=False))
