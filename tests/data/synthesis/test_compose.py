from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onelook.data.manifest import Face
from onelook.data.synthesis.backgrounds import Background
from onelook.data.synthesis.compose import compose_scene, sample_subjects
from onelook.data.synthesis.face_crop import FaceCrop
from onelook.settings import ComposeSettings

POINTS = np.array([[35.5, 40.0], [60.25, 42.5], [48.0, 58.75], [38.0, 74.0], [58.5, 75.25]], np.float32)
BOX = np.array([22, 18, 74, 92], np.float32)


def options(**changes: object) -> ComposeSettings:
    default = {
        "train": 10, "validation": 10, "test": 10, "blended_identities": 0, "empty_fraction": 0.1, "width": 320,
        "height": 256, "faces_per_scene": (1, 8), "face_size": (24, 120), "max_rotation": 25, "max_overlap": 0.2,
    }  # fmt: skip
    return ComposeSettings.model_validate({**default, **changes})


def plain_head(color: tuple[int, int, int], name: str) -> FaceCrop:
    image = np.full((112, 92, 3), color, np.uint8)
    return FaceCrop(image, Face(BOX, POINTS, name, f"{name}/1.pgm"), np.zeros((0, 4), np.float32), is_gray=False)


def background(value: int | None = None) -> Background:
    if value is None:
        image = np.random.default_rng(5).integers(0, 256, (300, 400, 3), np.uint8)
    else:
        image = np.full((300, 400, 3), value, np.uint8)
    return Background(image, "made for the test", "none")


def compose(heads: list[FaceCrop], seed: int, **changes: object) -> tuple[np.ndarray, tuple[Face, ...]]:
    dark = background(0)
    return compose_scene(heads, dark, [dark], options(**changes), np.random.default_rng(seed))


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=8),
    st.integers(1, 40),
    st.floats(0, 0.9),
    st.integers(1, 8),
    st.integers(0, 3),
    st.integers(0, 99),
)
def test_samples_have_distinct_identities_and_the_set_counts(
    images: list[int], scenes: int, empty: float, low: int, extra: int, seed: int
) -> None:
    numbers = iter(range(100))
    own = {f"p{i}": [next(numbers) for _ in range(n)] for i, n in enumerate(images)}
    owner = {number: name for name, list_ in own.items() for number in list_}
    compose_settings = options(empty_fraction=empty, faces_per_scene=(low, low + extra))
    samples = sample_subjects(scenes, own, compose_settings, np.random.default_rng(seed))
    assert len(samples) == scenes
    assert sum(not sample for sample in samples) == round(empty * scenes)
    for sample in samples:
        assert len({owner[number] for number in sample}) == len(sample)
        if sample:
            assert min(low, len(own)) <= len(sample) <= min(low + extra, len(own))


def test_use_counts_of_subjects_differ_by_at_most_one() -> None:
    own = {f"p{i}": list(range(5 * i, 5 * i + 5)) for i in range(10)}
    samples = sample_subjects(160, own, options(), np.random.default_rng(0))
    uses = Counter(number for sample in samples for number in sample)
    assert len(uses) == 50 and max(uses.values()) - min(uses.values()) <= 1


@pytest.mark.parametrize("seed", range(12))
def test_boxes_are_inside_the_scene_and_contain_no_other_center(seed: int) -> None:
    heads = [plain_head((200, 180, 160), f"p{i}") for i in range(8)]
    image, faces = compose(heads, seed)
    assert image.shape == (256, 320, 3) and image.dtype == np.uint8
    assert len({face.identity for face in faces}) == len(faces) > 0
    for face in faces:
        assert (face.box[:2] >= 0).all() and (face.box[2:] <= (320, 256)).all()
        assert 24 * 0.999 <= face.size <= 120 * 1.001
        assert ((face.landmarks > face.box[:2]) & (face.landmarks < face.box[2:])).all()
        assert face.source == f"{face.identity}/1.pgm"
        x, y = (face.box[:2] + face.box[2:]) / 2
        others = [other.box for other in faces if other is not face]
        assert not any(x1 < x < x2 and y1 < y < y2 for x1, y1, x2, y2 in others)


def covered_fractions(max_overlap: float, seeds: range) -> list[float]:
    """Measure the fraction of each face's box in another head's color."""
    heads = [plain_head(tuple(np.eye(3, dtype=int)[i] * 220), str(i)) for i in range(3)]
    fractions = []
    for seed in seeds:
        image, faces = compose(
            heads, seed, max_overlap=max_overlap, face_size=(100, 110), width=256, faces_per_scene=(3, 3)
        )
        for face in faces:
            x1, y1, x2, y2 = face.box.round().astype(int)
            pixels = image[y1:y2, x1:x2].astype(int)
            own = pixels[..., int(face.identity or 0)]
            other = np.delete(pixels, int(face.identity or 0), axis=2).max(axis=2)
            fractions.append(float(np.mean(other > own + 20)))
    return fractions


def test_face_coverage_is_at_most_max_overlap() -> None:
    assert max(covered_fractions(0.2, range(25))) < 0.25  # the soft edge blurs the border of the covered area
    assert max(covered_fractions(0.0, range(25))) < 0.03
    assert max(covered_fractions(0.6, range(25))) > 0.3  # covered faces are measured as covered


def test_box_matches_the_pasted_head() -> None:
    heads = [plain_head((0, 220, 0), "green")]
    for seed in range(10):
        image, (face,) = compose(heads, seed, face_size=(60, 100))
        green = image[..., 1].astype(int) - image[..., 0] > 40
        x1, y1, x2, y2 = face.box.round().astype(int)
        center = green[y1:y2, x1:x2][(y2 - y1) // 4 : -(y2 - y1) // 4, (x2 - x1) // 4 : -(x2 - x1) // 4]
        assert center.mean() > 0.98
        assert green.sum() < 3.5 * (x2 - x1) * (y2 - y1)  # a head, not the full scene
        green[max(0, y1 - (y2 - y1)) : y2 + (y2 - y1), max(0, x1 - (x2 - x1)) : x2 + (x2 - x1)] = False
        assert green.sum() == 0


def test_heads_without_space_are_scaled_down_or_dropped() -> None:
    heads = [plain_head((90, 90, 90), f"p{i}") for i in range(12)]
    _, faces = compose(heads, 0, width=256, face_size=(150, 200), max_overlap=0.0)
    assert 1 <= len(faces) < 12 and all(face.size >= 149.9 for face in faces)
    _, faces = compose(heads, 0, width=256, face_size=(24, 200), max_overlap=0.0)
    assert len(faces) >= 10


def test_scene_without_heads_has_a_background_and_no_face() -> None:
    image, faces = compose_scene([], background(), [background()], options(), np.random.default_rng(0))
    assert faces == () and image.std() > 10


def test_scene_is_determined_by_the_seed() -> None:
    heads = [plain_head((90, 90, 90), f"p{i}") for i in range(4)]

    def scene(seed: int) -> tuple[np.ndarray, tuple[Face, ...]]:
        return compose_scene(heads, background(), [background()], options(), np.random.default_rng(seed))

    (one, faces), (two, again), (other, _) = scene(1), scene(1), scene(2)
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal([f.box for f in faces], [f.box for f in again])
    assert (one != other).any()


def test_face_sizes_are_log_uniform() -> None:
    heads = [plain_head((90, 90, 90), "p")]
    sizes = [compose(heads, seed, face_size=(24, 180))[1][0].size for seed in range(150)]
    # Half of the sizes are below the geometric mean, sqrt(24 x 180) = 65.7.
    assert 0.38 < np.mean(np.array(sizes) < 65.7) < 0.62
