"""An open-set model with round numbers."""

from onelook.face_quality import QualityLimits
from onelook.open_set import ImpostorModel, NormalTail, OpenSetModel, YoungFaces
from onelook.score_normalization import ImpostorPrior


def make_open_set_model(young_direction: tuple[float, ...] | None = None) -> OpenSetModel:
    """Make a model of standard normal scores; faces along `young_direction` are young."""
    young = None
    if young_direction is not None:
        tail = NormalTail(mean=0.4, std=0.12)
        young = YoungFaces(direction=young_direction, limit=0.5, impostors=tail)
    return OpenSetModel(
        prior=ImpostorPrior(mean=0.0, std=0.2, mean_weight=10, std_weight=40),
        impostors=ImpostorModel(mean=0.0, std=1.0, intercept=-1.0, slope=0.8),
        young=young,
        poor=QualityLimits(size=40, sharpness=0.4, profile=0.25),
        unusable=QualityLimits(size=24, sharpness=0.2, profile=0.4),
    )
