from pathlib import Path

import cv2
import numpy as np
import pytest

from onelook.data.readers.lfw import SPLIT_FILES, read_lfw, read_pairs
from onelook.data.splits import hold_out_validation
from onelook.errors import DataError, OnelookError
from onelook.settings import LfwSettings, SplitFractions

FRACTIONS = SplitFractions(train=0.6, validation=0.15, test=0.25)


def write_lfw(root: Path, train: dict[str, int], test: dict[str, int]) -> LfwSettings:
    for people, name in ((train, SPLIT_FILES["train"]), (test, SPLIT_FILES["test"])):
        root.mkdir(exist_ok=True)
        lines = [str(len(people)), *(f"{person}\t{count}" for person, count in people.items())]
        (root / name).write_text("\n".join(lines) + "\n")
        for person, count in people.items():
            (root / "images" / person).mkdir(parents=True, exist_ok=True)
            for number in range(1, count + 1):
                photo = np.full((20, 20, 3), number, np.uint8)
                cv2.imwrite(str(root / f"images/{person}/{person}_{number:04d}.jpg"), photo)
    return LfwSettings(path=str(root))


def test_images_and_official_split_are_read(tmp_path: Path) -> None:
    dataset = read_lfw(write_lfw(tmp_path / "lfw", {"Ann_B": 2, "Cy_D": 1}, {"Eve_F": 3}))
    assert [(p.identity, p.path.name) for p in dataset.images] == [
        ("Ann_B", "Ann_B_0001.jpg"),
        ("Ann_B", "Ann_B_0002.jpg"),
        ("Cy_D", "Cy_D_0001.jpg"),
        *(("Eve_F", f"Eve_F_000{i}.jpg") for i in (1, 2, 3)),
    ]
    assert dataset.official_splits == {"Ann_B": "train", "Cy_D": "train", "Eve_F": "test"}


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("peopleDevTest.txt", "1\nAnn_B\t1\n", "Ann_B is in both lists"),
        ("peopleDevTrain.txt", "1\nAnn_B\n", "peopleDevTrain.txt, line 2: not a person"),
        ("peopleDevTrain.txt", "1\nAnn_B\ttwo\n", "line 2: not a person"),
        ("peopleDevTrain.txt", "1\nAnn_B\t9\n", "Ann_B_0003.jpg: missing"),
        ("peopleDevTrain.txt", "1\n../../../etc\t1\n", "leaves the data folder"),
    ],
)
def test_damaged_dataset_is_reported_on_one_line(tmp_path: Path, file: str, content: str, message: str) -> None:
    settings = write_lfw(tmp_path / "lfw", {"Ann_B": 2}, {"Eve_F": 3})
    (tmp_path / "lfw" / file).write_text(content)
    with pytest.raises(OnelookError, match=message) as caught:
        read_lfw(settings)
    assert "\n" not in str(caught.value)


def test_missing_lists_raise_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"prepare\.lfw\.path"):
        read_lfw(LfwSettings(path=str(tmp_path)))


def test_genuine_and_impostor_pairs_are_read(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_text("1\nAnn_B\t1\t2\nAnn_B\t2\tCy_D\t1\n")
    assert read_pairs(tmp_path / "pairs.txt") == [
        (("Ann_B", 1), ("Ann_B", 2), True),
        (("Ann_B", 2), ("Cy_D", 1), False),
    ]
    (tmp_path / "pairs.txt").write_text("1\nAnn_B\t1\n")
    with pytest.raises(DataError, match="line 2"):
        read_pairs(tmp_path / "pairs.txt")


def test_validation_people_come_from_the_training_list_only() -> None:
    official = {f"train{i}": "train" for i in range(40)} | {f"test{i}": "test" for i in range(30)}
    for seed in range(20):
        owner = hold_out_validation(official, FRACTIONS, np.random.default_rng(seed))  # type: ignore[arg-type]
        assert {name for name, split in owner.items() if split == "test"} == {f"test{i}" for i in range(30)}
        assert sum(split == "validation" for split in owner.values()) == 8  # 40 x .15 / .75
    with pytest.raises(DataError, match="training people"):
        hold_out_validation({"a": "train", "b": "train", "c": "test"}, FRACTIONS, np.random.default_rng(0))
    with pytest.raises(DataError, match="test: 1 person with photos, at least 2 are needed"):
        hold_out_validation(
            {**{f"train{i}": "train" for i in range(4)}, "c": "test"}, FRACTIONS, np.random.default_rng(0)
        )


@pytest.mark.shared_data
def test_real_lists_have_the_published_counts(shared_data: Path) -> None:
    dataset = read_lfw(LfwSettings(path=str(shared_data / "lfw")))
    assert dataset.official_splits is not None
    assert list(dataset.official_splits.values()).count("train") == 4038
    assert list(dataset.official_splits.values()).count("test") == 1711
    assert len(dataset.images) == 9525 + 3708
    pairs = read_pairs(shared_data / "lfw/pairsDevTest.txt")
    assert len(pairs) == 1000 and sum(same for _, _, same in pairs) == 500
    # All people of the test pairs are in the test list.
    assert {dataset.official_splits[person] for one, two, _ in pairs for person, _ in (one, two)} == {"test"}
