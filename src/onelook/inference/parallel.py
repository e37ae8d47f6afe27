"""Ordered map over a thread pool that divides torch's cores among the threads."""

import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

# More threads than this only wait for the interpreter lock.
MAX_THREADS = 4

Item = TypeVar("Item")
Result = TypeVar("Result")


def parallel_map(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
    """Apply `work` to each item in a pool of threads; yield results in order.

    - Each thread processes its own items, and torch in it uses its own part of the cores. Threads that share one
      network call wait for each other after every layer.
    - While the generator runs, torch's number of threads (`torch.set_num_threads`) is that of a part. When it ends,
      raises or is closed, the number is restored for this thread and for threads that use torch later.
    - At most two items per thread are read ahead of the result that is yielded.
    - Closing the generator waits for the items in progress.

    Raises:
        Exception: raised by `work` or by `items`, in the order of the items; later items are not processed.
    """
    cores = _core_count()
    threads = min(cores, MAX_THREADS)
    core_counts = iter([len(range(thread, cores, threads)) for thread in range(threads)])
    with ThreadPoolExecutor(threads, initializer=lambda: _set_torch_threads(next(core_counts))) as pool:
        try:
            yield from _map_in_order(pool, work, items, 2 * threads)
        finally:
            pool.shutdown(cancel_futures=True)
            _set_torch_threads(cores)


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Split items into consecutive lists of `size`, the last one shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _map_in_order(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], max_pending: int
) -> Iterator[Result]:
    """Yield results in the order of the items; submit at most `max_pending` ahead."""
    iterator = iter(items)
    error: BaseException | None = None
    pending: deque[Future[Result]] = deque()
    while True:
        try:
            for item in islice(iterator, max_pending - len(pending)):
                pending.append(pool.submit(work, item))
        except BaseException as raised:  # raised again after the results of earlier items
            iterator, error = iter(()), raised
        if pending:
            yield pending.popleft().result()
        elif error is not None:
            raise error
        else:
            return


def _core_count() -> int:
    torch = sys.modules.get("torch")  # not imported here: the ONNX predictor runs without torch
    return (os.cpu_count() or 1) if torch is None else torch.get_num_threads()


def _set_torch_threads(cores: int) -> None:
    """Set torch's number of threads, in this thread and in threads that use torch for the first time later."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.get_num_threads()  # a thread's first use of torch applies the number that was set last in any thread
        torch.set_num_threads(cores)
