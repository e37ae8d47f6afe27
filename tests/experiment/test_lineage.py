import hashlib
import os
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from onelook.experiment.lineage import content_md5

NAMES = st.text("abcdé", min_size=1, max_size=4)
FOLDERS = st.dictionaries(st.tuples(NAMES, NAMES).map(lambda pair: f"x{pair[0]}/{pair[1]}"), st.binary(max_size=20))


def _fill(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def test_a_file_has_the_md5_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "hello"
    path.write_bytes(b"hello world\n")
    assert content_md5(path) == "6f5902ac237024bdd0c176cb93063dc4"  # md5sum


def test_the_md5_of_a_folder_is_of_sorted_names_and_md5s(tmp_path: Path) -> None:
    _fill(tmp_path, {"b": b"", "a/c": b"hello world\n"})
    listing = b"a/c\x006f5902ac237024bdd0c176cb93063dc4\nb\x00d41d8cd98f00b204e9800998ecf8427e\n"
    assert content_md5(tmp_path) == hashlib.md5(listing).hexdigest()


@given(FOLDERS, FOLDERS)
def test_folders_have_equal_md5_exactly_if_their_contents_are_equal(
    one: dict[str, bytes], other: dict[str, bytes]
) -> None:
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        md5s = content_md5(_fill(Path(first), one)), content_md5(_fill(Path(second), dict(reversed(other.items()))))
    assert (md5s[0] == md5s[1]) == (one == other)


def test_times_and_empty_folders_do_not_change_the_md5(tmp_path: Path) -> None:
    before = content_md5(_fill(tmp_path, {"a": b"1"}))
    os.utime(tmp_path / "a", (1, 1))
    (tmp_path / "empty").mkdir()
    assert content_md5(tmp_path) == before
