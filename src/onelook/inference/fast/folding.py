"""Batch-norm folding: merge batch norms into the convolutions before them, for inference."""

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from onelook.model.resnet import BasicBlock, Bottleneck, ResNet

# Modules whose children run in the order of registration, so that a batch norm follows its convolution.
_SEQUENTIAL_MODULES = (nn.Sequential, BasicBlock, Bottleneck, ResNet)


def fold_batch_norms(network: nn.Module) -> None:
    """Fold each batch norm into the convolution before it, in place.

    The network must be in evaluation mode. Its state dict has other keys afterwards.
    """
    for module in network.modules():
        if isinstance(module, _SEQUENTIAL_MODULES):
            for name, next_name in pairwise(list(module._modules)):
                conv, norm = module._modules[name], module._modules[next_name]
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    setattr(module, name, fuse_conv_bn_eval(conv, norm))
                    setattr(module, next_name, nn.Identity())
