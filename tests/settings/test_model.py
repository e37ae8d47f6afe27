import pytest

from onelook.settings import ModelSettings, TeacherSettings


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


@pytest.mark.parametrize(("former", "cascade"), [(True, "all"), (False, "none")])
def test_the_former_values_of_cascade_are_read(former: bool, cascade: str) -> None:
    assert ModelSettings.model_validate({"init": "random", "cascade": former}).cascade == cascade
