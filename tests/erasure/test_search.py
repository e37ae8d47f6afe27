"""Search and erasure of a person below directories."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.coded_faces import SIZE, CodedPredictor, make_embedding
from helpers.run_folder import read_all_files, read_journal, read_table
from onelook.data.image_io import read_image
from onelook.detections import Detections
from onelook.erasure.search import SearchResult, search_person
from onelook.gallery import storage
from onelook.gallery.backup import read_backup, write_backup
from onelook.gallery.data import EnrolledFace, GalleryData, GalleryMetadata
from onelook.gallery.export import export_gallery
from onelook.gallery.faiss_backend import FaissBackend
from onelook.gallery.gallery import Gallery
from onelook.media.discovery import find_media_files
from onelook.media.embeddings_file import read_embeddings
from onelook.media.face_groups import write_groups
from onelook.media.identify_all import identify_all

ANNA, BOB, GRACE, STRANGER = 3, 4, 9, 11


class SurePredictor(CodedPredictor):
    """A predictor whose faces are sure enough to be grouped."""

    def _decode(self, image: np.ndarray) -> Detections:
        detections = super()._decode(image)
        return replace(detections, scores=np.linspace(0.999, 0.99, len(detections.scores), dtype=np.float32))


@pytest.fixture
def make_data(metadata: GalleryMetadata) -> Callable[..., GalleryData]:
    """Return a function that makes gallery data: make_data(Anna=3, Bob=4)."""

    def make(**people: int) -> GalleryData:
        faces = tuple(EnrolledFace(person=name, photo=f"{i}.png", sha256=f"{i:064x}") for name, i in people.items())
        rows = np.asarray([make_embedding(i) for i in people.values()], np.float32).reshape(len(people), SIZE)
        return GalleryData(metadata, faces, rows)

    return make


def search(root: Path, own: GalleryData | None) -> SearchResult:
    return search_person("Grace", [root], own, root / "own")


def erase(result: SearchResult) -> None:
    for finding in result.erasable:
        assert finding.erase is not None
        finding.erase()


def describe(result: SearchResult, root: Path) -> dict[str, str]:
    return {finding.path.relative_to(root).as_posix(): finding.content for finding in result.findings}


def test_galleries_backups_and_exports_are_cleaned(tmp_path: Path, make_data: Callable[..., GalleryData]) -> None:
    root = tmp_path / "root"
    own = make_data(Anna=ANNA, Grace=GRACE)
    everybody = make_data(Anna=ANNA, Grace=GRACE, Bob=BOB)
    managed = replace(everybody, metadata=everybody.metadata.model_copy(update={"managed": True}))
    storage.create(root / "own", own)
    storage.create(root / "other", everybody.reject("Bob", make_embedding(GRACE, 1)).reject("Anna", make_embedding(50)))
    storage.create(root / "mlflow/m-1/artifacts/gallery", managed)
    (root / "mlflow/m-1/MLmodel").write_text("flavors:")
    storage.create(root / "build/gallery", managed)
    storage.create(root / "namesake", make_data(Grace=77))
    storage.create(root / "renamed", make_data(Countess=GRACE))
    write_backup(root / "saved", everybody)  # no suffix
    (root / "saved").chmod(0o600)
    (root / "broken.zip").write_bytes((root / "saved").read_bytes()[:2000])
    export_gallery(root / "table", everybody)
    (root / "people/Grace").mkdir(parents=True)
    (root / "notes.txt").write_text("gracefully")
    (root / "list.csv").write_text("name,photo\nGrace,a.jpg\n")
    found = search(root, own)
    assert describe(found, root) == {
        "other": "gallery: 1 photo, 1 correction",
        "mlflow/m-1/artifacts/gallery": "gallery in MLflow: 1 photo",
        "build/gallery": "gallery of the pipeline: 1 photo",
        "namesake": "gallery: somebody else of this name, by the face; not changed",
        "renamed": "gallery: Countess has a face like this person's; not changed",
        "saved": "backup: 1 photo",
        "table": "export: 1 line",
        "people/Grace": "folder of that name",
        "list.csv": "mentions the name",
        "broken.zip": describe(found, root)["broken.zip"],
    }
    assert "no backup" in describe(found, root)["broken.zip"]
    assert len(found.erasable) == 4 and all(finding.advice for finding in found.others)
    erase(found)
    assert storage.read(root / "other").identities == ["Anna", "Bob"]
    assert [each.person for each in storage.read(root / "other").rejections] == ["Anna"]
    copy = storage.read(root / "mlflow/m-1/artifacts/gallery")
    assert copy.identities == ["Anna", "Bob"] and copy.metadata.managed
    assert read_backup(root / "saved").identities == ["Anna", "Bob"]
    assert (root / "saved").stat().st_mode & 0o777 == 0o600
    with (root / "table/faces.csv").open(newline="") as stream:
        assert [line["name"] for line in csv.DictReader(stream)] == ["Anna", "", "Bob"]
    for folder in ("other", "mlflow", "table"):
        content = b"".join(read_all_files(root / folder).values())
        assert b"Grace" not in content and make_embedding(GRACE).tobytes() not in content
    assert search(root, own).erasable == []


@pytest.fixture
def runs(tmp_path: Path, photo: Callable[..., Path], make_data: Callable[..., GalleryData]) -> tuple[Path, GalleryData]:
    """Two runs over the same photos: `late` knows Grace, `early` has her faces without a name and in groups."""
    for i in range(3):
        photo(ANNA, GRACE, STRANGER, variant=i, path=f"in/{i}.png")
    photo(STRANGER, variant=9, path="in/alone.png")
    root = tmp_path / "root"
    own = make_data(Anna=ANNA, Grace=GRACE)
    for name, data in {"own": own, "late": own, "early": make_data(Anna=ANNA)}.items():
        storage.create(tmp_path / "galleries" / name, data)
        if name != "own":
            gallery = Gallery(FaissBackend(tmp_path / "galleries" / name), SurePredictor())
            identify_all(gallery, find_media_files([tmp_path / "in"], root / name), root / name, pictures=True)
    assert write_groups(root / "early", own.metadata, 1).groups == 2
    return root, own


def test_results_are_cleaned_and_keep_everybody_else(runs: tuple[Path, GalleryData], tmp_path: Path) -> None:
    root, own = runs
    before = {name: read_journal(root / name) for name in ("late", "early")}
    others = [row for row in read_table(root / "late") if row["name"] == "Anna"]
    (tmp_path / "in/2.png").unlink()
    found = search(root, own)
    content = describe(found, root)
    assert content["late"].startswith("results: 3 named faces, ")
    assert content["late"].endswith("3 drawn pictures")
    assert content["early"] == "results: 3 similar unnamed faces, 3 drawn pictures, 3 group crops"
    erase(found)
    for name in ("late", "early"):
        now = read_journal(root / name)
        assert [record["source"] for record in now] == [record["source"] for record in before[name]]
        for record, earlier in zip(now, before[name], strict=True):
            boxes = [face["box"] for face in earlier["faces"]]
            kept = [face["box"] for face in record["faces"]]
            assert kept == (boxes if len(boxes) == 1 else [boxes[0], boxes[2]])
        assert all("Grace" not in json.dumps(record) for record in now)
        assert b"Grace" not in (root / name / "faces.csv").read_bytes()
        pictures = {
            record["source"]: read_image(root / name / record["picture"]) for record in now if record["picture"]
        }
        # One photo is gone, so its picture is removed; two are drawn again with the face covered; one was not hers.
        assert len(pictures) == len(list((root / name / "pictures").rglob("*.jpg"))) == 3
        faces = [picture[10:60, 65:115].astype(int) for picture in pictures.values()]
        covered = [(np.abs(face - np.median(face, axis=(0, 1))) < 15).mean() > 0.5 for face in faces]
        assert sorted(covered) == [False, True, True]
        rows = read_embeddings(root / name, own.metadata.fingerprint)
        referenced = [face["row"] for record in now for face in record["faces"] if face["row"] is not None]
        np.testing.assert_allclose(np.linalg.norm(rows[referenced], axis=1), 1, atol=1e-5)
        assert not (rows @ make_embedding(GRACE) > 0.6).any()
    assert len(others) == 3 and [row for row in read_table(root / "late") if row["name"] == "Anna"] == others
    with (root / "early/groups.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 4
    assert len(list((root / "early/groups").glob("*/*.png"))) == 4
    assert search(root, own).findings == ()


def test_an_interrupted_removal_can_be_repeated(
    runs: tuple[Path, GalleryData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, own = runs
    original = Path.replace
    interruptions = 0
    for remaining in range(12):
        left = remaining

        def interrupt(path: Path, target: Path) -> Path:
            nonlocal left
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
            return original(path, target)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", interrupt)
            try:
                erase(search(root, own))
            except KeyboardInterrupt:
                interruptions += 1
        for name in ("late", "early"):
            assert read_journal(root / name) and len(read_table(root / name)) >= 7
            assert len(read_embeddings(root / name, own.metadata.fingerprint))
    assert interruptions >= 3
    assert search(root, own).findings == ()
    for name in ("late", "early"):
        assert sum(len(record["faces"]) for record in read_journal(root / name)) == 7
        assert not [path for path in (root / name).rglob(".*") if path.name != ".lock"]
