"""Things worked on by several threads come in order, few at a time; each thread has its part of the cores."""

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
    """As many as torch is to compute on: two more than there may be threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(MAX_THREADS + 2)
    yield MAX_THREADS + 2
    torch.set_num_threads(before)


@settings(deadline=None)
@given(delays=st.lists(st.integers(0, 3), max_size=30))
def test_results_come_in_the_order_of_the_items(delays: list[int]) -> None:
    def work(item: tuple[int, int]) -> int:
        time.sleep(item[1] / 1000)
        return item[0]

    assert list(parallel_map(work, enumerate(delays))) == list(range(len(delays)))


def test_few_items_are_taken_ahead(cores: int) -> None:
    items = iter(range(100))
    for result in parallel_map(lambda item: item, items):
        taken = 100 - operator.length_hint(items)
        assert taken <= result + 2 * MAX_THREADS


def test_as_many_work_at_a_time_as_share_the_cores(cores: int) -> None:
    together = Barrier(MAX_THREADS, timeout=60)  # which ends with an error if they do not all come

    def work(_: int) -> int:
        together.wait()
        return torch.get_num_threads()

    shares = list(parallel_map(work, range(MAX_THREADS)))
    assert sorted(shares) == [1] * (MAX_THREADS - 2) + [2, 2] and sum(shares) == cores


def test_afterwards_all_cores_are_there_again(cores: int) -> None:
    seen: list[int] = []
    with pytest.raises(ZeroDivisionError):
        list(parallel_map(lambda item: 1 / item, [0]))
    thread = Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert [torch.get_num_threads(), *seen] == [cores, cores]


def test_an_error_of_the_work_comes_in_its_items_place_and_ends_the_rest(cores: int) -> None:
    worked: set[int] = set()
    adding = Lock()

    def work(item: int) -> int:
        with adding:
            worked.add(item)
        return 1 // (item - 5)

    results = parallel_map(work, range(1000))
    assert [next(results) for _ in range(5)] == [-1] * 5
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert max(worked) < 6 + 2 * MAX_THREADS


def test_an_error_of_the_items_comes_after_what_came_before_it(cores: int) -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise KeyboardInterrupt

    results = parallel_map(lambda item: item, items())
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyboardInterrupt):
        next(results)


def test_without_torch_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    together = Barrier(3, timeout=60)
    assert len(list(parallel_map(lambda _: together.wait(), range(3)))) == 3
    assert "torch" not in sys.modules


@given(st.lists(st.integers()), st.integers(1, 5))
def test_portions_are_full_but_the_last(items: list[int], size: int) -> None:
    portions = list(batched(items, size))
    assert list(chain(*portions)) == items
    assert all(len(each) == size for each in portions[:-1]) and all(portions)
