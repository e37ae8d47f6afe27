import pytest

from onelook.settings import TeacherSettings


@pytest.mark.parametrize(
    ("path", "init_tail", "source"),
    [
        ("teacher.onnx", True, "teacher.onnx"),
        ("teacher.onnx", False, None),
        ("", True, None),
        ("teacher.tflite", "other.onnx", "other.onnx"),
        ("", "other.onnx", "other.onnx"),
    ],
)
def test_tail_starts_from_the_teacher_or_from_a_named_recognizer(
    path: str, init_tail: bool | str, source: str | None
) -> None:
    settings = TeacherSettings(path=path, mean=(1, 2, 3), init_tail=init_tail)
    found = settings.tail_source
    assert (found.path if found else None) == source
    if isinstance(init_tail, str):
        assert found is not None and found.mean == TeacherSettings().mean
