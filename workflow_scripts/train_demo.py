"""Train one narrow demo model on the demo set: seeded, resumable, with a learning curve and a record of its cost.

The network is one of eight by its name, or that of a PaddleSeg configuration. The configuration's iters, batch_size,
learning_rate and the coef of its losses hold, too; everything else is trained as the eight are. `--fine-tune` goes on
from trained weights, with batch normalisation's statistics as they are; `--fake-quantization` rounds as INT8 does.

Interrupted training goes on by itself from the last checkpoint in the output folder. Paddle computes with one thread
unless OMP_NUM_THREADS says otherwise. Two trainings side by side use two cores better than one training with two
threads.
"""

from __future__ import annotations

import argparse
import csv
import functools
import io
import json
import math
import random
import sys
import time
import zipfile
import zlib  # noqa: F401  # before paddle 2.6.2, else a later inflate crashes (PaddlePaddle/Paddle#70538)
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import paddle
from segbench.datasets import cityscapes
from segbench.datasets.cityscapes import CLASSES
from segbench.errors import InputError
from segbench.files import atomic, sha256_of, write_json, write_text
from segbench.images.labels import read_label
from segbench.images.normalize import Normalizer
from segbench.images.read import read_image
from segbench.models import paddleseg_files, paddleseg_network
from segbench.models.architectures import DEMO_PREPROCESSING
from segbench.models.fake_quantization import fake_quantize, keep_statistics
from segbench.models.narrow import ARCHITECTURES, build_narrow, load_arrays, parameter_count, save_arrays
from segbench.process.lifetime import command
from segbench.scoring.confusion import Matrix, Scores, confusion_matrix, scores

UInt8Array: TypeAlias = npt.NDArray[np.uint8]
FloatArray: TypeAlias = npt.NDArray[np.float32]
Row: TypeAlias = dict[str, float | int | str]

IGNORED = 255
CLASS_COUNT = len(CLASSES)
LOG_EVERY = 20
CACHE_BYTES = 1 << 30  # decoded images kept in memory; the demo set (0.5 GB) fits, full-size Cityscapes does not
COLUMNS = ("iteration", "loss", "learning_rate", "val_miou", "seconds")


@dataclass(frozen=True)
class Plan:
    """Everything that decides the trained weights, except the data and the initial backbone."""

    architecture: str
    iterations: int
    batch: int
    crop: tuple[int, int]
    seed: int
    learning_rate: float
    weight_decay: float = 0.01
    warm_up: int = 60
    class_weight_power: float = 0.4  # weight ∝ frequency^-power: 0 learns no rare class, 1 overshoots into false alarms
    scales: tuple[float, float] = (0.75, 1.6)
    loss_weights: tuple[float, ...] = (1.0,)  # of each output in training; further ones are auxiliary heads
    fake_quantization: bool = False  # convolutions round to 8 bits


@dataclass
class Progress:
    """The state of a training that a checkpoint keeps beside the arrays."""

    iteration: int = 0
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)


class Split:
    """One split of a data set in Cityscapes' layout: pairs of image and trainId label, decoded once while they fit.

    Raises InputError when the split has no image, or an image no label.
    """

    def __init__(self, root: Path, name: str) -> None:
        self._pairs = cityscapes.LAYOUT.pairs(root, name, {})
        if not self._pairs:
            raise InputError(f"{root}/leftImg8bit/{name}: no */*{cityscapes.IMAGE}; make the set with make_demo_set.py")
        if missing := next((pair for pair in self._pairs if pair.label is None), None):
            raise InputError(
                f"{missing.image}: has no label in {root}/gtFine/{name}; training needs one for each image"
            )
        self._id_map = cityscapes.LAYOUT.facts(root, name, {}).id_map
        self._cache: dict[int, tuple[UInt8Array, UInt8Array]] = {}
        self._cached_bytes = 0

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> tuple[UInt8Array, UInt8Array]:
        """Return an image, uint8 H×W×3 in BGR order, and its label, uint8 H×W of trainIds."""
        if index in self._cache:
            return self._cache[index]
        pair = self._pairs[index]
        image, label = read_image(pair.image), read_label(str(pair.label), self._id_map)
        if image.shape[:2] != label.shape:
            raise InputError(f"{pair.label}: {label.shape}, its image {image.shape[:2]}")
        if self._cached_bytes + image.nbytes + label.nbytes <= CACHE_BYTES:
            self._cache[index] = (image, label)
            self._cached_bytes += image.nbytes + label.nbytes
        return image, label


def class_weights(split: Split, power: float) -> FloatArray:
    """Return the loss weight per class, float32 (19): frequency^-power, scaled to mean 1 over labelled pixels.

    A class that the split does not have gets weight 0.
    """
    counts = np.zeros(256, np.int64)
    for index in range(len(split)):
        counts += np.bincount(split[index][1].ravel(), minlength=256)
    frequency = counts[:CLASS_COUNT] / max(counts[:CLASS_COUNT].sum(), 1)
    weights = np.zeros(CLASS_COUNT)
    weights[frequency > 0] = frequency[frequency > 0] ** -power
    return (weights / (weights * frequency).sum()).astype(np.float32)


def augment(
    image: UInt8Array, label: UInt8Array, plan: Plan, random_state: np.random.Generator
) -> tuple[UInt8Array, UInt8Array]:
    """Cut a random window of random scale, resize it to the crop's size, mirror it half the time, change light and
    contrast.

    Image uint8 H×W×3 and label uint8 H×W to the same at the crop's size. The window stays inside the image, so that
    nothing is padded. The smallest scale is raised where the crop is larger than the scaled image.
    """
    height, width = plan.crop
    smallest = max(plan.scales[0], height / image.shape[0], width / image.shape[1])
    scale = math.exp(random_state.uniform(math.log(smallest), math.log(max(smallest, plan.scales[1]))))
    rows, columns = min(round(height / scale), image.shape[0]), min(round(width / scale), image.shape[1])
    top = int(random_state.integers(image.shape[0] - rows + 1))
    left = int(random_state.integers(image.shape[1] - columns + 1))
    window = (slice(top, top + rows), slice(left, left + columns))
    image = np.asarray(cv2.resize(image[window], (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    label = np.asarray(cv2.resize(label[window], (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
    if random_state.random() < 0.5:
        image, label = image[:, ::-1], label[:, ::-1]
    gain, offset = random_state.uniform(0.8, 1.25), random_state.uniform(-16, 16)
    levels = np.clip(np.arange(256) * gain + offset, 0, 255).astype(np.uint8)
    return levels[image], label


@functools.lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> npt.NDArray[np.int64]:
    """Return the order in which an epoch visits the images."""
    return np.random.default_rng([seed, 1, epoch]).permutation(count)


def batch_of(split: Split, plan: Plan, iteration: int) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Return the images, float32 N×3×h×w, and labels, int64 N×h×w, of one iteration, from seed and iteration only."""
    random_state = np.random.default_rng([plan.seed, 2, iteration])
    normalize = Normalizer(DEMO_PREPROCESSING, *plan.crop)
    images, labels = [], []
    for place in range(iteration * plan.batch, (iteration + 1) * plan.batch):
        index = int(_order(plan.seed, place // len(split), len(split))[place % len(split)])
        image, label = augment(*split[index], plan, random_state)
        images.append(normalize(np.ascontiguousarray(image)).copy())
        labels.append(label)
    return np.concatenate(images), np.stack(labels).astype(np.int64)


def learning_rate_at(plan: Plan, iteration: int) -> float:
    """Return the learning rate: linear warm-up, then PaddleSeg's polynomial decay of power 0.9 to zero."""
    warm = min(1.0, (iteration + 1) / plan.warm_up)
    return plan.learning_rate * warm * (1 - iteration / plan.iterations) ** 0.9


def evaluate(layer: paddle.nn.Layer, split: Split, step: int = 1) -> Scores:
    """Return scores from the exact confusion matrix over every `step`-th image at its full size."""
    matrix: Matrix = np.zeros((CLASS_COUNT + 1, CLASS_COUNT + 1), np.int64)
    layer.eval()
    with paddle.no_grad():
        for index in range(0, len(split), step):
            image, label = split[index]
            logits = layer(paddle.to_tensor(Normalizer(DEMO_PREPROCESSING, *label.shape)(image)))[0]
            predicted = logits[0].argmax(axis=0).numpy().astype(np.uint8)
            matrix += confusion_matrix(label, predicted, CLASS_COUNT, IGNORED)
    layer.train()
    return scores(matrix)


def plan_of(config: Path, crop: tuple[int, int], seed: int) -> Plan:
    """Return the plan of a PaddleSeg configuration.

    Raises InputError naming the file and the key where it does not say how to train, or wants other normalisation.
    """
    whole = paddleseg_files.read_whole(config)
    transforms = paddleseg_files.read_network(config).transforms
    if paddleseg_files.preprocessing(transforms, config, crop) != DEMO_PREPROCESSING:
        raise InputError(f"{config}: val_dataset.transforms: wanted: Normalize with mean and std of 0.5, and no other")
    try:
        numbers = int(whole["iters"]), int(whole["batch_size"])
        rate = float(whole["lr_scheduler"]["learning_rate"])
        weights = tuple(float(weight) for weight in whole["loss"]["coef"])
    except (KeyError, TypeError, ValueError):
        raise InputError(
            f"{config}: iters, batch_size, lr_scheduler.learning_rate or loss.coef is missing, or is no number"
        ) from None
    return Plan(config.stem, numbers[0], numbers[1], crop, seed, rate, loss_weights=weights)


def train(
    plan: Plan,
    data: Path,
    out: Path,
    *,
    config: Path | None,
    init: Path | None,
    checkpoint_every: int,
    val_every: int,
    fine_tune: Path | None = None,
) -> None:
    """Train to the end, from the last checkpoint in `out` where there is one. Write weights.npz and training.json.

    Raises InputError for missing data, for initial weights that do not fit, or for a checkpoint of another plan.
    """
    train_split, val_split = Split(data, "train"), Split(data, "val")
    _seed(plan.seed)
    layer = build(plan, config)
    if init is not None:
        init_backbone(layer, init)
    if fine_tune is not None:
        load_arrays(layer, fine_tune)
        keep_statistics(layer)
    if plan.fake_quantization:
        fake_quantize(layer)
    weights = paddle.to_tensor(class_weights(train_split, plan.class_weight_power))
    optimizer = _optimizer(layer, plan)
    progress = resume(out, plan, layer, optimizer)
    report = Reporter(plan, progress, out)
    layer.train()
    for iteration in range(progress.iteration, plan.iterations):
        report.step(_step(layer, optimizer, weights, train_split, plan, iteration=iteration))
        if progress.iteration % val_every == 0 and progress.iteration < plan.iterations:
            report.validated(evaluate(layer, val_split, step=3).miou)
        if progress.iteration % checkpoint_every == 0:
            checkpoint(out, plan, layer, optimizer, progress)
    finish(layer, val_split, fine_tune or init, report)


def _step(
    layer: paddle.nn.Layer,
    optimizer: paddle.optimizer.Optimizer,
    weights: paddle.Tensor,
    split: Split,
    plan: Plan,
    *,
    iteration: int,
) -> float:
    """Take one optimiser step, and return the loss.

    The loss looks at every second pixel of every second row, from a corner that changes: that is a quarter of the cost
    of the loss and its gradient. Every pixel has its turn, also of the thinnest pole.
    """
    # Seeded per iteration, so that a resumed run draws the same dropout as one that was never interrupted.
    paddle.seed((plan.seed << 24) + iteration)
    optimizer.set_lr(learning_rate_at(plan, iteration))
    images, labels = batch_of(split, plan, iteration)
    top, left = iteration % 2, iteration // 2 % 2
    wanted = paddle.to_tensor(labels[:, top::2, left::2])
    outputs = layer(paddle.to_tensor(images))
    if len(outputs) != len(plan.loss_weights):
        raise InputError(f"loss.coef: has {len(plan.loss_weights)} weights, but the network {len(outputs)} outputs")
    loss = sum(
        weight
        * paddle.nn.functional.cross_entropy(
            logits[:, :, top::2, left::2], wanted, weight=weights, ignore_index=IGNORED, axis=1
        )
        for weight, logits in zip(plan.loss_weights, outputs, strict=True)
        if weight
    )
    loss.backward()
    optimizer.step()
    optimizer.clear_grad()
    value = float(loss)
    if not math.isfinite(value):
        raise FloatingPointError(f"the loss is {value} at iteration {iteration}: lower --learning-rate")
    return value


def build(plan: Plan, config: Path | None) -> paddle.nn.Layer:
    """Build the plan's network with random weights."""
    if config is None:
        return build_narrow(plan.architecture, CLASS_COUNT)
    network = paddleseg_files.read_network(config)
    if network.class_count not in (None, CLASS_COUNT):
        raise InputError(f"{config}: num_classes: {network.class_count}; wanted: {CLASS_COUNT}")
    try:
        layer = paddleseg_network.build(network.section, CLASS_COUNT)
    except InputError as error:
        raise InputError(f"{config}: {error}") from None
    # PaddleSeg starts several networks at a deviation of 0.001, for pretrained weights to replace. Adam's steps are as
    # long from the first on, and PP-LiteSeg then hardly learned.
    for part in layer.sublayers():
        if isinstance(part, paddle.nn.Conv2D):
            paddle.nn.initializer.KaimingNormal()(part.weight)
    return layer


def init_backbone(layer: paddle.nn.Layer, path: Path) -> None:
    """Set the backbone, and nothing else, from the weights of another trained model.

    Raises InputError if the network has no backbone or the file's does not fit.
    """
    if not hasattr(layer, "backbone"):
        raise InputError("--init: the network has no backbone; leave --init out")
    try:
        with np.load(path, allow_pickle=False) as stored:
            names = [name for name in stored.files if name.startswith("backbone.")]
            load_arrays(layer.backbone, {name.removeprefix("backbone."): stored[name] for name in names})
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"--init {path}: {error}") from None


def checkpoint(
    out: Path, plan: Plan, layer: paddle.nn.Layer, optimizer: paddle.optimizer.Optimizer, progress: Progress
) -> None:
    """Write weights, optimiser state and progress as one `.npz` (float32, no pickle), whole or not at all."""
    arrays = {f"model/{name}": tensor.numpy() for name, tensor in layer.state_dict().items()}
    arrays |= {f"optimizer/{name}": t.numpy() for name, t in optimizer.state_dict().items() if hasattr(t, "numpy")}
    report = {"plan": _plain(plan), "progress": asdict(progress)}
    with atomic(out / "checkpoint.npz") as temporary, temporary.open("wb") as stream:
        np.savez(stream, report=np.asarray(json.dumps(report)), **arrays)


def resume(out: Path, plan: Plan, layer: paddle.nn.Layer, optimizer: paddle.optimizer.Optimizer) -> Progress:
    """Set layer and optimiser from `out`'s checkpoint and return its progress, or a fresh one where there is none.

    Raises InputError if the checkpoint is another plan's.
    """
    path = out / "checkpoint.npz"
    if not path.exists():
        return Progress()
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    report = json.loads(str(arrays.pop("report")))
    if report["plan"] != _plain(plan):
        raise InputError(f"{path}: from another plan ({report['plan']}); delete it, or train into another folder")
    load_arrays(layer, {k.removeprefix("model/"): a for k, a in arrays.items() if k.startswith("model/")})
    optimizer.set_state_dict(
        {k.removeprefix("optimizer/"): paddle.to_tensor(a) for k, a in arrays.items() if k.startswith("optimizer/")}
    )
    return Progress(**report["progress"])


class Reporter:
    """Keeps the learning curve in `log.csv` in the output folder, and prints lines with the time left on stderr."""

    def __init__(self, plan: Plan, progress: Progress, out: Path) -> None:
        self.plan, self.progress, self.out = plan, progress, out
        self._losses: list[float] = []
        self._before, self._started = progress.seconds, time.monotonic()
        self._first = progress.iteration
        if progress.iteration:
            print(f"{plan.architecture}: going on at iteration {progress.iteration}", file=sys.stderr, flush=True)

    def step(self, loss: float) -> None:
        """Count one iteration, log the mean loss every `LOG_EVERY`."""
        progress, plan = self.progress, self.plan
        progress.iteration += 1
        progress.seconds = self._before + time.monotonic() - self._started
        self._losses.append(loss)
        if progress.iteration % LOG_EVERY and progress.iteration < plan.iterations:
            return
        row: Row = {
            "iteration": progress.iteration,
            "loss": round(float(np.mean(self._losses)), 5),
            "learning_rate": float(f"{learning_rate_at(plan, progress.iteration - 1):.4g}"),
            "val_miou": "",
            "seconds": round(progress.seconds, 1),
        }
        self._losses.clear()
        progress.rows.append(row)
        self._write()
        pace = (progress.seconds - self._before) / (progress.iteration - self._first)
        left = pace * (plan.iterations - progress.iteration)
        print(
            f"{plan.architecture}: {progress.iteration}/{plan.iterations}, loss {row['loss']:.4f}, "
            f"{left / 60:.1f} min left",
            file=sys.stderr,
            flush=True,
        )

    def validated(self, miou: float | None) -> None:
        """Add a validation mIoU to the curve; None (no labelled pixel at all) is an InputError."""
        if miou is None:
            raise InputError("val: no pixel is labelled, so there is nothing to score")
        row: Row = {"iteration": self.progress.iteration, "val_miou": round(miou, 4)}
        self.progress.rows.append(row)
        self._write()
        print(f"{self.plan.architecture}: {self.progress.iteration}: val mIoU {miou:.4f}", file=sys.stderr, flush=True)

    def _write(self) -> None:
        """Write the whole curve again: after a resume it must not hold iterations that were lost."""
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.progress.rows)
        write_text(self.out / "log.csv", text.getvalue())


def finish(layer: paddle.nn.Layer, val: Split, init: Path | None, report: Reporter) -> None:
    """Write weights.npz, score it as stored (rounded to float16) on the whole val split, write training.json.

    The checkpoint is removed last. A run that was cut off before that scores again and is done.
    """
    plan, out = report.plan, report.out
    weights = out / "weights.npz"
    save_arrays(layer, weights)
    load_arrays(layer, weights)
    result = evaluate(layer, val)
    report.validated(result.miou)
    training = {
        "architecture": plan.architecture,
        "val_miou": result.miou,
        "val_images": len(val),
        "iou_per_class": dict(zip(CLASSES, result.iou, strict=True)),
        "parameter_count": parameter_count(layer),
        "iterations": plan.iterations,
        "seconds": round(report.progress.seconds, 1),
        "seed": plan.seed,
        "crop": list(plan.crop),
        "plan": _plain(plan),
        "init_sha256": sha256_of(init) if init is not None else None,
        "weights_sha256": sha256_of(weights),
        "versions": {
            "python": python_version(),
            **{name: version(name) for name in ("paddlepaddle", "paddleseg", "numpy", "opencv-python-headless")},
        },
    }
    write_json(out / "training.json", training)
    (out / "checkpoint.npz").unlink(missing_ok=True)


def _optimizer(layer: paddle.nn.Layer, plan: Plan) -> paddle.optimizer.Optimizer:
    """AdamW with decay on convolution weights only, and the gradient's norm limited (attention heads start wild)."""
    decayed = {parameter.name for parameter in layer.parameters() if parameter.ndim > 1}
    return paddle.optimizer.AdamW(
        learning_rate=plan.learning_rate,
        parameters=[parameter for parameter in layer.parameters() if not parameter.stop_gradient],
        weight_decay=plan.weight_decay,
        apply_decay_param_fun=lambda name: name in decayed,
        grad_clip=paddle.nn.ClipGradByGlobalNorm(5.0),
    )


def _seed(seed: int) -> None:
    """Seed every source of randomness in this process."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    paddle.seed(seed)


def _plain(plan: Plan) -> dict[str, Any]:
    """Return the plan as JSON returns it, with lists for tuples."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(plan)))
    return plain


def _size(text: str) -> tuple[int, int]:
    """Parse HEIGHTxWIDTH; both must be multiples of 16, which UNet's four halvings need."""
    try:
        height, width = (int(part) for part in text.lower().split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, such as 160x320") from None
    if height <= 0 or width <= 0 or height % 16 or width % 16:
        raise argparse.ArgumentTypeError(f"{text!r}: height and width must be positive multiples of 16")
    return height, width


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not at least 1")
    return number


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    network = parser.add_mutually_exclusive_group(required=True)
    network.add_argument("--architecture", choices=ARCHITECTURES)
    network.add_argument("--config", type=Path, metavar="FILE.yml", help="a PaddleSeg configuration, instead")
    parser.add_argument("--data", required=True, type=Path, metavar="ROOT", help="a set in Cityscapes' layout")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where the weights and the log go")
    parser.add_argument("--iterations", type=_positive, default=1500)
    parser.add_argument("--batch", type=_positive, default=4)
    parser.add_argument("--crop", type=_size, default=(160, 320), metavar="HxW")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--learning-rate", type=float, default=2e-3, help="after warm-up; decays to zero")
    parser.add_argument("--init", type=Path, metavar="WEIGHTS", help="weights.npz whose backbone to start from")
    parser.add_argument("--fine-tune", type=Path, metavar="WEIGHTS", help="weights.npz to start from, all of it")
    parser.add_argument("--fake-quantization", action="store_true", help="round convolutions to 8 bits in training")
    parser.add_argument("--checkpoint-every", type=_positive, default=200, metavar="N", help="iterations")
    parser.add_argument("--val-every", type=_positive, default=300, metavar="N", help="iterations (a third of val)")
    return parser.parse_args()


@command
def main() -> None:
    """Parse the command line and train."""
    arguments = parse_arguments()
    cv2.setNumThreads(1)
    plan = Plan(
        arguments.architecture,
        arguments.iterations,
        arguments.batch,
        arguments.crop,
        arguments.seed,
        arguments.learning_rate,
    )
    if arguments.config:
        plan = plan_of(arguments.config, arguments.crop, arguments.seed)
    plan = replace(plan, fake_quantization=arguments.fake_quantization)
    arguments.out.mkdir(parents=True, exist_ok=True)
    train(
        plan,
        arguments.data,
        arguments.out,
        config=arguments.config,
        init=arguments.init,
        checkpoint_every=arguments.checkpoint_every,
        val_every=arguments.val_every,
        fine_tune=arguments.fine_tune,
    )


if __name__ == "__main__":
    main()
