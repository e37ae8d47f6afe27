"""RetinaFace's pixel loss of rendered faces (Deng et al., arXiv 1905.00641, equation 2)."""

from torch import Tensor

from onelook.distributed import loss_divisor


def pixel_loss(rendered: Tensor, mask: Tensor, target: Tensor) -> Tensor:
    """Compute the mean L1 color distance of rendered faces and photos.

    The mean is first over the rendered pixels of a face, then over the faces of the batch with a rendered pixel.

    Args:
        rendered: (n, h, w, 3) RGB.
        mask: (n, h, w) bool, True where a face is rendered.
        target: (n, h, w, 3) RGB of the same range.

    Returns:
        A scalar; 0 where nothing is rendered.
    """
    distances = (rendered - target).abs().sum(-1).where(mask, 0).sum((1, 2))
    pixels = mask.sum((1, 2))
    return (distances / pixels.clip(min=1)).sum() / loss_divisor((pixels > 0).sum())
