import operator
import os
import sys
import time
from collections.abc import Iterator
from itertools import chain
from threading import Barrier, Lock, Thread

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onelook.inference.parallel import MAX_THREADS, batched, parallel_map


@pytest.fixture
def cores() -> Iterator[int]:
    """Set torch to two more cores than there are threads at most."""
    before = torch.get_num_threads()
    torch.set_num_threads(MAX_THREADS + 2)
    yield MAX_THREADS + 2
    torch.set_num_threads(before)


@settings(deadline=None)
@given(delays=st.lists(st.integers(0, 3), max_size=30))
def test_results_are_in_the_order_of_the_items(delays: list[int]) -> None:
    def work(item: tuple[int, int]) -> int:
        time.sleep(item[1] / 1000)
        return item[0]

    assert list(parallel_map(work, enumerate(delays))) == list(range(len(delays)))


def test_read_ahead_is_limited(cores: int) -> None:
    items = iter(range(100))
    for result in parallel_map(lambda item: item, items):
        taken = 100 - operator.length_hint(items)
        assert taken <= result + 2 * MAX_THREADS


def test_threads_divide_the_cores(cores: int) -> None:
    barrier = Barrier(MAX_THREADS, timeout=60)  # raises BrokenBarrierError unless all threads arrive

    def work(_: int) -> int:
        barrier.wait()
        return torch.get_num_threads()

    core_counts = list(parallel_map(work, range(MAX_THREADS)))
    assert sorted(core_counts) == [1] * (MAX_THREADS - 2) + [2, 2] and sum(core_counts) == cores


def test_torch_thread_count_is_restored(cores: int) -> None:
    thread_counts: list[int] = []
    with pytest.raises(ZeroDivisionError):
        list(parallel_map(lambda item: 1 / item, [0]))
    thread = Thread(target=lambda: thread_counts.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert [torch.get_num_threads(), *thread_counts] == [cores, cores]


def test_error_of_the_work_is_raised_in_order_and_ends_the_map(cores: int) -> None:
    processed: set[int] = set()
    lock = Lock()

    def work(item: int) -> int:
        with lock:
            processed.add(item)
        return 1 // (item - 5)

    results = parallel_map(work, range(1000))
    assert [next(results) for _ in range(5)] == [-1] * 5
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert max(processed) < 6 + 2 * MAX_THREADS


def test_error_of_the_items_is_raised_after_earlier_results(cores: int) -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise KeyboardInterrupt

    results = parallel_map(lambda item: item, items())
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyboardInterrupt):
        next(results)


def test_works_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    barrier = Barrier(3, timeout=60)
    assert len(list(parallel_map(lambda _: barrier.wait(), range(3)))) == 3
    assert "torch" not in sys.modules


@given(st.lists(st.integers()), st.integers(1, 5))
def test_batches_are_full_except_the_last(items: list[int], size: int) -> None:
    batches = list(batched(items, size))
    assert list(chain(*batches)) == items
    assert all(len(each) == size for each in batches[:-1]) and all(batches)
