from pathlib import Path

import pytest
import torch

from onelook.errors import ModelError
from onelook.training.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint, training_key


def test_a_checkpoint_is_read_with_its_key_alone(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path, "key") is None
    save_checkpoint(tmp_path, "key", {"weight": torch.ones(2)})
    state = load_checkpoint(tmp_path, "key")
    assert state is not None and state["weight"].tolist() == [1, 1]
    assert load_checkpoint(tmp_path, "other") is None


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 half a file", b"text", b"\x80\x02X\1", b"\x80\x02X\xff\xff\xff\x7f"]
)
def test_a_damaged_checkpoint_is_reported_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CHECKPOINT).write_bytes(content)
    with pytest.raises(ModelError, match="damaged; delete it") as caught:
        load_checkpoint(tmp_path, "key")
    assert "\n" not in str(caught.value)


def test_the_key_depends_on_every_part_and_not_on_the_order_of_keys() -> None:
    assert training_key({"a": 1, "b": 2}, "x") == training_key({"b": 2, "a": 1}, "x")
    assert len({training_key({"a": 1}, "x"), training_key({"a": 2}, "x"), training_key({"a": 1}, "y")}) == 3
