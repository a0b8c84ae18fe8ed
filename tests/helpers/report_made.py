"""A results folder made by code, as the chain would leave it, for tests of tables and the report."""

from __future__ import annotations

import csv
import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from segbench.files import write_json
from segbench.scoring.image_counts import ImageCounts, Packed
from segbench.scoring.predictions import PredictionsWriter, key_of
from segbench.scoring.score_record import NO_FIGURES
from segbench.timing.latencies import LatencyLine, write_latencies

HEIGHT, WIDTH, IMAGES = 16, 32, 4
ENTRIES = {
    "paddle-fp32": ("paddle", "fp32", 0.2, 0.60),
    "onnxruntime-fp32": ("onnxruntime", "fp32", 0.1, 0.60),
    "openvino-int8": ("openvino", "int8", 0.02, 0.585),
    "openvino-int8-table": ("openvino", "int8", 0.03, 0.597),
    "openvino-fp16": ("openvino", "fp16", None, None),  # cannot run
    "openvino-fp32": ("openvino", "fp32", 0.0995, 0.60),  # about as fast as onnxruntime-fp32
    "onnxruntime-int8": ("onnxruntime", "int8", 0.025, 0.597),
}  # engine, precision, seconds, mIoU
FIVE = tuple(ENTRIES)[:5]
REASON = "this CPU has no FP16 arithmetic"
CLASSES = ["road", "car", "sky"]


class Made:
    """`selection` and `settings` as the rules pass them; files below `folder`/results.

    `records` has, by variant, what its rounds recorded beside the defaults, e.g. `{"contended": True}`. `drifts` are
    the factors by which the machine is slower in each round. With `control` every block has a round of the control.
    """

    def __init__(
        self,
        folder: Path,
        models: dict[str, str] | None = None,
        variants: tuple[str, ...] = FIVE,
        classes: list[str] | None = None,
        labelled: bool = True,
        rounds: int = 3,
        failed: bool = False,
        images: int = IMAGES,
        records: dict[str, dict[str, Any]] | None = None,
        drifts: tuple[float, ...] = (),
        control: bool = False,
    ) -> None:
        self.results, self.random = folder / "results", np.random.default_rng(0)
        self.models = models or {"first": "PSPNet (narrow)", "second": "GCNet (narrow)"}
        self.classes, self.labelled, self.rounds, self.failed = classes or CLASSES, labelled, rounds, failed
        entries = {name: {"engine": ENTRIES[name][0], "precision": ENTRIES[name][1]} for name in variants}
        self.selection = {"dataset": "made", "rounds": rounds, "shards": 1, "models": self.models, "variants": entries}
        configuration = {"dataset": "made", "rounds": rounds, "models": list(self.models)}
        self.records, self.drifts = records or {}, drifts or (1.0,) * rounds
        if control:
            self.selection["control"] = [next(iter(self.models)), "onnxruntime-fp32"]
        self.settings = {"configuration": configuration, "command": "snakemake --configfile mine.yaml", "margin": 0.02}
        self.ids = [f"image {number}" for number in range(images)]
        self._data(folder)
        for number, model in enumerate(self.models):
            self._model(model)
            if control:
                self._control(number, model)
            for variant in variants:
                self._row(model, variant, number)

    def _data(self, folder: Path) -> None:
        target = self.results / "data" / "made" / "val"
        target.mkdir(parents=True)
        with open(target / "index.csv", "w", newline="", encoding="utf-8") as stream:
            table = csv.writer(stream)
            table.writerow(("image_id", "image", "label", "height", "width", "image_sha256"))
            for image_id in self.ids:
                image, label = folder / f"{image_id}.png", folder / f"{image_id} label.png"
                cv2.imwrite(str(image), self.random.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8))
                cv2.imwrite(str(label), np.zeros((HEIGHT, WIDTH), np.uint8))
                table.writerow((image_id, image, label if self.labelled else "", HEIGHT, WIDTH, ""))
        luma = {name: number / len(self.ids) for number, name in enumerate(self.ids)}
        write_json(target / "brightness.json", {"status": "ok", "reason": "", "luma": luma})
        facts = {"dataset": "made", "classes": self.classes, "ignore_index": 255, "id_map": None}
        write_json(target / "dataset.json", {**facts, "labelled": self.labelled})

    def _model(self, model: str) -> None:
        record = {"input": {"height": HEIGHT, "width": WIDTH}, "class_map": None, "has_trained_weights": True}
        write_json(self.results / "models" / model / "model.json", {**record, "parameter_count": 1000, "files": {}})

    def _row(self, model: str, variant: str, number: int) -> None:
        _, _, time, miou = ENTRIES[variant]
        ok = time is not None and not self.failed
        status: dict[str, Any] = {"status": "ok" if ok else "unsupported", "reason": "" if ok else REASON}
        here = f"made/{model}/{variant}"
        built = {"build_s": 1.5, "engine_bytes": 2_000_000} if ok else {}
        write_json(self.results / "engines" / here / "status.json", status | built)
        changed = variant not in ("paddle-fp32", "onnxruntime-fp32")
        agreement = {"pixel_agreement": 0.96875 if changed else 1.0, "reference": "paddle-fp32"}
        score = NO_FIGURES | status | agreement | {"agreement_reason": "", "scored_by": "", "scored_by_warning": ""}
        score["worst_images"] = [[self.ids[1], agreement["pixel_agreement"]]]
        if ok and self.labelled and miou is not None:
            score |= dict.fromkeys(("miou", "miou_labelled"), miou - number / 10)
            score |= {"iou_per_class": dict.fromkeys(self.classes, miou - number / 10)}
            score["image_counts"] = score["boundary_counts"] = self._image_counts(miou - number / 10)
            score |= {"pixel_accuracy": 0.75, "mean_class_accuracy": 0.7}
            score |= self._objects(lost=2 if changed else 0)
        if variant == "openvino-int8":
            score["agrees"] = False
            score["warnings"] = ["agrees with paddle-fp32 on only 0.9687 of pixels (bound 0.99)"]
        write_json(self.results / "scores" / f"{here}.json", score)
        self._maps(self.results / "predictions" / here / "0", status, bool(time), changed)
        for round_ in range(1, self.rounds + 1):
            folder = self.results / "runs" / here / str(round_) / "0"
            record = {**status, **self.records.get(variant, {})} if ok else status
            self._round(folder, (number, round_), record, ok and time, changed)

    def _objects(self, lost: int) -> dict[str, Any]:
        """Ten objects of each class that the reference finds; of the last class some are lost, all of them small."""
        none = dict.fromkeys(("labelled", "reference", "own", "lost", "gained"), 0)
        found = {"labelled": 12, "reference": 10, "own": 10, "lost": 0, "gained": 0}
        counts = {name: {"small": {**found}, "medium": {**none}, "large": {**none}} for name in self.classes}
        counts[self.classes[-1]]["small"] |= {"own": 11 - lost, "lost": lost, "gained": int(lost > 0)}
        place = [self.ids[1], self.classes[-1], 40, [2, 3, 8, 5]]
        return {"objects": counts, "lost_objects": [[*place, 0.9, 0.1]] if lost else []}

    def _image_counts(self, miou: float) -> Packed | None:
        """Counts of which every class has this IoU, but that images differ in how hard they are."""
        found, hard = ImageCounts(), np.random.default_rng(1).normal(0, 0.01, len(self.ids))
        for image_id, by in zip(self.ids, hard - hard.mean(), strict=True):
            iou, pixels = miou + by, np.full(len(self.classes), 100_000)
            found.add(key_of(image_id), np.stack([(2 * pixels * iou / (1 + iou)).astype(np.int64), pixels, pixels]))
        return found.packed()

    def _control(self, number: int, model: str) -> None:
        """Leave the control's rounds in the blocks of a model."""
        folder = self.results / "control" / "made" / "/".join(self.selection["control"]) / f"{model}-00000000"
        for round_ in range(1, self.rounds + 1):
            self._round(folder / str(round_), (number, round_), {"status": "ok", "reason": ""}, 0.1, False)

    def _round(
        self, folder: Path, block: tuple[int, int], record: dict[str, Any], time: float | None, changed: bool
    ) -> None:
        """Leave a round of a block: the number of its model, and the round. `time` is that of a machine at rest."""
        started = datetime(2026, 1, 1, block[1], block[0], tzinfo=timezone.utc).isoformat(timespec="milliseconds")
        told = {"steady": True, "contended": False, "throttled": False, "peak_rss_bytes": 300_000_000}
        record = {**told, "started": started, **record} if time else record
        self._maps(folder, record, bool(time), changed, keep_maps=False)
        slower = self.drifts[block[1] - 1]
        times = time * slower * self.random.uniform(0.95, 1.05, len(self.ids)) if time else []
        timed = zip(self.ids, times, strict=False)
        write_latencies(folder / "latencies.csv", [LatencyLine(name, time, time * 1.1) for name, time in timed])
        write_latencies(folder / "replaced.csv", [])

    def _maps(self, folder: Path, status: dict[str, Any], ran: bool, changed: bool, keep_maps: bool = True) -> None:
        """The files that the accuracy pass and a round both have."""
        write_json(folder / "status.json", status)
        machine = {"cpu_model": "A CPU", "cpu_flags": ["avx2"], "physical_cores": 2, "logical_cores": 2}
        environment = {"hardware_id": "0123456789ab", "machine": machine, "software": {"numpy": "1.0"}}
        write_json(folder / "environment.json", environment | {"host": "my-host", "interpreter": "/home/me/python"})
        with PredictionsWriter(folder / "predictions.zip", HEIGHT, WIDTH, keep_maps) as writer:
            for image_id in self.ids if ran else []:
                class_map = np.zeros((HEIGHT, WIDTH), np.uint8)
                class_map[:1, : WIDTH // 2] = changed
                writer.add(image_id, class_map)

    def arguments(self) -> list[str]:
        """What every script of the tables and the report is given."""
        published = sorted((Path(__file__).parents[2] / "resources" / "published").glob("*.csv"))
        selection, plan = json.dumps(self.selection), self.results / "rounds.json"
        write_json(plan, {"rounds": self.rounds, "extra": {}})
        given = [f"--results={self.results}", f"--selection={selection}", f"--rounds={plan}"]
        return [*given, "--published", *map(str, published)]
