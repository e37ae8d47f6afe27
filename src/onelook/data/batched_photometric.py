"""Photometric distortion of a batch of images in torch, on any device.

- The effects and their parameters are those of `photometric.distort_image`. Images differ from its images by one gray
  level at most, because of the order of summation, except for the values of the noise.
- Operations and sizes are the same for any parameters and any batch size, and the host does not wait.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from onelook.data.photometric import PhotometricParams

# lowbias32, an integer hash (Wellons 2018): shifts, and multipliers as int32.
_HASH_STEPS = ((16, 0x7FEB352D), (15, 0x846CA68B - 2**32))
_LAST_SHIFT = 16


@dataclass(frozen=True, eq=False)
class PhotometricBatch:
    """Drawn distortions of B images.

    All parameters but the seeds are in one tensor, which needs one copy to a device.

    Attributes:
        params: (B, 10) float32: three gains, shift, 1 for gray scale, blur sigma, downscale, noise std, hue in degrees
            and saturation.
        noise_seeds: (B,) int32.
        recolors: True if hue or saturation of some image changes. Known on the CPU, so that no step waits for it.
    """

    params: Tensor
    noise_seeds: Tensor
    recolors: bool


def stack_photometric(params: Sequence[PhotometricParams]) -> PhotometricBatch:
    """Stack the drawn parameters of B images on the CPU."""
    rows = [[*p.gains, p.shift, p.is_gray, p.blur_sigma, p.downscale, p.noise_std, p.hue, p.saturation] for p in params]
    return PhotometricBatch(
        torch.from_numpy(np.array(rows, np.float32)),
        torch.tensor([p.noise_seed for p in params], dtype=torch.int32),
        recolors=any(p.hue != 0 or p.saturation != 1 for p in params),
    )


def distort_images(images: Tensor, photometric: PhotometricBatch | None) -> Tensor:
    """Distort brightness, color and sharpness of images on their device.

    Call it outside autocast, which would round the pixels.

    Args:
        images: (B, 3, side, side) uint8.
        photometric: on the same device; None where the loader has distorted the images, which are then returned.

    Returns:
        (B, 3, side, side) uint8, channels last in memory.
    """
    if photometric is None:
        return images
    shift, is_gray, blur_sigma, downscale, noise_std, hue, saturation = photometric.params[
        :, 3:, None, None, None
    ].unbind(1)
    pixels = images.permute(0, 2, 3, 1)
    if photometric.recolors:
        shifted = shift_hue_saturation(pixels / 255, hue[..., 0], saturation[..., 0]) * 255
        pixels = torch.where((hue != 0) | (saturation != 1), shifted, pixels)  # exact without a change
    pixels = pixels * photometric.params[:, None, None, :3] + shift
    red, green, blue = pixels.split(1, dim=3)
    pixels = torch.where(is_gray > 0, (red + green + blue) / 3, pixels)
    resampled = _resample(pixels, _resampling_matrices(images.shape[2], blur_sigma[..., 0], downscale[..., 0]))
    # The matrix of an image without blur and downscaling is the identity; its pixels are exact in any precision.
    pixels = torch.where((blur_sigma > 0) | (downscale < 1), resampled, pixels)
    noise = gaussian_noise(photometric.noise_seeds, pixels[0].numel()).view(pixels.shape)
    distorted = (pixels + noise * noise_std).clip(0, 255).to(torch.uint8).permute(0, 3, 1, 2)
    return distorted.contiguous(memory_format=torch.channels_last)


def shift_hue_saturation(pixels: Tensor, hue: Tensor, saturation: Tensor) -> Tensor:
    """Rotate the hue and scale the saturation in HSV (Smith, SIGGRAPH 1978).

    Args:
        pixels: (..., 3) RGB in 0..1.
        hue: rotation in degrees, broadcast to (...).
        saturation: factor, broadcast to (...).

    Returns:
        (..., 3) RGB in 0..1.
    """
    red, green, blue = pixels.unbind(-1)
    value = pixels.amax(-1)
    chroma = value - pixels.amin(-1)
    safe = chroma.clamp(min=1e-12)
    sector = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    chroma = (chroma * saturation).minimum(value)  # the saturation, chroma / value, is at most 1
    sector = sector + hue / 60
    channels = []
    for start in (5, 3, 1):  # red, green and blue are lowest where the hue is opposite to them
        position = (start + sector).remainder(6)
        channels.append(value - chroma * position.minimum(4 - position).clamp(0, 1))
    return torch.stack(channels, -1)


def _resample(pixels: Tensor, matrices: Tensor) -> Tensor:
    """Multiply rows and columns of images (B, side, side, 3) by matrices (B, side, side)."""
    for _ in range(2):  # each pass resamples the first axis and swaps the two
        pixels = torch.bmm(matrices, pixels.flatten(2)).view(pixels.shape).transpose(1, 2)
    return pixels


def _resampling_matrices(side: int, blur_sigma: Tensor, downscale: Tensor) -> Tensor:
    """Return the blur, the downscaling by area and the linear upscaling along one axis as matrices.

    Blur and resizing are separable and linear, so that one matrix per image has both.

    Args:
        side: pixels along the axis.
        blur_sigma: (B, 1, 1), 0 for no blur.
        downscale: (B, 1, 1), 1 for no downscaling.

    Returns:
        (B, side, side) float32; a row has the weights of the input pixels of an output pixel.
    """
    pixel = torch.arange(side, device=blur_sigma.device, dtype=torch.float32)
    size = (side * downscale).round()  # as cv2.resize: half to even
    position = ((pixel[:, None] + 0.5) * (size / side) - 0.5).clamp(min=0).minimum(size - 1)  # (B, side, 1)
    low = position.floor()
    fraction = position - low
    lower, upper = (_area_weights(pixel, index, downscale) for index in (low, (low + 1).minimum(size - 1)))
    return torch.bmm(lower + fraction * (upper - lower), _blur_matrices(pixel, blur_sigma))


def _area_weights(pixel: Tensor, index: Tensor, downscale: Tensor) -> Tensor:
    """Return the fractions (B, n, side) of the downscaled pixels `index` (B, n, 1) that pixels (side,) cover."""
    start = index / downscale
    end = ((index + 1) / downscale).clamp(max=len(pixel))
    return ((pixel + 1).minimum(end) - pixel.maximum(start)).clamp(min=0) / (end - start)


def _blur_matrices(pixel: Tensor, sigma: Tensor) -> Tensor:
    """Return Gaussian blurs (B, side, side) of cv2's kernel size for float32 and its border (BORDER_REFLECT_101)."""
    radius = ((8 * sigma + 1).round() / 2).floor()
    last = len(pixel) - 1
    rows = pixel[:, None]
    # Each column is also the mirror image of one before the first and one after the last pixel, but for the edges.
    offsets = (
        pixel - rows,
        torch.where(pixel > 0, pixel + rows, math.inf),
        torch.where(pixel < last, 2 * last - pixel - rows, math.inf),
    )
    exponents = -0.5 / sigma.clamp(min=1e-3).square()
    weights = [torch.where(offset.abs() <= radius, (exponents * offset.square()).exp(), 0.0) for offset in offsets]
    matrix = weights[0] + weights[1] + weights[2]
    return matrix / matrix.sum(2, keepdim=True)


def gaussian_noise(seeds: Tensor, count: int) -> Tensor:
    """Compute standard normal noise as a function of seed and index alone.

    The noise of an image does not depend on its batch, process or device, except for rounding.

    Args:
        seeds: (B,) int32.
        count: values per seed.

    Returns:
        (B, count) float32.
    """
    pairs = (count + 1) // 2
    index = torch.arange(2 * pairs, device=seeds.device, dtype=torch.int32)
    bits = _hash(_hash(index) ^ _hash(seeds)[:, None])
    uniform = ((bits >> 8) & 0xFFFFFF).float() / 2**24  # in [0, 1)
    first, second = uniform.split(pairs, dim=1)
    # Box and Muller 1958.
    radius = (-2 * (1 - first).log()).sqrt()
    angle = 2 * math.pi * second
    return torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)[:, :count]


def _hash(values: Tensor) -> Tensor:
    """Hash int32 values to int32 values, bit by bit random."""
    for shift, multiplier in _HASH_STEPS:
        values = _xor_shift(values, shift) * multiplier
    return _xor_shift(values, _LAST_SHIFT)


def _xor_shift(values: Tensor, shift: int) -> Tensor:
    # int32 shifts copy the sign bit; the mask makes the shift logical.
    return values ^ ((values >> shift) & (2 ** (32 - shift) - 1))
