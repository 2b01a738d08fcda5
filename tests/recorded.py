"""Which tasks a computation runs, so that they can be compiled together beforehand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from georeduce.engine.backends import get_backend
from georeduce.engine.backends._base import Data, Task


def recorded(call: Callable[[], Any]) -> list[Task]:
    """Return the tasks that a call runs on the NumPy backend, by name or by an option."""
    backend = get_backend("numpy")
    run = type(backend).run
    tasks: list[Task] = []

    def run_and_tell(self: Any, task: Task, data: Data) -> Any:
        tasks.append(task)
        return run(self, task, data)

    try:
        type(backend).run = run_and_tell  # type: ignore[method-assign]
        call()
    finally:
        type(backend).run = run  # type: ignore[method-assign]
    return tasks
