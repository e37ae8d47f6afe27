"""What has to be there before training starts."""

from onelook.data.morphable_model import MorphableModel, read_morphable_model
from onelook.data.scene_dataset import SceneDataset
from onelook.errors import DataError
from onelook.model.joint_network import JointNetwork
from onelook.settings import TrainSettings


def check_labels(network: JointNetwork, scenes: SceneDataset, settings: TrainSettings) -> None:
    """Raises DataError where a task that is to be trained has nothing to learn from."""
    if settings.tasks != "detection" and not scenes.identities:
        raise DataError(
            f"{scenes.manifest.root}: no training scene holds a person; set train.tasks: detection, or "
            "prepare more photos"
        )
    on_scenes = settings.batch_size > 0 and settings.tasks != "recognition"
    if network.mesh is not None and not (scenes.meshes and on_scenes):
        raise DataError(
            "model.mesh: true needs meshes to learn from: set prepare.mesh_labels: true, train.batch_size above 0 and "
            "train.tasks: both or detection"
        )


def require_morphable_model(scenes: SceneDataset, settings: TrainSettings) -> MorphableModel:
    """What the dense head starts from. Raises DataError without one, or without scenes to learn on."""
    basis = read_morphable_model(scenes.manifest)
    if basis is None or settings.batch_size == 0 or settings.tasks == "recognition":
        raise DataError(
            "model.dense: true needs a basis to start from: set prepare.mesh_labels and prepare.morphable_model: true, train.batch_size "
            "above 0 and train.tasks: both or detection"
        )
    return basis
