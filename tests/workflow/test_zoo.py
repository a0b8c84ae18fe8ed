"""Two of PaddleSeg's families through the whole workflow, as `python -m validation.zoo.zoo` runs all of them."""

import subprocess
import sys
from pathlib import Path

import pytest
from segbench.files import read_json

ROOT = Path(__file__).parents[2]
SMALL = "fastscnn"  # of two outputs
NEWER = "pidnet"  # the installed PaddleSeg does not have it


def zoo(folder: Path, *arguments: str) -> str:
    """What the command printed; it succeeds."""
    done = subprocess.run(
        [sys.executable, "-m", "validation.zoo.zoo", f"--folder={folder}", f"--out={folder}", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_a_family_runs_on_every_engine_and_is_not_run_again(tmp_path):
    printed = zoo(tmp_path, SMALL, NEWER)
    record = read_json(tmp_path / "zoo.json")
    names, *columns = zip(*record["cells"], strict=True)
    assert names == (SMALL, NEWER)
    assert all(float(ran) >= 0.9995 for ran, _ in columns[:4])
    assert all(0 < float(ran) <= 1 for ran, _ in columns[4:])
    assert {refused for _, refused in columns} == {"refused"}
    ((family, variants, _, reason),) = record["reasons"]
    assert family == NEWER and variants.count(",") == 6 and "has no network 'PIDNet'; name a clone" in reason
    assert list(record["counts"].values()) == [2, 1, 1, 1, 1, 1, 0, 0]
    assert reason in printed.replace("\\", "")
    assert sorted(path.name for path in (tmp_path / "results").iterdir() if path.is_dir()) == ["data"]
    kept = (tmp_path / "kept" / f"{SMALL}.csv").stat().st_mtime_ns
    assert " min" not in zoo(tmp_path, SMALL)
    assert (tmp_path / "kept" / f"{SMALL}.csv").stat().st_mtime_ns == kept
