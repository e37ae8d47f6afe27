"""The stage prepare as a whole, on small folders of real faces: bytes, splits, leaks, kills and bad photos."""

import hashlib
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from onelook.data.annotate import FaceDetector, annotate
from onelook.data.face_crops import FACE_FRACTION, read_face_crops
from onelook.data.face_dataset import FaceDataset
from onelook.data.image_io import encode_image, read_image, write_image
from onelook.data.label_arrays import read_teacher_embeddings
from onelook.data.manifest import MANIFEST, Face, Manifest, read_manifest, select_training_scenes
from onelook.data.prepare import prepare
from onelook.data.readers.orl import read_orl
from onelook.data.scene_dataset import SceneDataset
from onelook.detections import Detections
from onelook.errors import DataError
from onelook.inference.torch_predictor import public_detector
from onelook.settings import DetectSettings, PrepareSettings, load_settings


@pytest.fixture(scope="module")
def find() -> Iterator[FaceDetector]:
    """The public detector: what the stage itself annotates with."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    detector = public_detector()
    yield lambda photo: detector.predict([photo], DetectSettings(score=0.5, nms=0.4, longest_side=640), embed=False)[0]
    torch.set_num_threads(before)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Seven people with four photos each, out of the default data."""
    for portrait in read_orl().images:
        person, number = portrait.path.parts[-2:]
        if int(person[1:]) <= 7 and number in ("1.pgm", "2.pgm", "3.pgm", "4.pgm"):
            write_image(tmp_path / "people" / person / f"{number[0]}.png", portrait.read())
    return tmp_path / "people"


@pytest.fixture
def small(project: Path, people: Path) -> Callable[..., PrepareSettings]:
    """The default settings shrunk to a tiny run over `people`, with changes."""

    def make(min_images: int = 2, blended_identities: int = 0, **changes: object) -> PrepareSettings:
        default = load_settings(project / "params.yaml").prepare.model_dump()
        sizes = {
            "train": 4,
            "validation": 3,
            "test": 5,
            "width": 320,
            "height": 256,
            "blended_identities": blended_identities,
        }
        compose = {**default["compose"], **sizes}
        folder = {"path": str(people), "min_images": min_images, "longest_side": 640}
        tree = {
            **default,
            "reader": "folder",
            "folder": folder,
            "enrollment_images": 2,
            "compose": {**compose, "face_size": (30, 120)},
        }
        return PrepareSettings.model_validate({**tree, **changes})

    return make


class Celeba:
    """A tiny CelebA of the `people`: 28 photos, four a person, labeled a little beside what the detector finds."""

    def __init__(self, root: Path, people: Path, find: FaceDetector, images: str) -> None:
        self.root, self.images = root, images
        self.identities: dict[str, int] = {}
        self.boxes: dict[str, list[int]] = {}
        self.landmarks: dict[str, list[int]] = {}
        self.found: dict[str, Face] = {}
        for number, path in enumerate(sorted(people.rglob("*.png"))):
            name = f"{number + 1:06d}.jpg"
            write_image(root / images / name, read_image(path))
            (self.found[name],) = annotate(read_image(root / images / name), "", find, score=0.5, upscale=2.0)
            x1, y1, x2, y2 = self.found[name].box.round().astype(int).tolist()
            self.identities[name] = number // 4
            self.boxes[name] = [x1 + 3, y1 + 3, x2 - x1, y2 - y1]
            self.landmarks[name] = (self.found[name].landmarks.round().astype(int) + 2).reshape(-1).tolist()

    def write(self, *, partition: bool) -> dict[str, str]:
        """Write the label files; the keys of the section `celeba`."""
        points = [f"{p}_{c}" for p in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for c in "xy"]
        self._write("identity_CelebA.txt", [], {name: [n] for name, n in self.identities.items()})
        if partition:
            split = (0, 0, 0, 1, 1, 2, 2)
            self._write("list_eval_partition.txt", [], {name: [split[n]] for name, n in self.identities.items()})
        if self.images == "img_celeba":
            self._write("list_bbox_celeba.txt", ["image_id", "x_1", "y_1", "width", "height"], self.boxes)
            self._write("list_landmarks_celeba.txt", points, self.landmarks)
        else:
            self._write("list_landmarks_align_celeba.txt", points, self.landmarks)
        return {"path": str(self.root), "images": self.images}

    def _write(self, name: str, header: list[str], rows: dict[str, list[int]]) -> None:
        lines = [str(len(rows)), " ".join(header)] if header else []
        lines += [" ".join([photo, *map(str, row)]) for photo, row in rows.items()]
        (self.root / name).write_text("\n".join(lines) + "\n")


def write_record(folder: Path, photos: list[tuple[int, np.ndarray | bytes]]) -> dict[str, str]:
    """A record of (person, photo), keys from 1, with record 0 and no people's records; the keys of `record`."""
    folder.mkdir()
    end = len(photos) + 1
    packed = [struct.pack("<IfQQ2f", 2, 0, 0, 0, end, end)]
    for person, photo in photos:
        encoded = photo if isinstance(photo, bytes) else encode_image(photo, ".png")
        packed.append(struct.pack("<IfQQ", 0, person, len(packed), 0) + encoded)
    content, index = b"", ""
    for key, data in enumerate(packed):
        index += f"{key}\t{len(content)}\n"
        content += struct.pack("<II", 0xCED7230A, len(data)) + data + bytes(-len(data) % 4)
    (folder / "train.rec").write_bytes(content)
    (folder / "train.idx").write_text(index)
    return {"path": str(folder)}


def assert_complete(manifest: Manifest) -> None:
    assert "NaN" not in (manifest.root / "manifest.jsonl").read_text()
    for scene in manifest.scenes:
        for face in scene.faces:
            assert np.isfinite(face.box).all() and np.isfinite(face.landmarks).all() and face.size > 0


def contents(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def test_the_same_settings_give_the_same_bytes_another_seed_does_not(
    small: Callable[..., PrepareSettings], find: FaceDetector, tmp_path: Path
) -> None:
    prepare(small(), 1, find, tmp_path / "one")
    prepare(small(), 1, find, tmp_path / "two")
    prepare(small(), 2, find, tmp_path / "three")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert contents(tmp_path / "one") != contents(tmp_path / "three")


def test_the_manifest_is_complete_and_splits_share_nobody(
    small: Callable[..., PrepareSettings], find: FaceDetector, tmp_path: Path
) -> None:
    prepared = prepare(small(), 1, find, tmp_path / "scenes")
    manifest = read_manifest(tmp_path / "scenes")  # checks the splits, too
    assert len(manifest.scenes) == len(prepared.scenes) and prepared.skipped == ()
    assert [len(manifest.select(split)) for split in ("train", "validation", "test")] == [4, 3, 5]
    everyone = [name for split in ("train", "validation", "test") for name in manifest.identities(split)]
    assert sorted(everyone) == [f"s{i}" for i in range(1, 8)]
    for scene in manifest.scenes:
        assert read_image(manifest.path(scene)).shape == (scene.height, scene.width, 3)
        assert scene.source and scene.license
    listed = {scene.image for scene in manifest.scenes}
    assert listed == {name for name in contents(tmp_path / "scenes") if name.startswith("images/")}


def test_no_probe_is_an_enrollment_photo(
    small: Callable[..., PrepareSettings], find: FaceDetector, tmp_path: Path
) -> None:
    prepare(small(), 1, find, tmp_path / "scenes")
    manifest = read_manifest(tmp_path / "scenes")
    assert manifest.select("train", "enroll") == []
    for split in ("validation", "test"):
        enrolled = {scene.source for scene in manifest.select(split, "enroll")}
        assert len(enrolled) == 2 * len(manifest.identities(split))
        probes = {face.source for scene in manifest.select(split) for face in scene.faces}
        assert probes and not probes & enrolled


def test_enrollment_photos_have_a_face_that_a_detector_finds_where_the_label_is(
    small: Callable[..., PrepareSettings], find: FaceDetector, tmp_path: Path
) -> None:
    prepare(small(), 1, find, tmp_path / "scenes")
    manifest = read_manifest(tmp_path / "scenes")
    for scene in manifest.select("test", "enroll"):
        (face,) = scene.faces
        found = find(read_image(manifest.path(scene)))
        assert len(found) == 1
        np.testing.assert_allclose(found.landmarks[0], face.landmarks, atol=0.03 * face.size)
        assert face.identity is not None and scene.source.startswith(f"{face.identity}/")
        assert (face.box >= 0).all() and (face.box[2:] <= (scene.width, scene.height)).all()


def test_uncomposed_every_photo_is_a_scene(
    small: Callable[..., PrepareSettings], find: FaceDetector, tmp_path: Path
) -> None:
    prepare(small(compose_scenes=False), 1, find, tmp_path / "scenes")
    manifest = read_manifest(tmp_path / "scenes")
    assert len(manifest.scenes) == 28
    assert len({scene.source for scene in manifest.scenes}) == 28
    assert all(len(scene.faces) == 1 for scene in manifest.scenes)


def test_unusable_photos_are_skipped_with_a_message_each(
    small: Callable[..., PrepareSettings], people: Path, find: FaceDetector, tmp_path: Path
) -> None:
    (people / "s1" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    write_image(people / "s2" / "wall.png", np.full((300, 300, 3), 128, np.uint8))
    (people / "s3" / "same.png").write_bytes((people / "s3" / "1.png").read_bytes())
    skipped = prepare(small(compose_scenes=False), 1, find, tmp_path / "scenes").skipped
    assert len(skipped) == 3
    assert any("s1/broken.jpg" in line and "damaged" in line for line in skipped)
    assert any("s2/wall.png" in line and "no face" in line for line in skipped)
    assert any("s3/same.png" in line and "a duplicate of" in line for line in skipped)
    assert len(read_manifest(tmp_path / "scenes").scenes) == 28


def test_a_person_left_with_too_few_photos_stops_the_run(
    small: Callable[..., PrepareSettings], people: Path, find: FaceDetector, tmp_path: Path
) -> None:
    for number in (2, 3, 4):
        (people / "s4" / f"{number}.png").write_bytes(b"no photo at all, " * number)
    with pytest.raises(DataError, match=r"s4 \(1\)"):
        prepare(small(), 1, find, tmp_path / "scenes")
    assert not (tmp_path / "scenes").exists()


def test_a_person_with_one_photo_is_trained_on_or_an_impostor_never_enrolled(
    small: Callable[..., PrepareSettings], people: Path, find: FaceDetector, tmp_path: Path
) -> None:
    for person in ("s1", "s2", "s3", "s4"):
        for number in (2, 3, 4):
            (people / person / f"{number}.png").unlink()
    prepare(small(min_images=1, compose_scenes=False), 1, find, tmp_path / "scenes")
    manifest = read_manifest(tmp_path / "scenes")
    enrolled = {face.identity for split in ("validation", "test") for scene in manifest.select(split, "enroll")
                for face in scene.faces}  # fmt: skip
    assert enrolled and not enrolled & {"s1", "s2", "s3", "s4"}
    everyone = {name for split in ("train", "validation", "test") for name in manifest.identities(split)}
    assert everyone == {f"s{i}" for i in range(1, 8)}


def test_too_few_people_are_refused(
    small: Callable[..., PrepareSettings], people: Path, find: FaceDetector, tmp_path: Path
) -> None:
    for person in ("s1", "s2"):
        for path in (people / person).iterdir():
            path.unlink()
        (people / person).rmdir()
    with pytest.raises(DataError, match="5 people: train, validation and test need at least 2"):
        prepare(small(), 1, find, tmp_path / "scenes")


def test_a_run_that_breaks_off_leaves_the_old_folder(
    small: Callable[..., PrepareSettings], people: Path, find: FaceDetector, tmp_path: Path
) -> None:
    prepare(small(), 1, find, tmp_path / "scenes")
    before = contents(tmp_path / "scenes")
    calls = 0

    def interrupted(photo: np.ndarray) -> Detections:
        nonlocal calls
        calls += 1
        if calls == 20:
            raise KeyboardInterrupt
        return find(photo)

    with pytest.raises(KeyboardInterrupt):
        prepare(small(), 2, interrupted, tmp_path / "scenes")
    assert contents(tmp_path / "scenes") == before


def test_bystanders_are_faces_without_identity(
    small: Callable[..., PrepareSettings], people: Path, find: FaceDetector, tmp_path: Path
) -> None:
    # A photo of s1 with s2 small in the corner.
    main, other = read_image(people / "s1" / "1.png"), read_image(people / "s2" / "1.png")
    group = np.full((400, 500, 3), 90, np.uint8)
    large = np.kron(main, np.ones((2, 2, 1), np.uint8))
    group[90 : 90 + 224, 150 : 150 + 184] = large
    group[20:132, 390:482] = other
    write_image(people / "s1" / "1.png", group)
    prepare(small(compose_scenes=False), 1, find, tmp_path / "scenes")
    (scene,) = [s for s in read_manifest(tmp_path / "scenes").scenes if s.source == "s1/1.png"]
    assert [face.identity for face in scene.faces] == ["s1", None]
    assert scene.faces[0].box[0] < 330 < scene.faces[1].box[0]


def test_blended_people_are_made_of_training_people_and_change_no_other_split(
    small: Callable[..., PrepareSettings], find: FaceDetector, tmp_path: Path
) -> None:
    without, blended = tmp_path / "without", tmp_path / "blended"
    prepare(small(), 1, find, without)
    prepare(small(blended_identities=2), 1, find, blended)
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


def test_nobody_of_the_official_test_list_can_be_trained_on(project: Path, find: FaceDetector, tmp_path: Path) -> None:
    """Whatever the fractions and the seed: not in the scenes, not in the faces, and not by editing the manifest."""
    root = tmp_path / "lfw"
    official = {"peopleDevTrain.txt": range(1, 9), "peopleDevTest.txt": range(9, 13)}
    for name, people in official.items():
        root.mkdir(exist_ok=True)
        (root / name).write_text("\n".join([str(len(people)), *(f"P{person}\t2" for person in people)]))
    for portrait in read_orl().images:
        person, number = portrait.path.parts[-2:]
        if int(person[1:]) <= 12 and number in ("1.pgm", "2.pgm"):
            write_image(root / f"images/P{person[1:]}/P{person[1:]}_000{number[0]}.jpg", portrait.read())
    default = load_settings(project / "params.yaml")
    tree = default.prepare.model_dump() | {"reader": "lfw", "lfw": {"path": str(root)}, "compose_scenes": False}
    tree["split"] = {"train": 0.9, "validation": 0.05, "test": 0.05}
    for seed in range(3):
        folder = tmp_path / f"scenes-{seed}"
        prepare(PrepareSettings.model_validate(tree), seed, find, folder)
        manifest = read_manifest(folder)
        forbidden = {f"P{person}" for person in official["peopleDevTest.txt"]}
        assert set(manifest.identities("test")) == forbidden
        assert len(manifest.identities("train")) == 6 and len(manifest.identities("validation")) == 2
        scenes = SceneDataset(manifest, default.train.augment, seed)
        faces_settings = default.train.faces.model_copy(update={"batch_size": 1, "labeled_fraction": 1.0})
        faces = FaceDataset(manifest, scenes.index, faces_settings, default.train.augment, seed)
        assert not forbidden & set(scenes.identities)
        sources = {scene.source.split(", ")[1].split("_")[0] for scene in select_training_scenes(manifest.scenes)}
        assert faces.num_batches() == len(select_training_scenes(manifest.scenes)) and not forbidden & sources
        path = folder / MANIFEST
        path.write_text(path.read_text().replace('"split": "test"', '"split": "train"', 1))
        with pytest.raises(DataError, match="splits must not share people"):
            read_manifest(folder)


def test_celeba_keeps_its_labels_its_partition_and_no_nan(
    small: Callable[..., PrepareSettings], people: Path, find: FaceDetector, tmp_path: Path
) -> None:
    celeba = Celeba(tmp_path / "celeba", people, find, "img_celeba")
    celeba.boxes["000001.jpg"] = [0, 0, 0, 0]
    celeba.landmarks["000002.jpg"][:4] = [0, 0, -1, -1]
    celeba.boxes["000003.jpg"], celeba.landmarks["000003.jpg"] = [0, 0, 0, 0], [0] * 10
    write_image(celeba.root / "img_celeba" / "000004.jpg", np.full((112, 92, 3), 128, np.uint8))
    celeba.boxes["000004.jpg"] = [0, 0, 0, 0]
    write_image(celeba.root / "img_celeba" / "000005.jpg", np.full((112, 92, 3), 128, np.uint8))
    settings = small(reader="celeba", celeba=celeba.write(partition=True), compose_scenes=False)
    skipped = prepare(settings, 1, find, tmp_path / "scenes").skipped
    assert len(skipped) == 1 and "img_celeba/000004.jpg: skipped, no face" in skipped[0]

    manifest = read_manifest(tmp_path / "scenes")
    assert_complete(manifest)
    assert [manifest.identities(split) for split in ("train", "validation", "test")] == [
        ["celeba-0", "celeba-1", "celeba-2"],
        ["celeba-3", "celeba-4"],
        ["celeba-5", "celeba-6"],
    ]
    faces = {scene.source.removeprefix("CelebA, img_celeba/"): scene.faces for scene in manifest.scenes}
    assert set(faces) == set(celeba.boxes) - {"000004.jpg"}
    for name, (face,) in faces.items():
        x, y, width, height = celeba.boxes[name]
        box = np.array([x, y, x + width, y + height]) if width else celeba.found[name].box
        points = np.array(celeba.landmarks[name]).reshape(5, 2)
        points = np.where(points <= 0, celeba.found[name].landmarks, points)
        # Small photos are shown twice as large in a border of 56 pixels.
        np.testing.assert_allclose(face.box, (box * 2 + 56).clip(0, (296, 336, 296, 336)), atol=2e-3)
        np.testing.assert_allclose(face.landmarks, points * 2 + 56, atol=2e-3)
        assert face.identity == f"celeba-{celeba.identities[name]}"


@pytest.mark.parametrize("images", ["img_celeba", "img_align_celeba"])
def test_celeba_without_its_partition_is_split_by_the_fractions(
    small: Callable[..., PrepareSettings], people: Path, find: FaceDetector, tmp_path: Path, images: str
) -> None:
    celeba = Celeba(tmp_path / "celeba", people, find, images)
    settings = small(blended_identities=2, reader="celeba", celeba=celeba.write(partition=False))
    prepare(settings, 1, find, tmp_path / "scenes")
    manifest = read_manifest(tmp_path / "scenes")
    assert_complete(manifest)
    assert [len(manifest.identities(split)) for split in ("validation", "test")] == [2, 2]
    names = {name for split in ("train", "validation", "test") for name in manifest.identities(split)}
    assert {f"celeba-{i}" for i in range(7)} == {name for name in names if not name.startswith("blend")}
    for scene in manifest.select("test", "enroll"):
        (face,), name = scene.faces, scene.source.removeprefix(f"CelebA, {images}/")
        labeled = np.array(celeba.landmarks[name]).reshape(5, 2)
        np.testing.assert_allclose(face.landmarks, labeled * 2 + 56, atol=2e-3)


def test_a_celeba_subset_without_test_people_is_refused_before_annotation(
    small: Callable[..., PrepareSettings], people: Path, find: FaceDetector, tmp_path: Path
) -> None:
    celeba = Celeba(tmp_path / "celeba", people, find, "img_celeba")
    settings = small(reader="celeba", celeba=celeba.write(partition=True))
    for name, person in celeba.identities.items():
        if person > 4:
            (celeba.root / "img_celeba" / name).unlink()

    def never(photo: np.ndarray) -> Detections:
        raise AssertionError

    with pytest.raises(DataError, match="test: 0 people with photos, at least 2 are needed"):
        prepare(settings, 1, never, tmp_path / "scenes")


def test_people_lost_to_unusable_photos_may_leave_a_split_too_small(
    small: Callable[..., PrepareSettings], people: Path, find: FaceDetector, tmp_path: Path
) -> None:
    celeba = Celeba(tmp_path / "celeba", people, find, "img_celeba")
    settings = small(reader="celeba", celeba=celeba.write(partition=True))
    for name, person in celeba.identities.items():
        if person == 4:
            (celeba.root / "img_celeba" / name).write_bytes(b"no photo")
    with pytest.raises(DataError, match="validation: 1 person with photos"):
        prepare(settings, 1, find, tmp_path / "scenes")
    assert not (tmp_path / "scenes").exists()


def test_a_record_is_split_by_person_and_its_bad_photos_are_skipped(
    small: Callable[..., PrepareSettings], people: Path, find: FaceDetector, tmp_path: Path
) -> None:
    photos: list[tuple[int, np.ndarray | bytes]] = [
        (number // 4, read_image(path)) for number, path in enumerate(sorted(people.rglob("*.png")))
    ]
    photos[4] = (1, b"no photo")
    photos[5] = (1, np.full((112, 112, 3), 128, np.uint8))
    photos.append((7, b"no photo, and this person has no other"))
    settings = small(reader="recordio", recordio=write_record(tmp_path / "record", photos), compose_scenes=False)
    skipped = prepare(settings, 1, find, tmp_path / "scenes").skipped
    assert len(skipped) == 3
    assert "no JPEG or PNG image" in skipped[0]
    assert "train.rec, record 6: skipped, no face" in skipped[1]

    manifest = read_manifest(tmp_path / "scenes")
    assert_complete(manifest)
    assert [len(manifest.identities(split)) for split in ("train", "validation", "test")] == [3, 2, 2]
    shown = {scene.source: [face.identity for face in scene.faces] for scene in manifest.scenes}
    assert shown == {
        f"train.rec, record {key}": [f"record-{person}"]
        for key, (person, _) in enumerate(photos, start=1)
        if key not in (5, 6, 29)
    }
    prepare(settings, 1, find, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "scenes")


def test_a_record_is_composed_into_scenes(
    small: Callable[..., PrepareSettings], people: Path, find: FaceDetector, tmp_path: Path
) -> None:
    photos: list[tuple[int, np.ndarray | bytes]] = [
        (number // 4, read_image(path)) for number, path in enumerate(sorted(people.rglob("*.png")))
    ]
    settings = small(blended_identities=1, reader="recordio", recordio=write_record(tmp_path / "record", photos))
    prepare(settings, 1, find, tmp_path / "scenes")
    manifest = read_manifest(tmp_path / "scenes")
    assert_complete(manifest)
    assert [len(manifest.select(split)) for split in ("train", "validation", "test")] == [4, 3, 5]


@pytest.mark.parametrize("reader", ["celeba", "recordio"])
def test_the_error_for_an_absent_folder_names_its_key(
    small: Callable[..., PrepareSettings], find: FaceDetector, tmp_path: Path, reader: str
) -> None:
    keys = {"celeba": {"path": str(tmp_path / "absent"), "images": "img_celeba"}, "recordio": {"path": "absent"}}
    with pytest.raises(DataError, match=rf"absent.*: no such .*prepare\.{reader}\.path") as caught:
        prepare(small(reader=reader, **keys), 1, find, tmp_path / "scenes")
    assert "\n" not in str(caught.value)


def test_arrays_of_crops_and_teacher_embeddings_have_a_row_per_training_face(
    small: Callable[..., PrepareSettings], find: FaceDetector, tmp_path: Path
) -> None:
    def embed_faces(images: Sequence[np.ndarray], landmarks: np.ndarray) -> np.ndarray:
        return np.stack([points.mean(0) for points in landmarks])

    prepare(small(face_crops=64), 1, find, tmp_path / "scenes", embed_faces)
    manifest = read_manifest(tmp_path / "scenes")
    faces = [face for scene in select_training_scenes(manifest.scenes) for face in scene.faces]
    crops, embeddings = read_face_crops(manifest), read_teacher_embeddings(manifest)
    assert crops is not None and embeddings is not None
    assert len(crops.images) == len(embeddings) == len(faces) > 0
    np.testing.assert_allclose(embeddings, [face.landmarks.mean(0) for face in faces], atol=0.01)
    sizes = np.sqrt(np.prod(crops.boxes[:, 2:] - crops.boxes[:, :2], axis=1))
    np.testing.assert_allclose(sizes, [min(face.size, FACE_FRACTION * 64) for face in faces], rtol=0.05)


def test_names_that_no_gallery_takes_are_refused_before_the_work(
    small: Callable[..., PrepareSettings], people: Path, tmp_path: Path
) -> None:
    for person, name in (("s1", "Zoë\u3000Ba"), ("s2", "unknown"), ("s3", "Ada\u200b"), ("s4", "x" * 201)):
        (people / person).rename(people / name)

    def find_nothing(photo: np.ndarray) -> Detections:
        raise AssertionError("a photo was annotated")

    with pytest.raises(DataError) as caught:
        prepare(small(), 1, find_nothing, tmp_path / "out")
    message = str(caught.value)
    assert r"Ada\u200b: a name must not" in message and "unknown: this name is reserved" in message
    assert "201" in message and "Zoë" not in message and "\n" not in message
    assert not (tmp_path / "out").exists()
