"""Linking faces over frames: by hand, against all assignments, and through crossings, gaps and newcomers."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onelook.media.tracker import GAP_SECONDS, LEAST_IOU, Sighting, Track, Tracker, assign_tracks

SAME, SURE = 0.3, 0.8
AXES = np.eye(4, dtype=np.float32)


def seen(left: float, top: float = 0, who: int = 0, weight: float = 1, looks: np.ndarray | None = None) -> Sighting:
    box = np.array([left, top, left + 10, top + 10], np.float32)
    return Sighting(box, AXES[who] if looks is None else looks, weight, (left, weight))


def follow(*frames: list[Sighting], rate: float = 10, sure: float = SURE) -> tuple[list[list[int]], list[Track]]:
    tracker = Tracker(SAME, sure)
    numbers, ended = [], []
    for number, faces in enumerate(frames):
        mine, over = tracker.step(number, number / rate, faces)
        numbers.append(mine)
        ended += over
    return numbers, ended + tracker.finish()


def test_two_people_who_cross_keep_their_tracks() -> None:
    frames = [[seen(5 * t, who=0), seen(50 - 5 * t, who=1)] for t in range(11)]
    assert frames[5][0].box[0] == frames[5][1].box[0], "in the middle they stand at one place"
    numbers, tracks = follow(*frames)
    assert numbers == [[1, 2]] * 11
    for track, axis in zip(tracks, AXES, strict=False):
        np.testing.assert_allclose(track.template, axis, atol=1e-6)


def test_a_fast_face_is_found_where_its_speed_leads() -> None:
    """It comes to move by nine tenths of its size a frame: it overlaps where it was by 1/19 only."""
    assert LEAST_IOU > 1 / 19
    frames = [[seen(left)] for left in (0, 6, 15, 24, 33)]
    assert follow(*frames, sure=2)[0] == [[1]] * 5
    assert follow(*frames[1:], sure=2)[0] == [[1], [2], [3], [4]], "at the beginning it has no speed yet"
    track = follow([seen(0)], [seen(6)])[1][0]
    np.testing.assert_allclose(track.guess(0.3), seen(18).box, atol=1e-4)  # 60 pixels a second


def test_looks_alone_suffice_for_a_face_elsewhere_only_where_they_are_sure() -> None:
    half = (AXES[0] + AXES[1]) / np.sqrt(2)  # 0.71 to who stood there: the same, not sure
    assert follow([seen(0)], [seen(100)])[0] == [[1], [1]]
    assert follow([seen(0)], [seen(100, looks=half)])[0] == [[1], [2]]
    assert follow([seen(0)], [seen(2, looks=half)])[0] == [[1], [1]]
    assert follow([seen(0)], [seen(0, who=1)])[0] == [[1], [2]], "after a cut somebody else stands at the same place"


def test_a_track_goes_on_after_a_short_gap_and_ends_after_a_long_one() -> None:
    def gap(frames: int) -> list[list[int]]:
        return follow([seen(0)], *([[]] * frames), [seen(0)])[0]

    most = round(GAP_SECONDS * 10)
    assert gap(most)[-1] == [1]
    assert gap(most + 1)[-1] == [2]
    slow = follow([seen(0)], [], [], [seen(0)], rate=0.5)
    assert slow[0][-1] == [1], "where frames are two seconds apart, two of them without the face end nothing yet"
    assert follow([seen(0)], [], [], [], [seen(0)], rate=0.5)[0][-1] == [2]


def test_a_newcomer_begins_a_track_and_the_sums_are_those_of_its_faces() -> None:
    numbers, tracks = follow(
        [seen(0, weight=0.5)], [seen(0, weight=0.9), seen(40, who=1)], [seen(40, who=1), seen(1, weight=0.2)]
    )
    assert numbers == [[1], [1, 2], [2, 1]]
    first, second = sorted(tracks, key=lambda track: track.number)
    assert (first.first, first.last, first.faces) == ((0, 0.0), (2, 0.2), 3)
    assert (second.first, second.last, second.faces) == ((1, 0.1), (2, 0.2), 2)
    np.testing.assert_allclose(first.total, AXES[0] * 1.6, atol=1e-6)
    assert first.best.told == (0, 0.9)


def test_the_template_weighs_the_faces() -> None:
    tilted = np.array([0.6, 0.8, 0, 0], np.float32)
    track = follow([seen(0, weight=1)], [seen(0, looks=tilted, weight=0.25)])[1][0]
    total = np.array([1 + 0.15, 0.2, 0, 0])
    np.testing.assert_allclose(track.template, total / np.linalg.norm(total), atol=1e-6)


@given(st.integers(0, 10_000), st.integers(0, 4), st.integers(0, 4))
def test_the_links_are_the_best_of_all_assignments(seed: int, many: int, faces: int) -> None:
    rng = np.random.default_rng(seed)
    looks = rng.normal(size=(many + faces, 4)).astype(np.float32)
    looks /= np.linalg.norm(looks, axis=1, keepdims=True)
    sightings = [
        seen(x, y, looks=row) for (x, y), row in zip(rng.uniform(0, 15, (many + faces, 2)), looks, strict=True)
    ]
    tracks = follow(sightings[:many])[1] if many else []
    probes = sightings[many:]
    links = assign_tracks(tracks, probes, 0.0, SAME, SURE)

    def worth(face: int, place: int) -> float | None:
        one, other = probes[face].box.astype(float), tracks[place].box.astype(float)
        sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
        inner = sides.clip(0).prod()
        overlap = inner / (200 - inner)
        alike = float(probes[face].embedding @ tracks[place].template)
        return overlap + alike if (overlap >= LEAST_IOU and alike >= SAME) or alike >= SURE else None

    best = 0.0
    places = [*range(many), *[-1] * faces]
    for chosen in set(permutations(places, faces)):
        values = [worth(face, place) for face, place in enumerate(chosen) if place >= 0]
        kept = [value for value in values if value is not None]
        best = max(best, sum(kept))
    mine = [worth(face, place) for face, place in links.items()]
    assert None not in mine
    assert len(set(links.values())) == len(links)
    assert sum(value for value in mine if value is not None) == pytest.approx(best, abs=1e-5)


def test_a_sure_link_is_not_given_up_for_two_poor_ones() -> None:
    """The first face is track 1 to the pixel. A newcomer could go on with track 1, and the first face with track 2."""
    third = np.array([0.4, 0, 0.9165, 0], np.float32)
    tracks = follow([seen(0), seen(7, looks=np.array([0.4, 0.9165, 0, 0], np.float32))])[1]
    faces = [seen(0), seen(-7, looks=third)]
    poor = 3 / 17  # overlap of boxes that are 7 of 10 apart
    assert poor >= LEAST_IOU and 2 * (poor + 0.4) < 1 + 1
    assert assign_tracks(tracks, faces, 0.0, SAME, SURE) == {0: 0}
