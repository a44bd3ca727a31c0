"""Task files on the command line: the options with which they are read."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from rackwright.core.load.task import Task
from rackwright.load.task_file import load_task, read_arguments

F = TypeVar("F", bound=Callable[..., Any])


def task_file(function: F) -> F:
    """The command reads a task file: it gets ``read``, which gives the task, and the ``file``."""

    @click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--task-args", default="", metavar="JSON", help="Arguments of the template, as JSON or YAML.")
    @click.option(
        "--task-args-file",
        "files",
        multiple=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="A file of arguments. Later files go before earlier ones, --task-args before all.",
    )
    @functools.wraps(function)
    def run(*args: Any, file: Path, task_args: str, files: tuple[Path, ...], **options: Any) -> Any:
        def read() -> Task:
            return load_task(file, read_arguments(list(files), task_args))

        return function(*args, file=file, read=read, **options)

    return cast(F, run)
