"""Draw a data set of street scenes with labels, in Cityscapes' layout. Arrays are the same on every x86-64 machine.

An image depends on seed, split, its number and size only, so that a small set is the beginning of a larger one.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from demo.scene import SPLITS, VERSION, scene
from segbench.datasets.cityscapes import IMAGE, TRAIN_IDS
from segbench.errors import InputError
from segbench.files import SNAKEMAKES_OWN, atomic, write_json
from segbench.process import lifetime
from segbench.process.lifetime import command

CITY, SEQUENCE = "demo", 1000  # images in a sequence, in the sense of Cityscapes' file names
SMALLEST, LARGEST = 64, 8192
TREES = ("leftImg8bit", "gtFine")
# Sensor noise does not compress. Run lengths alone take two thirds of a search's time, and the file is smaller.
PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]


def make_demo_set(
    out: Path, height: int, width: int, counts: dict[str, int], seed: int, jobs: int = 1
) -> dict[str, Any]:
    """Draw all images and labels into the folder `out`, whole or not at all. Return the manifest.

    The manifest's SHA-256 of a split is that of its pairs' (`draw_pair`), one after another. "all" is that of the
    splits'. Raises InputError for a size or count that is out of range, or a folder that holds something else.
    """
    check(out, height, width, counts, seed, jobs)
    todo = [(split, number) for split in SPLITS for number in range(counts[split])]
    hashes = {split: hashlib.sha256() for split in SPLITS}
    with atomic(out.resolve()) as folder, _mapper(jobs) as each:
        for split in SPLITS:
            for tree in TREES:
                (folder / tree / split / CITY).mkdir(parents=True)
        drawn = each(partial(draw_pair, folder, height, width, seed), todo)
        for (split, _), digest in zip(todo, _progress(drawn, len(todo)), strict=True):
            hashes[split].update(digest)
    return {
        "generator_version": VERSION,
        "arguments": {"height": height, "width": width, **counts, "seed": seed},
        "image_count": {**counts, "all": len(todo)},
        "sha256": {
            **{split: hashes[split].hexdigest() for split in SPLITS},
            "all": hashlib.sha256(b"".join(hashes[split].digest() for split in SPLITS)).hexdigest(),
        },
    }


def draw_pair(folder: Path, height: int, width: int, seed: int, which: tuple[str, int]) -> bytes:
    """Draw one image and its label, write both, return the SHA-256 of the decoded arrays (image, then label)."""
    cv2.setNumThreads(1)
    split, number = which
    image, label = scene(seed, split, number, height, width)
    stem = f"{split}/{CITY}/{CITY}_{number // SEQUENCE:06d}_{number % SEQUENCE:06d}"
    _write(folder / TREES[0] / f"{stem}{IMAGE}", image)
    _write(folder / TREES[1] / f"{stem}{TRAIN_IDS}", label)
    return hashlib.sha256(image.tobytes() + label.tobytes()).digest()


def _write(path: Path, pixels: np.ndarray) -> None:
    path.write_bytes(cv2.imencode(".png", pixels, PNG)[1].tobytes())


def check(out: Path, height: int, width: int, counts: dict[str, int], seed: int, jobs: int) -> None:
    """Raise InputError for what cannot be drawn, or for a folder that is not a demo set and would be replaced."""
    for name, size in (("height", height), ("width", width)):
        if not SMALLEST <= size <= LARGEST:
            raise InputError(f"--{name} {size}: must be from {SMALLEST} to {LARGEST} pixels")
    for name, count in (*counts.items(), ("jobs", jobs)):
        if count < 1:
            raise InputError(f"--{name} {count}: must be at least 1")
    if seed < 0:
        raise InputError(f"--seed {seed}: must not be negative")
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: is a file; name a folder")
    others = [path.name for path in out.glob("*") if path.name not in (*TREES, SNAKEMAKES_OWN)]
    if others:
        raise InputError(f"--out {out}: holds {sorted(others)[0]!r}, which is no demo set's; name a folder of its own")


@contextmanager
def _mapper(jobs: int) -> Iterator[Any]:
    """Return `map` in this process, or on `jobs` processes."""
    if jobs == 1:
        yield map
        return
    # Processes are not forked: a fork of a process with threads may wait for a lock for ever.
    with lifetime.pool(jobs) as pool:
        yield partial(pool.map, chunksize=4)


def _progress(done: Iterable[bytes], total: int) -> Iterator[bytes]:
    """Print the progress about every second."""
    start = last = time.monotonic()
    for count, value in enumerate(done, 1):
        now = time.monotonic()
        if count == total or now - last >= 1:
            last = now
            rate = count / max(now - start, 1e-9)
            print(f"drawing: {count}/{total}, {rate:.1f} images/s", file=sys.stderr, flush=True)
        yield value


@command
def main() -> None:
    """Parse the command line, draw, and write the manifest last."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to make; replaced if it exists")
    parser.add_argument("--manifest", required=True, type=Path, metavar="FILE", help="JSON with counts and SHA-256")
    parser.add_argument("--height", required=True, type=int, help="pixels")
    parser.add_argument("--width", required=True, type=int, help="pixels")
    parser.add_argument("--train", required=True, type=int, metavar="N", help="training images")
    parser.add_argument("--val", required=True, type=int, metavar="N", help="validation images, from other streams")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="number of processes; the result does not depend on it")
    args = parser.parse_args()
    manifest = make_demo_set(
        args.out, args.height, args.width, {"train": args.train, "val": args.val}, args.seed, args.jobs
    )
    write_json(args.manifest, manifest)


if __name__ == "__main__":
    main()
