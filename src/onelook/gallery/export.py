"""Export a gallery for other programs: faces.csv and embeddings.safetensors."""

import csv
from pathlib import Path

from safetensors.numpy import save

from onelook.errors import GalleryError
from onelook.files import atomic_folder
from onelook.gallery.data import GalleryData
from onelook.names import escape_unprintable

COLUMNS = ("name", "photo", "sha256", "score", "size", "sharpness", "weight")


def export_gallery(folder: Path, data: GalleryData) -> None:
    """Write faces.csv and embeddings.safetensors into a new folder atomically.

    - faces.csv: one line per enrolled face, with COLUMNS; the quality is empty where it was not measured.
    - embeddings.safetensors: `embeddings` (n, d) float32, row i for line i; the metadata holds the model's fingerprint.

    Raises:
        GalleryError: the folder exists.
        OnelookError: it cannot be written.
    """
    if folder.exists():
        raise GalleryError(f"{folder}: is there already; name a folder that does not exist yet")
    with atomic_folder(folder) as new:
        with (new / "faces.csv").open("w", encoding="utf-8", newline="") as stream:
            lines = csv.writer(stream)
            lines.writerow(COLUMNS)
            for face in data.faces:
                quality = face.quality
                metrics = ("", "", "") if quality is None else (quality.score, quality.size, quality.sharpness)
                lines.writerow((face.person, escape_unprintable(face.photo), face.sha256, *metrics, face.weight))
        fingerprint = {"fingerprint": data.metadata.fingerprint}
        # Not by save_file, whose error on a full disk is no OSError.
        (new / "embeddings.safetensors").write_bytes(save({"embeddings": data.embeddings}, fingerprint))
