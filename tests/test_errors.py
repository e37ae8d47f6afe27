from collections.abc import Callable

import numpy as np
import pytest
import torch

from onelook.errors import is_out_of_memory


@pytest.mark.parametrize("allocate", [lambda: np.empty(1 << 60, np.uint8), lambda: torch.empty(1 << 60)])
def test_libraries_out_of_memory_are_recognized(allocate: Callable[[], object]) -> None:
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        allocate()
    assert is_out_of_memory(caught.value)


def test_damage_is_no_lack_of_memory() -> None:
    assert not is_out_of_memory(RuntimeError("size mismatch for conv.weight"))
