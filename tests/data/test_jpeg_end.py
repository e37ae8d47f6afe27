"""JPEG files without their last marker: read if every pixel is there, refused otherwise."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from onelook.data.image_io import decode_image, read_image
from onelook.errors import PhotoError


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_a_jpeg_file_needs_its_pixels_and_not_its_end(tmp_path: Path, options: dict[str, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 70, 3), np.uint8)
    stream = BytesIO()
    Image.fromarray(noise).save(stream, "JPEG", **options)
    content = stream.getvalue()
    expected = decode_image(content, "a.jpg")
    for end in (b"", b"\xff", bytes(100)):  # cut off, half cut off, padded
        (tmp_path / "a.jpg").write_bytes(content[:-2] + end)
        np.testing.assert_array_equal(read_image(tmp_path / "a.jpg"), expected)
    for missing in (60, len(content) // 2):
        with pytest.raises(PhotoError, match="truncated or damaged"):
            decode_image(content[:-missing], "a.jpg")
