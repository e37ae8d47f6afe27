from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from helpers.recognizer import (
    MEAN,
    STD,
    normalize_crops,
    random_crops,
    random_weights,
    run_recognizer,
    write_recognizer,
)
from onelook.errors import ModelError
from onelook.model.teacher import Teacher
from onelook.settings import TeacherSettings


def test_embeddings_are_the_normalized_sums_over_crop_and_mirror_image(tmp_path: Path) -> None:
    weights, crops = random_weights(), random_crops()
    teacher = Teacher(write_recognizer(tmp_path / "recognizer.onnx", weights))
    assert teacher.dim == 8
    views = [
        functional.normalize(run_recognizer(weights, normalize_crops(view)).flatten(1))
        for view in (crops, crops[:, :, ::-1])
    ]
    expected = functional.normalize(torch.stack(views).sum(0))
    np.testing.assert_allclose(teacher.embed(crops), expected.numpy(), atol=1e-4)


@pytest.mark.parametrize("content", [None, b"", b"not onnx at all"])
def test_missing_or_damaged_file_is_refused_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "teacher.onnx"
    if content is not None:
        path.write_bytes(content)
    settings = TeacherSettings(path=str(path), mean=MEAN, std=STD, init_tail=True)
    with pytest.raises(ModelError, match=r"teacher\.onnx") as caught:
        Teacher(settings)
    assert "\n" not in str(caught.value)
