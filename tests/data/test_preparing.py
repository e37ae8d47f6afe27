"""The stage prepare as a whole, on small folders of real faces: bytes, splits, leaks, kills and bad photos."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from onelook.data import preparing
from onelook.data.annotate import Find
from onelook.data.orl import read_orl
from onelook.data.photo import read_photo, write_photo
from onelook.data.portrait import Portrait
from onelook.data.preparing import prepare
from onelook.data.scene import Face, read_manifest
from onelook.errors import DataError
from onelook.model.detections import Detections
from onelook.model.look import public_detector
from onelook.settings import Detect, Prepare, load_settings


@pytest.fixture(scope="module")
def find() -> Iterator[Find]:
    """The public detector: what the stage itself annotates with."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    detector = public_detector()
    yield lambda photo: detector.look([photo], Detect(score=0.5, nms=0.4, longest_side=640), embed=False)[0]
    torch.set_num_threads(before)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Seven people with four photos each, out of the default data."""
    for portrait in read_orl().portraits:
        person, number = portrait.path.parts[-2:]
        if int(person[1:]) <= 7 and number in ("1.pgm", "2.pgm", "3.pgm", "4.pgm"):
            write_photo(tmp_path / "people" / person / f"{number[0]}.png", portrait.read())
    return tmp_path / "people"


@pytest.fixture
def small(project: Path, people: Path) -> Callable[..., Prepare]:
    """The default settings shrunk to a tiny run over `people`, with changes."""

    def make(minimum: int = 2, blended: int = 0, **changes: object) -> Prepare:
        default = load_settings(project / "params.yaml").prepare.model_dump()
        sizes = {"train": 4, "validation": 3, "test": 5, "width": 320, "height": 256, "blended": blended}
        compose = {**default["compose"], **sizes}
        folder = {"path": str(people), "minimum_photos": minimum, "longest_side": 640}
        tree = {**default, "reader": "folder", "folder": folder, "enrol": 2, "compose": {**compose, "size": (30, 120)}}
        return Prepare.model_validate({**tree, **changes})

    return make


def contents(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_same_settings_give_the_same_bytes_another_seed_does_not(
    small: Callable[..., Prepare], find: Find, tmp_path: Path
) -> None:
    prepare(small(), 1, find, tmp_path / "one")
    prepare(small(), 1, find, tmp_path / "two")
    prepare(small(), 2, find, tmp_path / "three")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert contents(tmp_path / "one") != contents(tmp_path / "three")


def test_the_manifest_is_whole_and_splits_share_nobody(
    small: Callable[..., Prepare], find: Find, tmp_path: Path
) -> None:
    prepared = prepare(small(), 1, find, tmp_path / "scenes")
    manifest = read_manifest(tmp_path / "scenes")  # checks the splits, too
    assert len(manifest.scenes) == len(prepared.scenes) and prepared.left_out == ()
    assert [len(manifest.select(split)) for split in ("train", "validation", "test")] == [4, 3, 5]
    everyone = [name for split in ("train", "validation", "test") for name in manifest.identities(split)]
    assert sorted(everyone) == [f"s{i}" for i in range(1, 8)]
    for scene in manifest.scenes:
        assert read_photo(manifest.path(scene)).shape == (scene.height, scene.width, 3)
        assert scene.source and scene.licence
    listed = {scene.image for scene in manifest.scenes}
    assert listed == {name for name in contents(tmp_path / "scenes") if name.startswith("images/")}


def test_no_probe_is_an_enrolment_photo(small: Callable[..., Prepare], find: Find, tmp_path: Path) -> None:
    prepare(small(), 1, find, tmp_path / "scenes")
    manifest = read_manifest(tmp_path / "scenes")
    assert manifest.select("train", "enrol") == []
    for split in ("validation", "test"):
        enrolled = {scene.source for scene in manifest.select(split, "enrol")}
        assert len(enrolled) == 2 * len(manifest.identities(split))
        probes = {face.source for scene in manifest.select(split) for face in scene.faces}
        assert probes and not probes & enrolled


def test_enrolment_photos_have_a_face_that_a_detector_finds_where_the_label_is(
    small: Callable[..., Prepare], find: Find, tmp_path: Path
) -> None:
    prepare(small(), 1, find, tmp_path / "scenes")
    manifest = read_manifest(tmp_path / "scenes")
    for scene in manifest.select("test", "enrol"):
        (face,) = scene.faces
        found = find(read_photo(manifest.path(scene)))
        assert len(found) == 1
        np.testing.assert_allclose(found.landmarks[0], face.landmarks, atol=0.03 * face.size)
        assert face.identity is not None and scene.source.startswith(f"{face.identity}/")
        assert (face.box >= 0).all() and (face.box[2:] <= (scene.width, scene.height)).all()


def test_uncomposed_every_photo_is_a_scene(small: Callable[..., Prepare], find: Find, tmp_path: Path) -> None:
    prepare(small(composed=False), 1, find, tmp_path / "scenes")
    manifest = read_manifest(tmp_path / "scenes")
    assert len(manifest.scenes) == 28
    assert len({scene.source for scene in manifest.scenes}) == 28
    assert all(len(scene.faces) == 1 for scene in manifest.scenes)


def test_unusable_photos_are_told_and_left_out(
    small: Callable[..., Prepare], people: Path, find: Find, tmp_path: Path
) -> None:
    (people / "s1" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    write_photo(people / "s2" / "wall.png", np.full((300, 300, 3), 128, np.uint8))
    (people / "s3" / "same.png").write_bytes((people / "s3" / "1.png").read_bytes())
    left_out = prepare(small(composed=False), 1, find, tmp_path / "scenes").left_out
    assert len(left_out) == 3
    assert any("s1/broken.jpg" in line and "damaged" in line for line in left_out)
    assert any("s2/wall.png" in line and "no face" in line for line in left_out)
    assert any("s3/same.png" in line and "a copy of" in line for line in left_out)
    assert len(read_manifest(tmp_path / "scenes").scenes) == 28


def test_a_person_left_with_too_few_photos_stops_the_run(
    small: Callable[..., Prepare], people: Path, find: Find, tmp_path: Path
) -> None:
    for number in (2, 3, 4):
        (people / "s4" / f"{number}.png").write_bytes(b"no photo at all, " * number)
    with pytest.raises(DataError, match="s4: 1 usable photo, fewer than"):
        prepare(small(), 1, find, tmp_path / "scenes")
    assert not (tmp_path / "scenes").exists()


def test_a_person_with_one_photo_is_trained_on_or_a_stranger_never_enrolled(
    small: Callable[..., Prepare], people: Path, find: Find, tmp_path: Path
) -> None:
    for person in ("s1", "s2", "s3", "s4"):
        for number in (2, 3, 4):
            (people / person / f"{number}.png").unlink()
    prepare(small(minimum=1, composed=False), 1, find, tmp_path / "scenes")
    manifest = read_manifest(tmp_path / "scenes")
    enrolled = {face.identity for split in ("validation", "test") for scene in manifest.select(split, "enrol")
                for face in scene.faces}  # fmt: skip
    assert enrolled and not enrolled & {"s1", "s2", "s3", "s4"}
    everyone = {name for split in ("train", "validation", "test") for name in manifest.identities(split)}
    assert everyone == {f"s{i}" for i in range(1, 8)}


def test_too_few_people_are_told(small: Callable[..., Prepare], people: Path, find: Find, tmp_path: Path) -> None:
    for person in ("s1", "s2"):
        for path in (people / person).iterdir():
            path.unlink()
        (people / person).rmdir()
    with pytest.raises(DataError, match="5 people: train, validation and test need at least 2"):
        prepare(small(), 1, find, tmp_path / "scenes")


def test_a_run_that_breaks_off_leaves_the_old_folder(
    small: Callable[..., Prepare], people: Path, find: Find, tmp_path: Path
) -> None:
    prepare(small(), 1, find, tmp_path / "scenes")
    before = contents(tmp_path / "scenes")
    looks = 0

    def interrupted(photo: np.ndarray) -> Detections:
        nonlocal looks
        looks += 1
        if looks == 20:
            raise KeyboardInterrupt
        return find(photo)

    with pytest.raises(KeyboardInterrupt):
        prepare(small(), 2, interrupted, tmp_path / "scenes")
    assert contents(tmp_path / "scenes") == before


def test_bystanders_are_faces_without_identity(
    small: Callable[..., Prepare], people: Path, find: Find, tmp_path: Path
) -> None:
    # A photo of s1 with s2 small in the corner.
    main, other = read_photo(people / "s1" / "1.png"), read_photo(people / "s2" / "1.png")
    group = np.full((400, 500, 3), 90, np.uint8)
    large = np.kron(main, np.ones((2, 2, 1), np.uint8))
    group[90 : 90 + 224, 150 : 150 + 184] = large
    group[20:132, 390:482] = other
    write_photo(people / "s1" / "1.png", group)
    prepare(small(composed=False), 1, find, tmp_path / "scenes")
    (scene,) = [s for s in read_manifest(tmp_path / "scenes").scenes if s.source == "s1/1.png"]
    assert [face.identity for face in scene.faces] == ["s1", None]
    assert scene.faces[0].box[0] < 330 < scene.faces[1].box[0]


def test_blended_people_are_made_of_training_people_and_change_no_other_split(
    small: Callable[..., Prepare], find: Find, tmp_path: Path
) -> None:
    without, blended = tmp_path / "without", tmp_path / "blended"
    prepare(small(), 1, find, without)
    prepare(small(blended=2), 1, find, blended)
    for split in ("validation", "test"):
        for name, digest in contents(without).items():
            if f"/{split}/" in name:
                assert contents(blended)[name] == digest
    trained = read_manifest(without).identities("train")
    mixed = set(read_manifest(blended).identities("train")) - set(trained)
    assert mixed and len(mixed) <= 2
    for name in mixed:
        first, second = name.removeprefix("blend of ").split(" and ")
        assert first != second and {first, second} <= set(trained)


def test_many_people_are_blended_without_listing_every_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [
        preparing.Annotated(Portrait(Path(f"{i}.png"), f"p{i}", "", ""), (Face(np.zeros(4, np.float32)),))
        for i in range(30)
    ]
    for most in (30, 10):
        monkeypatch.setattr(preparing, "MATES", most)
        sitters = preparing._blended_sitters(items, 20, np.random.default_rng(1))
        names = {name for s in sitters for name in s.identity.removeprefix("blend of ").split(" and ")}
        assert len({sitter.identity for sitter in sitters}) == 20 and 7 <= len(names) <= most
