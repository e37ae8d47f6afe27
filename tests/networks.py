"""Small networks for tests: the settings of the light form, in full, with what differs."""

from typing import Any

from onelook.settings import Embedding, Model


def tiny_embedding(width: int, **changes: Any) -> Embedding:
    """An embedding head of `width` channels throughout, with embeddings of that length."""
    plain = {"size": width, "channels": width, "strides": (2, 4, 8, 16), "grid": 14, "sampling": "warp", "extent": 1}
    plain |= {"widths": (width, width), "depths": (0, 0), "gather": width}
    return Embedding.model_validate(plain | changes)


def light_model(embedding: Embedding, **changes: Any) -> Model:
    """RetinaFace's light form that starts from nothing."""
    plain = {"form": "retinaface", "grid": {"scales": (5,), "side": 160, "channels": 8}}
    plain |= {"backbone": "mobilenet", "width": 0.25, "levels": "light", "pyramid": 64, "context": "plain"}
    plain |= {"cascade": False, "mesh": False, "dense": False, "start": "nothing", "checkpoint": ""}
    plain |= {"embedding": embedding}
    return Model.model_validate(plain | changes)
