import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from onelook.media.assignment import maximize_assignment


@given(st.integers(0, 1000), st.integers(1, 9), st.integers(1, 9), st.booleans())
def test_the_sum_equals_that_of_scipy(seed: int, rows: int, columns: int, has_ties: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, (rows, columns)) if has_ties else rng.uniform(-2, 2, (rows, columns))
    found = maximize_assignment(scores)
    assert all(len(set(indices.tolist())) == min(rows, columns) for indices in found)
    assert scores[found].sum() == pytest.approx(scores[linear_sum_assignment(scores, maximize=True)].sum())
