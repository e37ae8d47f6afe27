from pathlib import Path

from helpers.command_line import Run


def test_evaluation_photos_must_be_named(run_released: Run) -> None:
    Path("photos").mkdir()
    code, out, err = run_released("collect-faces", "mine", "photos", "--out", "faces", "--recognizer", "some.onnx")
    assert (code, out) == (1, "") and "--lfw or --exclude" in err and err.count("\n") == 1
