"""Train with the rounding of INT8 in place: quantisation-aware training of a network's convolutions.

What a convolution reads, and its weights, are rounded to the levels that the Q/DQ model will have, and stay floats.
Gradients pass as if nothing was rounded (https://arxiv.org/abs/1308.3432) and stop where a value is cut off
(https://arxiv.org/abs/1712.05877). A batch normalisation behind a convolution needs no folding for that: it multiplies
a channel by one number, and each channel of the weights has a step of its own.

Importing this module imports Paddle. Import it only where a model is trained.
"""

from __future__ import annotations

import zlib  # noqa: F401  # before paddle 2.6.2, else a later inflate crashes (PaddlePaddle/Paddle#70538)

import paddle
from paddle import nn

LEVELS = 255  # steps between the lowest and the highest value of an activation
WEIGHT_LEVELS = 64  # steps to either side of zero: 7 bits, so that sums do not saturate on a CPU without VNNI either
MOMENTUM = 0.95  # of the range of activations over iterations


def fake_quantize(layer: nn.Layer) -> None:
    """Round what every convolution of `layer` reads, and its weights, from now on. Names of weights stay."""
    for part in layer.sublayers():
        if isinstance(part, nn.Conv2D):
            part.forward = FakeQuantized(part)


def keep_statistics(layer: nn.Layer) -> None:
    """Let batch normalisation keep its mean and variance from now on: the deployed network is folded with them."""
    for part in layer.sublayers():
        if isinstance(part, nn.BatchNorm2D):
            part._use_global_stats = True


class FakeQuantized:
    """The forward pass of a convolution in fake 8 bits. The range of what it reads follows the training's images."""

    def __init__(self, convolution: nn.Conv2D) -> None:
        self._convolution = convolution
        self._range: tuple[float, float] | None = None

    def __call__(self, x: paddle.Tensor) -> paddle.Tensor:
        """Map float32 N×C×H×W as the convolution does."""
        it = self._convolution
        if it.training or self._range is None:
            self._follow(min(float(x.min()), 0.0), max(float(x.max()), 0.0))
        return nn.functional.conv2d(
            rounded(x, *(self._range or (0.0, 0.0))), rounded_weight(it.weight), it.bias,
            stride=it._stride, padding=it._padding, dilation=it._dilation, groups=it._groups,
        )  # fmt: skip

    def _follow(self, low: float, high: float) -> None:
        before = self._range or (low, high)
        self._range = (
            MOMENTUM * before[0] + (1 - MOMENTUM) * low,
            MOMENTUM * before[1] + (1 - MOMENTUM) * high,
        )


def rounded(x: paddle.Tensor, low: float, high: float) -> paddle.Tensor:
    """Cut `x` off at low ≤ 0 and high ≥ 0, and round it to 256 levels, of which one is zero."""
    step = (high - low) / LEVELS or 1.0
    zero = round(-low / step)
    cut = x.clip(-zero * step, (LEVELS - zero) * step)
    return cut + ((cut / step).round() * step - cut).detach()


def rounded_weight(weight: paddle.Tensor) -> paddle.Tensor:
    """Round each output channel of a convolution's weights to steps of its own, symmetric around zero."""
    step = (weight.abs().max(axis=[1, 2, 3], keepdim=True) / WEIGHT_LEVELS).clip(1e-12).detach()
    return weight + ((weight / step).round() * step - weight).detach()
