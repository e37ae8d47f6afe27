import shutil
from pathlib import Path

from helpers.command_line import Run
from onelook.data.image_io import read_image, write_image


def test_one_unusable_photo_enrolls_nobody(run: Run, workspace: Path) -> None:
    for bad in ("none.jpg", "empty.jpg", "wall.png", "both.png"):
        code, out, err = run("enroll", "Anna", "s1.png", bad)
        assert (code, out, len(err.splitlines())) == (1, "", 1)
        assert bad in err
    assert not (workspace / "gallery").exists()


def test_an_enrolled_photo_is_skipped_or_refused_under_another_name(run: Run) -> None:
    run("enroll", "Anna", "s1.png")
    code, out, err = run("enroll", "Anna", "s1.png")
    assert (code, out) == (0, "Anna: 0 photos enrolled, 1 in all, in gallery\n")
    assert "enrolled before" in err
    code, _, err = run("enroll", "Bob", "s1.png")
    assert (code, err) == (1, "error: s1.png: this photo is enrolled as Anna; nobody was enrolled\n")


def test_enroll_all_reads_a_folder_or_a_csv_file_and_continues(run: Run, workspace: Path) -> None:
    for person, names in {"Anna": ["s1.png"], "Bob": ["s2.png", "wall.png", "both.png"]}.items():
        (workspace / "people" / person).mkdir(parents=True)
        for name in names:
            shutil.copy(name, workspace / "people" / person)
    (workspace / "people/Bob/s1.png").write_bytes((workspace / "s1.png").read_bytes())
    code, out, err = run("enroll-all", "people")
    assert (code, out) == (1, "gallery: 2 photos enrolled, 0 enrolled before, 3 left out\n")
    lines = err.splitlines()
    lines[0] = lines[0].partition(" (")[0]
    assert lines == [
        "warning: left out: Bob: people/Bob/both.png: 2 faces found",
        "warning: left out: Bob: people/Bob/s1.png: this photo is enrolled as Anna; take it from one of the two",
        "warning: left out: Bob: people/Bob/wall.png: no face found; use a photo with one clear face",
    ]
    (workspace / "people.csv").write_text("name,photo\nAnna,s1.png\nCarl,s3.png\n")
    assert run("enroll-all", "people.csv") == (0, "gallery: 1 photo enrolled, 1 enrolled before, 0 left out\n", "")
    assert run("gallery", "--photos")[1] == "Anna\t1\tpeople/Anna/s1.png\nBob\t1\tpeople/Bob/s2.png\nCarl\t1\ts3.png\n"
    assert run("identify", "s3.png")[1].split("\t")[2] == "Carl"
    assert run("enroll-all", "none")[::2] == (1, "error: none: cannot be read (No such file or directory)\n")


def test_duplicate_people_are_reported_merged_and_renamed(run: Run, workspace: Path) -> None:
    lossy = read_image(workspace / "s1.png")
    lossy[0, 0] = 0  # other bytes, the same face
    write_image(workspace / "again.png", lossy)
    run("enroll", "Anna", "s1.png")
    code, _, err = run("enroll", "Ann", "again.png")
    assert code == 0
    assert err.startswith("warning: possible duplicate: Ann and Anna, similarity 1.000") and "onelook merge" in err
    assert run("merge", "Ann", "Anna") == (0, "Ann: now Anna, 2 photos in all, in gallery\n", "")
    assert run("rename", "Anna", "Anne") == (0, "Anna: now Anne in gallery\n", "")
    assert run("gallery", "--photos")[1] == "Anne\t2\ts1.png, again.png\n"
    assert run("merge", "Anna", "Anne")[::2] == (
        1,
        "error: Anna: nobody of that name is enrolled; `onelook gallery` lists who is\n",
    )


def test_a_face_of_a_group_photo_is_chosen(run: Run, workspace: Path) -> None:
    code, _, err = run("enroll", "Anna", "both.png")
    assert code == 1 and "both.png: 2 faces found (1: " in err and "--face N" in err
    (_, *corners, _), _ = (line.split() for line in run("detect", "both.png", "--model", "build/model")[1].splitlines())
    x1, y1, x2, y2 = map(int, corners[1:5])
    assert run("enroll", "One", "both.png", "--face", "1")[0] == 0
    box = f"{x1},{y1},{x2 - x1},{y2 - y1}"
    assert "1 photo left out, enrolled before" in run("enroll", "One", "both.png", "--box", box)[2]
    code, _, err = run("enroll", "Two", "both.png", "--box", box)
    assert code == 1 and "enrolled as One" in err
    assert run("enroll", "Two", "both.png", "--face", "2")[0] == 0
    assert sorted(line.split("\t")[2] for line in run("identify", "both.png")[1].splitlines()) == ["One", "Two"]
    for options, said in (
        (("--face", "1", "--largest"), "exclude each other"),
        (("--box", "1,2,3"), "needs four numbers"),
        (("s1.png", "--face", "1"), "name one photo"),
    ):
        code, out, err = run("enroll", "Anna", "both.png", *options)
        assert (code, out) == (1, "") and said in err


def test_one_photo_is_removed_and_similar_names_are_reported(run: Run, workspace: Path) -> None:
    for person, names in {"Anna Bell": ["s1.png", "s2.png"], "Carl": ["s3.png"]}.items():
        (workspace / "people" / person).mkdir(parents=True)
        for name in names:
            shutil.copy(name, workspace / "people" / person)
    run("enroll-all", "people")
    (workspace / "people/Anna Bell").rename(workspace / "people/Anna Bel")
    code, _, err = run("enroll-all", "people")
    assert code == 1
    assert err.splitlines()[-1] == (
        "warning: similar names: Anna Bel and Anna Bell; if they are one person, run "
        "`onelook rename 'Anna Bell' 'Anna Bel'`"
    )
    assert run("remove", "Anna Bell", "s2.png") == (0, "Anna Bell: 1 photo removed, 1 photo left, in gallery\n", "")
    code, _, err = run("remove", "Anna Bell", "s1.png")
    assert code == 1 and "`onelook forget`" in err
    _, _, err = run("enroll-all", "people")
    assert "run `onelook merge 'Anna Bel' 'Anna Bell'`" in err


def test_without_a_calibration_no_gallery_is_created(run: Run, workspace: Path) -> None:
    (workspace / "build/evaluation/calibration.json").unlink()
    code, _, err = run("enroll", "Anna", "s1.png")
    assert (code, len(err.splitlines())) == (1, 1)
    assert "make repro" in err
    assert not (workspace / "gallery").exists()


def test_a_gallery_is_checked_and_upgraded(run: Run, workspace: Path) -> None:
    run("enroll", "Anna", "s1.png")
    assert run("gallery", "--check") == (0, "gallery: no problem found\n", "")
    assert run("upgrade") == (0, "gallery: has the present format\n", "")
    (workspace / "gallery/.gallery.sqlite.1").write_bytes(b"")
    code, _, err = run("gallery", "--check")
    assert code == 1 and "interrupted change" in err
    assert "for galleries in folders" in run("upgrade", "--gallery", "milvus:a.db")[2]
