"""Enrollment lists: folders and CSV files."""

from pathlib import Path

import pytest

from onelook.errors import GalleryError
from onelook.gallery.enrollment_list import EnrollmentItem, read_enrollment_list


def test_a_folder_with_a_directory_per_person(tmp_path: Path) -> None:
    for path in ("Bob/2.jpg", "Bob/1.jpg", "C\u0327ag\u0306la/a.png", ".git/x", "Bob/.DS_Store"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    (tmp_path / "readme.txt").touch()
    assert read_enrollment_list(tmp_path) == [
        EnrollmentItem("Bob", tmp_path / "Bob/1.jpg"),
        EnrollmentItem("Bob", tmp_path / "Bob/2.jpg"),
        EnrollmentItem("Çağla", tmp_path / "C\u0327ag\u0306la/a.png"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "name,photo\nAnna,a.jpg\nÇağla,pics/ç.jpg\n",
        "\ufeffphoto,age,name\r\na.jpg,4,Anna\r\n\r\npics/ç.jpg,5, Çağla \r\n",
        'name;photo\nAnna;a.jpg\n"Çağla";"pics/ç.jpg"',
    ],
)
def test_csv_dialects_of_spreadsheets(tmp_path: Path, text: str) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(text.encode())
    assert read_enrollment_list(path) == [
        EnrollmentItem("Anna", tmp_path / "a.jpg"),
        EnrollmentItem("Çağla", tmp_path / "pics/ç.jpg"),
    ]


def test_an_absolute_path_is_kept(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(f"name,photo\nAnna,{tmp_path}/elsewhere/a.jpg\n")
    assert read_enrollment_list(tmp_path / "people.csv") == [EnrollmentItem("Anna", tmp_path / "elsewhere/a.jpg")]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "name and photo"),
        (b"person,file\nAnna,a.jpg\n", "name and photo"),
        (b"name,photo\n", "names nobody"),
        (b"name,photo\nAnna\n", "line 2: no photo"),
        (b"name,photo\nAnna,a\0.jpg\n", "line 2: no photo"),
        (b'name,photo\n"Anna,a.jpg\n', "not a CSV file"),
        ("name,photo\nÇağla,a.jpg\n".encode("cp1254"), "not a CSV file in UTF-8"),
    ],
)
def test_an_invalid_csv_file_is_reported_in_one_line(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(data)
    with pytest.raises(GalleryError, match=said) as caught:
        read_enrollment_list(path)
    assert "people.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_invalid_folder_is_reported_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="cannot be read"):
        read_enrollment_list(tmp_path / "none")
    (tmp_path / "a.jpg").touch()
    with pytest.raises(GalleryError, match="names nobody"):
        read_enrollment_list(tmp_path)


def test_a_name_that_cannot_be_used_is_an_item_with_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("name,photo\nAnna,a.jpg\n,b.jpg\nUnknown,c.jpg\nAnna\u00a0M\u3000C,d.jpg\n", "utf-8")
    anna, empty, reserved, spaced = read_enrollment_list(path)
    assert (anna.problem, spaced.problem, spaced.name) == ("", "", "Anna M C")
    assert "line 3: the name is empty" in empty.problem
    assert "line 4: Unknown: this name is reserved" in reserved.problem
    (tmp_path / "unknown").mkdir()
    (tmp_path / "unknown" / "a.jpg").touch()
    (item,) = read_enrollment_list(tmp_path)
    assert "unknown: this name is reserved" in item.problem
