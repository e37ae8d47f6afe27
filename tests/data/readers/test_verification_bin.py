import os
import pickle
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onelook.data.readers.verification_bin import read_verification_bin
from onelook.errors import DataError, PhotoError

IMAGES = [bytes([n]) * 5 for n in range(1, 5)]


def python_2(images: list[bytes], same: list[bool]) -> bytes:
    """Pickle like Python 2 with protocol 2: bytes are strings, memoized one by one."""
    out, memo = b"\x80\x02]q\x00(", 1
    for image in images:
        out += b"U" + bytes([len(image)]) if len(image) < 256 else b"T" + struct.pack("<i", len(image))
        out += image + (b"q" + bytes([memo]) if memo < 256 else b"r" + struct.pack("<I", memo))
        memo += 1
    out += b"e]q" + bytes([memo]) + b"(" + b"".join(b"\x88" if flag else b"\x89" for flag in same)
    return out + b"e\x86q" + bytes([memo + 1]) + b"."


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lfw.bin"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("container", [tuple, list])
def test_binary_protocols_of_python_3_are_read(path: Path, protocol: int, container: type) -> None:
    path.write_bytes(pickle.dumps(container((IMAGES, [True, False])), protocol))
    pairs = read_verification_bin(path)
    assert pairs.encoded == tuple(IMAGES)
    assert pairs.same.dtype == bool and pairs.same.tolist() == [True, False] and len(pairs) == 2


def test_pickles_of_python_2_are_read(path: Path) -> None:
    images = [*IMAGES[:3], bytes(range(256)) * 3]
    path.write_bytes(python_2(images, [False, True]))
    pairs = read_verification_bin(path)
    assert pairs.encoded == tuple(images) and pairs.same.tolist() == [False, True]


def test_images_are_decoded_to_rgb(path: Path) -> None:
    images = [np.random.default_rng(n).integers(0, 256, (7, 5, 3), np.uint8) for n in range(2)]
    encoded = [cv2.imencode(".png", image[:, :, ::-1])[1].tobytes() for image in images]
    path.write_bytes(pickle.dumps((encoded, [True])))
    pairs = read_verification_bin(path)
    np.testing.assert_array_equal(np.stack(list(pairs.images())), np.stack(images))
    np.testing.assert_array_equal(pairs.image(1), images[1])


def test_undecodable_image_is_reported_with_its_index(path: Path) -> None:
    path.write_bytes(pickle.dumps((IMAGES, [True, False])))
    with pytest.raises(PhotoError, match=r"lfw\.bin, image 2: no JPEG or PNG image"):
        read_verification_bin(path).image(2)


def test_integers_as_booleans_and_repeated_images_are_read(path: Path) -> None:
    path.write_bytes(pickle.dumps(([IMAGES[0]] * 4, [1, 0])))
    pairs = read_verification_bin(path)
    assert pairs.encoded == (IMAGES[0],) * 4 and pairs.same.tolist() == [True, False]


class Malicious:
    """Object whose pickle makes a folder when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("protocol", [0, 2, 3, 4])
@pytest.mark.parametrize("inside", [True, False])
def test_hostile_pickle_is_refused_and_not_executed(path: Path, protocol: int, inside: bool) -> None:
    harm = path.parent / "harm"
    bad = Malicious(harm)
    data = pickle.dumps(([*IMAGES, bad], [True, False]) if inside else bad, protocol)
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"lfw\.bin: not a verification set \((posix|nt)\.mkdir is refused\)"):
        read_verification_bin(path)
    assert not harm.exists()
    pickle.loads(data)
    assert harm.exists()  # the unrestricted unpickler makes the folder


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x80\x02cos\nsystem\n(U\x04true\x85R.", "os.system is refused"),
        (b"\x80\x02(U\x04trueios\nsystem\n.", "os.system is refused"),
        (b"\x80\x04\x8c\x02os\x8c\x06system\x93.", "os.system is refused"),
        (b"\x80\x02\x82\x01.", "not a verification set"),
        (b"\x80\x02cbuiltins\ngetattr\n.", "builtins.getattr is refused"),
        (b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x03\0\0\0hex\x86R.", "this call of _codecs.encode is refused"),
        (b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x06\0\0\0latin1\x86\x86.", "not a list of images"),
        (b"\x80\x02X\x01\0\0\0aX\x01\0\0\0aX\x06\0\0\0latin1\x86R.", "not a verification set"),
        (b"\x80\x02]}.", "not a list of images"),
        (b".", "not a verification set"),
        (b"(.", "not a verification set"),
        (b"](.", "not a verification set"),
        (b"e.", "not a verification set"),
        (b"h\x05.", "not a verification set"),
        (b"K\x01K\x02a.", "not a verification set"),
        (b"", "not a verification set"),
        (b"PK\x03\x04", "not a verification set"),
        (b"\x80\x02]r\xff\xff\xff\xff.", "memo index 4294967295 is refused"),
        (b"]p99999999999\n.", "memo index 99999999999 is refused"),
    ],
)
def test_damaged_and_hostile_opcodes_are_refused(path: Path, data: bytes, message: str) -> None:
    path.write_bytes(data)
    with pytest.raises(DataError, match=message) as caught:
        read_verification_bin(path)
    assert "\n" not in str(caught.value)


def test_text_encoded_many_times_is_refused(path: Path) -> None:
    # Each call makes another copy of the text, so a small file could take gigabytes.
    text = b"X" + struct.pack("<I", 10_000) + b"a" * 10_000
    call = b"h\x00h\x01h\x02\x86Ra"
    start = b"\x80\x02c_codecs\nencode\nq\x00" + text + b"q\x01X\x06\0\0\0latin1q\x02]"
    path.write_bytes(start + call * 1000 + b".")
    with pytest.raises(DataError, match=r"this call of _codecs\.encode is refused"):
        read_verification_bin(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ((IMAGES, [True]), "4 images for 1 pairs"),
        (([], []), "0 images for 0 pairs"),
        ((IMAGES, [True, 2]), "not every pair is marked"),
        ((IMAGES, [True, b"x"]), "not every pair is marked"),
        (([*IMAGES[:3], "text"], [True, False]), "not every image is stored as bytes"),
        ((tuple(IMAGES), [True, False]), "not a list of images"),
        ((IMAGES, [True, False], []), "not a list of images"),
        (IMAGES, "not a list of images"),
        (b"bytes", "not a list of images"),
        ((IMAGES, [True, np.True_]), "is refused"),
    ],
)
def test_other_contents_raise_data_error(path: Path, value: object, message: str) -> None:
    path.write_bytes(pickle.dumps(value))
    with pytest.raises(DataError, match=rf"lfw\.bin: .*{message}"):
        read_verification_bin(path)


def test_missing_file_raises_data_error(path: Path) -> None:
    with pytest.raises(DataError, match=r"lfw\.bin: cannot be opened \(No such file"):
        read_verification_bin(path)
    with pytest.raises(DataError, match="cannot be opened"):
        read_verification_bin(path.parent)


@pytest.mark.parametrize(
    "data", [*(pickle.dumps((IMAGES, [True, False]), p) for p in (2, 4)), python_2(IMAGES, [True, False])]
)
def test_file_truncated_at_any_byte_raises_data_error(path: Path, data: bytes) -> None:
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(DataError, match=r"lfw\.bin: ") as caught:
            read_verification_bin(path)
        assert "\n" not in str(caught.value)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pairs=st.lists(st.tuples(st.binary(min_size=1), st.binary(min_size=1), st.booleans()), min_size=1, max_size=200),
    protocol=st.sampled_from([2, 3, 4, 5]),
)
def test_pickled_pairs_are_read_back(path: Path, pairs: list[tuple[bytes, bytes, bool]], protocol: int) -> None:
    images, same = [image for a, b, _ in pairs for image in (a, b)], [flag for _, _, flag in pairs]
    path.write_bytes(pickle.dumps((images, same), protocol))
    result = read_verification_bin(path)
    assert result.encoded == tuple(images) and result.same.tolist() == same


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offset=st.integers(0, 120), junk=st.binary(min_size=1, max_size=8), protocol=st.sampled_from([2, 4]))
def test_any_damage_is_read_or_reported_on_one_line(path: Path, offset: int, junk: bytes, protocol: int) -> None:
    data = pickle.dumps((IMAGES, [True, False]), protocol)
    path.write_bytes(data[:offset] + junk + data[offset + len(junk) :])
    try:
        read_verification_bin(path)
    except DataError as error:
        assert "\n" not in str(error)
