"""Tasks are found by their packages."""

from __future__ import annotations

import pytest

from bitvit.errors import UsageError
from bitvit.tasks import Task, TaskSettings, task_named, task_names


@pytest.mark.parametrize("name", task_names())
def test_every_package_is_a_task_of_its_name(name: str) -> None:
    task = task_named(name)
    assert isinstance(task, Task)
    assert task.name == name
    assert task.metrics
    assert issubclass(task.settings, TaskSettings)
    assert task.settings().name == name


def test_unknown_tasks_are_named() -> None:
    assert "classification" in task_names()
    with pytest.raises(UsageError, match="unknown task 'detection': known are classification"):
        task_named("detection")
