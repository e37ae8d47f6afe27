import torch

from onelook.inference.fast.onednn import cache_by_shape, disabled, is_available


def test_primitives_are_cached_by_shape_and_thread_count() -> None:
    created: list[tuple[int, bool, int]] = []

    def create(size: int, accumulate: bool = False) -> int:
        created.append((size, accumulate, torch.get_num_threads()))
        return len(created)

    cached = cache_by_shape(create)
    before = torch.get_num_threads()
    try:
        for cores in (2, 1, 2):
            torch.set_num_threads(cores)
            assert cached(3) == cached(3)
            cached(3, accumulate=True)
            cached(4)
    finally:
        torch.set_num_threads(before)
    each = [(3, False), (3, True), (4, False)]
    assert created == [(*sizes, cores) for cores in (2, 1) for sizes in each]


def test_disabled_is_limited_to_its_context() -> None:
    before = is_available()
    with disabled():
        assert not is_available()
    assert is_available() == before
