"""Export a network by PyTorch and keep PyTorch's own class maps. This runs in the environment of `make env-exports`.

Weights are random, by a seed. A few training passes over the given images give batch normalisation the statistics of
its values. Without these, a network of random weights has values that no engine would see.
"""

from __future__ import annotations

import argparse
import importlib.util
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

CLASSES = 19
OPSET = 18  # both exporters write it without converting
EXPORTERS = {"torchscript": False, "dynamo": True}
WAYS = [(exporter, sizes) for exporter in EXPORTERS for sizes in ("static", "dynamic")]
SQUARE = ("dpt",)  # transformers' DPT takes no other images
KEPT: list[Any] = []  # what is defined in PyTorch as long as it lives


def of_torchvision(name: str, **arguments: Any) -> Callable[[int, int], Any]:
    """Return a maker of a network of torchvision's."""

    def make(height: int, width: int) -> Any:
        from torchvision.models import segmentation

        return getattr(segmentation, name)(weights=None, weights_backbone=None, num_classes=CLASSES, **arguments)

    return make


def of_smp(name: str, encoder: str = "resnet18") -> Callable[[int, int], Any]:
    """Return a maker of a network of segmentation_models_pytorch."""

    def make(height: int, width: int) -> Any:
        import segmentation_models_pytorch

        return getattr(segmentation_models_pytorch, name)(encoder, encoder_weights=None, classes=CLASSES)

    return make


def of_transformers(name: str, configured: Callable[[Any, int, int], Any]) -> Callable[[int, int], Any]:
    """Return a maker of a network of transformers' that ends in its logits."""

    def make(height: int, width: int) -> Any:
        import torch
        import transformers

        class Network(torch.nn.Module):
            """The network, with one output."""

            def __init__(self) -> None:
                super().__init__()
                self.body = getattr(transformers, name)(configured(transformers, height, width))
                self.body.set_attn_implementation("eager")  # PyTorch 2.13 decomposes Swin's fused attention wrongly

            def forward(self, image: Any) -> Any:
                """Return the logits; of a network of masks, those of its classes."""
                found = self.body(pixel_values=image)
                return found.logits if hasattr(found, "logits") else semantic(found)

        return Network()

    return make


def semantic(found: Any) -> Any:
    """Return logits of classes (1×C×h×w) from masks and their classes, as post_process_semantic_segmentation does."""
    classes = found.class_queries_logits.softmax(-1)[..., :-1]
    return (classes.transpose(1, 2) @ found.masks_queries_logits.sigmoid().flatten(2)).unflatten(
        2, found.masks_queries_logits.shape[2:]
    )


def segformer(transformers: Any, height: int, width: int) -> Any:
    """SegFormer B0."""
    return transformers.SegformerConfig(num_labels=CLASSES)


def upernet(transformers: Any, height: int, width: int) -> Any:
    """UPerNet on a small Swin transformer."""
    swin = transformers.SwinConfig(
        embed_dim=24, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8], out_features=["stage1", "stage2", "stage3", "stage4"]
    )
    return transformers.UperNetConfig(
        backbone_config=swin, hidden_size=64, num_labels=CLASSES, use_auxiliary_head=False
    )


def dpt(transformers: Any, height: int, width: int) -> Any:
    """DPT on a small vision transformer."""
    return transformers.DPTConfig(
        hidden_size=96, num_hidden_layers=4, num_attention_heads=4, intermediate_size=192, image_size=128,
        patch_size=16, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[24, 48, 96, 96], fusion_hidden_size=48,
        num_labels=CLASSES, use_auxiliary_head=False,
    )  # fmt: skip


def beit(transformers: Any, height: int, width: int) -> Any:
    """BEiT with its pyramid of features."""
    return transformers.BeitConfig(
        hidden_size=96, num_hidden_layers=4, num_attention_heads=4, intermediate_size=192, image_size=[height, width],
        out_indices=[1, 2, 3, 4], num_labels=CLASSES, use_auxiliary_head=False, use_relative_position_bias=True,
    )  # fmt: skip


def mobilevit(transformers: Any, height: int, width: int) -> Any:
    """MobileViT with DeepLabV3's head."""
    return transformers.MobileViTConfig(num_labels=CLASSES, aspp_out_channels=64)


def mask2former(transformers: Any, height: int, width: int) -> Any:
    """Mask2Former on a small Swin transformer."""
    swin = transformers.SwinConfig(
        embed_dim=24, depths=[1, 1, 2, 1], num_heads=[1, 2, 4, 8], out_features=["stage1", "stage2", "stage3", "stage4"]
    )
    return transformers.Mask2FormerConfig(
        backbone_config=swin, num_labels=CLASSES, hidden_dim=64, feature_size=64, mask_feature_size=64,
        encoder_layers=2, decoder_layers=3, num_attention_heads=4, encoder_feedforward_dim=128,
        dim_feedforward=128, num_queries=40,
    )  # fmt: skip


NETWORKS: dict[str, Callable[[int, int], Any]] = {
    "fcn": of_torchvision("fcn_resnet50", aux_loss=True),
    "deeplabv3": of_torchvision("deeplabv3_mobilenet_v3_large"),
    "lraspp": of_torchvision("lraspp_mobilenet_v3_large"),
    "unet": of_smp("Unet"),
    "unetplusplus": of_smp("UnetPlusPlus"),
    "deeplabv3plus": of_smp("DeepLabV3Plus"),
    "pspnet": of_smp("PSPNet"),
    "fpn": of_smp("FPN"),
    "linknet": of_smp("Linknet"),
    "manet": of_smp("MAnet"),
    "segformer": of_transformers("SegformerForSemanticSegmentation", segformer),
    "upernet": of_transformers("UperNetForSemanticSegmentation", upernet),
    "dpt": of_transformers("DPTForSemanticSegmentation", dpt),
    "beit": of_transformers("BeitForSemanticSegmentation", beit),
    "mobilevit": of_transformers("MobileViTForSemanticSegmentation", mobilevit),
    "mask2former": of_transformers("Mask2FormerForUniversalSegmentation", mask2former),
}


def let_torchvision_load() -> None:
    """Define the operators for lack of which torchvision is not imported beside a PyTorch without CUDA.

    The package index's wheels of torchvision are built for CUDA. Its networks use none of its own operators.
    """
    import torch

    found = importlib.util.find_spec("torchvision")
    for folder in (found and found.submodule_search_locations) or ():
        try:
            torch.ops.load_library(f"{folder}/_C.so")
        except OSError:
            KEPT.append(torch.library.Library("torchvision", "FRAGMENT"))
            for name in ("nms", "qnms"):
                KEPT[-1].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def made(name: str, images: Any) -> Any:
    """Return the network, ready to run, with statistics of batch normalisation from `images` (N×3×H×W)."""
    import torch

    torch.manual_seed(0)
    network = NETWORKS[name](*images.shape[2:])
    norms = [one for one in network.modules() if isinstance(one, torch.nn.modules.batchnorm._BatchNorm)]
    for one in norms:
        one.momentum = None  # the average of all passes
    network.train()
    with torch.no_grad():
        for _ in range(2 if norms else 0):
            network(images)
    return network.eval()


def class_maps(network: Any, images: Any) -> Any:
    """Return PyTorch's class maps (N×H×W), of logits that are brought to the images' size before."""
    import torch

    maps = []
    for image in images:
        with torch.no_grad():
            found = network(image[None])
        logits = next(iter(found.values())) if isinstance(found, Mapping) else found
        logits = torch.nn.functional.interpolate(logits, images.shape[2:], mode="bilinear", align_corners=False)
        maps.append(logits.argmax(1)[0].to(torch.uint8))
    return torch.stack(maps)


def export(network: Any, image: Any, exporter: str, sizes: str, out: Path) -> None:
    """Write the network as ONNX. With dynamic sizes, batch, height and width are left open."""
    import torch

    axes = {0: "batch", 2: "height", 3: "width"} if sizes == "dynamic" else {}
    given: dict[str, Any] = {"dynamo": EXPORTERS[exporter], "opset_version": OPSET, "input_names": ["image"]}
    if axes and given["dynamo"]:
        two = torch.cat([image, image])  # a batch of one would be written as a constant
        given |= {"dynamic_shapes": (axes,)}
        torch.onnx.export(network, (two,), str(out), **given)
    else:
        torch.onnx.export(network, (image,), str(out), dynamic_axes={"image": axes} if axes else None, **given)


def main() -> None:
    """Parse the command line, and export in every way. A way that PyTorch refuses leaves an error.txt."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("network", choices=NETWORKS)
    options.add_argument("--images", type=Path, required=True, help="float32 N×3×H×W, a .npy file")
    options.add_argument(
        "--out", type=Path, required=True, help="folder of class_maps.npy and EXPORTER-SIZES/model.onnx"
    )
    args = options.parse_args()

    import torch

    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    let_torchvision_load()
    images = torch.from_numpy(np.load(args.images))
    network = made(args.network, images)
    np.save(args.out / "class_maps.npy", class_maps(network, images).numpy())
    for exporter, sizes in WAYS:
        folder = args.out / f"{exporter}-{sizes}"
        folder.mkdir()
        try:
            export(network, images[:1], exporter, sizes, folder / "model.onnx")
        except Exception as error:  # the exporters have many classes of their own
            said = [line for line in str(error).splitlines() if line.strip()] or [""]
            (folder / "error.txt").write_text(f"{type(error).__name__}: {said[0]}", encoding="utf-8")
        print(args.network, exporter, sizes, flush=True)


if __name__ == "__main__":
    main()
