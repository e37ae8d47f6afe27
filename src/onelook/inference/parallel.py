"""The same work on many things, several at a time, each on its part of the cores."""

import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

# Beyond this the threads wait for each other at Python's interpreter, which runs one of them at a time.
MAX_THREADS = 4

Item = TypeVar("Item")
Result = TypeVar("Result")


def parallel_map(work: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
    """What `work` makes of each item, in their order.

    A network whose work is shared out between the cores has them wait for each other after every layer, and all but
    the network runs on one of them; so each thread has its own items, and a network in it its part of the cores. No
    more items are taken ahead than one for each thread. Closed, it waits for what is being worked on.

    Raises:
        Exception: what `work` raises, or whatever gives the items, in its place; nothing after it is worked on.
    """
    cores = _cores()
    threads = min(cores, MAX_THREADS)
    shares = iter([len(range(thread, cores, threads)) for thread in range(threads)])
    with ThreadPoolExecutor(threads, initializer=lambda: _compute_on(next(shares))) as pool:
        try:
            yield from _in_order(pool, work, items, 2 * threads)
        finally:
            pool.shutdown(cancel_futures=True)
            _compute_on(cores)  # what threads of the time to come begin with


def batched(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """The items, so many at a time."""
    rest = iter(items)
    while some := list(islice(rest, size)):
        yield some


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], most: int
) -> Iterator[Result]:
    """Results in the order of the items, of which at most so many are taken before theirs is asked for."""
    rest = iter(items)
    end: BaseException | None = None
    waiting: deque[Future[Result]] = deque()
    while True:
        try:
            for item in islice(rest, most - len(waiting)):
                waiting.append(pool.submit(work, item))
        except BaseException as error:  # told when those before it are done
            rest, end = iter(()), error
        if waiting:
            yield waiting.popleft().result()
        elif end is not None:
            raise end
        else:
            return


def _cores() -> int:
    torch = sys.modules.get("torch")  # not imported for its own sake: exported networks run without
    return (os.cpu_count() or 1) if torch is None else torch.get_num_threads()


def _compute_on(cores: int) -> None:
    """Have torch compute on so many cores in this thread, and in threads that first use it from now on."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.get_num_threads()  # at its first use of torch a thread takes the number that any thread set last
        torch.set_num_threads(cores)
