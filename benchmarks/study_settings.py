"""Settings that the studies share.

LFW's training people in composed scenes, a teacher, a few short epochs.

A helper of the studies. Everything that is not named here is as in params.yaml.
"""

from pathlib import Path


def common(data: Path) -> tuple[str, ...]:
    """Return the settings common to all kinds of training.

    `data` holds lfw/ and weights/.
    """
    return (
        "base.threads=1",  # two experiments share two cores better than two threads share an experiment
        "prepare.reader=lfw",
        f"prepare.lfw.path={data.resolve() / 'lfw'}",
        "prepare.annotate.upscale=1",
        "prepare.split.train=0.7",
        "prepare.split.validation=0.04",
        "prepare.split.test=0.26",
        "prepare.compose.train=900",
        "prepare.compose.blended_identities=0",
        "prepare.compose.test=10",  # nobody looks at them
        f"teacher.path={data.resolve() / 'weights/mobilefacenet.onnx'}",
        "model.init=wheel",
        # The embedding head that the tables in docs/ were measured with.
        "model.embedding.strides=[2,4,8,16]",
        "model.embedding.depths=[2,2]",
        "train.epochs=2",
        "train.learning_rate=0.002",
        "train.backbone_lr_mult=0.1",
        "train.weights.identity=0.1",
        "train.weights.distillation=10",
        "train.augment.landmark_jitter=0.01",
    )
