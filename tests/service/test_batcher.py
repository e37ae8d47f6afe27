import threading

import pytest

from onelook.service.batcher import Batcher


def test_what_is_submitted_during_a_batch_forms_the_next_one() -> None:
    has_begun, may_end = threading.Event(), threading.Event()
    batches = []

    def square(items: list[int]) -> list[int]:
        batches.append(len(items))
        has_begun.set()
        may_end.wait(60)
        return [item**2 for item in items]

    batcher = Batcher(square, 4)
    futures = [batcher.submit(0)]
    has_begun.wait(60)
    futures += [batcher.submit(item) for item in range(1, 8)]
    assert futures[3].cancel()
    may_end.set()
    batcher.close()
    assert batches == [1, 3, 3]
    assert [future.result() for future in futures if not future.cancelled()] == [0, 1, 4, 16, 25, 36, 49]


def test_an_error_is_that_of_its_batch_alone() -> None:
    batcher = Batcher(lambda items: [1 // item for item in items], 1)
    futures = [batcher.submit(0), batcher.submit(1)]
    with pytest.raises(ZeroDivisionError):
        futures[0].result(60)
    assert futures[1].result(60) == 1
    batcher.close()
