import os
from pathlib import Path

import pytest

from onelook.media.discovery import find_media_files


def write_files(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * len(name))


def find(*paths: Path, out: Path = Path("/nowhere")) -> list[tuple[str, str]]:
    return [(str(file.path), file.kind) for file in find_media_files(paths, out)]


def test_folders_are_walked_in_order_and_other_files_skipped(tmp_path: Path) -> None:
    write_files(tmp_path, "b.jpg", "a.PNG", "c.mp4", "notes.txt", ".hidden.jpg", "z/1.heic", "k/l/2.webp", ".git/3.jpg")
    assert [(path.removeprefix(f"{tmp_path}/"), kind) for path, kind in find(tmp_path)] == [
        ("a.PNG", "photo"),
        ("b.jpg", "photo"),
        ("c.mp4", "video"),
        ("k/l/2.webp", "photo"),
        ("z/1.heic", "photo"),
    ]


def test_output_folder_is_skipped(tmp_path: Path) -> None:
    write_files(tmp_path, "a.jpg", "out/pictures/a.jpg", "outer/b.jpg")
    assert [Path(path).name for path, _ in find(tmp_path, out=tmp_path / "out")] == ["a.jpg", "b.jpg"]


def test_nested_and_repeated_paths_are_found_once(tmp_path: Path) -> None:
    write_files(tmp_path, "all/a.jpg", "all/in/b.jpg", "c.jpg")
    paths = [tmp_path / "c.jpg", tmp_path / "all/in", tmp_path / "all", tmp_path / "all/a.jpg", tmp_path / "c.jpg"]
    assert [Path(path).name for path, _ in find(*paths)] == ["c.jpg", "a.jpg", "b.jpg"]


def test_links_out_of_the_folder_are_rejected(tmp_path: Path) -> None:
    write_files(tmp_path, "secret/s.jpg", "all/a.jpg")
    (tmp_path / "all/out.jpg").symlink_to(tmp_path / "secret/s.jpg")
    (tmp_path / "all/in.jpg").symlink_to(tmp_path / "all/a.jpg")
    (tmp_path / "all/folder").symlink_to(tmp_path / "secret")
    (tmp_path / "all/loop").symlink_to(tmp_path / "all")
    errors = {file.path.name: file.error for file in find_media_files([tmp_path / "all"], Path("/nowhere"))}
    assert set(errors) == {"a.jpg", "in.jpg", "out.jpg", "folder", "loop"}
    assert errors["a.jpg"] is errors["in.jpg"] is None
    assert str(errors["out.jpg"]).endswith(f"out.jpg: a link out of {tmp_path / 'all'}; name the file itself")
    assert str(errors["folder"]).endswith(f"folder: a link out of {tmp_path / 'all'}; name the folder itself")


def test_links_to_themselves_and_to_nothing_are_returned_with_an_error(tmp_path: Path) -> None:
    write_files(tmp_path, "all/a.jpg")
    (tmp_path / "all/circle.jpg").symlink_to("circle.jpg")
    (tmp_path / "all/gone.mp4").symlink_to("absent.mp4")
    errors = {file.path.name: file.error for file in find_media_files([tmp_path / "all"])}
    assert errors["a.jpg"] is None
    assert str(errors["circle.jpg"]).endswith("circle.jpg: a link to itself; remove it")
    assert str(errors["gone.mp4"]).endswith("gone.mp4: a link to nothing; remove it")
    assert len(list(find_media_files([tmp_path / "all/circle.jpg"]))) == 1


def test_circles_of_folders_and_broken_links_of_any_suffix_are_returned_with_an_error(tmp_path: Path) -> None:
    write_files(tmp_path, "all/sub/a.jpg", "all/b.txt")
    links = {"up": "..", "above": "../..", "here": ".", "circle": "circle", "gone": "absent", "gone.txt": "../a/b.txt"}
    for name, target in {**links, "through": "a.jpg/x", ".hidden": "absent", "text": "../b.txt"}.items():
        (tmp_path / "all/sub" / name).symlink_to(target)
    errors = {file.path.name: file.error for file in find_media_files([tmp_path / "all"])}
    contains, nothing = "a link to a folder that contains it; remove it", "a link to nothing; remove it"
    expected = {"up": contains, "above": contains, "here": contains, "circle": "a link to itself; remove it"}
    expected |= {"gone": nothing, "gone.txt": nothing, "through": nothing}
    assert errors.pop("a.jpg") is None
    assert errors == {name: f"{tmp_path / 'all/sub' / name}: {problem}" for name, problem in expected.items()}


def test_a_link_to_a_folder_that_is_read_anyway_is_no_error(tmp_path: Path) -> None:
    write_files(tmp_path, "all/sub/a.jpg", "other/deep/b.jpg", "all/out/c.jpg")
    (tmp_path / "all/again").symlink_to("sub")
    (tmp_path / "all/results").symlink_to("out")
    (tmp_path / "all/elsewhere").symlink_to(tmp_path / "other/deep")
    found = list(find_media_files([tmp_path / "all", tmp_path / "other"], tmp_path / "all/out"))
    assert [(file.path.name, file.error) for file in found] == [("a.jpg", None), ("b.jpg", None)]


def test_aliases_of_one_file_are_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, "all/a.jpg", "all/b.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "all")
    (tmp_path / "one.jpg").symlink_to(tmp_path / "all/a.jpg")
    monkeypatch.chdir(tmp_path / "all")
    aliases = ["one.jpg", "all/a.jpg", "link/a.jpg", "link/../all/a.jpg", "all/b.jpg"]
    paths = [*(tmp_path / alias for alias in aliases), Path("a.jpg"), Path("../link/b.jpg")]
    assert find(*paths) == [(str(tmp_path / "one.jpg"), "photo"), (str(tmp_path / "all/b.jpg"), "photo")]
    assert find(*paths, Path()) == [("a.jpg", "photo"), ("b.jpg", "photo")]


def test_file_given_by_name_is_always_found(tmp_path: Path) -> None:
    write_files(tmp_path, "scan", "clip.mkv")
    kinds = [kind for _, kind in find(tmp_path / "scan", tmp_path / "clip.mkv", tmp_path / "absent.jpg")]
    assert kinds == ["photo", "video", "photo"]


def test_version_hash_changes_with_the_file_and_path_hash_does_not(tmp_path: Path) -> None:
    write_files(tmp_path, "a.jpg", "b.jpg")
    first, second = find_media_files([tmp_path], Path("/nowhere"))
    assert first.path_hash != second.path_hash
    unchanged = next(iter(find_media_files([tmp_path], Path("/nowhere"))))
    assert (unchanged.path_hash, unchanged.version_hash) == (first.path_hash, first.version_hash)
    (tmp_path / "a.jpg").write_bytes(b"longer than before")
    changed = next(iter(find_media_files([tmp_path], Path("/nowhere"))))
    assert changed.path_hash == first.path_hash and changed.version_hash != first.version_hash


def test_photos_of_rare_suffixes_and_of_none_are_found_and_unreadable_ones_reported(tmp_path: Path) -> None:
    write_files(tmp_path, "a.jfif", "b.JPE", "c.mpo", "d.j2k", "e.apng", "f.jxl", "g.DNG", "README", "notes.txt")
    (tmp_path / "IMG_0001").write_bytes(b"\xff\xd8\xff\xe0\0\x10JFIF")
    (tmp_path / "IMG_0002").write_bytes(b"\0\0\0\x1cftypheic")
    os.mkfifo(tmp_path / "pipe")
    found = {file.path.name: file for file in find_media_files([tmp_path])}
    assert set(found) == {*("a.jfif", "b.JPE", "c.mpo", "d.j2k", "e.apng", "f.jxl", "g.DNG"), "IMG_0001", "IMG_0002"}
    assert {name for name, file in found.items() if file.error} == {"f.jxl", "g.DNG"}
    assert "format .dng are not read; convert it to JPEG" in str(found["g.DNG"].error)
