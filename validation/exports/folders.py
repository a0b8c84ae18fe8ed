"""Save networks with their image processors, and what transformers makes of images. This runs in PyTorch's environment.

The class maps are those of transformers alone: its image processor, the network, and its
`post_process_semantic_segmentation` at the size of each image. Weights are random, by a seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HEIGHT, WIDTH = 96, 160  # of the networks' inputs
CLASSES = 6
SMALL: dict[str, Any] = {
    "hidden_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 96, "patch_size": 16,
}  # fmt: skip
STAGES = ["stage1", "stage2", "stage3", "stage4"]
PROCESSOR = {"size": {"height": HEIGHT, "width": WIDTH}}


def segformer(transformers: Any) -> tuple[Any, Any]:
    """SegFormer, bilinear; images get another mean and deviation than the usual ones."""
    config = transformers.SegformerConfig(
        num_labels=CLASSES, depths=[1, 1, 1, 1], hidden_sizes=[16, 32, 48, 64], decoder_hidden_size=64
    )
    processor = transformers.SegformerImageProcessorPil(
        **PROCESSOR, image_mean=[0.4, 0.45, 0.5], image_std=[0.2, 0.25, 0.3]
    )
    return transformers.SegformerForSemanticSegmentation(config), processor


def upernet(transformers: Any) -> tuple[Any, Any]:
    """UPerNet on Swin, with SegFormer's processor, as its published models have it."""
    swin = transformers.SwinConfig(embed_dim=16, depths=[1, 1, 1, 1], num_heads=[1, 2, 2, 4], out_features=STAGES)
    config = transformers.UperNetConfig(
        backbone_config=swin, hidden_size=32, num_labels=CLASSES, use_auxiliary_head=False
    )
    return transformers.UperNetForSemanticSegmentation(config), transformers.SegformerImageProcessorPil(**PROCESSOR)


def dpt(transformers: Any) -> tuple[Any, Any]:
    """DPT, bicubic, square as its position embedding."""
    config = transformers.DPTConfig(
        **SMALL, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[16, 24, 32, 32], fusion_hidden_size=32,
        image_size=HEIGHT, num_labels=CLASSES, use_auxiliary_head=False,
    )  # fmt: skip
    processor = transformers.DPTImageProcessorPil(size={"height": HEIGHT, "width": HEIGHT})
    return transformers.DPTForSemanticSegmentation(config), processor


def beit(transformers: Any) -> tuple[Any, Any]:
    """BEiT, bicubic, mean and deviation .5."""
    config = transformers.BeitConfig(
        **SMALL, image_size=[HEIGHT, WIDTH], out_indices=[1, 2, 3, 4], num_labels=CLASSES, use_auxiliary_head=False,
        use_relative_position_bias=True,
    )  # fmt: skip
    return transformers.BeitForSemanticSegmentation(config), transformers.BeitImageProcessorPil(**PROCESSOR)


def data2vec(transformers: Any) -> tuple[Any, Any]:
    """Data2Vec, with BEiT's processor, square as transformers wants it."""
    config = transformers.Data2VecVisionConfig(
        **SMALL, image_size=HEIGHT, out_indices=[1, 2, 3, 4], num_labels=CLASSES, use_auxiliary_head=False
    )
    processor = transformers.BeitImageProcessorPil(size={"height": HEIGHT, "width": HEIGHT})
    return transformers.Data2VecVisionForSemanticSegmentation(config), processor


def mobilevit(transformers: Any) -> tuple[Any, Any]:
    """MobileViT: blue first, no mean and deviation. What its processor cuts off is left in."""
    config = transformers.MobileViTConfig(
        num_labels=CLASSES, hidden_sizes=[24, 32, 40], neck_hidden_sizes=[8, 16, 24, 32, 40, 48, 64],
        aspp_out_channels=32, num_attention_heads=2,
    )  # fmt: skip
    processor = transformers.MobileViTImageProcessorPil(**PROCESSOR, do_center_crop=False)
    return transformers.MobileViTForSemanticSegmentation(config), processor


NETWORKS: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "segformer": segformer,
    "upernet": upernet,
    "dpt": dpt,
    "beit": beit,
    "data2vec": data2vec,
    "mobilevit": mobilevit,
}
SQUARE = ("dpt", "data2vec")


def save(name: str, images: list[Path], out: Path) -> None:
    """Write the network's folder `out`/`name`, and the class map of each image to `out`/`name`.npz."""
    import torch
    import transformers
    from PIL import Image

    torch.manual_seed(0)
    network, processor = NETWORKS[name](transformers)
    with torch.no_grad():
        for parameter in network.parameters():  # the first values are so small that one class is everywhere
            parameter.mul_(3 if parameter.ndim > 1 else 1)
    network.eval()
    for part in (network, processor):
        part.save_pretrained(out / name)
    processor = transformers.AutoImageProcessor.from_pretrained(str(out / name), local_files_only=True)
    maps = {}
    for path in images:
        image = Image.open(path).convert("RGB")
        with torch.no_grad():
            outputs = network(**processor(image, return_tensors="pt"))
        (found,) = processor.post_process_semantic_segmentation(outputs, target_sizes=[image.size[::-1]])
        maps[path.stem] = found.numpy().astype(np.uint8)
    np.savez(out / f"{name}.npz", **maps)


def main() -> None:
    """Parse the command line and save."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("networks", nargs="*", default=list(NETWORKS), help="networks to save (default: all)")
    options.add_argument("--images", type=Path, required=True, help="folder of pictures")
    options.add_argument("--out", type=Path, required=True, help="folder to write to")
    args = options.parse_args()
    for name in args.networks:
        save(name, sorted(args.images.iterdir()), args.out)
        print(name, flush=True)


if __name__ == "__main__":
    main()
