"""Models in Paddle 3's own form (X.json, X.pdiparams), made by Paddle 3 in its own interpreter."""

from __future__ import annotations

import subprocess
import sysconfig
from pathlib import Path

from helpers.skips import need_interpreter

ROOT = Path(__file__).parents[2]
# PaddleSeg is in the environment of the tests only: it stands last on the path, so that all else is Paddle 3's.
SAVE = """
import sys
scripts, packages, out = sys.argv[1:]
sys.path.insert(0, scripts)
sys.path.append(packages)
import paddle

def save(name, then, network=None, size=(None, None)):
    class Network(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            self.body = network or paddle.nn.Conv2D(3, 4, 3, padding=1)

        def forward(self, image):
            return then(self.body(image))

    layer = Network()
    layer.eval()
    image = paddle.static.InputSpec([1, 3, *size], "float32", "image")
    paddle.jit.save(paddle.jit.to_static(layer, input_spec=[image], full_graph=True), f"{out}/{name}")
"""


def paddle3() -> str:
    """Paddle 3's Python, or a visible skip."""
    return need_interpreter(".venv-paddle3", "make env-paddle3")


def save_with_paddle3(folder: Path, code: str) -> None:
    """Run `code`, which calls `save(name, then, network, size)`: `then(network(image))` becomes folder/name.json."""
    script = folder / "save.py"  # a file: Paddle rewrites the source of `forward`
    script.write_text(f"{SAVE}\n{code}")
    command = [paddle3(), str(script), str(ROOT / "workflow_scripts"), sysconfig.get_path("purelib"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
