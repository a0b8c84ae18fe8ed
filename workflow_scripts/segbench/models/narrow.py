"""Narrow forms of PaddleSeg's networks, small enough to train on two CPU cores and keep in a repository.

Eight are built here. Others are described by a configuration of PaddleSeg's, for which `WITH_WIDTHS` has the classes.

The heads are PaddleSeg's own classes (`paddleseg.models`), so that the graphs have the operators that the full-size
models have: pyramid pooling, non-local attention, EM attention, dilated separable convolutions. They differ in width,
in the backbone (our own, of output stride 8), and in the auxiliary heads (left out).

Importing this module imports Paddle. Import it only where a model is built.
"""

from __future__ import annotations

import os
import zlib  # noqa: F401  # before paddle 2.6.2, else a later inflate crashes (PaddlePaddle/Paddle#70538)
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from paddle import nn
from paddleseg import models
from paddleseg.models import bisenet, layers
from paddleseg.models.backbones.hrnet import HRNet
from paddleseg.models.backbones.mix_transformer import MixVisionTransformer
from paddleseg.models.backbones.stdcnet import STDCNet
from paddleseg.models.danet import DAHead
from paddleseg.models.deeplab import Decoder as DeepLabDecoder
from paddleseg.models.unet import Decoder as UNetDecoder
from paddleseg.models.unet import Encoder as UNetEncoder
from paddleseg.models.unet import UpSampling

ARCHITECTURES = ("ann", "danet", "deeplabv3p", "dnlnet", "emanet", "gcnet", "pspnet", "unet")


class Bottleneck(nn.Layer):
    """ResNet's bottleneck block: 1×1, 3×3 (strided or dilated), 1×1, with a projected or identity shortcut.

    He et al., "Deep Residual Learning for Image Recognition" (https://arxiv.org/abs/1512.03385); the shortcut of a
    strided block averages before it projects, as ResNet-D does (https://arxiv.org/abs/1812.01187).
    """

    def __init__(self, in_channels: int, middle: int, out_channels: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.reduce = _conv_bn(in_channels, middle, 1)
        self.spatial = _conv_bn(middle, middle, 3, stride=stride, dilation=dilation)
        self.expand = _conv_bn(middle, out_channels, 1)
        self.shortcut: nn.Layer | None = None
        if stride > 1:
            self.shortcut = nn.Sequential(nn.AvgPool2D(stride, stride), _conv_bn(in_channels, out_channels, 1))
        elif in_channels != out_channels:
            self.shortcut = _conv_bn(in_channels, out_channels, 1)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        """Map float32 N×C×H×W to float32 N×out×(H/stride)×(W/stride)."""
        y = nn.functional.relu(self.reduce(x))
        y = nn.functional.relu(self.spatial(y))
        y = self.expand(y)
        return nn.functional.relu(y + (x if self.shortcut is None else self.shortcut(x)))


class NarrowResNet(nn.Layer):
    """A ResNet-style backbone of output stride 8: stem to stride 4, four stages at strides 4, 8, 8 and 8.

    As in PaddleSeg's ResNet50_vd at output stride 8, the last two stages are dilated (2 and 4) in place of a stride.
    `feat_channels` gives the channels of the four returned maps, as PaddleSeg's backbones do.
    """

    STEM = (16, 32)
    MIDDLE = (16, 32, 48, 64)
    OUT = (64, 128, 192, 256)
    BLOCKS = (2, 2, 3, 3)
    STRIDES = (1, 2, 1, 1)
    DILATIONS = (1, 1, 2, 4)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            _conv_bn(3, self.STEM[0], 3, stride=2),
            nn.ReLU(),
            _conv_bn(self.STEM[0], self.STEM[1], 3, stride=2),
            nn.ReLU(),
        )
        channels = self.STEM[1]
        stages = []
        for middle, out, blocks, stride, dilation in zip(
            self.MIDDLE, self.OUT, self.BLOCKS, self.STRIDES, self.DILATIONS, strict=True
        ):
            stage = [Bottleneck(channels, middle, out, stride, dilation)]
            stage += [Bottleneck(out, middle, out, 1, dilation) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(*stage))
            channels = out
        self.stages = nn.LayerList(stages)
        self.feat_channels = list(self.OUT)

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """Map float32 N×3×H×W to four float32 maps at strides 4, 8, 8 and 8."""
        x = self.stem(x)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class MainOnlyDAHead(DAHead):
    """DANet's head without its three auxiliary classifiers, which PaddleSeg computes in training mode only."""

    def forward(self, feat_list: list[paddle.Tensor]) -> list[paddle.Tensor]:
        """Map backbone maps to one float32 N×classes×(H/8)×(W/8) logit map, as the parent does in eval mode."""
        features = feat_list[-1]
        channel = self.conv1(self.cam(self.channel_conv(features)))
        position = self.conv2(self.pam(self.position_conv(features)))
        return [self.cls_head(position + channel)]


class NarrowDeepLabDecoder(DeepLabDecoder):
    """DeepLabV3+'s decoder with chosen widths. PaddleSeg has the literals 48, 304 and 256."""

    def __init__(self, classes: int, low_channels: int, low_width: int, width: int) -> None:
        nn.Layer.__init__(self)  # not the parent's: it would build the wide layers
        self.data_format = "NCHW"
        self.align_corners = False
        self.conv_bn_relu1 = layers.ConvBNReLU(low_channels, low_width, 1)
        self.conv_bn_relu2 = layers.SeparableConvBNReLU(width + low_width, width, 3, padding=1)
        self.conv_bn_relu3 = layers.SeparableConvBNReLU(width, width, 3, padding=1)
        self.conv = nn.Conv2D(width, classes, 1)


class NarrowUNetEncoder(UNetEncoder):
    """UNet's encoder at a fraction of its widths 64, 128, 256, 512, 512."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        nn.Layer.__init__(self)
        self.double_conv = nn.Sequential(layers.ConvBNReLU(3, widths[0], 3), layers.ConvBNReLU(widths[0], widths[0], 3))
        self.down_sample_list = nn.LayerList([self.down_sampling(a, b) for a, b in pairwise(widths)])


class NarrowUNetDecoder(UNetDecoder):
    """UNet's decoder for the narrow encoder: each step concatenates the shortcut of its own width."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        nn.Layer.__init__(self)
        # UpSampling doubles its input width for the shortcut: every step's input is as wide as its shortcut.
        outs = (*widths[-3::-1], widths[0])
        self.up_sample_list = nn.LayerList([UpSampling(a, b, False) for a, b in zip(widths[-2::-1], outs, strict=True)])


class NarrowUNet(models.UNet):
    """PaddleSeg's UNet with every width multiplied by `factor`."""

    def __init__(self, classes: int, factor: float) -> None:
        nn.Layer.__init__(self)
        widths = tuple(round(width * factor) for width in (64, 128, 256, 512, 512))
        self.encode = NarrowUNetEncoder(widths)
        self.decode = NarrowUNetDecoder(widths)
        self.cls = nn.Conv2D(widths[0], classes, 3, padding=1)


class NarrowBiSeNetV2(models.BiSeNetV2):
    """PaddleSeg's BiSeNetV2 with chosen widths, whose own are (64, 64, 128) and (16, 32, 64, 128). The auxiliary heads
    are left out.
    """

    def __init__(self, num_classes: int, detail_channels: list[int], semantic_channels: list[int]) -> None:
        nn.Layer.__init__(self)
        last = detail_channels[-1]
        if last != semantic_channels[-1]:
            raise ValueError(
                f"detail_channels end in {last} and semantic_channels in {semantic_channels[-1]}; they are multiplied,"
                " so must be equal"
            )
        self.db = bisenet.DetailBranch(3, detail_channels)
        self.sb = bisenet.SemanticBranch(3, semantic_channels)
        self.bga = bisenet.BGA(last, align_corners=False)
        self.head = bisenet.SegHead(last, last, num_classes)
        self.align_corners = False
        self.pretrained = None
        self.init_weight()

    def forward(self, x: paddle.Tensor) -> list[paddle.Tensor]:
        """Map float32 N×3×H×W to one float32 N×classes×H×W logit map, as the parent does in eval mode."""
        logits = self.head(self.bga(self.db(x), self.sb(x)[-1]))
        return [nn.functional.interpolate(logits, paddle.shape(x)[2:], mode="bilinear", align_corners=False)]


# Classes by the names that a configuration may give them beside those of PaddleSeg's registers, where each of these has
# a few fixed widths only.
WITH_WIDTHS = {of.__name__: of for of in (HRNet, MixVisionTransformer, NarrowBiSeNetV2, NarrowResNet, STDCNet)}


def build_narrow(architecture: str, classes: int) -> nn.Layer:
    """Build one narrow model with fresh random weights (`paddle.seed` decides them).

    Its forward takes float32 N×3×H×W (H and W multiples of 16), RGB in [-1, 1], and returns a list with one
    float32 N×classes×H×W logit map, in training and eval mode alike.

    Raises ValueError for an unknown architecture.
    """
    model = NarrowUNet(classes, factor=0.25) if architecture == "unet" else _build_on_backbone(architecture, classes)
    for layer in model.sublayers():
        if isinstance(layer, layers.ConvBNReLU | layers.ConvBN):
            layer._conv.bias = None  # BatchNorm cancels it, and its gradient takes a quarter of a step of UNet
    return model


def _build_on_backbone(architecture: str, classes: int) -> nn.Layer:
    """Build one of the seven models that share `NarrowResNet`."""
    backbone = NarrowResNet()
    if architecture == "ann":
        model = models.ANN(classes, backbone, key_value_channels=64, inter_channels=128, enable_auxiliary_loss=False)
        _drop(model.head, "auxlayer")
    elif architecture == "danet":
        model = models.DANet(classes, backbone, backbone_indices=(2, 3))
        model.head = MainOnlyDAHead(classes, model.backbone.feat_channels)
        _drop(model.head, "aux_head", "aux_head_pam", "aux_head_cam")
    elif architecture == "deeplabv3p":
        model = models.DeepLabV3P(classes, backbone, aspp_ratios=(1, 6, 12, 18), aspp_out_channels=96)
        model.head.decoder = NarrowDeepLabDecoder(classes, backbone.feat_channels[0], low_width=32, width=96)
    elif architecture == "dnlnet":
        model = models.DNLNet(classes, backbone, enable_auxiliary_loss=False)
        _drop(model.head, "aux")
    elif architecture == "emanet":
        model = models.EMANet(
            classes, backbone, ema_channels=64, gc_channels=64, num_bases=32, enable_auxiliary_loss=False
        )
        _drop(model.head, "aux")
    elif architecture == "gcnet":
        model = models.GCNet(classes, backbone, gc_channels=64, enable_auxiliary_loss=False)
    elif architecture == "pspnet":
        model = models.PSPNet(classes, backbone, pp_out_channels=96, enable_auxiliary_loss=False)
    else:
        raise ValueError(f"unknown architecture {architecture!r}; known: {', '.join(ARCHITECTURES)}")
    return model


def parameter_count(layer: nn.Layer) -> int:
    """Count the trainable values of a layer: weights, biases, BatchNorm scales and shifts, but no running
    statistics.
    """
    return sum(int(np.prod(parameter.shape)) for parameter in _trained(layer).values())


def save_arrays(layer: nn.Layer, path: str | Path) -> None:
    """Write a layer's state as one compressed `.npz`, names as in its `state_dict`, whole or not at all.

    Trained parameters become float16; BatchNorm's running statistics and EMANet's bases stay float32, because a
    small running variance has no float16 value and is divided by.

    Raises ValueError if a value is not finite or overflows float16.
    """
    trained = _trained(layer)
    arrays = {}
    for name, tensor in layer.state_dict().items():
        array = tensor.numpy()
        with np.errstate(over="ignore"):  # refused below, with its name
            stored = array.astype(np.float16 if name in trained else np.float32)
        if not np.isfinite(stored).all():
            raise ValueError(f"{name}: a value is not finite as {stored.dtype} (largest {np.abs(array).max()})")
        arrays[name] = stored
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
    os.replace(partial, path)


def load_arrays(layer: nn.Layer, arrays: str | Path | Mapping[str, Any]) -> None:
    """Set a layer's state from an `.npz` of `save_arrays`, or from a mapping of names to arrays.

    Every name of the layer's `state_dict` must be there with its shape, and no other name. Values are widened to the
    layer's float32. Pickled content is refused.

    Raises ValueError on a missing, unknown or misshapen array.
    """
    if isinstance(arrays, str | Path):
        with np.load(arrays, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    state = layer.state_dict()
    missing, unknown = sorted(state.keys() - arrays.keys()), sorted(arrays.keys() - state.keys())
    if missing or unknown:
        raise ValueError(f"the weights do not fit the model: missing {missing[:5]}, unknown {unknown[:5]}")
    for name, tensor in state.items():
        array = np.asarray(arrays[name])
        if list(array.shape) != list(tensor.shape):
            raise ValueError(f"{name}: stored shape {list(array.shape)}, the model's {list(tensor.shape)}")
        tensor.set_value(array.astype(np.float32))


def _conv_bn(in_channels: int, out_channels: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Return a convolution without bias, padded to keep H/stride, followed by BatchNorm."""
    return nn.Sequential(
        nn.Conv2D(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            bias_attr=False,
            weight_attr=paddle.ParamAttr(initializer=nn.initializer.KaimingNormal()),
        ),
        nn.BatchNorm2D(out_channels),
    )


def _trained(layer: nn.Layer) -> dict[str, paddle.Tensor]:
    """Return what an optimiser changes. `named_parameters` also has BatchNorm's running statistics, as frozen
    parameters.
    """
    return {name: parameter for name, parameter in layer.named_parameters() if not parameter.stop_gradient}


def _drop(layer: nn.Layer, *names: str) -> None:
    """Remove sublayers that PaddleSeg builds but never runs. Their weights would be useless."""
    for name in names:
        delattr(layer, name)
