"""The reader of InsightFace's record files, on files packed here byte by byte."""

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

from onelook.data.readers.recordio import RecordIOReader, decode_embedded_image, read_recordio
from onelook.errors import DataError, PhotoError

MAGIC = b"\x0a\x23\xd7\xce"


def part(flag: int, data: bytes) -> bytes:
    return MAGIC + struct.pack("<I", flag << 29 | len(data)) + data + bytes(-len(data) % 4)


def packed(content: bytes) -> bytes:
    """A record as MXNet's writer makes it: cut at each magic number that stands at a multiple of 4."""
    pieces, start = [], 0
    for place in range(0, len(content) - 3, 4):
        if content[place : place + 4] == MAGIC:
            pieces.append(content[start:place])
            start = place + 4
    pieces.append(content[start:])
    if len(pieces) == 1:
        return part(0, content)
    return part(1, pieces[0]) + b"".join(part(2, p) for p in pieces[1:-1]) + part(3, pieces[-1])


def record(labels: float | list[float], number: int, photo: bytes = b"") -> bytes:
    if isinstance(labels, list):
        head = struct.pack("<IfQQ", len(labels), 0, number, 0) + struct.pack(f"<{len(labels)}f", *labels)
    else:
        head = struct.pack("<IfQQ", 0, labels, number, 0)
    return packed(head + photo)


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


def small_set(photo: bytes | None = None) -> dict[int, bytes]:
    """Person 0 with photos 1 and 2, person 1 with photo 3; records 4 and 5 are theirs."""
    photos = {n: record([float(n == 3), 0.0], n, photo or jpeg(n)) for n in (1, 2, 3)}
    return {0: record([4, 6], 0), **photos, 4: record([1, 3], 4), 5: record([3, 4], 5)}


@pytest.fixture
def paths(tmp_path: Path) -> tuple[Path, Path]:
    return write(tmp_path, small_set())


def test_random_access_by_the_index(paths: tuple[Path, Path]) -> None:
    with RecordIOReader(*paths) as reader:
        assert reader.keys.tolist() == [1, 2, 3] and reader.people.tolist() == [4, 5]
        third = reader.read(3)
        assert (third.identity, third.number, third.labels.tolist()) == (1, 3, [1, 0])
        image = third.image()
        assert image.shape == (8, 6, 3) and image.dtype == np.uint8
        assert np.abs(image.astype(int) - color(3)).max() <= 6  # RGB, within JPEG's error
        assert reader.photos_of(4) == range(1, 3) and reader.photos_of(5) == range(3, 4)
        assert reader.read(1).identity == 0


def test_a_reading_names_people_and_records_and_decodes_on_demand(tmp_path: Path) -> None:
    records = small_set()
    records[2] = record([0.0, 0.0], 2, b"no photo")
    write(tmp_path, records)
    reading = read_recordio(tmp_path)
    assert reading.official is None and reading.left_out == ()
    assert [(p.identity, p.source) for p in reading.portraits] == [
        ("record-0", "train.rec, record 1"),
        ("record-0", "train.rec, record 2"),
        ("record-1", "train.rec, record 3"),
    ]
    first, second, third = reading.portraits
    assert np.abs(third.read().astype(int) - color(3)).max() <= 6
    assert first.where == f"{tmp_path}/train.rec, record 1"
    with pytest.raises(PhotoError, match=r"train\.rec, byte \d+: no JPEG or PNG photo"):
        second.read()


def test_one_file_is_open_however_many_photos_and_none_after_them(paths: tuple[Path, Path]) -> None:
    def opened() -> int:
        return sum(link.exists() and link.resolve() == paths[0].resolve() for link in Path("/proc/self/fd").iterdir())

    reading = read_recordio(paths[0].parent)
    for portrait in reading.portraits:
        portrait.read()
    assert opened() == 1
    del reading, portrait
    gc.collect()
    assert opened() == 0


def test_a_folder_without_both_files_or_without_photos_is_told(paths: tuple[Path, Path], tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    write(folder, {0: record([1.0, 1.0], 0)})
    with pytest.raises(DataError, match=r"train\.rec: no photo in it"):
        read_recordio(folder)
    for path in reversed(paths):
        path.unlink()
        with pytest.raises(DataError, match=rf"{path.name}: no such file; prepare\.record\.path must be") as caught:
            read_recordio(path.parent)
        assert "\n" not in str(caught.value)


def test_sequential_without_an_index(paths: tuple[Path, Path]) -> None:
    with RecordIOReader(paths[0]) as reader:
        assert [(r.number, r.identity) for r in reader] == [(1, 0), (2, 0), (3, 1)]
        assert [r.number for r in reader] == [1, 2, 3]  # a second time
        assert len(reader.keys) == 0
        with pytest.raises(DataError, match=r"record 1 needs an index, the file train\.idx"):
            reader.read(1)


def test_record_0_may_stand_last(tmp_path: Path) -> None:
    records = small_set()
    records[0] = records.pop(0)
    rec, idx = write(tmp_path, records)
    with RecordIOReader(rec, idx) as reader:
        assert reader.keys.tolist() == [1, 2, 3] and [r.number for r in reader] == [1, 2, 3]
    with RecordIOReader(rec) as reader:
        assert [r.number for r in reader] == [1, 2, 3]
    rec.write_bytes(rec.read_bytes()[: -len(records[0])])
    with RecordIOReader(rec) as reader, pytest.raises(DataError, match="5 records, 4 by"):
        list(reader)


def test_a_set_without_record_0_is_all_photos_with_one_label_each(tmp_path: Path) -> None:
    rec, idx = write(tmp_path, {0: record(7.0, 0, jpeg(0)), 9: record(8.0, 9, jpeg(1))})
    with RecordIOReader(rec, idx) as reader:
        assert reader.keys.tolist() == [0, 9] and reader.people.tolist() == []
        assert [r.identity for r in reader] == [7, 8] == [reader.read(0).identity, reader.read(9).identity]


def test_parts_are_joined_with_the_magic_number_that_cut_them(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)
    for tail in (MAGIC, MAGIC * 3 + b"xy", b"abcd" + MAGIC + b"e" + MAGIC):
        photo = png(image)
        photo += bytes(-len(photo) % 4) + tail
        rec, _ = write(tmp_path, {0: record(0.0, 0, photo)})
        assert rec.read_bytes().count(MAGIC) > 1
        with RecordIOReader(rec) as reader:
            (only,) = reader
        assert only.photo == photo
        np.testing.assert_array_equal(only.image(), image)


@pytest.mark.parametrize("indexed", [True, False])
def test_a_file_truncated_at_any_byte_is_told(tmp_path: Path, indexed: bool) -> None:
    rec, idx = write(tmp_path, small_set(photo=b"photo" + bytes(3) + MAGIC + b"end"))
    whole = rec.read_bytes()
    for length in range(len(whole)):
        rec.write_bytes(whole[:length])
        with (
            pytest.raises(DataError, match=r"train\.rec") as caught,
            RecordIOReader(rec, idx if indexed else None) as reader,
        ):
            list(reader)
        assert "\n" not in str(caught.value)


def test_damage_is_told_with_the_offset(tmp_path: Path) -> None:
    first = record(0.0, 0, b"1234")
    cases = {
        "byte 36: no record where one should be": b"\0" * 8,
        "byte 36: no record where": part(2, b"middle first"),
        "byte 52: no record where": part(1, b"starting") + part(1, b"again"),
        "byte 44: the file ends inside a record": MAGIC + struct.pack("<I", 2**29 - 1),
        "byte 36: a record of 3 bytes, too short": part(0, b"abc"),
        "byte 36: 4294967295 labels in a record of 24 bytes": part(0, struct.pack("<IfQQ", 2**32 - 1, 0, 0, 0)),
        "byte 36: neither a photo nor": record([1.0, 2.0, 3.0], 1),
        "byte 36: neither a photo nor the two keys": record([1.5, 2.0], 1),
        "byte 36: neither a photo nor the two": record([float("nan"), 2.0], 1),
        "byte 36: keys 5 to 2 are no range": record([5.0, 2.0], 1),
    }
    assert len(first) == 36
    for message, damage in cases.items():
        rec = tmp_path / "train.rec"
        rec.write_bytes(first + damage)
        with RecordIOReader(rec) as reader, pytest.raises(DataError, match=message):
            list(reader)


@pytest.mark.parametrize("label", [-1.0, 0.5, float("nan"), float("inf")])
def test_a_label_that_is_no_person_is_told(tmp_path: Path, label: float) -> None:
    rec, _ = write(tmp_path, {0: record(label, 0, b"x")})
    with (
        RecordIOReader(rec) as reader,
        pytest.raises(DataError, match=r"byte 0: label .* is not the number of a person"),
    ):
        _ = next(iter(reader)).identity


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
def test_a_damaged_index_is_told(paths: tuple[Path, Path], text: str) -> None:
    paths[1].write_text(text)
    with pytest.raises(DataError, match=r"train\.idx: ") as caught:
        RecordIOReader(*paths)
    assert "\n" not in str(caught.value)


def test_an_index_of_another_set_is_told(paths: tuple[Path, Path]) -> None:
    lines = paths[1].read_text().splitlines(keepends=True)
    paths[1].write_text("".join(lines[:-1]))
    with pytest.raises(DataError, match=r"train\.idx: not the index of .*train\.rec"):
        RecordIOReader(*paths)
    paths[1].write_text("".join(lines[:2] + lines[3:]))
    with pytest.raises(DataError, match="6 records, 5 in the index"):
        RecordIOReader(*paths)
    paths[1].write_text("".join(lines[1:]))  # without record 0 the reader cannot know
    with RecordIOReader(*paths) as reader, pytest.raises(DataError, match="6 records, 5 in the index"):
        list(reader)


def test_missing_files_and_unknown_keys_are_told(paths: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.rec: cannot be opened \(No such file"):
        RecordIOReader(tmp_path / "absent.rec")
    with pytest.raises(DataError, match=r"absent\.idx: cannot be opened \(No such file"):
        RecordIOReader(paths[0], tmp_path / "absent.idx")
    with pytest.raises(DataError, match="cannot be read"), RecordIOReader(tmp_path) as reader:
        list(reader)
    with RecordIOReader(*paths) as reader:
        for key in (-1, 6, 10**30):
            with pytest.raises(DataError, match=f"record {key} not in the index"):
                reader.read(key)
        for key in (0, 1):
            with pytest.raises(DataError, match="byte"):
                reader.photos_of(key)


def test_photos_that_cannot_be_decoded_are_told() -> None:
    whole = jpeg(1)
    for damaged in (b"", b"no photo", whole[:20], whole[:-2], png(color(1))[:-8]):
        with pytest.raises(PhotoError, match=r"^here: ") as caught:
            decode_embedded_image(damaged, "here")
        assert "\n" not in str(caught.value)
    for side in (9000, 65500):  # said by the header, of a file of a few hundred bytes
        huge = whole.replace(struct.pack(">HH", 8, 6), struct.pack(">HH", side, side), 1)
        with pytest.raises(PhotoError, match="here: a photo of more than 64 megapixels"):
            decode_embedded_image(huge, "here")


def test_photos_are_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.fromarray(color(1)).save(stream, "JPEG", exif=exif)
    assert decode_embedded_image(stream.getvalue(), "here").shape == (6, 8, 3)


def test_gray_photos_become_rgb() -> None:
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
def test_whatever_is_written_is_read(tmp_path: Path, records: list[tuple[float | list[float], int, bytes]]) -> None:
    rec, idx = write(tmp_path, {key: record(*item) for key, item in enumerate(records)})
    with RecordIOReader(rec, idx) as reader:
        in_order, by_key = list(reader), [reader.read(key) for key in range(len(records))]
    for found in (in_order, by_key):
        assert [(r.labels.tolist(), r.number, r.photo) for r in found] == [
            (labels if isinstance(labels, list) else [labels], number, photo) for labels, number, photo in records
        ]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 400), junk=st.binary(min_size=1, max_size=8), indexed=st.booleans())
def test_damage_anywhere_is_read_or_told(tmp_path: Path, place: int, junk: bytes, indexed: bool) -> None:
    rec, idx = write(tmp_path, small_set(photo=b"photo" + bytes(3) + MAGIC + b"end"))
    data = rec.read_bytes()
    rec.write_bytes(data[:place] + junk + data[place + len(junk) :])
    try:
        with RecordIOReader(rec, idx if indexed else None) as reader:
            for found in reader:
                _ = found.identity
    except DataError as error:
        assert "\n" not in str(error)
