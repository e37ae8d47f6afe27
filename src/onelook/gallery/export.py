"""What a gallery holds, for other programs: a table of the photos, and the embeddings."""

import csv
from pathlib import Path

from safetensors.numpy import save_file

from onelook.errors import GalleryError
from onelook.files import replacing_folder
from onelook.gallery.data import GalleryData

COLUMNS = ("name", "photo", "sha256", "score", "size", "sharpness", "weight")


def export(folder: Path, contents: GalleryData) -> None:
    """Write a new folder, in one step.

    It holds faces.csv, a line per enrolled photo with COLUMNS (empty where a photo was not measured), and
    embeddings.safetensors: `embeddings` (n, d) float32, of which row i belongs to line i, with the fingerprint of their
    model in the metadata.

    Raises:
        GalleryError: the folder is there already.
        OnelookError: it cannot be written.
    """
    if folder.exists():
        raise GalleryError(f"{folder}: is there already; name a folder that does not exist yet")
    with replacing_folder(folder) as new:
        with (new / "faces.csv").open("w", encoding="utf-8", newline="") as stream:
            lines = csv.writer(stream)
            lines.writerow(COLUMNS)
            for entry in contents.entries:
                measured = entry.quality
                figures = ("", "", "") if measured is None else (measured.score, measured.size, measured.sharpness)
                lines.writerow((entry.person, entry.photo, entry.sha256, *figures, entry.weight))
        metadata = {"fingerprint": contents.terms.fingerprint}
        save_file({"embeddings": contents.embeddings}, new / "embeddings.safetensors", metadata)
