"""Batches across requests: items of several callers are processed in one call."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """A thread that processes in one batch what was submitted while the batch before was in progress.

    No item waits for others to come: without load, every batch has one item.
    """

    def __init__(self, process: Callable[[list[Item]], Sequence[Result]], max_size: int) -> None:
        """Start the thread.

        Args:
            process: computes one result for each item of a batch, in their order.
            max_size: most items of a batch.
        """
        self._process = process
        self._max_size = max_size
        self._queue: SimpleQueue[tuple[Item, Future[Result]] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    def submit(self, item: Item) -> "Future[Result]":
        """Queue an item; an exception of its batch is that of the future."""
        future: Future[Result] = Future()
        self._queue.put((item, future))
        return future

    def close(self) -> None:
        """Process what is queued, and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch = [first]
            is_last = False
            while len(batch) < self._max_size and not is_last:
                try:
                    following = self._queue.get_nowait()
                except Empty:
                    break
                if following is None:
                    is_last = True
                else:
                    batch.append(following)
            self._process_batch([(item, future) for item, future in batch if future.set_running_or_notify_cancel()])
            if is_last:
                return

    def _process_batch(self, batch: Sequence[tuple[Item, "Future[Result]"]]) -> None:
        if not batch:
            return
        try:
            results = self._process([item for item, _ in batch])
        except BaseException as error:
            for _, future in batch:
                future.set_exception(error)
        else:
            for (_, future), result in zip(batch, results, strict=True):
                future.set_result(result)
