from pathlib import Path

import numpy as np
import pytest

from onelook.errors import OnelookError
from onelook.media.embeddings_file import FILE_NAME, EmbeddingsFile, read_embeddings

ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_appended_rows_are_read_back_after_truncation(tmp_path: Path) -> None:
    file = EmbeddingsFile(tmp_path / FILE_NAME, 4, "f", row_count=0)
    assert [file.append(row) for row in ROWS] == [0, 1, 2]
    file.close()
    np.testing.assert_array_equal(read_embeddings(tmp_path, "f"), ROWS)
    file = EmbeddingsFile(tmp_path / FILE_NAME, 4, "f", row_count=1)
    assert file.append(ROWS[2]) == 1
    file.close()
    np.testing.assert_array_equal(read_embeddings(tmp_path, "f"), ROWS[[0, 2]])


def test_unfinished_file_and_other_model_are_rejected(tmp_path: Path) -> None:
    file = EmbeddingsFile(tmp_path / FILE_NAME, 4, "f", row_count=0)
    file.append(ROWS[0])
    file.flush()
    with pytest.raises(OnelookError, match="incomplete"):
        read_embeddings(tmp_path, "f")
    file.close()
    with pytest.raises(OnelookError, match="made with model f, the gallery with model g"):
        read_embeddings(tmp_path, "g")
    with pytest.raises(OnelookError, match="lacks rows"):
        EmbeddingsFile(tmp_path / FILE_NAME, 4, "f", row_count=2)
