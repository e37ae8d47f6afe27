import gc
import io
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from onelook.data.readers.recordio import Record, RecordIOReader, decode_embedded_image, read_recordio
from onelook.errors import DataError, PhotoError

MAGIC = b"\x0a\x23\xd7\xce"


def part(flag: int, data: bytes) -> bytes:
    return MAGIC + struct.pack("<I", flag << 29 | len(data)) + data + bytes(-len(data) % 4)


def packed(content: bytes) -> bytes:
    """Pack a record like MXNet's writer.

    Split at each magic number at a multiple of 4.
    """
    pieces, start = [], 0
    for offset in range(0, len(content) - 3, 4):
        if content[offset : offset + 4] == MAGIC:
            pieces.append(content[start:offset])
            start = offset + 4
    pieces.append(content[start:])
    if len(pieces) == 1:
        return part(0, content)
    return part(1, pieces[0]) + b"".join(part(2, p) for p in pieces[1:-1]) + part(3, pieces[-1])


def record(labels: float | list[float], number: int, encoded: bytes = b"") -> bytes:
    if isinstance(labels, list):
        head = struct.pack("<IfQQ", len(labels), 0, number, 0) + struct.pack(f"<{len(labels)}f", *labels)
    else:
        head = struct.pack("<IfQQ", 0, labels, number, 0)
    return packed(head + encoded)


def color(number: int) -> np.ndarray:
    return np.full((8, 6, 3), (40 * number, 10, 200 - 40 * number), np.uint8)


def jpeg(number: int) -> bytes:
    return cv2.imencode(".jpg", color(number)[:, :, ::-1])[1].tobytes()


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image[:, :, ::-1])[1].tobytes()


def write(folder: Path, records: dict[int, bytes]) -> tuple[Path, Path]:
    content, lines = b"", ""
    for key, data in records.items():
        lines += f"{key}\t{len(content)}\n"
        content += data
    (folder / "train.rec").write_bytes(content)
    (folder / "train.idx").write_text(lines)
    return folder / "train.rec", folder / "train.idx"


def small_set(encoded: bytes | None = None) -> dict[int, bytes]:
    """Make identity 0 with images 1 and 2, identity 1 with image 3.

    And their records 4 and 5.
    """
    images = {n: record([float(n == 3), 0.0], n, encoded or jpeg(n)) for n in (1, 2, 3)}
    return {0: record([4, 6], 0), **images, 4: record([1, 3], 4), 5: record([3, 4], 5)}


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    return write(tmp_path, small_set())


def read_all(paths: tuple[Path, Path]) -> list[Record]:
    reader = RecordIOReader(*paths)
    return [reader.read(key) for key in reader.keys.tolist()]


def test_records_are_read_by_key(paths: tuple[Path, Path]) -> None:
    reader = RecordIOReader(*paths)
    assert reader.keys.tolist() == [1, 2, 3]
    third = reader.read(3)
    assert (third.identity, third.labels.tolist()) == (1, [1, 0])
    image = third.image()
    assert image.shape == (8, 6, 3) and image.dtype == np.uint8
    assert np.abs(image.astype(int) - color(3)).max() <= 6  # RGB, within JPEG's error
    assert reader.read(1).identity == 0


def test_read_recordio_returns_identities_and_decodes_on_access(tmp_path: Path) -> None:
    records = small_set()
    records[2] = record([0.0, 0.0], 2, b"no photo")
    write(tmp_path, records)
    dataset = read_recordio(tmp_path)
    assert dataset.official_splits is None and dataset.skipped == ()
    assert [(p.identity, p.source) for p in dataset.images] == [
        ("record-0", "train.rec, record 1"),
        ("record-0", "train.rec, record 2"),
        ("record-1", "train.rec, record 3"),
    ]
    first, second, third = dataset.images
    assert np.abs(third.read().astype(int) - color(3)).max() <= 6
    assert first.location == f"{tmp_path}/train.rec, record 1"
    with pytest.raises(PhotoError, match=r"train\.rec, byte \d+: no JPEG or PNG image"):
        second.read()


def test_images_share_one_open_file_that_is_closed_with_them(paths: tuple[Path, Path]) -> None:
    def opened() -> int:
        return sum(link.exists() and link.resolve() == paths[0].resolve() for link in Path("/proc/self/fd").iterdir())

    dataset = read_recordio(paths[0].parent)
    for image in dataset.images:
        image.read()
    assert opened() == 1
    del dataset, image
    gc.collect()
    assert opened() == 0


def test_missing_files_and_sets_without_images_raise_data_error(paths: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    write(folder, {0: record([1.0, 1.0], 0)})
    with pytest.raises(DataError, match=r"train\.rec: no image in it"):
        read_recordio(folder)
    for path in reversed(paths):
        path.unlink()
        with pytest.raises(DataError, match=rf"{path.name}: no such file; prepare\.recordio\.path must be") as caught:
            read_recordio(path.parent)
        assert "\n" not in str(caught.value)


def test_record_0_may_be_last_in_the_file(tmp_path: Path) -> None:
    records = small_set()
    records[0] = records.pop(0)
    assert [found.identity for found in read_all(write(tmp_path, records))] == [0, 0, 1]


def test_set_without_a_header_record_has_images_only(tmp_path: Path) -> None:
    paths = write(tmp_path, {0: record(7.0, 0, jpeg(0)), 9: record(8.0, 9, jpeg(1))})
    assert RecordIOReader(*paths).keys.tolist() == [0, 9]
    assert [found.identity for found in read_all(paths)] == [7, 8]


def test_parts_are_joined_with_the_magic_number(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    for tail in (MAGIC, MAGIC * 3 + b"xy", b"abcd" + MAGIC + b"e" + MAGIC):
        encoded = png(image)
        encoded += bytes(-len(encoded) % 4) + tail
        paths = write(tmp_path, {0: record(0.0, 0, encoded)})
        assert paths[0].read_bytes().count(MAGIC) > 1
        (found,) = read_all(paths)
        assert found.encoded == encoded
        np.testing.assert_array_equal(found.image(), image)


def test_file_truncated_at_any_byte_raises_data_error(tmp_path: Path) -> None:
    paths = write(tmp_path, small_set(encoded=b"image" + bytes(3) + MAGIC + b"end"))
    complete = paths[0].read_bytes()
    for length in range(len(complete)):
        paths[0].write_bytes(complete[:length])
        with pytest.raises(DataError, match=r"train\.rec") as caught:
            read_all(paths)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (b"\0" * 8, "byte 36: no record, although"),
        (part(2, b"middle first"), "byte 36: no record, although"),
        (part(1, b"starting") + part(1, b"again"), "byte 52: no record, although"),
        (MAGIC + struct.pack("<I", 2**29 - 1), "byte 44: the file ends inside a record"),
        (part(0, b"abc"), "byte 36: a record of 3 bytes, too short"),
        (part(0, struct.pack("<IfQQ", 2**32 - 1, 0, 0, 0)), "byte 36: 4294967295 labels in a record of 24 bytes"),
    ],
)
def test_damaged_record_is_reported_with_its_offset(tmp_path: Path, damage: bytes, message: str) -> None:
    first = record(0.0, 0, b"1234")
    assert len(first) == 36
    with pytest.raises(DataError, match=message):
        RecordIOReader(*write(tmp_path, {0: first, 1: damage}))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([1.0, 2.0, 3.0], "neither an image nor two keys"),
        ([1.5, 2.0], "neither an image nor two keys"),
        ([float("nan"), 2.0], "neither an image nor two keys"),
        ([5.0, 2.0], "keys 5 to 2 are not a range"),
    ],
)
def test_invalid_header_record_raises_data_error(tmp_path: Path, labels: list[float], message: str) -> None:
    paths = write(tmp_path, {1: record(0.0, 1, b"1234"), 0: record(labels, 0)})
    with pytest.raises(DataError, match=f"byte 36: {message}"):
        RecordIOReader(*paths)


@pytest.mark.parametrize("label", [-1.0, 0.5, float("nan"), float("inf")])
def test_invalid_identity_label_raises_data_error(tmp_path: Path, label: float) -> None:
    (found,) = read_all(write(tmp_path, {0: record(label, 0, b"x")}))
    with pytest.raises(DataError, match=r"byte 0: label .* is not the number of an identity"):
        _ = found.identity


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0 0\n",
        "0\t0\t0\n",
        "0\n",
        "a\tb\n",
        "0\t0.5\n",
        "0\t0\n0\t36\n",
        "-1\t0\n",
        "0\t-4\n",
        "0\t9" + "9" * 30,
        "é",
    ],
)
def test_damaged_index_raises_data_error(paths: tuple[Path, Path], text: str) -> None:
    paths[1].write_text(text)
    with pytest.raises(DataError, match=r"train\.idx: ") as caught:
        RecordIOReader(*paths)
    assert "\n" not in str(caught.value)


def test_index_of_another_set_raises_data_error(paths: tuple[Path, Path]) -> None:
    lines = paths[1].read_text().splitlines(keepends=True)
    paths[1].write_text("".join(lines[:-1]))
    with pytest.raises(DataError, match=r"train\.idx: not the index of .*train\.rec"):
        RecordIOReader(*paths)
    paths[1].write_text("".join(lines[:2] + lines[3:]))
    with pytest.raises(DataError, match="6 records, 5 in the index"):
        RecordIOReader(*paths)


def test_missing_files_and_keys_raise_data_error(paths: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.rec: cannot be opened \(No such file"):
        RecordIOReader(tmp_path / "absent.rec", paths[1])
    with pytest.raises(DataError, match=r"absent\.idx: cannot be opened \(No such file"):
        RecordIOReader(paths[0], tmp_path / "absent.idx")
    with pytest.raises(DataError, match=r"cannot be read|ends inside"):
        RecordIOReader(tmp_path, paths[1])
    reader = RecordIOReader(*paths)
    for key in (-1, 6, 10**30):
        with pytest.raises(DataError, match=f"record {key} is not in the index"):
            reader.read(key)


def test_undecodable_images_raise_photo_error() -> None:
    complete = jpeg(1)
    for damaged in (b"", b"no photo", complete[:20], complete[:-2], png(color(1))[:-8]):
        with pytest.raises(PhotoError, match=r"^here: ") as caught:
            decode_embedded_image(damaged, "here")
        assert "\n" not in str(caught.value)
    for side in (9000, 65500):  # size in the header of a file of a few hundred bytes
        huge = complete.replace(struct.pack(">HH", 8, 6), struct.pack(">HH", side, side), 1)
        with pytest.raises(PhotoError, match="here: an image of more than 64 megapixels"):
            decode_embedded_image(huge, "here")


def test_images_are_rotated_by_their_exif_orientation() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.fromarray(color(1)).save(stream, "JPEG", exif=exif)
    assert decode_embedded_image(stream.getvalue(), "here").shape == (6, 8, 3)


def test_gray_images_become_rgb() -> None:
    gray = np.arange(48, dtype=np.uint8).reshape(8, 6)
    image = decode_embedded_image(cv2.imencode(".png", gray)[1].tobytes(), "here")
    np.testing.assert_array_equal(image, np.repeat(gray[:, :, None], 3, axis=2))


PIECES = st.lists(st.one_of(st.binary(max_size=9), st.just(MAGIC)), min_size=1, max_size=6).map(b"".join)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    records=st.lists(
        st.tuples(
            st.one_of(st.floats(width=32, allow_nan=False), st.lists(st.floats(-9, 9, width=32), min_size=1)),
            st.integers(0, 2**64 - 1),
            PIECES.filter(bool),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_written_records_are_read_back(tmp_path: Path, records: list[tuple[float | list[float], int, bytes]]) -> None:
    found = read_all(write(tmp_path, {key: record(*item) for key, item in enumerate(records)}))
    assert [(each.labels.tolist(), each.encoded) for each in found] == [
        (labels if isinstance(labels, list) else [labels], encoded) for labels, _, encoded in records
    ]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offset=st.integers(0, 400), junk=st.binary(min_size=1, max_size=8))
def test_any_damage_is_read_or_reported_on_one_line(tmp_path: Path, offset: int, junk: bytes) -> None:
    paths = write(tmp_path, small_set(encoded=b"image" + bytes(3) + MAGIC + b"end"))
    data = paths[0].read_bytes()
    paths[0].write_bytes(data[:offset] + junk + data[offset + len(junk) :])
    try:
        for found in read_all(paths):
            _ = found.identity
    except DataError as error:
        assert "\n" not in str(error)
