from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.command_line import Run
from onelook.cli.collect_faces import _read_embeddings


def test_evaluation_photos_must_be_named(run_released: Run) -> None:
    Path("photos").mkdir()
    code, out, err = run_released("collect-faces", "mine", "photos", "--out", "faces", "--recognizer", "some.onnx")
    assert (code, out) == (1, "") and "--lfw or --exclude" in err and err.count("\n") == 1


def test_saved_embeddings_are_read_for_the_same_photos_alone(tmp_path: Path) -> None:
    embeddings = np.eye(3, 4, dtype=np.float32)
    np.savez(tmp_path / "excluded.npz", key="photos", embeddings=embeddings)
    saved = _read_embeddings(tmp_path / "excluded.npz", "photos")
    assert saved is not None
    np.testing.assert_array_equal(saved, embeddings)
    assert _read_embeddings(tmp_path / "excluded.npz", "others") is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(place=st.integers(0, 800), byte=st.integers(0, 255), length=st.none() | st.integers(0, 700))
def test_damaged_embeddings_are_named_and_made_anew(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, place: int, byte: int, length: int | None
) -> None:
    path = tmp_path / "excluded.npz"
    np.savez(path, key="photos", embeddings=np.eye(3, 4, dtype=np.float32))
    data = bytearray(path.read_bytes())
    data[place % len(data)] = byte
    path.write_bytes(data[:length])
    caplog.clear()
    saved = _read_embeddings(path, "photos")
    if saved is None:
        assert caplog.messages in ([], [f"{path}: damaged; the evaluation photos are embedded anew"])
    else:
        np.testing.assert_array_equal(saved, np.eye(3, 4, dtype=np.float32))
