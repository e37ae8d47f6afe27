from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from onelook.data.rng import Stream, make_rng

INDICES = st.lists(st.integers(0, 9), max_size=3)


@given(seed=st.integers(0, 2**32), left=INDICES, right=INDICES)
def test_no_two_streams_draw_the_same_numbers(seed: int, left: list[int], right: list[int]) -> None:
    for one, other in combinations(Stream, 2):
        assert make_rng(seed, one, *left).random() != make_rng(seed, other, *right).random()


@given(seed=st.integers(0, 99), epochs=st.lists(st.integers(0, 99), min_size=2, max_size=2, unique=True))
def test_no_two_numbers_of_a_stream_draw_the_same_numbers(seed: int, epochs: list[int]) -> None:
    first, second = (make_rng(seed, Stream.SCENE_ORDER, epoch).random() for epoch in epochs)
    assert first != second


def test_the_same_seed_stream_and_number_draw_the_same_numbers() -> None:
    draws = [make_rng(5, Stream.SCENE, 2, 3).integers(0, 2**30, 8) for _ in range(2)]
    np.testing.assert_array_equal(*draws)
