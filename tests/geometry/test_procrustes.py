import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from helpers.domes import dome
from onelook.geometry.procrustes import generalized_procrustes


@given(st.integers(0, 1000))
def test_one_shape_in_any_position_is_one_shape(seed: int) -> None:
    rng = np.random.default_rng(seed)
    turns = Rotation.random(5, random_state=seed).as_matrix()
    # Turned a little each, as faces are; the mean of shapes turned every way is a point.
    turns = Rotation.from_rotvec(Rotation.from_matrix(turns).as_rotvec() * 0.2).as_matrix()
    shapes = (dome() @ turns) * rng.uniform(1, 90, (5, 1, 1)) + rng.uniform(-50, 50, (5, 1, 3))
    aligned = generalized_procrustes(shapes)
    np.testing.assert_allclose(aligned, np.broadcast_to(aligned[0], aligned.shape), atol=1e-9)
    np.testing.assert_allclose(aligned.mean(1), 0, atol=1e-9)
    np.testing.assert_allclose((aligned**2).sum(-1).mean(-1), 1)
    # It is the dome and no mirror image of it: distances and the side of three vertices stay.
    known = dome() - dome().mean(0)
    known /= np.sqrt((known**2).sum(-1).mean())
    np.testing.assert_allclose(aligned[0] @ aligned[0].T, known @ known.T, atol=1e-9)
    assert np.sign(np.linalg.det(aligned[0][[1, 33, 263]])) == np.sign(np.linalg.det(known[[1, 33, 263]]))


def test_no_turn_of_a_shape_is_nearer_to_the_others_mean() -> None:
    rng = np.random.default_rng(0)
    shapes = dome() + 0.05 * rng.standard_normal((6, 468, 3))
    aligned = generalized_procrustes(shapes)
    mean = aligned.mean(0)
    for turn in Rotation.from_rotvec(rng.standard_normal((20, 3)) * 0.02).as_matrix():
        assert (((aligned @ turn) - mean) ** 2).sum() > ((aligned - mean) ** 2).sum()
