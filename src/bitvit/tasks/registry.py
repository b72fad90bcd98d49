"""Tasks by name: every package in `bitvit.tasks` is one."""

from __future__ import annotations

import pkgutil
from functools import cache, lru_cache
from importlib import import_module
from typing import TYPE_CHECKING

from bitvit.errors import UsageError

if TYPE_CHECKING:
    from bitvit.tasks.task import Task

__all__ = ["task_named", "task_names"]


@lru_cache(maxsize=1)
def task_names() -> tuple[str, ...]:
    """Return the names of all tasks, sorted."""
    package = import_module("bitvit.tasks")
    return tuple(sorted(entry.name for entry in pkgutil.iter_modules(package.__path__) if entry.ispkg))


@cache
def task_named(name: str) -> Task:
    """Return the task of that name: `TASK` of the package `bitvit.tasks.<name>`.

    Raises:
        UsageError: there is no such task.
    """
    if name not in task_names():
        raise UsageError(f"unknown task '{name}': known are {', '.join(task_names())}")
    task: Task = import_module(f"bitvit.tasks.{name}").TASK
    return task
