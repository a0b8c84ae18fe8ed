"""Models that the workflow's own interpreter exports for the tests of this one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv/bin/python"  # the workflow's own, which exports
ARCHITECTURES = ("ann", "danet", "deeplabv3p", "dnlnet", "emanet", "gcnet", "pspnet", "unet")
ENTRY = {
    "kind": "narrow", "title": "", "weights": "random", "input": {"height": 256, "width": 512}, "class_count": 19,
    "class_map": None, "output": None,
    "preprocessing": {
        "channel_order": "rgb", "scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3, "resize": "none",
    },
}  # fmt: skip


def export(models: Path, architecture: str) -> Path:
    """model.json of an exported demo-size model with random weights."""
    folder = models / architecture
    if not folder.exists():
        script, entry = ROOT / "workflow_scripts/export_paddle.py", {**ENTRY, "architecture": architecture}
        files = [f"--{kind}={folder / 'model'}.{kind}" for kind in ("pdmodel", "pdiparams", "json")]
        command = [PYTHON, script, "--model", architecture, "--entry", json.dumps(entry), *files]
        subprocess.run(command, check=True, capture_output=True)
    return folder / "model.json"
