"""The learning rate as a function of the step alone, so that a resumed run needs no schedule state."""

from math import cos, pi

from onelook.settings import StepSchedule

_WARM_UP = 0.15
_START = 0.04
_END = 0.001


def one_cycle(step: int, steps: int) -> float:
    """Share of the peak learning rate at `step` of `steps`: up, then down (Smith and Topin 2018, cosine flanks)."""
    rise = max(1, round(_WARM_UP * steps))
    if step < rise:
        return _blend(_START, 1, step / rise)
    return _blend(1, _END, (step - rise) / max(1, steps - rise))


def step_decay(epoch: float, settings: StepSchedule) -> float:
    """Share of the peak learning rate after `epoch` epochs, a fraction within one: evenly up, then down by tenths."""
    if epoch < settings.warmup_epochs:
        return settings.warmup_start_factor + (1 - settings.warmup_start_factor) * epoch / settings.warmup_epochs
    return 0.1 ** sum(epoch >= drop for drop in settings.milestones)


def _blend(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + cos(pi * share)) / 2
