"""Work done by threads ahead of its use, in order and within bounds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["map_ahead"]

Item = TypeVar("Item")
Result = TypeVar("Result")

_MOST_WORKERS = 32


def map_ahead(
    function: Callable[[Item], Result], items: Iterable[Item], *, ahead: int, workers: int | None = None
) -> Iterator[Result]:
    """Yield `function(item)` for every item in order, while threads work on the next ones.

    No more than `ahead` + `workers` results exist at a time, so memory does not grow with the number of items, which
    are asked for no earlier than needed. An exception of `function` is raised in its place in the order; then, and
    when the iteration is given up, the work ahead is dropped.

    Args:
        function: decodes an image, for example; it should release the GIL while it works.
        items: what to work on.
        ahead: how many results may wait.
        workers: threads; by default one for each processor that this process may use.
    """
    from bitvit.runtime.engine import default_threads  # the compiled core: not needed to prepare a single image

    workers = min(workers if workers is not None else default_threads(), _MOST_WORKERS)
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="bitvit-decode")
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= ahead + workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
