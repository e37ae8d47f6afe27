"""Choice of a device by name, and messages where it is not available."""

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch

from onelook.device import check_precision, describe_device, half_precision, rank_device, resolve_device, to_device
from onelook.errors import OnelookError


def set_cards(monkeypatch: pytest.MonkeyPatch, cards: int) -> None:
    """Pretend that torch finds this number of CUDA cards."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cards > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)


def set_mps(monkeypatch: pytest.MonkeyPatch, available: bool) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: available)


@pytest.mark.parametrize(
    ("cards", "mps", "expected"), [(2, True, "cuda:0"), (0, True, "mps"), (0, False, "cpu"), (1, False, "cuda:0")]
)
def test_auto_takes_cuda_then_mps_then_the_cpu(
    cards: int, mps: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_cards(monkeypatch, cards)
    set_mps(monkeypatch, mps)
    assert resolve_device("auto") == torch.device(expected)
    assert resolve_device("cpu") == torch.device("cpu")


def test_a_card_is_named_by_its_index(monkeypatch: pytest.MonkeyPatch) -> None:
    set_cards(monkeypatch, 2)
    assert [resolve_device(name) for name in ("cuda", "cuda:1")] == [torch.device("cuda:0"), torch.device("cuda:1")]
    with pytest.raises(OnelookError, match=r"^device cuda:2: there is no such card, the last one is cuda:1; name that"):
        resolve_device("cuda:2")


def test_cuda_with_a_torch_for_the_cpu_names_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    set_cards(monkeypatch, 0)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: False)
    with pytest.raises(OnelookError, match=r"^device cuda: torch .* is built without CUDA; install the CUDA build"):
        resolve_device("cuda")


def test_cuda_with_an_old_driver_repeats_what_torch_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def init() -> None:
        raise RuntimeError(
            "The NVIDIA driver on your system is too old (found version 11040). Please update\nyour GPU."
        )

    set_cards(monkeypatch, 0)
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "init", init)
    monkeypatch.setattr(torch.version, "cuda", "12.6")
    with pytest.raises(OnelookError) as caught:
        resolve_device("cuda:1")
    assert str(caught.value) == (
        "device cuda:1: The NVIDIA driver on your system is too old (found version 11040); "
        "install a driver for CUDA 12.6, which this torch is built for, or name device cpu"
    )


def test_mps_without_an_apple_gpu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    set_mps(monkeypatch, False)
    with pytest.raises(OnelookError, match=r"^device mps: torch finds no Apple GPU"):
        resolve_device("mps")


def test_each_process_of_a_machine_has_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    set_cards(monkeypatch, 2)
    for name in ("auto", "cuda"):
        assert [rank_device(name, rank, 2) for rank in (0, 1)] == [torch.device("cuda:0"), torch.device("cuda:1")]
    assert rank_device("cpu", 3, 4) == torch.device("cpu")
    assert rank_device("cuda:1", 0, 1) == torch.device("cuda:1")
    with pytest.raises(OnelookError, match=r"^device cuda: 3 processes need a card each, but there are 2; lower train"):
        rank_device("cuda", 0, 3)
    with pytest.raises(OnelookError, match=r"^device cuda:1: 2 processes need a card each; set base\.device: cuda$"):
        rank_device("cuda:1", 0, 2)
    set_cards(monkeypatch, 0)
    set_mps(monkeypatch, True)
    with pytest.raises(OnelookError, match=r"^device mps: 2 processes cannot share"):
        rank_device("auto", 0, 2)


@pytest.mark.parametrize("name", ["gpu", "cuda:", "cuda:one", "cpu:0", "", "cpu\n"])
def test_an_unknown_name_is_an_error(name: str) -> None:
    with pytest.raises(OnelookError, match="unknown; name auto, cpu, cuda, cuda:N or mps"):
        resolve_device(name)


class Pair(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


@dataclass(frozen=True)
class Batch:
    images: torch.Tensor
    boxes: list[torch.Tensor]
    meshes: list[torch.Tensor] | None
    pair: Pair
    size: int


def test_tensors_of_nested_values_are_copied_to_the_device() -> None:
    x = torch.ones(2)
    batch = Batch(x, [x, x], None, Pair(x, x), 3)
    moved = to_device({"batch": batch, "epoch": 1}, torch.device("meta"))
    assert (moved["epoch"], moved["batch"].meshes, moved["batch"].size) == (1, None, 3)
    copied = moved["batch"]
    assert all(each.is_meta for each in (copied.images, *copied.boxes, *copied.pair)) and isinstance(copied.pair, Pair)


def test_a_value_on_the_device_is_not_copied() -> None:
    x = torch.ones(2)
    assert to_device([x], torch.device("cpu"))[0] is x


def set_capability(monkeypatch: pytest.MonkeyPatch, *capability: int) -> None:
    """Pretend that the cards have a compute capability, and a name."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")


def test_a_device_is_described_with_the_name_of_its_card(monkeypatch: pytest.MonkeyPatch) -> None:
    set_capability(monkeypatch, 7, 5)
    assert describe_device(torch.device("cuda:1")) == "cuda:1 Tesla T4"
    assert [describe_device(torch.device(name)) for name in ("cpu", "mps")] == ["cpu", "mps"]


def test_a_card_without_bfloat16_computes_in_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    card = torch.device("cuda:0")
    set_capability(monkeypatch, 7, 5)
    assert half_precision(card) == "float16"
    for precision in ("float16", "float32"):
        check_precision(precision, card)
    with pytest.raises(OnelookError, match=r"^precision bfloat16: cuda:0 Tesla T4 lacks it; name float16 or float32$"):
        check_precision("bfloat16", card)
    set_capability(monkeypatch, 8, 0)
    assert half_precision(card) == "bfloat16"
    check_precision("bfloat16", card)


def test_the_cpu_does_not_compute_in_float16() -> None:
    cpu = torch.device("cpu")
    assert half_precision(cpu) == "bfloat16"
    check_precision("bfloat16", cpu)
    with pytest.raises(OnelookError, match=r"^precision float16: not for the CPU; name bfloat16 or float32$"):
        check_precision("float16", cpu)
