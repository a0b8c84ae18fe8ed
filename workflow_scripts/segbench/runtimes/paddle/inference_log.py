"""What Paddle 2.6.2 logs of its TensorRT subgraphs: no call of it tells what was loaded, built, or left outside.

The lines are those of paddle/fluid/inference/analysis/ir_passes/tensorrt_subgraph_pass.cc and of the executor.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Value of GLOG_vmodule, read when Paddle is imported: tells each operator that is refused, and each that is run.
VERBOSE = "tensorrt_subgraph_pass=5,naive_executor=4"
NOT_SHOWN = r"naive_executor\.cc|is not in TensorRT|trt subgraph has op|TRT engine (hash )?key"
# TensorRT's messages come through the logger of paddle/fluid/inference/tensorrt/helper.h. Paddle ignores what its
# enqueueV2 answers, so that a refused run shows here and nowhere else.
TENSORRT_ERROR = re.compile(r"^E\d{4} .*?\bhelper\.h:\d+\] (.+)$", re.MULTILINE)
NOT_COUNTED = ("feed", "fetch", "tensorrt_engine")


@dataclass(frozen=True)
class TensorRTLog:
    """`subgraphs`: operators of each TensorRT subgraph; `loaded`, `unreadable`: serialized engines read, and not;
    `built`: engines built; `calibrating`: subgraphs that Paddle calibrates; `refused`: types of operators that TensorRT
    does not take; `executed`: operators that were run outside of TensorRT, by type (with VERBOSE, over all runs);
    `errors`: what TensorRT itself said was an error."""

    subgraphs: tuple[int, ...]
    loaded: int
    unreadable: int
    built: int
    calibrating: int
    refused: frozenset[str]
    executed: Counter[str]
    errors: tuple[str, ...]

    @property
    def share(self) -> float | None:
        """Share of the operators that are inside TensorRT, after Paddle's fusions; None where nothing was run."""
        inside, outside = sum(self.subgraphs), self.executed.total()
        return inside / (inside + outside) if outside else (1.0 if inside else None)

    def fallback(self, min_subgraph_size: int) -> dict[str, str]:
        """Operators outside of TensorRT, `type ×count`, and why they are."""
        small = f"in a group of fewer than {min_subgraph_size} (min_subgraph_size)"
        return {
            f"{kind} ×{count}": "not taken by TensorRT" if kind in self.refused else small
            for kind, count in sorted(self.executed.items())
        }


def read_log(text: str) -> TensorRTLog:
    """What `text`, lines of Paddle's log, tells."""
    executed = Counter(re.findall(r"run Op\((\w+)\)", text))
    return TensorRTLog(
        subgraphs=tuple(map(int, re.findall(r"detect a sub-graph with (\d+) nodes", text))),
        loaded=len(re.findall(r"\bLoad TRT Optimized Info from", text)),
        unreadable=len(re.findall(r"Fail to load TRT Optimized Info from", text)),
        built=len(re.findall(r"Prepare TRT engine \(", text)),
        calibrating=len(re.findall(r"RUN Paddle TRT int8 calibration mode", text)),
        refused=frozenset(re.findall(r"(\w+) op is not in TensorRT", text)),
        executed=Counter({kind: count for kind, count in executed.items() if kind not in NOT_COUNTED}),
        errors=tuple(TENSORRT_ERROR.findall(text)),
    )


@dataclass
class Captured:
    """What was written to standard error, once the block has ended."""

    text: str = ""


@contextmanager
def captured() -> Iterator[Captured]:
    """Keep what the process writes to standard error, and pass on what a person can read.

    Another process does both: a thread of this one would wait for the interpreter's lock, which Paddle holds while it
    writes, and after a crash the last words must still come out.
    """
    result = Captured()
    with tempfile.NamedTemporaryFile(suffix=".log") as kept:
        sys.stderr.flush()
        before = os.dup(2)
        command = ["sh", "-c", f"tee '{kept.name}' | grep --line-buffered -Ev '{NOT_SHOWN}' >&2 || true"]
        tee = subprocess.Popen(command, stdin=subprocess.PIPE)
        assert tee.stdin is not None
        os.dup2(tee.stdin.fileno(), 2)
        try:
            yield result
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)
            tee.stdin.close()
            tee.wait()
            result.text = Path(kept.name).read_text(errors="replace")
