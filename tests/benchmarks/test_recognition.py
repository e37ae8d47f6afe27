"""Parts of the recognition benchmark, and a run on a few pairs of the research data."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))  # last: there is a benchmark called hypothesis

from face_scaling import resize_by, single_factors
from pair_metrics import Metric
from recognition_detection import judge, paste
from recognition_galleries import People, count_answers, draw_galleries, limit_per_person, measure_trials, run_gallery
from recognition_groups import Subject, groups, parse_name
from recognition_pairs import index_pairs, spread
from recognition_report import Table, plot_sizes
from recognition_systems import Photo, nearest_center, read_batches

from onelook.data.image_io import write_image
from onelook.detections import Detections

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_photos_are_resized_by_their_factor_in_batches_of_limited_size(tmp_path: Path) -> None:
    for name, side in (("a", 100), ("b", 200)):
        write_image(tmp_path / f"{name}.png", np.full((side, side, 3), 90, np.uint8))
    small, large = Photo(tmp_path / "a.png"), Photo(tmp_path / "b.png", 10.0)
    batches = list(read_batches([small] * 20 + [large, small]))
    assert [len(photos) for photos, _ in batches] == [16, 4, 1, 1]
    assert [images[0].shape for _, images in batches] == [(100, 100, 3)] * 2 + [(2000, 2000, 3), (100, 100, 3)]
    assert (batches[2][1][0] == 90).all()


def test_each_face_is_brought_to_its_size() -> None:
    np.testing.assert_allclose(single_factors(np.array([50, np.nan, 100, 200]), 20), [0.4, 0.2, 0.2, 0.1])
    assert resize_by(np.zeros((250, 200, 3), np.uint8), 0.2).shape == (50, 40, 3)


def test_the_face_nearest_the_center_is_the_person() -> None:
    boxes = np.array([[0, 0, 20, 20], [45, 40, 65, 60], [80, 80, 99, 99]], np.float32)
    rows = np.arange(3, dtype=np.float32)
    faces = Detections(boxes, rows, np.zeros((3, 5, 2), np.float32), rows[:, None])
    assert nearest_center(faces, np.zeros((100, 100, 3))).scores.tolist() == [1]
    assert len(nearest_center(faces.above(5), np.zeros((100, 100, 3)))) == 0


def test_pairs_are_indexed_by_photo_and_person() -> None:
    names = [("b/1", "b/2"), ("a/1", "b/1")]
    photos, pairs = index_pairs(names, np.array([True, False]), np.zeros(2, np.int64))
    assert photos == ["a/1", "b/1", "b/2"]
    np.testing.assert_array_equal(pairs.photos, [[1, 2], [0, 1]])
    np.testing.assert_array_equal(pairs.people, [[1, 1], [0, 1]])
    assert spread(range(10), 3) == [0, 3, 6] and spread("ab", 3) == spread("ab", None) == ["a", "b"]


def gallery_people() -> People:
    """Return three people: two photos each, the first of which enrolls."""
    enrolls = np.array([True, False] * 3)
    return People("set", [Photo(Path("x"))] * 6, np.repeat(np.arange(3), 2), enrolls, np.ones(6, bool))


def test_a_gallery_has_mated_and_non_mated_probes() -> None:
    # People 0 and 1 are enrolled. Probe 1 is nearest to its own person, probe 3 to person 0, probe 5 is a stranger.
    angles = np.radians([0, 10, 90, 40, 200, 70])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    trials = run_gallery(embeddings, gallery_people(), np.array([0, 2]), np.array([1, 3, 5]))
    assert trials.correct.tolist() == [True, False]
    expected = np.cos(np.radians([20, 40, 80]))  # of probe 5 to person 1, 3 to 0, 1 to 1
    np.testing.assert_allclose(trials.non_mated_scores, expected, atol=1e-6)
    metrics = measure_trials([trials], threshold=0.9, people=3)
    assert metrics["measured FPIR"].value == pytest.approx(1 / 3) and metrics["DIR"].value == 0.5
    answers = count_answers(trials, 0.9, 3)
    assert [answers[name] for name in ("right", "wrong", "unknown", "no face")] == [1, 0, 1, 0]
    embeddings[1] = np.nan
    answers = count_answers(run_gallery(embeddings, gallery_people(), np.array([0, 2]), np.array([1, 3])), 0.5, 3)
    assert [answers[name] for name in ("right", "wrong", "unknown", "no face")] == [0, 1, 0, 1]


def test_drawn_galleries_never_probe_an_enrolled_photo() -> None:
    drawn = list(draw_galleries(gallery_people(), 2))
    for enrolled, probes in drawn:
        assert len(enrolled) == 2 and len(probes) == 4 and not set(enrolled) & set(probes)
        assert (enrolled % 2 == 0).all()
    assert len({tuple(enrolled) for enrolled, _ in drawn}) > 1


def test_the_first_rows_of_each_person_are_kept() -> None:
    people = np.array([0, 0, 0, 1, 1, 2])
    np.testing.assert_array_equal(limit_per_person(np.array([5, 2, 4, 0, 1]), people, 2), [0, 2, 4, 5])


def test_groups_come_from_the_file_names_of_utkface() -> None:
    subject = parse_name(Path("25_1_3_20170109150557335.jpg.chip.jpg"))
    assert subject is not None and subject[1:] == (25, 1, 3)
    assert (
        parse_name(Path("61_3_20170109150557335.jpg")) is None
        and parse_name(Path("39_1_20170116174525125.jpg")) is None
    )
    assert [name for name, belongs in groups().items() if belongs(subject)] == ["adults", "18–39", "women, Indian"]
    child = Subject(Path("x"), 12, 0, 0)
    assert [name for name, belongs in groups().items() if belongs(child)] == ["children, 3–12"]


def test_the_largest_box_is_compared_with_the_face() -> None:
    face = np.array([100, 100, 200, 200], np.float32)
    near, small, large = [105, 95, 205, 205], [0, 0, 50, 50], [300, 300, 500, 500]
    assert judge(np.array([near, small], np.float32), face) == (True, True, False)
    assert judge(np.array([near, large], np.float32), face) == (False, True, True)
    assert judge(np.array([small], np.float32), face) == (False, False, False)
    assert judge(np.zeros((0, 4), np.float32), face) == (False, False, False)


def test_a_pasted_portrait_is_where_its_box_says() -> None:
    portrait = np.full((100, 80, 3), 200, np.uint8)
    box = np.array([30, 40, 50, 60], np.float32)
    image, moved = paste(np.zeros((300, 400, 3), np.uint8), portrait, box, np.random.default_rng(0))
    left, top, right, bottom = moved.astype(int)
    assert (right - left, bottom - top) == (20, 20) and (image[top:bottom, left:right] == 200).all()
    assert image[0].max() == 0 or top < 41


def test_a_table_has_intervals_in_json_and_if_asked_in_markdown() -> None:
    rows = [{"system": "x", "54 (native)": Metric(0.5, 0.25, 1.0), "110": Metric(float("nan"), 0, 1)}]
    table = Table("key", "Title: by size", rows, ("A note.",))
    assert table.to_markdown().splitlines()[4:] == [
        "| system | 54 (native) | 110 |",
        "|---|---|---|",
        "| x | .500 [.250, 1.000] | – [.000, 1.000] |",
    ]
    assert "| .500 |" in Table("key", "Title", rows, has_intervals=False).to_markdown()
    cells = table.to_json()["rows"][0]
    assert cells["54 (native)"] == {"value": 0.5, "low": 0.25, "high": 1.0} and cells["110"]["value"] is None
    (axes,) = plot_sizes([table]).axes
    assert axes.get_ylabel() == "Title" and axes.lines[0].get_xdata().tolist() == [54, 110]


@pytest.mark.shared_data
def test_a_limited_run_is_marked_as_partial_and_skips_missing_data(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    for name in ("weights", "lfw"):
        (tmp_path / name).symlink_to((shared_data / name).resolve())
    command = [sys.executable, str(BENCHMARKS / "recognition.py"), "--data", str(tmp_path), "--limit", "20"]
    options = ["--only", "cfp", "lfw", "--out", str(tmp_path / "out")]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *options], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "**Partial: at most 20 pairs" in done.stdout
    assert f"skipped: cfp: {tmp_path / 'cfp_folds_1_2'}: not there" in done.stdout
    content = json.loads((tmp_path / "out/recognition.json").read_text())
    assert content["limit"] == 20 and list(content["tables"]) == ["lfw"]
    rows = content["tables"]["lfw"]["rows"]
    assert [row["face"] for row in rows[:: len(content["systems"])]] == [
        "native",
        "32 px",
        "32 px, native points",
        "20 px",
        "20 px, native points",
    ]
    assert all(row["accuracy"]["value"] >= 0.7 for row in rows if row["face"] == "native")
    missing = {(row["face"], row["system"]): row["not found"] for row in rows}
    assert missing["20 px, native points", "onelook"] == missing["native", "onelook"]
