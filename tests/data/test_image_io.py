import io
import struct
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from onelook.data import image_io
from onelook.data.image_io import MAX_PIXELS, decode_image, read_image, write_image
from onelook.errors import PhotoError


def picture(height: int = 37, width: int = 53) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def png_header(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    checked = struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return b"\x89PNG\r\n\x1a\n" + checked + struct.pack(">I", 1000) + b"IDAT"  # and nothing of its pixels


def encoded(kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture()).save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_undone_as_pillow_does(tmp_path: Path, orientation: int) -> None:
    path = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture()).save(path, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    np.testing.assert_array_equal(read_image(path), expected)


def test_a_portrait_held_sideways_by_a_phone_stands_upright(tmp_path: Path) -> None:
    upright = np.zeros((80, 40, 3), np.uint8)
    upright[:20] = (250, 0, 0)  # red on top
    stored = np.rot90(upright)  # orientation 6: the camera stores it turned, the reader turns it clockwise
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(stored).save(tmp_path / "a.jpg", exif=exif, quality=100)
    read = read_image(tmp_path / "a.jpg")
    assert read.shape == (80, 40, 3)
    assert read[5, 20, 0] > 200 and read[70, 20, 0] < 50


def test_damaged_exif_does_not_lose_the_photo(tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\xff\xff")
    assert read_image(tmp_path / "a.jpg").shape == (37, 53, 3)


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    layers = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 51]]], np.uint8)
    Image.fromarray(layers).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), [[[255, 0, 0], [255, 255, 255], [204, 204, 204]]])
    Image.fromarray(np.array([[[100, 255], [100, 0]]], np.uint8), "LA").save(tmp_path / "b.png")
    np.testing.assert_array_equal(read_image(tmp_path / "b.png"), [[[100] * 3, [255] * 3]])


def test_a_transparent_palette_color_is_white(tmp_path: Path) -> None:
    indexed = Image.new("P", (2, 1))
    indexed.putpalette([10, 20, 30, 40, 50, 60])
    indexed.putdata([0, 1])
    indexed.save(tmp_path / "a.png", transparency=1)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), [[[10, 20, 30], [255, 255, 255]]])


@pytest.mark.parametrize("suffix", ["png", "pgm", "tif"])
def test_16_bit_gray_is_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    cv2.imwrite(str(tmp_path / f"a.{suffix}"), levels)
    read = read_image(tmp_path / f"a.{suffix}")
    np.testing.assert_array_equal(read, np.repeat(np.round(levels / 257)[..., None], 3, axis=2))


def test_gray_bilevel_and_cmyk(tmp_path: Path) -> None:
    Image.fromarray(np.array([[7, 200]], np.uint8)).save(tmp_path / "gray.png")
    np.testing.assert_array_equal(read_image(tmp_path / "gray.png"), [[[7] * 3, [200] * 3]])
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "bilevel.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bilevel.png"), [[[255] * 3, [0] * 3]])
    Image.new("CMYK", (1, 1), (255, 0, 0, 0)).save(tmp_path / "cyan.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "cyan.tif"), [[[0, 255, 255]]])


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_common_formats_are_read_whatever_the_suffix(tmp_path: Path, kind: str) -> None:
    (tmp_path / "photo").write_bytes(encoded(kind))
    read = read_image(tmp_path / "photo")
    assert read.shape == (37, 53, 3) and read.dtype == np.uint8 and read.flags.c_contiguous
    np.testing.assert_array_equal(decode_image(encoded(kind), "in memory"), read)


def frames(kind: str, count: int = 3) -> bytes:
    stream = io.BytesIO()
    first, *others = [Image.fromarray(np.full((40, 60, 3), 40 * number, np.uint8)) for number in range(1, count + 1)]
    first.save(stream, kind, save_all=True, append_images=others)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP", "AVIF", "MPO"])
def test_the_first_of_several_frames_is_read_with_a_notice(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    read = decode_image(frames(kind), "a.gif")
    assert np.abs(read.astype(int) - 40).max() <= 3
    # Phones write JPEG files with a second picture, which is no frame.
    expected = [] if kind == "MPO" else ["a.gif: has 3 frames; only the first is used"]
    assert [record.message for record in caplog.records] == expected


def test_avif_is_read() -> None:
    np.testing.assert_allclose(decode_image(encoded_smooth("AVIF"), "a.avif"), smooth_picture(), atol=8)


def smooth_picture() -> np.ndarray:
    return cv2.GaussianBlur(picture(64, 96), (0, 0), 4)


def encoded_smooth(kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(smooth_picture()).save(stream, kind, **options)
    return stream.getvalue()


def test_heic_is_read_upright(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif").register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.heic").write_bytes(encoded_smooth("HEIF", quality=95, exif=exif.tobytes()))
    np.testing.assert_allclose(read_image(tmp_path / "a.heic"), np.rot90(smooth_picture(), -1), atol=12)


def test_heic_without_its_package_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    image_io._register_heif.cache_clear()
    with pytest.raises(PhotoError, match=r"a\.heic: HEIC needs pillow-heif; `pip install pillow-heif`"):
        decode_image(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "a.heic")
    image_io._register_heif.cache_clear()


def write_float_tiff(path: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.float32)).save(path, "TIFF")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"just some text, no photo", "not a photo"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100), "HEIC"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a photo"),
        (encoded("JPEG")[:-200], "truncated"),
        (encoded("PNG")[:-200], "truncated"),
        (encoded("PPM")[:-200], "truncated"),
        (png_header(10_000, 10_000), "95 megapixels, more than 64"),
        (png_header(60_000, 60_000), "megapixels"),
        (png_header(8192, 8193), "megapixels"),
    ],
)
def test_an_unreadable_photo_gives_a_one_line_error(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(PhotoError, match=message) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    with pytest.raises(PhotoError) as in_memory:
        decode_image(content, str(path))
    assert str(in_memory.value) == str(caught.value)


def test_missing_folder_float_and_unreadable_photos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match="no such photo"):
        read_image(tmp_path / "absent.jpg")
    with pytest.raises(PhotoError, match="a folder"):
        read_image(tmp_path)
    write_float_tiff(tmp_path / "a.tif")
    with pytest.raises(PhotoError, match=r"a\.tif: floating-point"):
        read_image(tmp_path / "a.tif")
    with pytest.raises(PhotoError, match="Not a directory"):
        read_image(tmp_path / "a.tif" / "b.jpg")


def test_the_largest_allowed_header_is_not_refused_for_its_size(tmp_path: Path) -> None:
    assert MAX_PIXELS == 8192 * 8192
    (tmp_path / "a.png").write_bytes(png_header(8192, 8192))
    with pytest.raises(PhotoError, match="truncated"):
        read_image(tmp_path / "a.png")


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "PPM", "BMP", "WEBP"]), st.data())
def test_damage_gives_a_photo_or_one_line_never_another_error(
    tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject
) -> None:
    content = bytearray(encoded(kind))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("damage") / "photo"
    path.write_bytes(content[: data.draw(st.integers(1, len(content)))])
    try:
        read = read_image(path)
    except PhotoError as error:
        assert "\n" not in str(error)
    else:
        assert read.ndim == 3 and read.shape[2] == 3 and read.dtype == np.uint8


def test_png_is_lossless_and_jpeg_close(tmp_path: Path) -> None:
    smooth = cv2.GaussianBlur(picture(64, 64), (0, 0), 4)
    write_image(tmp_path / "a.png", smooth)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), smooth)
    write_image(tmp_path / "a.jpg", smooth)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - smooth).mean() < 2
    with pytest.raises(ValueError, match=r"\.png or \.jpg"):
        write_image(tmp_path / "a.bmp", smooth)


def test_writing_is_deterministic_and_leaves_nothing_else_behind(tmp_path: Path) -> None:
    for suffix in (".png", ".jpg"):
        write_image(tmp_path / f"one{suffix}", picture())
        write_image(tmp_path / f"two{suffix}", picture())
        assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()
    assert len(list(tmp_path.iterdir())) == 4


def test_a_jpeg_of_thousands_of_scans_is_refused_before_they_are_decoded(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (2000, 2000)).save(stream, "JPEG", progressive=True)
    data = stream.getvalue()
    path = tmp_path / "scans.jpg"
    path.write_bytes(data)
    assert read_image(path).shape == (2000, 2000, 3)
    last_scan = data[data.rindex(b"\xff\xda") : -2]
    path.write_bytes(data[:-2] + 50_000 * last_scan + data[-2:])
    for read in (lambda: read_image(path), lambda: decode_image(path.read_bytes(), "scans.jpg")):
        with pytest.raises(PhotoError, match=r"scans\.jpg: a JPEG of 500\d\d scans, more than 200"):
            read()
