"""Calls of oneDNN are prepared once for each size, and for each number of cores."""

import torch

from onelook.inference.fast.onednn import kept_by_size


def test_what_is_made_for_a_size_is_kept_for_each_number_of_cores() -> None:
    made: list[tuple[int, bool, int]] = []

    def make(size: int, adds: bool = False) -> int:
        made.append((size, adds, torch.get_num_threads()))
        return len(made)

    keeping = kept_by_size(make)
    before = torch.get_num_threads()
    try:
        for cores in (2, 1, 2):
            torch.set_num_threads(cores)
            assert keeping(3) == keeping(3)
            keeping(3, adds=True)
            keeping(4)
    finally:
        torch.set_num_threads(before)
    each = [(3, False), (3, True), (4, False)]
    assert made == [(*sizes, cores) for cores in (2, 1) for sizes in each]
