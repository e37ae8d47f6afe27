"""The reader of InsightFace's verification sets, on files of Python's own pickler and of hand-written opcodes."""

import os
import pickle
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onelook.data.readers.verification_bin import read_verification
from onelook.errors import DataError, PhotoError

PHOTOS = [bytes([n]) * 5 for n in range(1, 5)]


def python_2(photos: list[bytes], same: list[bool]) -> bytes:
    """As Python 2 pickles with protocol 2: bytes are strings, memoized one by one."""
    out, memo = b"\x80\x02]q\x00(", 1
    for photo in photos:
        out += b"U" + bytes([len(photo)]) if len(photo) < 256 else b"T" + struct.pack("<i", len(photo))
        out += photo + (b"q" + bytes([memo]) if memo < 256 else b"r" + struct.pack("<I", memo))
        memo += 1
    out += b"e]q" + bytes([memo]) + b"(" + b"".join(b"\x88" if flag else b"\x89" for flag in same)
    return out + b"e\x86q" + bytes([memo + 1]) + b"."


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lfw.bin"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("whole", [tuple, list])
def test_every_binary_protocol_of_python_3_is_read(path: Path, protocol: int, whole: type) -> None:
    path.write_bytes(pickle.dumps(whole((PHOTOS, [True, False])), protocol))
    pairs = read_verification(path)
    assert pairs.encoded == tuple(PHOTOS)
    assert pairs.same.dtype == bool and pairs.same.tolist() == [True, False] and len(pairs) == 2


def test_python_2_is_read(path: Path) -> None:
    photos = [*PHOTOS[:3], bytes(range(256)) * 3]
    path.write_bytes(python_2(photos, [False, True]))
    pairs = read_verification(path)
    assert pairs.encoded == tuple(photos) and pairs.same.tolist() == [False, True]


def test_photos_are_decoded_to_rgb(path: Path) -> None:
    images = [np.random.default_rng(n).integers(0, 256, (7, 5, 3), np.uint8) for n in range(2)]
    encoded = [cv2.imencode(".png", image[:, :, ::-1])[1].tobytes() for image in images]
    path.write_bytes(pickle.dumps((encoded, [True])))
    pairs = read_verification(path)
    np.testing.assert_array_equal(np.stack(list(pairs.images())), np.stack(images))
    np.testing.assert_array_equal(pairs.image(1), images[1])


def test_a_photo_that_cannot_be_decoded_is_told_with_its_number(path: Path) -> None:
    path.write_bytes(pickle.dumps((PHOTOS, [True, False])))
    with pytest.raises(PhotoError, match=r"lfw\.bin, photo 2: no JPEG or PNG photo"):
        read_verification(path).image(2)


def test_ones_and_zeros_are_booleans_and_shared_photos_are_read(path: Path) -> None:
    path.write_bytes(pickle.dumps(([PHOTOS[0]] * 4, [1, 0])))
    pairs = read_verification(path)
    assert pairs.encoded == (PHOTOS[0],) * 4 and pairs.same.tolist() == [True, False]


class Malicious:
    """Its pickle makes a folder when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("protocol", [0, 2, 3, 4])
@pytest.mark.parametrize("inside", [True, False])
def test_a_pickle_that_calls_something_is_refused_and_never_carried_out(
    path: Path, protocol: int, inside: bool
) -> None:
    harm = path.parent / "harm"
    bad = Malicious(harm)
    data = pickle.dumps(([*PHOTOS, bad], [True, False]) if inside else bad, protocol)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"lfw\.bin: not a verification set \(byte \d+: .* refused\)"):
        read_verification(path)
    assert not harm.exists()
    pickle.loads(data)
    assert harm.exists()  # the file would have done it


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x02cos\nsystem\n(U\x04true\x85R.", "GLOBAL os system, which is refused"),
        (b"\x80\x02(U\x04trueios\nsystem\n.", "INST os system, which is refused"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "STACK_GLOBAL, which is refused"),
        (b"\x80\x02\x82\x01.", "EXT1, which is refused"),
        (b"\x80\x02cbuiltins\ngetattr\n.", "GLOBAL builtins getattr, which is refused"),
        (b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x03\0\0\0hex\x86R.", "a call, which is refused"),
        (b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x06\0\0\0latin1\x86\x86.", "not a list of photos"),
        (b"\x80\x02X\x01\0\0\0aX\x01\0\0\0aX\x06\0\0\0latin1\x86R.", "a call, which is refused"),
        (b"\x80\x02]}.", "EMPTY_DICT, which is refused"),
        (b".", "nothing on the stack"),
        (b"(.", "nothing on the stack"),
        (b"](.", "nothing on the stack"),
        (b"e.", "not a verification set"),
        (b"h\x05.", "not a verification set"),
        (b"K\x01K\x02a.", "an append to what is no list"),
        (b"", "not a verification set"),
        (b"PK\x03\x04", "not a verification set"),
    ],
)
def test_other_opcodes_and_nonsense_are_refused(path: Path, data: bytes, message: str) -> None:
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        read_verification(path)
    assert "\n" not in str(caught.value)


def test_text_encoded_over_and_over_is_refused(path: Path) -> None:
    """A small file must not take gigabytes: each call makes another copy of one text."""
    text = b"X" + struct.pack("<I", 10_000) + b"a" * 10_000
    call = b"h\x00h\x01h\x02\x86Ra"
    start = b"\x80\x02c_codecs\nencode\nq\x00" + text + b"q\x01X\x06\0\0\0latin1q\x02]"
    path.write_bytes(start + call * 1000 + b".")
    with pytest.raises(DataError, match="a call, which is refused"):
        read_verification(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ((PHOTOS, [True]), "4 photos for 1 pairs"),
        (([], []), "0 photos for 0 pairs"),
        ((PHOTOS, [True, 2]), "not every pair is marked"),
        ((PHOTOS, [True, b"x"]), "not every pair is marked"),
        (([*PHOTOS[:3], "text"], [True, False]), "not every photo is stored as bytes"),
        ((tuple(PHOTOS), [True, False]), "not a list of photos"),
        ((PHOTOS, [True, False], []), "not a list of photos"),
        (PHOTOS, "not a list of photos"),
        (b"bytes", "not a list of photos"),
        ((PHOTOS, [True, np.True_]), "which is refused"),
    ],
)
def test_other_contents_are_told(path: Path, value: object, message: str) -> None:
    path.write_bytes(pickle.dumps(value))
    with pytest.raises(DataError, match=rf"lfw\.bin: .*{message}"):
        read_verification(path)


def test_a_missing_file_is_told(path: Path) -> None:
    with pytest.raises(DataError, match=r"lfw\.bin: cannot be opened \(No such file"):
        read_verification(path)
    with pytest.raises(DataError, match="cannot be opened"):
        read_verification(path.parent)


@pytest.mark.parametrize(
    "data", [*(pickle.dumps((PHOTOS, [True, False]), p) for p in (2, 4)), python_2(PHOTOS, [True, False])]
)
def test_a_file_truncated_at_any_byte_is_told(path: Path, data: bytes) -> None:
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(DataError, match=r"lfw\.bin: ") as caught:
            read_verification(path)
        assert "\n" not in str(caught.value)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pairs=st.lists(st.tuples(st.binary(min_size=1), st.binary(min_size=1), st.booleans()), min_size=1, max_size=200),
    protocol=st.sampled_from([2, 3, 4, 5]),
)
def test_whatever_is_pickled_is_read(path: Path, pairs: list[tuple[bytes, bytes, bool]], protocol: int) -> None:
    photos, same = [photo for a, b, _ in pairs for photo in (a, b)], [flag for _, _, flag in pairs]
    path.write_bytes(pickle.dumps((photos, same), protocol))
    found = read_verification(path)
    assert found.encoded == tuple(photos) and found.same.tolist() == same


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 120), junk=st.binary(min_size=1, max_size=8), protocol=st.sampled_from([2, 4]))
def test_damage_anywhere_is_read_or_told(path: Path, place: int, junk: bytes, protocol: int) -> None:
    data = pickle.dumps((PHOTOS, [True, False]), protocol)
    path.write_bytes(data[:place] + junk + data[place + len(junk) :])
    try:
        read_verification(path)
    except DataError as error:
        assert "\n" not in str(error)
