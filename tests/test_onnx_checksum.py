from pathlib import Path

import onnx
import pytest
from onnx import helper

from onelook.errors import ModelError
from onelook.onnx_checksum import append_checksum, check_presence, read_checked


@pytest.fixture
def content() -> bytes:
    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    model = helper.make_model(helper.make_graph([], "empty", [value], [value]))
    helper.set_model_props(model, {"checked": "sha256"})
    return append_checksum(model.SerializeToString())


def test_a_file_with_a_checksum_is_still_an_onnx_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    assert read_checked(tmp_path / "model.onnx") == (content, True)
    keys = [each.key for each in onnx.load_from_string(content).metadata_props]
    assert keys == ["checked", "sha256"]


def test_every_flipped_bit_is_noticed(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(ModelError, match="damaged"):
            check_presence(path, {"checked": "sha256"}, read_checked(path)[1])


def test_a_file_of_an_earlier_version_has_no_checksum(tmp_path: Path) -> None:
    (tmp_path / "old.onnx").write_bytes(b"old")
    assert read_checked(tmp_path / "old.onnx") == (b"old", False)
    assert not check_presence(tmp_path / "old.onnx", {}, False)
