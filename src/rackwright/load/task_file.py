"""Task files: jinja2, then YAML (JSON is YAML), then the task.

Templates see the folder of the file (``include``, ``import``, ``extends``) and ``min``, ``max``, ``ceil`` and
``round``. They run in jinja2's sandbox: they cannot reach the Python behind their values.
"""

from __future__ import annotations

import builtins
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml
from jinja2 import nodes
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import SandboxedEnvironment

from rackwright.core.errors import InvalidInput, RackwrightError
from rackwright.core.load.task import Task, read_task


def load_task(file: Path, arguments: Mapping[str, Any] | None = None) -> Task:
    """The task of a file. Raises InvalidInput that says what is wrong with it, and where."""
    return parse_task(render(_text(file), file.parent, arguments or {}, str(file)), str(file))


def parse_task(text: str, where: str) -> Task:
    """The task of a text that is no template any more."""
    content = parse(text, where)
    try:
        return read_task(content)
    except InvalidInput as error:
        raise InvalidInput(error.what, where=error.where or where, mend=error.mend, faults=error.faults) from error


def parse(text: str, where: str) -> Any:
    """What a text of YAML or JSON holds. Raises InvalidInput with the line of the fault."""
    try:
        return _yaml(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        try:
            return json.loads(text)
        except ValueError:
            raise InvalidInput(
                f"this is neither YAML nor JSON: {error}", where=where, mend="lines are those of the rendered template"
            ) from error


def _yaml(text: str) -> Any:
    loader = yaml.CSafeLoader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def read_arguments(files: list[Path], given: str = "") -> dict[str, Any]:
    """The arguments of templates: those of the files, one over the other, and over them the ``given`` ones."""
    texts = [(_text(file), str(file)) for file in files]
    merged: dict[str, Any] = {}
    for text, where in [*texts, (given, "--task-args")]:
        found = parse(text, where) or {}
        if not isinstance(found, dict):
            raise InvalidInput("arguments are a mapping", where=where, mend="write them as `name: value` or as JSON")
        merged |= found
    return merged


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"cannot be read: {error}", where=str(file), mend="give a readable text file") from error


def render(text: str, folder: Path, arguments: Mapping[str, Any], where: str) -> str:
    """The text that a template gives. Raises InvalidInput for one that is wrong, or lacks arguments."""
    environment = SandboxedEnvironment(loader=jinja2.FileSystemLoader(str(folder)), keep_trailing_newline=True)
    environment.globals |= {"min": min, "max": max, "ceil": math.ceil, "round": round}
    try:
        missing = _missing(environment.parse(text), arguments)
        if missing:
            raise InvalidInput(
                f"Please specify template task argument(s): {', '.join(missing)}",
                where=where,
                mend="give them with --task-args or --task-args-file",
            )
        return environment.from_string(text).render(arguments)
    except jinja2.TemplateSyntaxError as error:
        place = f"{error.filename or where}:{error.lineno}"
        raise InvalidInput(f"the template is wrong: {error.message}", where=place, mend="correct it") from error
    except RackwrightError:
        raise
    except Exception as error:
        raise InvalidInput(
            f"the template fails: {type(error).__name__}: {error}", where=where, mend="correct it, or its arguments"
        ) from error


def _missing(template: nodes.Template, arguments: Mapping[str, Any]) -> list[str]:
    """Names that are neither given nor have a default, sorted."""
    undeclared = find_undeclared_variables(template)
    return sorted(undeclared - set(arguments) - set(dir(builtins)) - _with_default(template))


def _with_default(template: nodes.Template) -> set[str]:
    names = {
        found.node.name
        for found in template.find_all((nodes.Filter, nodes.Test))
        if isinstance(found, nodes.Filter | nodes.Test)
        and found.name in ("default", "d", "defined", "undefined")
        and isinstance(found.node, nodes.Name)
    }
    for assignment in template.find_all(nodes.Assign):
        target, value = assignment.target, assignment.node
        if isinstance(target, nodes.Name) and isinstance(value, nodes.Or) and isinstance(value.left, nodes.Name):
            names |= {target.name} if value.left.name == target.name else set()
    return names
