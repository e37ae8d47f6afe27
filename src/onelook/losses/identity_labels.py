"""Which faces have an identity to learn from."""

from torch import Tensor

NO_IDENTITY = -1


def select_labeled(embeddings: Tensor, identities: Tensor) -> tuple[Tensor, Tensor]:
    """The k faces of n whose identity is known: embeddings (k, size), in float32, and identities (k,)."""
    known = identities != NO_IDENTITY
    return embeddings[known].float(), identities[known]
