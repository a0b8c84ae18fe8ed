"""Build the catalogue's models: networks of PaddleSeg's configurations, the eight of its page by short names, and the
demo's narrow ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from segbench.errors import InputError
from segbench.models import paddleseg_network
from segbench.models.checkpoint import Arrays

# The `model` sections of PaddleSeg release/2.8's configs/{name}/{name}_resnet50_os8_cityscapes_1024x512_80k.yml and
# configs/unet/unet_cityscapes_1024x512_160k.yml. Other arguments have the classes' defaults.
RESNET50 = {"type": "ResNet50_vd", "output_stride": 8}
SHORT_NAMES: dict[str, dict[str, Any]] = {
    "ann": {
        "type": "ANN",
        "backbone": RESNET50,
        "backbone_indices": [2, 3],
        "key_value_channels": 256,
        "inter_channels": 512,
    },
    "danet": {"type": "DANet", "backbone": RESNET50, "backbone_indices": [2, 3]},
    "deeplabv3p": {
        "type": "DeepLabV3P",
        "backbone": {**RESNET50, "multi_grid": [1, 2, 4]},
        "backbone_indices": [0, 3],
        "aspp_ratios": [1, 12, 24, 36],
    },
    "dnlnet": {"type": "DNLNet", "backbone": RESNET50},
    "emanet": {
        "type": "EMANet",
        "backbone": RESNET50,
        "ema_channels": 512,
        "gc_channels": 256,
        "num_bases": 64,
        "stage_num": 3,
    },
    "gcnet": {"type": "GCNet", "backbone": RESNET50, "gc_channels": 512, "ratio": 0.25},
    "pspnet": {"type": "PSPNet", "backbone": RESNET50, "enable_auxiliary_loss": True},
    "unet": {"type": "UNet", "use_deconv": False},
}
# Of the demo's networks: how they are trained, and what config/models.yaml says of them.
DEMO_PREPROCESSING = {"channel_order": "rgb", "scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3, "resize": "none"}
MIN_SIZE = 32  # UNet halves four times; a smaller image has no visible street left
SEED = 20250101
SAMPLE_SHAPE = (4, 3, 128, 256)  # images from which random weights get their normalisation statistics
SAMPLE_COUNT = 2  # the same, of a network that may take images of the entry's size only


def build(entry: dict[str, Any], height: int, width: int) -> Any:
    """Build the `paddle.nn.Layer` of a complete entry of kind `paddleseg` or `narrow`, in evaluation mode.

    Its forward takes float32 1×3×`height`×`width` and returns a list that begins with float32 logits
    1×class_count×`height`×`width`. Weights `random` are set by `randomise`, others by a later call of `load`. Raises
    InputError, beginning with the entry's key, for an input size that no architecture takes and for a network that
    PaddleSeg cannot build.
    """
    if min(height, width) < MIN_SIZE:
        raise InputError(f"input: {height}×{width}; height and width must be at least {MIN_SIZE}")
    paddle = _paddle()
    classes, section = entry["class_count"], entry.get("network")
    paddle.seed(SEED)
    if entry["kind"] == "narrow":
        layer = _narrow(entry["architecture"], classes)
    else:
        layer = paddleseg_network.build(section or SHORT_NAMES[entry["architecture"]], classes, entry.get("package"))
    layer.eval()
    if entry["weights"] == "random" and section:
        with paddleseg_network.running():
            randomise(layer, classes, (SAMPLE_COUNT, 3, height, width))
    elif entry["weights"] == "random":
        randomise(layer, classes)
    return layer


def load(layer: Any, arrays: Arrays, model: str) -> None:
    """Set all parameters and statistics of `layer` by their names in `state_dict`.

    Raises InputError naming `model` and the first few that are missing, unexpected, or of another shape or type.
    """
    state = layer.state_dict()
    where = f"model_catalogue.{model}"
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wrong = [
        f"{name} {list(arrays[name].shape)}, expected {list(shape)}"
        for name, shape in shapes.items()
        if name in arrays and (arrays[name].shape != shape or arrays[name].dtype.kind != "f")
    ]
    faults = {
        "missing": [name for name in shapes if name not in arrays],
        "unexpected": [name for name in arrays if name not in shapes],
        "of another shape or type": wrong,
    }
    if any(faults.values()):
        said = "; ".join(f"{len(names)} {fault}: {_few(names)}" for fault, names in faults.items() if names)
        raise InputError(f"{where}.weights: do not fit its architecture and class_count: {said}")
    for name, tensor in state.items():
        if not np.isfinite(arrays[name]).all():
            raise InputError(f"{where}.weights: {name} has values that are not finite")
        tensor.set_value(arrays[name].astype(np.float32))


def _few(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def randomise(layer: Any, classes: int, shape: tuple[int, int, int, int] = SAMPLE_SHAPE) -> None:
    """Give the random weights of `layer` (eval mode) the statistics of a trained network, in one forward pass.

    The result is deterministic. Every normalisation layer gets mean and variance of its input, so that activations
    neither die nor grow. Every convolution that scores classes is scaled to mean 0 and deviation 1 per class, so that
    class maps vary and scores lie apart. Attention that starts switched off (DANet's gamma of 0) is switched on.
    ResNet's blocks add only a part to their input, since sixteen full random steps amplify rounding errors (agreement
    of two engines on DANet .9997 before, .99999 with it).
    """
    paddle = _paddle()
    images = paddle.to_tensor(sample_images(shape))
    normalisations = (paddle.nn.BatchNorm2D, paddle.nn.SyncBatchNorm, paddle.nn.BatchNorm1D)
    hooks = []
    for name, parameter in layer.named_parameters():
        for ending, value in (("gamma", 0.5), ("conv2._batch_norm.weight", 0.3)):
            if f".{name}".endswith(f".{ending}"):
                parameter.set_value(np.full(parameter.shape, value, np.float32))
    for part in layer.sublayers():
        if isinstance(part, normalisations):
            hooks.append(part.register_forward_pre_hook(_set_statistics))
        elif isinstance(part, paddle.nn.Conv2D) and part.weight.shape[0] == classes and part.bias is not None:
            hooks.append(part.register_forward_post_hook(_standardise))
    with paddle.no_grad():
        layer(images)
    for hook in hooks:
        hook.remove()


def sample_images(shape: tuple[int, int, int, int] = SAMPLE_SHAPE) -> Any:
    """Return float32 images of `shape` in −1 … 1, noise that resembles photographs. Its spectrum falls off as theirs
    does, and its colours vary less than its brightness.
    """
    random = np.random.default_rng(SEED)
    count, channels, height, width = shape
    images = np.zeros(shape)
    for step in (1, 4, 16, 64):
        rows, columns = -(-height // step), -(-width // step)
        brightness = random.normal(0, step**0.5, (count, 1, rows, columns))
        colour = random.normal(0, 0.3 * step**0.5, (count, channels, rows, columns))
        images += (brightness + colour).repeat(step, 2).repeat(step, 3)[:, :, :height, :width]
    return np.clip(images / images.std() * 0.5, -1, 1).astype(np.float32)


def _set_statistics(part: Any, inputs: Any) -> None:
    values = inputs[0].numpy().astype(np.float64)
    axes = tuple(axis for axis in range(values.ndim) if axis != 1)
    variance = values.var(axes)
    # The variance of a map that was pooled to a few values says little. Without a floor a real image's would explode.
    floor = 0.1 * (values**2).mean()
    part._mean.set_value(values.mean(axes).astype(np.float32))
    part._variance.set_value(np.maximum(variance, floor).astype(np.float32))


def _standardise(part: Any, _: Any, output: Any) -> Any:
    values = output.numpy().astype(np.float64)
    mean, deviation = values.mean((0, 2, 3)), values.std((0, 2, 3)) + 1e-6
    part.weight.set_value((part.weight.numpy() / deviation[:, None, None, None]).astype(np.float32))
    part.bias.set_value(((part.bias.numpy() - mean) / deviation).astype(np.float32))
    scaled = (values - mean[:, None, None]) / deviation[:, None, None]
    return _paddle().to_tensor(scaled.astype(np.float32))


@contextmanager
def fresh_names() -> Iterator[None]:
    """Let Paddle count its variables from 0, so that a model gets the same names whatever was built before it."""
    with _paddle().utils.unique_name.guard():
        yield


@contextmanager
def constant_shapes() -> Iterator[None]:
    """Let `paddle.shape` of a tensor whose size is known return numbers, not an operator.

    PaddleSeg asks for sizes while a model runs. At a fixed input size they are constants. With constants the graph
    needs no dynamic shapes: TensorRT takes it as a whole, and ONNX has softmax and resize of known size.
    """
    paddle = _paddle()
    original: Callable[[Any], Any] = paddle.shape

    def shape(tensor: Any) -> Any:
        sizes = list(tensor.shape)
        return sizes if all(size > 0 for size in sizes) else original(tensor)

    paddle.shape = shape
    try:
        yield
    finally:
        paddle.shape = original


def _narrow(architecture: str, classes: int) -> Any:
    from segbench.models.narrow import build_narrow

    return build_narrow(architecture, classes)


def _paddle() -> Any:
    """Return Paddle on the CPU, imported in the order that does not crash."""
    import zlib  # noqa: F401  before paddle 2.6.2: see PaddlePaddle/Paddle#70538

    import paddle

    paddle.set_device("cpu")
    return paddle
