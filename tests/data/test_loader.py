import time
from collections.abc import Iterator
from itertools import chain, count
from threading import Event, Lock, active_count

import numpy as np
import pytest
import torch

from onelook.data.loader import DEFAULT_LOADER, choose_loader_options, load_batches, map_ahead, prefetch
from onelook.errors import DataError


class Gauge:
    """Doubles a number in the time of a file read, and records how many calls are in progress."""

    def __init__(self, seconds: float = 0.01) -> None:
        self.seconds = seconds
        self.running, self.most, self.started = 0, 0, 0
        self._lock = Lock()

    def __call__(self, number: int) -> int:
        with self._lock:
            self.started += 1
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(self.seconds * (1 + number % 3))
        with self._lock:
            self.running -= 1
        return 2 * number


@pytest.fixture(autouse=True)
def no_thread_stays() -> Iterator[None]:
    before = active_count()
    yield
    assert active_count() == before


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_are_in_the_order_of_the_items_and_threads_work_at_the_same_time(threads: int) -> None:
    work = Gauge()
    assert list(map_ahead(work, range(30), threads)) == list(range(0, 60, 2))
    assert work.most == threads


def test_at_most_two_items_per_thread_are_processed_ahead() -> None:
    work = Gauge()
    results = map_ahead(work, count(), 3)
    next(results)
    time.sleep(0.2)
    assert work.started == 1 + 2 * 3
    results.close()
    assert work.started == 1 + 2 * 3


def test_closing_drops_items_that_have_not_begun() -> None:
    work = Gauge(0.1)
    results = map_ahead(work, count(), 2)
    next(results)
    results.close()
    assert work.running == 0 and work.started < 1 + 2 * 2


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_is_raised_in_its_turn(threads: int) -> None:
    def read(number: int) -> int:
        if number >= 4:
            raise DataError(f"{number}.png: missing")
        return number

    for wrap in (iter, prefetch):
        loaded = []
        with pytest.raises(DataError, match=r"^4\.png: missing$"):
            for number in wrap(map_ahead(read, range(9), threads)):
                loaded.append(number)
        assert loaded == [0, 1, 2, 3]


@pytest.mark.parametrize("threads", [1, 4])
def test_batches_have_their_items(threads: int) -> None:
    batches = [np.array([5, 2, 7]), np.array([1]), np.array([0, 3])]
    assert list(load_batches(Gauge(), batches, threads)) == [(10, 4, 14), (2,), (0, 6)]


def test_the_next_batch_is_loaded_while_the_current_one_is_used() -> None:
    work = Gauge()
    loaded = load_batches(work, [np.arange(2), np.arange(2, 4)], 4)
    next(loaded)
    time.sleep(0.2)
    assert work.started == 4
    loaded.close()


def test_batches_are_prefetched_up_to_the_depth() -> None:
    made: list[int] = []

    def batches() -> Iterator[int]:
        for number in range(10):
            made.append(number)
            yield number

    ahead = prefetch(batches(), depth=2)
    assert next(ahead) == 0
    time.sleep(0.1)
    assert made == [0, 1, 2]
    assert list(ahead) == list(range(1, 10))


def test_closing_early_stops_the_threads_of_all_epochs() -> None:
    work = Gauge(0.05)
    epochs = (load_batches(work, [np.arange(4)] * 50, 2) for _ in count())
    batches = prefetch(chain.from_iterable(epochs))
    assert next(batches) == (0, 2, 4, 6)
    began = time.monotonic()
    batches.close()
    # The batch in progress is finished, in 0.2 s with two threads; not the three that are requested.
    assert time.monotonic() - began < 0.45
    del batches, epochs
    started = work.started
    time.sleep(0.2)
    assert work.started == started and work.running == 0


def test_an_interrupt_in_the_training_loop_stops_the_threads() -> None:
    work = Gauge()

    def train() -> None:
        for _ in prefetch(load_batches(work, [np.arange(4)] * 50, 2)):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train()
    assert work.started < 40


def test_prefetching_starts_with_the_first_batch_that_is_asked_for() -> None:
    requested = Event()

    def batches() -> Iterator[int]:
        requested.set()
        yield 1

    ahead = prefetch(batches())
    assert not requested.is_set()
    assert list(ahead) == [1] and requested.is_set()


def test_the_cpu_loads_in_one_thread_and_a_device_distorts() -> None:
    assert choose_loader_options(torch.device("cpu"), 2) == DEFAULT_LOADER
    options = choose_loader_options(torch.device("cuda", 1))
    assert options.defer_photometric and 1 <= options.threads <= 16
    assert choose_loader_options(torch.device("cuda"), 10_000).threads == 1
