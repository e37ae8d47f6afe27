import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from helpers.painted import HEIGHT, SIDE, WIDTH, paint
from onelook.data.image_io import read_image, write_image
from onelook.errors import OnelookError
from onelook.gallery.gallery import Gallery
from onelook.media.discovery import find_media_files
from onelook.media.face_groups import COLUMNS, write_groups
from onelook.media.identify_all import identify_all


def test_groups_are_written_largest_first(
    painted_gallery: Gallery, make_video: Callable[..., Path], tmp_path: Path
) -> None:
    # Unknown are identity 3, with two photos and a blurred track, and identity 4, with one photo that is removed.
    rng = np.random.default_rng(0)
    out = tmp_path / "out"
    for name, squares in {"a": [(3, 10, 20), (1, 150, 20)], "b": [(3, 40, 20)], "c": [(4, 40, 20)]}.items():
        noisy = paint(*squares, side=2 * SIDE) + rng.integers(-60, 61, (HEIGHT, WIDTH, 3))
        write_image(tmp_path / f"in/{name}.png", noisy.clip(0, 255).astype(np.uint8))
    make_video("in/d.mp4", [paint((3, 100, 20), side=2 * SIDE)] * 3)
    identify_all(painted_gallery, find_media_files([tmp_path / "in"], out), out)
    (tmp_path / "in/c.png").unlink()
    report = write_groups(out, painted_gallery.metadata, min_faces=1)
    assert (report.groups, report.faces, report.faces_in_small_groups, report.low_quality_faces) == (2, 3, 0, 1)
    assert len(report.errors) == 1 and "c.png" in report.errors[0]
    with (out / "groups.csv").open(encoding="utf-8", newline="") as stream:
        table = csv.DictReader(stream)
        assert tuple(table.fieldnames or ()) == COLUMNS
        rows = list(table)
    assert [row["group"] for row in rows] == ["001", "001", "002"]
    for row in rows[:2]:
        assert read_image(out / row["picture"]).ndim == 3
    assert read_image(out / "groups.png").ndim == 3
    with pytest.raises(OnelookError, match="is there already"):
        write_groups(out, painted_gallery.metadata, min_faces=1)
