"""RetinaFace's dense regression loss (Deng et al., arXiv 1905.00641, equation 2)."""

from torch import Tensor

from onelook.together import normaliser


def pixel_loss(rendered: Tensor, mask: Tensor, real: Tensor) -> Tensor:
    """The mean L1 distance of the colours of rendered and real faces, a scalar; 0 where nothing is rendered.

    Of each face the mean over its pixels where something is rendered, then over the faces that have one, in
    all processes that train together.

    Args:
        rendered: (n, h, w, 3) RGB.
        mask: (n, h, w) bool, where a face is rendered.
        real: (n, h, w, 3) RGB of the same range.
    """
    distances = (rendered - real).abs().sum(-1).where(mask, 0).sum((1, 2))
    pixels = mask.sum((1, 2))
    shown = pixels > 0
    return (distances / pixels.clip(min=1)).sum() / normaliser(int(shown.sum()))
