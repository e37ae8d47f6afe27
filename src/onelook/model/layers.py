"""The blocks the network is made of."""

from typing import NamedTuple

from torch import Tensor


class BackboneFeatures(NamedTuple):
    """The trunk's maps at strides 2, 4, 8, 16 and 32, each.

    B, channels, ceil(H / stride, ceil(W / stride)).
    """

    c1: Tensor
    c2: Tensor
    c3: Tensor
    c4: Tensor
    c5: Tensor
