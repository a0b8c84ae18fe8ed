"""The configuration's types. Every key has its meaning, unit and default here. config/README.md is made from them."""

from __future__ import annotations

import os
import re
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.functional_serializers import SerializerFunctionWrapHandler

from segbench.arrays import SAME_NETWORK
from segbench.config.options import SCENARIO
from segbench.config.resizing import Convention, Interpolation, Kind, Resizing, stride_of

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Positive = Annotated[int, Field(ge=1)]
PositiveSeconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _without_braces(path: str) -> str:
    """Refuse {…} in a path that becomes an input of Snakemake, where it would be a wildcard."""
    if set("{}") & set(path):
        raise ValueError("has { or }, which Snakemake takes for a wildcard; rename the file or folder")
    return path


def _expanded(path: str) -> str:
    """Write out `~` and environment variables, as a shell does. What is unknown stays."""
    return os.path.expandvars(os.path.expanduser(path))


ExpandedPath = Annotated[str, AfterValidator(_expanded)]
PathOfInput = Annotated[ExpandedPath, AfterValidator(_without_braces)]
COLOUR = re.compile(r"\s*\d{1,3}\s*(,\s*\d{1,3}\s*){2}")


def _two_classes(count: Any) -> Any:
    """Say what class count a network of one output channel has."""
    if count == 1:
        raise ValueError("a network of one output channel tells two classes: class_count: 2")
    return count


def _id_or_colour(key: int | str) -> int | str:
    """Refuse a key of an id_map that is neither an id nor a colour."""
    is_id = isinstance(key, int) or key.removeprefix("-").isdecimal()
    if not is_id and not (COLOUR.fullmatch(str(key)) and max(map(int, str(key).split(","))) <= 255):
        raise ValueError("is neither an id nor a colour 'R,G,B' of numbers up to 255")
    return key


def _of_three_channels(values: list[float]) -> list[float]:
    """Repeat a single value, as networks of one channel have it, for all channels."""
    if len(values) == 2:
        raise ValueError("has 2 values; wanted: one for each of three channels, or one for all")
    return values * 3 if len(values) == 1 else values


IdOrColour = Annotated[int | str, AfterValidator(_id_or_colour)]
CropSize = Annotated[str, Field(pattern=r"^[1-9]\d*x[1-9]\d*$")]
Bounds = dict[Literal["fp32", "fp16", "bf16", "int8"], Annotated[float, Field(ge=0, le=1)]]
Three = Annotated[list[float], Field(min_length=1, max_length=3), AfterValidator(_of_three_channels)]
Architecture = Literal["ann", "danet", "deeplabv3p", "dnlnet", "emanet", "gcnet", "pspnet", "unet"]
ARCHITECTURES: tuple[str, ...] = get_args(Architecture)


class Section(BaseModel):
    """A mapping that has known keys only."""

    model_config = ConfigDict(extra="forbid", strict=False)


class WarmUp(Section):
    """Runs before timing, until the times are steady."""

    min_runs: Annotated[int, Field(ge=0)] = Field(2, description="Minimum number of warm-up runs.")
    max_runs: Annotated[int, Field(ge=0)] = Field(60, description="Maximum number of warm-up runs; 0: no warm-up.")
    max_s: PositiveSeconds = Field(10.0, description="Seconds after which warm-up ends, steady or not.")
    window: Annotated[int, Field(ge=20)] = Field(
        20, description="Number of latest runs that are compared, half with half."
    )
    tolerance: Annotated[float, Field(gt=0)] = Field(
        0.05, description="Allowed difference of the halves' means and quartiles, as a fraction of the median."
    )


class Timing(Section):
    """How a round is timed, and how many there are."""

    seed: int = Field(0, description="Seed for choosing the images that are timed, and for the order in a block.")
    images_per_round: Positive = Field(
        8, description="Images that every round times, in an order of its own; they are repeated until `round_min_s`."
    )
    round_min_s: Annotated[float, Field(ge=0)] = Field(
        1.0, description="Seconds that the network runs in a round, at least; 0: each image is timed once."
    )
    average: Literal["median", "mean"] = Field(
        "median", description="How the times of a round become one; the published page has the mean."
    )
    control: str | None = Field(
        None,
        description="The row, MODEL/VARIANT, that is timed once in every block to see how the machine drifts; null:"
        " ONNX Runtime's FP32 variant of the first model where it is chosen, else the first variant.",
    )
    target: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        0.05, description="A row gets more rounds while its time's interval is wider than ± this fraction; null: never."
    )
    max_rounds: Positive = Field(10, description="Maximum number of rounds of a row, the further ones included.")
    extra_s: Annotated[float, Field(ge=0)] = Field(
        120,
        description="Seconds that all further rounds may take together, the control's included; widest interval first.",
    )
    pin: bool = Field(True, description="Pin the timed process to as many cores as it has threads.")
    contention_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.05,
        description="Share of one CPU's time above which a round counts as disturbed: taken by others from a CPU that"
        " the engine runs on, or used on the sibling of one.",
    )
    max_repeats: Annotated[int, Field(ge=0)] = Field(1, description="How often a disturbed round is run again.")
    drift_tolerance: Annotated[float, Field(gt=0)] = Field(
        0.1,
        description="A round is not steady when its last third and its first differ by more than this fraction.",
    )
    warm_up: WarmUp = Field(default_factory=WarmUp, description="Runs before timing.")


class Energy(Section):
    """Energy of the timed runs, by the CPU's own counters (RAPL)."""

    measure: bool = Field(False, description="Whether every round measures it. It then begins with an idle wait.")
    idle_s: PositiveSeconds = Field(
        2.0, description="Seconds that a round waits, to subtract what the machine uses when it idles."
    )
    powercap: ExpandedPath = Field("/sys/class/powercap", description="Folder in which Linux has the counters.")


class Comparison(Section):
    """What `results/comparison.md` and `snakemake gate` compare, and what they call a difference."""

    margin: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.03, description="Times that differ by no more than this fraction count as the same."
    )
    allowed: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1,
        description="`snakemake gate` lets a row pass when the upper end of its ratio's 95% interval is below 1 plus"
        " this fraction.",
    )
    max_drop: Annotated[float, Field(ge=0)] = Field(
        0.005, description="mIoU that a row may lose; a row that loses more is WRONG."
    )
    max_lost: dict[str, Annotated[int, Field(ge=0)]] = Field(
        {},
        description="Objects that a row may lose against its reference, by class of the data set's `objects`. A row"
        " that loses more is WRONG, whatever the baseline lost, and so is one of which it is not known.",
    )
    pairs: list[Annotated[list[Name], Field(min_length=2, max_length=2)]] = Field(
        [], description="Pairs [a, b] of `variants`; for every model, b is compared with a."
    )
    alternate: bool = Field(
        True, description="Time each pair again, alternating (A B B A) in one job; false: compare this run's rounds."
    )
    rounds: Annotated[int, Field(ge=2)] = Field(
        6, description="Number of timed processes for each pair, those of the gate with a baseline's engine included."
    )
    blocks: Positive = Field(
        32,
        description="Maximum number of A B B A blocks in each process; a block is one image, a letter up to 8 runs in"
        " 0.2 s.",
    )
    round_s: PositiveSeconds = Field(20, description="Seconds of timed runs after which each process ends.")
    loadgen_queries: Positive = Field(
        64,
        description="Queries of each LoadGen run, and images where all come at once; MLPerf's floor for its 90th"
        " percentile.",
    )


class Calibration(Section):
    """How INT8 is calibrated, and how much it may cost."""

    images: Positive = Field(32, description="Training images that the calibrator sees.")
    seed: int = Field(0, description="Seed for choosing calibration images.")
    judging_images: Positive = Field(
        32,
        description="Number of further training images that judge the loss: one half chooses layers, the other confirms"
        " the choice.",
    )
    max_drop: Annotated[float, Field(ge=0)] | None = Field(
        0.005,
        description="mIoU that INT8 may lose. Where more cannot be ruled out (95%), layers that cost most stay in FP32;"
        " null: all layers are INT8.",
    )


class MixedPrecision(Section):
    """How `results/mixed_precision/…` measures what each group of layers gains by INT8."""

    groups: Annotated[int, Field(ge=1, le=8)] = Field(8, description="Groups that the layers are put into, at most.")
    budget_s: PositiveSeconds = Field(
        300,
        description="Seconds of timed runs in all pairs of a row together. Of a slow network there are fewer groups;"
        " building, opening and warm-up come on top.",
    )


class Iterations(Section):
    """Optimiser steps for each demo model. Training from a trained backbone needs fewer steps."""

    ann: Positive = Field(2500, description="Iterations, starting from the backbone of `first`.")
    danet: Positive = Field(2000, description="Iterations, starting from the backbone of `first`.")
    deeplabv3p: Positive = Field(3000, description="Iterations, starting from random weights.")
    dnlnet: Positive = Field(1500, description="Iterations, starting from the backbone of `first`.")
    emanet: Positive = Field(1000, description="Iterations, starting from the backbone of `first`.")
    gcnet: Positive = Field(1000, description="Iterations, starting from the backbone of `first`.")
    pspnet: Positive = Field(2000, description="Iterations, starting from the backbone of `first`.")
    unet: Positive = Field(5000, description="Iterations, starting from random weights, since its backbone is its own.")


class FineTuning(Section):
    """How networks that are trained already go on with the rounding of INT8 in place."""

    networks: list[Architecture] = Field(
        ["gcnet"],
        description="Networks of which there is one that is trained for INT8, NETWORK_qat.",
    )
    iterations: Positive = Field(300, description="Optimiser steps.")
    batch: Positive = Field(4, description="Number of images per iteration.")
    learning_rate: Annotated[float, Field(gt=0)] = Field(3e-4, description="Learning rate after warm-up.")


class Training(Section):
    """How `snakemake demo_models` trains."""

    dataset: Name = Field("demo_training", description="Name of a drawn data set; its val split must be the demo's.")
    first: Architecture = Field(
        "deeplabv3p", description="Network that is trained from random weights; the others get its backbone."
    )
    iterations: Iterations = Field(default_factory=Iterations, description="Optimiser steps.")
    quantization: FineTuning = Field(
        default_factory=FineTuning, description="Quantisation-aware training, which starts from trained weights."
    )
    batch: Positive = Field(2, description="Number of images per iteration.")
    crop: CropSize = Field("160x320", description="Height x width of the windows that a network learns from.")
    unet_crop: CropSize = Field(
        "128x256", description="Height x width of UNet's windows; UNet computes at full resolution throughout."
    )
    configs: list[str] = Field(
        [f"resources/demo_models/{name}.yml" for name in ("bisenetv2", "ocrnet", "pp_liteseg", "segformer")],
        description="PaddleSeg configurations of further networks, which are named like the files and trained in"
        " windows of `unet_crop`; each says its own iters, batch_size, learning_rate and coef.",
    )
    learning_rate: Annotated[float, Field(gt=0)] = Field(
        0.003, description="Learning rate after warm-up; it decays to zero."
    )
    seed: int = Field(0, description="Seed for initial weights, order of images and augmentation.")


class Limits(Section):
    """What a stage may use before it counts as failed."""

    memory_mb: Positive | None = Field(
        None, description="Maximum resident memory in MiB; null: the machine's less 512."
    )
    stall_s: PositiveSeconds = Field(1800.0, description="Seconds without progress after which a stage counts as hung.")
    stage_s: PositiveSeconds | None = Field(None, description="Seconds that a whole stage may take; null: no limit.")
    conversion_s: PositiveSeconds | None = Field(
        900.0, description="Seconds that a conversion to ONNX may take, since some never end; null: no limit."
    )


class Weights(Section):
    """Where trained weights, or a whole model file, come from."""

    url: str | None = Field(None, description="Address of the file, http or https.")
    path: PathOfInput | None = Field(None, description="Path of the file; a relative one starts from `model_root`.")
    sha256: Sha256 | None = Field(None, description="SHA-256 of the file; null: not checked, its hash is printed.")
    pdiparams_sha256: Sha256 | None = Field(
        None, description="SHA-256 of X.pdiparams beside X.pdmodel or X.json, or of X.bin beside X.xml."
    )

    @model_validator(mode="after")
    def one_source(self) -> Weights:
        """Require exactly one of url and path."""
        if (self.url is None) == (self.path is None):
            raise ValueError("give either url or path")
        return self


SUFFIXES = {
    "paddleseg": (".pdparams", ".npz"),
    "narrow": (".pdparams", ".npz"),
    "onnx": (".onnx",),
    "paddle_inference": (".pdmodel", ".json"),
    "openvino": (".xml",),
}


def suffix_of(weights: dict[str, Any]) -> str:
    """Return the suffix of the weights' file name, with its dot. The query of an address does not count."""
    return PurePosixPath(weights["path"] or urlsplit(weights["url"]).path).suffix


def forms_of(model: dict[str, Any]) -> tuple[str, ...]:
    """Forms that a model has once it is exported, its own first; `onnx` beside another is its twin."""
    if model["kind"] in ("onnx", "huggingface"):
        return ("onnx",)
    if model["kind"] == "openvino":
        return ("openvino",)
    is_json = model["weights"] != "random" and suffix_of(model["weights"]) == ".json"
    return ("paddle3" if is_json else "paddle", "onnx")


class InputSize(Section):
    """Input size of a model."""

    height: Positive = Field(description="Height in pixels.")
    width: Positive = Field(description="Width in pixels.")


def _both_sides(value: Any) -> Any:
    """Write one number of pixels as height and width."""
    if isinstance(value, int) and not isinstance(value, bool):
        return {"height": value, "width": value}
    if value is not None and not isinstance(value, (dict, InputSize)):
        raise ValueError("is neither a number of pixels nor a mapping of height and width")
    return value


def _kind(value: Any) -> Any:
    """Write one word as the kind that it is."""
    return {"kind": value} if isinstance(value, str) else value


def _grey_or_mean(value: Any) -> Any:
    """Require a value that a pixel can have, or the word that stands for one."""
    if value != "mean" and not (isinstance(value, (int, float)) and 0 <= value <= 255):
        raise ValueError("is neither a number from 0 to 255 nor 'mean'")
    return value


PadValue = Annotated[float | Literal["mean"], BeforeValidator(_grey_or_mean)]
Sides = Annotated[InputSize | None, BeforeValidator(_both_sides, json_schema_input_type=Positive | InputSize | None)]
KEPT = Resizing()  # what holds of a key that is not given


class Resize(Section):
    """What size images get before they become the network's input. One word is a `kind` whose other keys are not set.

    The image then has to have the input's size, or to be padded to it, or a `window` slides over it. Class maps come
    back to the image's own size by way of the logits; padding is cut off before.
    """

    kind: Kind = Field(
        "none",
        description="`none`: images keep their size; `stretch`: they become `size`; `short_side`, `long_side`: that"
        " side becomes `size` and the other follows; `letterbox`: they become as large as fits into the input, the rest"
        " is padded.",
    )
    size: Sides = Field(
        KEPT.size,
        description="In pixels: one number for `short_side` and `long_side`; for `stretch` a number or `height` and"
        " `width`, null: the model's input.",
    )
    max_long_side: Positive | None = Field(
        KEPT.max_long_side,
        description="For `short_side`: pixels that the long side has at most; the short one then gets fewer.",
    )
    enlarge: bool = Field(
        KEPT.enlarge,
        description="`false`: `short_side`, `long_side` and `letterbox` leave an image that is smaller as it is.",
    )
    divisor: Positive = Field(KEPT.divisor, description="Both sides are then raised to a multiple of this.")
    interpolation: Interpolation = Field(KEPT.interpolation, description="How pixels between pixels are made.")
    convention: Convention = Field(
        KEPT.convention,
        description="Whose arithmetic it is. `paddleseg`: OpenCV in float32, sides rounded to the nearest whole number"
        " (halves to the even one); `mmsegmentation`: OpenCV in 8 bits, halves rounded up; `transformers`: Pillow in 8"
        " bits, which averages where it shrinks, and sides are cut off.",
    )
    pad_value: PadValue | None = Field(
        KEPT.pad_value,
        description="Value of the pixels beside an image that is smaller than the input, 0 to 255; `mean`: 0 after"
        " normalisation; null: `mean` for `letterbox`, else smaller images are refused.",
    )
    align: Literal["corner", "centre"] = Field(
        KEPT.align, description="Where a padded image lies: `corner`: top left; `centre`: padded on all sides."
    )

    @model_validator(mode="after")
    def fitting(self) -> Resize:
        """Require the keys that belong to the kind, and no others."""
        sided = self.kind in ("short_side", "long_side")
        if sided and (self.size is None or self.size.height != self.size.width):
            raise ValueError(f"kind {self.kind!r} needs size, one number of pixels")
        if self.size is not None and self.kind in ("none", "letterbox"):
            raise ValueError(f"kind {self.kind!r} takes no size; 'stretch', 'short_side' and 'long_side' do")
        if self.max_long_side is not None and self.kind != "short_side":
            raise ValueError(f"max_long_side is for kind 'short_side', not {self.kind!r}")
        if not self.enlarge and self.kind in ("none", "stretch"):
            raise ValueError(f"enlarge is for kinds 'short_side', 'long_side' and 'letterbox', not {self.kind!r}")
        return self

    @model_serializer
    def _written(self) -> Any:
        """Write every key, but one word where that says it all, so that jobs are asked for what they always were."""
        values = {key: getattr(self, key) for key in Resizing._fields}
        return Resizing(**{**values, "size": self.size and self.size.model_dump()}).written()


class Window(Section):
    """A window of the input's size slides over images that are larger. Logits are averaged where windows overlap.

    The last windows are moved back inside the image. An image's time is that of all its windows.
    """

    size: Sides = Field(None, description="In pixels; null: the model's input. It can be no other, and is checked.")
    stride: Sides = Field(
        None,
        description="Pixels from window to window, one number or `height` and `width`; null: two thirds of the window.",
    )


class Preprocessing(Section):
    """How an 8-bit image becomes the network's input: (pixel · scale − mean) / std per channel."""

    channel_order: Literal["rgb", "bgr"] = Field("rgb", description="Order of the input's channels.")
    scale: float = Field(1 / 255, description="Factor by which 8-bit values are multiplied.")
    mean: Three = Field(
        [0.5, 0.5, 0.5],
        description="Value subtracted from each channel after scaling, in `channel_order`; one stands for all.",
    )
    std: Three = Field(
        [0.5, 0.5, 0.5],
        description="Value that each channel is then divided by, in `channel_order`; one stands for all.",
    )
    resize: Annotated[Resize, BeforeValidator(_kind, json_schema_input_type=Kind | Resize)] = Field(
        Resize(),
        description="How images get the input's size: a `kind`, or a mapping. Without it (`none`) they must have it.",
    )
    window: Window | None = Field(None, description="Whether a window slides over larger images; null: none does.")

    @model_serializer(mode="wrap")
    def _without_empty_window(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out a window that was not asked for, so that jobs are asked for what they always were."""
        values: dict[str, Any] = whole(self)
        if self.window is None and "window" not in self.model_fields_set:
            values.pop("window", None)
        return values


Head = Literal["argmax", "logits", "small_argmax"]


class Model(Section):
    """A model: weights and input size. Its name is unique, since its results lie under it."""

    kind: Literal["paddleseg", "narrow", "onnx", "paddle_inference", "openvino", "huggingface"] = Field(
        description="`paddleseg`: a network of PaddleSeg's and its weights; `narrow`: the demo's narrow ones;"
        " `onnx`, `paddle_inference`, `openvino`: your own exported file; `huggingface`: a folder of a network of"
        " transformers."
    )
    title: str = Field("", description="Name in the tables; empty: the entry's name.", max_length=200)
    config: PathOfInput | None = Field(
        None,
        description="For `paddleseg`: PaddleSeg's configuration, from which network, number of classes and"
        " preprocessing are read; a relative path starts from `model_root`.",
    )
    architecture: Architecture | None = Field(
        None, description="Short name of a `paddleseg` or `narrow` network, in place of `config`."
    )
    package: ExpandedPath | None = Field(
        None,
        description="For `config`: folder of a clone of PaddleSeg, for networks that the installed package does not"
        " have; a relative path starts from `model_root`.",
    )
    folder: PathOfInput | None = Field(
        None,
        description="For `huggingface`: the folder that `save_pretrained` of network and image processor left, from"
        " which weights, number of classes and preprocessing are read; a relative path starts from `model_root`.",
    )
    weights: Weights | Literal["random"] | None = Field(
        None,
        description="Trained weights; `random`: latency only, the mIoU cell stays empty; null: those in `folder`.",
    )
    input: InputSize = Field(description="The fixed size of the input.")
    class_count: Annotated[int, Field(ge=2, le=255), BeforeValidator(_two_classes)] | None = Field(
        None,
        description="Number of classes that the network tells apart: its output channels, or 2 where it has one; null:"
        " what `config` or `folder` says, else 19.",
    )
    class_map: list[Annotated[int, Field(ge=0, le=255)]] | None = Field(
        None, description="trainId of each output channel, 255 for none; null: channel i is trainId i."
    )
    output: str | StrictInt | None = Field(
        None,
        description="Name or number (0: the first) of the output that has the classes, where there are several; null:"
        " the first, but of `onnx` the largest with `class_count` channels, if there is one.",
    )
    output_kind: Literal["auto", "logits", "sigmoid", "ids"] = Field(
        "auto",
        description="For `onnx`: what the output has. `logits`: scores, of which the highest wins; `sigmoid`: a share"
        " for each class but the first, which wins where none is above `threshold`; `ids`: class ids, or a mask of two"
        " classes; `auto`: integers are ids, others scores.",
    )
    threshold: Annotated[float, Field(allow_inf_nan=False)] | None = Field(
        None,
        description="For `onnx`: value above which an output of one channel is class 1; null: 0.5 of a `sigmoid`, 0 of"
        " `logits`, by `auto` what the network ends in.",
    )
    float_model: Name | None = Field(
        None,
        description="For `onnx`, `paddle_inference` and `openvino`: the model of floats that this one was quantised"
        " from, or trained beside. Class maps and mIoU are then compared with that model's reference.",
    )
    head: Head = Field(
        "argmax",
        description="How the network ends. `argmax`: in the class map, made of logits at the input's size; `logits`:"
        " before it, and the host makes the class map; `small_argmax`, for `paddleseg` and `narrow`: in the class map"
        " of the logits before their last resize, enlarged by nearest neighbours.",
    )
    preprocessing: Preprocessing = Field(
        default_factory=Preprocessing,
        description="How images become the network's input; keys that are not given are read from `config`, from"
        " `folder`, or from the deploy.yaml beside a `paddle_inference` model.",
    )

    @model_validator(mode="after")
    def complete(self) -> Model:
        """Require the keys that belong together."""
        self._check_folder()
        ours = self.kind in ("paddleseg", "narrow")
        if self.kind == "paddleseg" and (self.config is None) == (self.architecture is None):
            raise ValueError("kind 'paddleseg' needs either config or architecture")
        if self.kind == "narrow" and self.architecture is None:
            raise ValueError("kind 'narrow' needs architecture")
        if self.config is not None and self.kind != "paddleseg":
            raise ValueError(f"kind {self.kind!r} takes no config")
        if self.package is not None and self.config is None:
            raise ValueError("package is for a network of config")
        if self.kind != "onnx" and (self.output_kind != "auto" or self.threshold is not None):
            raise ValueError(f"output_kind and threshold are for kind 'onnx', not {self.kind!r}")
        if self.float_model is not None and self.kind not in ("onnx", "paddle_inference", "openvino"):
            raise ValueError(f"float_model is for kinds 'onnx', 'paddle_inference' and 'openvino', not {self.kind!r}")
        if self.head == "small_argmax" and not ours:
            raise ValueError(f"head 'small_argmax' is for kinds 'paddleseg' and 'narrow', not {self.kind!r}")
        if self.output_kind == "ids" and self.threshold is not None:
            raise ValueError("output_kind 'ids' takes no threshold; 'sigmoid' does")
        if self.class_count is None and self.config is None and self.folder is None:
            self.class_count = 19
        if not ours and self.weights == "random":
            raise ValueError(f"kind {self.kind!r} needs weights with a url or path")
        wanted = SUFFIXES.get(self.kind, ())
        if isinstance(self.weights, Weights) and (suffix := suffix_of(self.weights.model_dump())) not in wanted:
            raise ValueError(f"kind {self.kind!r} needs weights ending in {' or '.join(wanted)}, not {suffix!r}")
        self._check_window()
        if None not in (self.class_map, self.class_count) and len(self.class_map or ()) != self.class_count:
            raise ValueError(f"class_map has {len(self.class_map or ())} entries, class_count is {self.class_count}")
        return self

    def _check_folder(self) -> None:
        """Require a folder of the kind that has its weights in one, and weights of the others."""
        of_folder = self.kind == "huggingface"
        if of_folder != (self.folder is not None):
            raise ValueError(f"kind {self.kind!r} {'needs' if of_folder else 'takes no'} folder")
        if of_folder == (self.weights is not None):
            raise ValueError(
                f"kind {self.kind!r} {'takes no weights: they are in folder' if of_folder else 'needs weights'}"
            )

    def _check_window(self) -> None:
        """Require a window of the input's size, and a stride that leaves out no pixel."""
        window, size = self.preprocessing.window, (self.input.height, self.input.width)
        if window is None:
            return
        given = window.size or self.input
        if (given.height, given.width) != size:
            raise ValueError(
                f"preprocessing.window.size is {given.height}×{given.width}, but the window is the model's input,"
                f" {size[0]}×{size[1]} (height×width); give the same"
            )
        stride = stride_of({"window": window.model_dump()}, size) or size
        if stride[0] > size[0] or stride[1] > size[1]:
            raise ValueError(
                f"preprocessing.window.stride is {stride[0]}×{stride[1]}, more than the window, {size[0]}×{size[1]}"
                " (height×width): pixels between windows would be left out"
            )

    @model_serializer(mode="wrap")
    def _without_usual_head(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out the usual head, so that exports are asked for what they always were."""
        return {key: value for key, value in whole(self).items() if (key, value) != ("head", "argmax")}

    @field_serializer("preprocessing")
    def _only_given(self, preprocessing: Preprocessing) -> dict[str, Any]:
        """Leave out what the entry does not give where the model's own files may say it."""
        files_say_it = self.config is not None or self.kind in ("paddle_inference", "huggingface")
        return preprocessing.model_dump(exclude_unset=files_say_it)


class Variant(Section):
    """An engine at a precision, and how it runs images: one after the other, in batches, or in streams."""

    engine: str = Field(description="A file of workflow_scripts/segbench/engines/.")
    precision: Literal["fp32", "fp16", "bf16", "int8"] = Field(description="Arithmetic of the network.")
    calibrator: Name | None = Field(
        None,
        description="For INT8: a name of `calibrator_catalogue`, or `model`: the model is quantised already and runs as"
        " it is.",
    )
    build: dict[str, Any] = Field({}, description="Options of the engine's build.")
    run: dict[str, Any] = Field({}, description="Options of the engine's timed run.")
    batch: Positive = Field(1, description="Images that the engine runs at once.")
    streams: Positive = Field(
        1, description="Runs that are under way at the same time, among which the engine's threads are divided."
    )
    threads: Positive | None = Field(None, description="Threads of a CPU engine; null: the key `threads` of the top.")

    @model_validator(mode="after")
    def one_scenario(self) -> Variant:
        """Refuse a batch in streams."""
        if self.batch > 1 and self.streams > 1:
            raise ValueError("has batch and streams; give one of them")
        return self

    @model_serializer(mode="wrap")
    def _without_scenario(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what does not differ from one image after the other, so that jobs are asked for what they always
        were.
        """
        values: dict[str, Any] = whole(self)
        return {key: value for key, value in values.items() if key not in SCENARIO or value != SCENARIO[key]}


class Sweep(Section):
    """Settings that every chosen variant or model also runs at, each a row with a made name. One varies at a time."""

    batch: list[Positive] = Field([], description="Batches: VARIANT-b4 and so on; 1: the variant itself.")
    streams: list[Positive] = Field(
        [], description="Numbers of streams: VARIANT-s2 and so on; 1 is the variant itself."
    )
    threads: list[Positive] = Field([], description="Numbers of threads: VARIANT-t2 and so on.")
    size: list[CropSize] = Field(
        [],
        description="Sizes of the models' input, height x width: MODEL-128x256 and so on. Images that had to have the"
        " input's size are stretched to it.",
    )
    head: list[Head] = Field([], description="Heads of the models: MODEL-logits and so on; `argmax`: the model itself.")


class Calibrator(Section):
    """A way to calibrate."""

    library: str = Field(description="Its calibrator: a file of `segbench/calibration/`.")
    options: dict[str, Any] = Field({}, description="Options passed to that library.")
    fp32_layers: dict[Name, PathOfInput] = Field(
        {},
        description="By model, a JSON file whose `fp32_layers` names layers that stay in FP32, in place of those by"
        " `calibration.max_drop`: results/mixed_precision/…/chosen/layers.json, or your own.",
    )


class FolderSplit(Section):
    """Where a `folder` data set has a split's files."""

    images: str | None = Field(
        None,
        description="Glob of the images, below `root`; `{a,b}` stands for a or b, and suffixes match in either case.",
    )
    labels: str | None = Field(
        None, description="Glob of the labels, below `root`; they are matched by file name. null: no labels."
    )
    list: str | None = Field(
        None,
        description="List file below `root`. Without `images`, a line has an image and its label; else a name, and the"
        " names choose among the images.",
    )

    @model_validator(mode="after")
    def images_somewhere(self) -> FolderSplit:
        """Require a glob or a list, and labels in one of them."""
        if self.images is None and self.list is None:
            raise ValueError("needs images (a glob) or list (a file)")
        if self.images is None and self.labels is not None:
            raise ValueError("has labels without images; a list of pairs has both: leave labels out, or give images")
        return self


class Generate(Section):
    """A data set that the workflow draws itself."""

    height: Positive = Field(description="Height in pixels.")
    width: Positive = Field(description="Width in pixels.")
    train: Positive = Field(description="Number of images in the training split.")
    val: Positive = Field(description="Number of images in the validation split.")
    seed: int = Field(0, description="Seed of the scenes.")


class CountedObjects(Section):
    """Objects of a data set's labels, connected components of a class, that are counted as found and lost."""

    classes: list[str] = Field(description="Names of the classes whose objects are counted.", min_length=1)
    min_pixels: Positive = Field(64, description="Size in pixels of the label below which an object does not count.")
    found: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="Share of an object's pixels, predicted as its class, from which it is found; up to 1."
    )
    lost_below: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="Share of its pixels below which an object is lost that the reference finds, `found` at most; null:"
        " `found`. A lower one leaves out those that are near the bound in both.",
    )
    sizes: Annotated[list[Positive], Field(min_length=2, max_length=2)] = Field(
        [1024, 9216],
        description="Pixels from which an object is medium, and large, the lower number first (COCO's: 32² and 96²).",
    )

    @field_validator("sizes")
    @classmethod
    def rising(cls, sizes: list[int]) -> list[int]:
        """Require the bound of large objects to be the greater one."""
        if sizes[0] >= sizes[1]:
            raise ValueError("the second bound must be the greater one")
        return sizes

    @model_validator(mode="after")
    def lost_is_not_found(self) -> CountedObjects:
        """Require what is lost not to be found."""
        if self.lost_below is not None and self.lost_below > self.found:
            raise ValueError(f"lost_below is {self.lost_below:g}, above found, {self.found:g}; give less, or null")
        return self


class Dataset(Section):
    """A data set: where it lies, how it is laid out, what its classes are."""

    kind: str = Field(description="Its layout: a file of `segbench/datasets/`.")
    root: ExpandedPath = Field(
        "", description="Folder of the data; `--config dataset_root=PATH` overrides it for the chosen data set."
    )
    generate: Generate | None = Field(None, description="Street scenes drawn by the workflow, instead of `root`.")
    split: Name = Field("val", description="Split that is scored and timed; calibration takes `train`.")
    splits: dict[Name, FolderSplit] | None = Field(None, description="For `folder`: where each split's files are.")
    classes: list[str] | None = Field(None, description="For `folder`: names of the classes, in trainId order.")
    ignore_index: Annotated[int, Field(ge=0, le=255)] = Field(
        255, description="trainId of pixels that no score counts."
    )
    id_map: dict[IdOrColour, int] | None = Field(
        None,
        description='For `folder`: trainId of each id, or of each colour `"R,G,B"`, in the label files; null: they are'
        " trainIds.",
    )
    zero_is_ignored: bool = Field(
        False, description="For `folder`: id 0 is not scored, and id 1 is the first class, as in ADE20K."
    )
    limit: Positive | None = Field(None, description="Number of val images to use, the first ones in order; null: all.")
    ignored_pixels: Literal["excluded", "errors"] = Field(
        "excluded",
        description="`excluded`: no score counts them; `errors`: they are false positives of the predicted class.",
    )
    boundary_width: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        0.02,
        description="Width of the boundaries of `boundary_iou`, a share of the image's diagonal, below 1; null: it"
        " is not measured.",
    )
    objects: CountedObjects | None = Field(
        None, description="Objects that are counted as found and lost (`objects_lost`); null: none."
    )

    @field_validator("classes")
    @classmethod
    def different(cls, names: list[str] | None) -> list[str] | None:
        """No name twice, since figures stand under the name of their class."""
        for name in names or ():
            if (names or []).count(name) > 1:
                raise ValueError(f"{name!r} stands there twice; a class has a name of its own")
        return names

    @model_validator(mode="after")
    def complete(self) -> Dataset:
        """Require the keys that `folder` needs, and refuse them for other layouts."""
        if bool(self.root) == (self.generate is not None):
            raise ValueError("give either root or generate")
        if self.split == "train":
            raise ValueError("split 'train' is what calibration sees, and is not scored; name another")
        if self.kind == "folder" and (self.splits is None or self.split not in self.splits):
            raise ValueError(f"kind 'folder' needs splits.{self.split}")
        if self.zero_is_ignored and self.id_map:
            raise ValueError("zero_is_ignored stands for an id_map of its own; remove one of them")
        if self.kind == "folder" and not self.classes:
            raise ValueError("kind 'folder' needs classes")
        for name in self.objects.classes if self.objects and self.classes else ():
            if name not in (self.classes or ()):
                raise ValueError(f"objects.classes has {name!r}, which is not among classes")
        if self.kind != "folder" and (self.splits or self.classes or self.id_map or self.zero_is_ignored):
            raise ValueError(f"kind {self.kind!r} has splits, classes and id_map of its own; remove them")
        return self


class Config(Section):
    """The whole configuration."""

    dataset: Name = Field(description="Name of the data set, from `dataset_catalogue`.")
    dataset_root: ExpandedPath | None = Field(
        None, description="Folder of the chosen data set, instead of its entry's `root`."
    )
    decoded_images: bool = Field(
        True,
        description="Whether the images of val are kept decoded under results/data/ (3 bytes a pixel; Cityscapes: 3"
        " GB). Timed jobs then decode nothing between images; a switch reruns no timed job.",
    )
    models: list[Name] = Field(description="Names of the models, from `model_catalogue`.", min_length=1)
    model_root: PathOfInput = Field(".", description="Folder from which a relative `weights.path` starts.")
    variants: list[Name] = Field(description="Names of the variants, from `variant_catalogue`.", min_length=1)
    rounds: Positive = Field(6, description="Number of timed processes per variant.")
    shards: Positive = Field(
        1,
        description="Number of jobs into which the accuracy pass of each variant and its scores are split.",
    )
    reference: str | None = Field(
        None,
        description="What class maps are compared with: a variant, or a file of stored predictions (a pattern that ends"
        " in .zip, with `{dataset}` and `{model}` in it); null: `paddle-fp32` for Paddle models, `paddle3-fp32` for"
        " Paddle 3's (.json), `onnxruntime-fp32` for ONNX models, `openvino-fp32` for OpenVINO's.",
    )
    agreement_images: Positive | None = Field(
        None, description="Number of first images that a reference outside `variants` runs; null: all."
    )
    agreement_bounds: Bounds = Field(
        {"fp32": SAME_NETWORK, "fp16": 0.99, "bf16": 0.98, "int8": 0.95},
        description="Share of pixels, by precision, below which a variant's agreement gets a warning. That of FP32 also"
        " judges ONNX twins and oneDNN's graph passes.",
    )
    class_agreement_bounds: Bounds = Field(
        {"fp32": 0.99, "fp16": 0.98, "bf16": 0.95, "int8": 0.85},
        description="The same for the mean over classes of the IoU with the reference, which sees rare classes.",
    )
    threads: Positive | None = Field(
        None,
        description="Number of threads of a CPU engine, bounded by a control group's CPU quota;"
        " null: one per fast physical core of a socket.",
    )
    sweep: Sweep = Field(default_factory=Sweep, description="Settings that rows are made for.")
    timing: Timing = Field(default_factory=Timing, description="How a round is timed.")
    energy: Energy = Field(default_factory=Energy, description="Whether and how energy is measured.")
    price_per_hour: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None,
        description="What an hour of this machine costs, in any currency, for `cost_per_million`; null: not known.",
    )
    baseline: PathOfInput | list[PathOfInput] | None = Field(
        None,
        description="An earlier run, for `results/comparison.md` and `snakemake gate`: a folder that `snakemake"
        " update_baseline` wrote, or a table.csv. A list: three or more runs of the same version. null: none.",
    )
    tables: list[ExpandedPath] = Field([], description="The table.csv of several machines, for `results/merged.md`.")
    comparison: Comparison = Field(
        default_factory=Comparison, description="What is compared, and what counts as a difference."
    )
    calibration: Calibration = Field(default_factory=Calibration, description="How INT8 is calibrated.")
    mixed_precision: MixedPrecision = Field(
        default_factory=MixedPrecision, description="How the layers' precisions are switched and timed."
    )
    training: Training = Field(default_factory=Training, description="How the demo models are trained.")
    limits: Limits = Field(default_factory=Limits, description="What a stage may use.")
    interpreters: dict[str, ExpandedPath] = Field(
        {},
        description="Python interpreter of each engine that does not run in Snakemake's own, and of `huggingface`: the"
        " one with PyTorch that exports models of that kind.",
    )
    exclusive_nodes: Literal["cpu", "gpu", "all", "none"] = Field(
        "cpu", description="Engines whose timed jobs get a node to themselves on a Slurm cluster."
    )
    fingerprint: str | None = Field(
        None,
        description="Text that stands for driver and package versions on a cluster; null: this machine's are read.",
    )
    model_catalogue: dict[Name, Model] = Field(description="Models by name (config/models.yaml and your own).")
    variant_catalogue: dict[Name, Variant] = Field(description="Variants by name (config/variants.yaml and your own).")
    calibrator_catalogue: dict[Name, Calibrator] = Field({}, description="Calibrators by name.")
    dataset_catalogue: dict[Name, Dataset] = Field(description="Data sets by name (config/datasets.yaml and your own).")

    @field_validator("agreement_bounds", "class_agreement_bounds")
    @classmethod
    def all_precisions(cls, bounds: dict[str, float], info: ValidationInfo) -> dict[str, float]:
        """Fill in the precisions that are not given."""
        default: dict[str, float] = cls.model_fields[str(info.field_name)].default
        return {**default, **bounds}

    @field_validator("models", "variants")
    @classmethod
    def unique(cls, names: list[str]) -> list[str]:
        """No name twice."""
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"{name!r} stands there twice")
        return names
