import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from onelook.losses.margin import sample_classes


@given(st.integers(1, 40), st.floats(0.01, 1), st.lists(st.integers(-1, 39), max_size=12), st.integers(0, 2**32 - 1))
def test_the_faces_identities_are_always_among_as_many_as_asked_for(
    count: int, share: float, faces: list[int], seed: int
) -> None:
    who = torch.tensor([face % count if face >= 0 else -1 for face in faces], dtype=torch.int64)
    drawn = sample_classes(who, count, share, np.random.default_rng(seed)).tolist()
    own = {int(face) for face in who if face >= 0}
    assert own <= set(drawn) <= set(range(count)) and drawn == sorted(set(drawn))
    assert len(drawn) == max(len(own), round(share * count))


def test_the_same_seed_draws_the_same_and_another_does_not() -> None:
    who = torch.tensor([3, -1, 70])
    first, again, other = (
        sample_classes(who, 100, 0.2, np.random.default_rng(seed)) for seed in ([1, 2], [1, 2], [1, 3])
    )
    assert first.equal(again) and not first.equal(other)


def test_every_other_identity_is_drawn_alike() -> None:
    """Of ten, three are drawn, the face's own among them: two of nine others, 1000 times."""
    rng = np.random.default_rng(0)
    drawn = torch.cat([sample_classes(torch.tensor([4]), 10, 0.3, rng) for _ in range(1000)])
    counts = drawn.bincount(minlength=10)
    assert counts[4] == 1000 and counts.sum() == 3000
    others = counts[torch.arange(10) != 4]
    # Five standard deviations of a count of 1000 chances of 2/9.
    assert bool(((others - 1000 * 2 / 9).abs() < 5 * (1000 * 2 / 9 * 7 / 9) ** 0.5).all())
