"""Triplets: two photos of a person closer to each other than to anyone else's (FaceNet, Schroff et al., CVPR 2015)."""

import torch
from torch import Tensor, nn

from onelook.objective.identities import with_identity


def triplet_loss(embeddings: Tensor, identities: Tensor, margin: float) -> Tensor:
    """Mean of |a - p|^2 - |a - n|^2 + margin over the mined triplets (section 3.1), 0 if there is none.

    Section 3.2: every pair of anchor and positive in the batch takes part, with its hardest semi-hard negative: the
    nearest of those further from the anchor than the positive, but by less than the margin. Pairs without
    one are left out, as are faces of `NO_IDENTITY`.

    Args:
        embeddings: (n, size), L2-normalised.
        identities: (n,).
        margin: in squared distance, of which the largest on the sphere is 4.
    """
    faces, truth = with_identity(embeddings, identities)
    if len(truth) == 0:
        return faces.sum()
    # On the sphere |a - b|^2 = 2 - 2 a.b, which has no square root to lose its gradient in.
    distances = 2 - 2 * faces @ faces.T
    same = truth[:, None] == truth
    anchors, positives = (same & ~torch.eye(len(truth), dtype=torch.bool, device=same.device)).nonzero(as_tuple=True)
    near = distances[anchors, positives]
    gaps = distances[anchors] - near[:, None]
    semi_hard = ~same[anchors] & (gaps > 0) & (gaps < margin)
    mined = semi_hard.any(1)
    hardest = gaps[mined].masked_fill(~semi_hard[mined], torch.inf).amin(1)
    return (margin - hardest).sum() / max(1, len(hardest))


class Triplets(nn.Module):
    """`triplet_loss` with its margin; it learns nothing of its own."""

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, embeddings: Tensor, identities: Tensor) -> Tensor:
        """As `triplet_loss`."""
        return triplet_loss(embeddings, identities, self.margin)
