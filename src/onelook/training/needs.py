"""What has to be there before training starts."""

from onelook.data.basis import Basis, read_basis
from onelook.data.batches import TrainingScenes
from onelook.errors import DataError
from onelook.model.joint import JointNetwork
from onelook.settings import Train


def check_labels(network: JointNetwork, scenes: TrainingScenes, settings: Train) -> None:
    """Raises DataError where a task that is to be trained has nothing to learn from."""
    if settings.tasks != "detection" and not scenes.identities:
        raise DataError(
            f"{scenes.manifest.root}: no training scene holds a person; set train.tasks: detection, or "
            "prepare more photos"
        )
    on_scenes = settings.batch > 0 and settings.tasks != "recognition"
    if network.mesh is not None and not (scenes.meshes and on_scenes):
        raise DataError(
            "model.mesh: true needs meshes to learn from: set prepare.meshes: true, train.batch above 0 and "
            "train.tasks: both or detection"
        )


def known_basis(scenes: TrainingScenes, settings: Train) -> Basis:
    """What the dense head starts from. Raises DataError without one, or without scenes to learn on."""
    basis = read_basis(scenes.manifest)
    if basis is None or settings.batch == 0 or settings.tasks == "recognition":
        raise DataError(
            "model.dense: true needs a basis to start from: set prepare.meshes and prepare.basis: true, train.batch "
            "above 0 and train.tasks: both or detection"
        )
    return basis
