import csv
import json
from pathlib import Path

import pytest
import yaml

from onelook.data.image_io import read_image
from onelook.data.manifest import Manifest
from onelook.evaluation.evaluate import Evaluation, evaluate
from onelook.evaluation.report import CURVES, write_evaluation
from onelook.inference.torch_predictor import TorchPredictor
from onelook.settings import Settings


@pytest.fixture(scope="module")
def report(small_evaluation: Evaluation, small_manifest: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "evaluation"
    write_evaluation(small_evaluation, small_manifest, folder)
    return folder


def test_curves_and_pictures_are_written(report: Path) -> None:
    files = {path.relative_to(report).as_posix() for path in report.rglob("*") if path.is_file()}
    pictures = {"precision_recall", "landmark_error", "roc", "dir_fpir", "similarities", "identifications"}
    pictures |= {"conditions"}
    assert files == {
        "metrics.json",
        "calibration.json",
        *(f"curves/{name}.csv" for name in CURVES),
        *(f"pictures/{name}.png" for name in pictures),
    }
    for name in pictures:
        assert read_image(report / f"pictures/{name}.png").std() > 5
    with (report / "curves/dir_fpir.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0].keys() == {"fpir", "onelook", "eigenfaces"}
    metrics = json.loads((report / "metrics.json").read_text())
    assert float(rows[-1]["onelook"]) == metrics["identification"]["rank1"]
    assert float(rows[-1]["eigenfaces"]) == metrics["eigenfaces"]["identification"]["rank1"]


def test_a_curve_of_too_few_data_is_a_header_and_dvc_plots_the_columns_there_are(project: Path, report: Path) -> None:
    """DVC fails on a file that it plots and that is absent."""
    assert (report / "curves/reliability.csv").read_text() == "confidence,accuracy,low,high,fraction\n"
    for definition in yaml.safe_load((project / "dvc.yaml").read_text())["plots"]:
        ((_, plot),) = definition.items()
        for file, columns in plot["y"].items():
            if file.startswith("build/evaluation/"):
                with (report / file.removeprefix("build/evaluation/")).open() as stream:
                    header = next(csv.reader(stream))
                assert {plot["x"], *([columns] if isinstance(columns, str) else columns)} <= set(header), file


def test_the_calibration_names_its_model_and_detection_settings(
    report: Path, small_evaluation: Evaluation, small_settings: Settings
) -> None:
    calibration = json.loads((report / "calibration.json").read_text())
    assert calibration["fingerprint"] == "f" * 64
    assert calibration["detect"] == small_settings.detect.model_dump()
    assert calibration["people"] == 3
    assert calibration["threshold"] == small_evaluation.calibration["threshold"]


def test_a_second_evaluation_writes_equal_bytes(
    report: Path, small_predictor: TorchPredictor, small_manifest: Manifest, small_settings: Settings, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    write_evaluation(evaluate(small_predictor, small_manifest, small_settings), small_manifest, again)
    for path in report.rglob("*"):
        if path.is_file():
            assert (again / path.relative_to(report)).read_bytes() == path.read_bytes(), path.name
