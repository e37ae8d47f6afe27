"""Which files of a folder are looked at, and in which order."""

from pathlib import Path

import pytest

from onelook.media.discovery import find_sources


def fill(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * len(name))


def found(*sources: Path, out: Path = Path("/nowhere")) -> list[tuple[str, str]]:
    return [(str(each.path), each.kind) for each in find_sources(sources, out)]


def test_folders_are_walked_in_order_and_other_files_passed_over(tmp_path: Path) -> None:
    fill(tmp_path, "b.jpg", "a.PNG", "c.mp4", "notes.txt", ".hidden.jpg", "z/1.heic", "k/l/2.webp", ".git/3.jpg")
    inside = [(path.removeprefix(f"{tmp_path}/"), kind) for path, kind in found(tmp_path)]
    assert inside == [
        ("a.PNG", "photo"),
        ("b.jpg", "photo"),
        ("c.mp4", "video"),
        ("k/l/2.webp", "photo"),
        ("z/1.heic", "photo"),
    ]


def test_results_are_no_sources(tmp_path: Path) -> None:
    fill(tmp_path, "a.jpg", "out/pictures/a.jpg", "outer/b.jpg")
    assert [Path(path).name for path, _ in found(tmp_path, out=tmp_path / "out")] == ["a.jpg", "b.jpg"]


def test_a_source_within_another_or_named_twice_comes_once(tmp_path: Path) -> None:
    fill(tmp_path, "all/a.jpg", "all/in/b.jpg", "c.jpg")
    sources = [tmp_path / "c.jpg", tmp_path / "all/in", tmp_path / "all", tmp_path / "all/a.jpg", tmp_path / "c.jpg"]
    assert [Path(path).name for path, _ in found(*sources)] == ["c.jpg", "a.jpg", "b.jpg"]


def test_links_do_not_lead_out_of_a_folder(tmp_path: Path) -> None:
    fill(tmp_path, "secret/s.jpg", "all/a.jpg")
    (tmp_path / "all/out.jpg").symlink_to(tmp_path / "secret/s.jpg")
    (tmp_path / "all/in.jpg").symlink_to(tmp_path / "all/a.jpg")
    (tmp_path / "all/folder").symlink_to(tmp_path / "secret")
    (tmp_path / "all/loop").symlink_to(tmp_path / "all")
    whys = {each.path.name: each.why for each in find_sources([tmp_path / "all"], Path("/nowhere"))}
    assert set(whys) == {"a.jpg", "in.jpg", "out.jpg"}
    assert whys["a.jpg"] is whys["in.jpg"] is None
    assert whys["out.jpg"] is not None and "a link out of" in whys["out.jpg"]


def test_files_named_on_different_ways_come_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "all/a.jpg", "all/b.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "all")
    (tmp_path / "one.jpg").symlink_to(tmp_path / "all/a.jpg")
    monkeypatch.chdir(tmp_path / "all")
    ways = ["one.jpg", "all/a.jpg", "link/a.jpg", "link/../all/a.jpg", "all/b.jpg"]
    named = [*(tmp_path / way for way in ways), Path("a.jpg"), Path("../link/b.jpg")]
    assert found(*named) == [(str(tmp_path / "one.jpg"), "photo"), (str(tmp_path / "all/b.jpg"), "photo")]
    assert found(*named, Path()) == [("a.jpg", "photo"), ("b.jpg", "photo")]


def test_what_is_named_by_itself_is_tried(tmp_path: Path) -> None:
    fill(tmp_path, "scan", "film.mkv")
    assert [kind for _, kind in found(tmp_path / "scan", tmp_path / "film.mkv", tmp_path / "absent.jpg")] == [
        "photo",
        "video",
        "photo",
    ]


def test_a_file_is_known_by_its_path_length_and_time(tmp_path: Path) -> None:
    fill(tmp_path, "a.jpg", "b.jpg")
    (one, other) = find_sources([tmp_path], Path("/nowhere"))
    assert one.key != other.key
    again = next(iter(find_sources([tmp_path], Path("/nowhere"))))
    assert (again.key, again.stamp) == (one.key, one.stamp)
    (tmp_path / "a.jpg").write_bytes(b"longer than before")
    changed = next(iter(find_sources([tmp_path], Path("/nowhere"))))
    assert changed.key == one.key and changed.stamp != one.stamp
