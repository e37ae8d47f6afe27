"""Optimizer and learning rates: groups of parameters, and factors of the schedules."""

from math import cos, pi
from typing import Any

import torch
from torch import nn

from onelook.model.deformable import OFFSET_LR_MULT
from onelook.settings import PretrainedPart, StepSchedule, TrainSettings

# One-cycle schedule: fraction of the steps that warm up, and factors of the learning rate at both ends.
_WARMUP_FRACTION = 0.15
_INITIAL_FACTOR = 0.04
_FINAL_FACTOR = 0.001
# Warmup-stable-decay schedule.
_WARMUP_STEPS = 500
_DECAY_FRACTION = 0.2


def parameter_groups(
    modules: nn.ModuleDict, pretrained: PretrainedPart, settings: TrainSettings
) -> list[dict[str, Any]]:
    """Group the parameters by learning-rate factor (`lr_mult`) and weight decay.

    - The pretrained backbone has the factor `backbone_lr_mult`; of a pretrained detector, all of it has.
    - Offsets of deformable convolutions have a factor of their own.
    - Norms and biases have no weight decay.
    """
    prefixes = {
        "backbone": "network.detector.backbone.",
        "detector": "network.detector.",
        "network": "network.detector.",
    }
    prefix = prefixes.get(pretrained)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in modules.named_parameters():
        if parameter.requires_grad:
            lr_mult = settings.backbone_lr_mult if prefix is not None and name.startswith(prefix) else 1.0
            lr_mult *= OFFSET_LR_MULT if ".offsets." in name else 1.0
            weight_decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((lr_mult, weight_decay), []).append(parameter)
    return [
        {"params": parameters, "weight_decay": weight_decay, "lr_mult": lr_mult}
        for (lr_mult, weight_decay), parameters in groups.items()
    ]


def build_optimizer(groups: list[dict[str, Any]], settings: TrainSettings) -> torch.optim.Optimizer:
    """Build the optimizer of the settings for groups of parameters, with learning rates of 0."""
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=0.0)
    return torch.optim.SGD(groups, lr=0.0, momentum=settings.momentum)


def set_learning_rates(
    optimizer: torch.optim.Optimizer, settings: TrainSettings, step: int, steps_per_epoch: int
) -> None:
    """Set the learning rates of a step, counted from the start of training."""
    steps = steps_per_epoch * settings.epochs
    if settings.schedule == "one_cycle":
        factor = one_cycle_factor(step, steps)
    elif settings.schedule == "stable_decay":
        factor = stable_decay_factor(step, steps)
    else:
        factor = step_decay_factor(step / steps_per_epoch, settings.steps)
    for group in optimizer.param_groups:
        group["lr"] = settings.learning_rate * group["lr_mult"] * factor


def one_cycle_factor(step: int, steps: int) -> float:
    """Compute the learning-rate factor of the one-cycle schedule (Smith and Topin 2018), with cosine annealing."""
    warmup = max(1, round(_WARMUP_FRACTION * steps))
    if step < warmup:
        return _cosine(_INITIAL_FACTOR, 1, step / warmup)
    return _cosine(1, _FINAL_FACTOR, (step - warmup) / max(1, steps - warmup))


def stable_decay_factor(step: int, steps: int) -> float:
    """Compute the learning-rate factor of the warmup-stable-decay schedule (Hu et al. 2024, MiniCPM, section 4).

    A linear warmup of `_WARMUP_STEPS` steps, then 1, and in the last fifth of the steps a linear decay to zero. Up to
    the decay nothing depends on the number of steps, so a longer training continues from a checkpoint before it.
    """
    stable = round((1 - _DECAY_FRACTION) * steps)
    warmup = min(1.0, (step + 1) / _WARMUP_STEPS)
    return warmup * min(1.0, (steps - step) / max(1, steps - stable))


def step_decay_factor(epoch: float, settings: StepSchedule) -> float:
    """Compute the learning-rate factor at a fractional epoch: linear warmup, then 0.1 at each milestone."""
    if epoch < settings.warmup_epochs:
        return settings.warmup_start_factor + (1 - settings.warmup_start_factor) * epoch / settings.warmup_epochs
    return 0.1 ** sum(epoch >= milestone for milestone in settings.milestones)


def _cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * (1 + cos(pi * fraction)) / 2
