"""A few of PaddleSeg's families through the whole workflow, as `python -m validation.zoo.zoo` runs all of them."""

import subprocess
import sys
from pathlib import Path

from segbench.files import read_json

ROOT = Path(__file__).parents[2]
SMALL = ["pp_humanseg_lite", "fastscnn"]  # of one output and of two
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


def test_families_run_on_every_engine_and_go_on_where_they_stopped(tmp_path):
    printed = zoo(tmp_path, *SMALL, NEWER)
    record = read_json(tmp_path / "zoo.json")
    names, *columns = zip(*record["cells"], strict=True)
    assert names == (*SMALL, NEWER)
    for fp32 in columns[:4]:
        assert all(float(cell) >= 0.9995 for cell in fp32[:2])
    for int8 in columns[4:]:
        assert all(0 < float(cell) <= 1 for cell in int8[:2])
    assert {cells[2] for cells in columns} == {"refused"}
    ((family, variants, _, reason),) = record["reasons"]
    assert family == NEWER and variants.count(",") == 6 and "has no network 'PIDNet'; name a clone" in reason
    assert list(record["counts"].values()) == [3, 2, 2, 2, 2, 2, 0, 0]
    assert reason in printed.replace("\\", "")
    assert sorted(path.name for path in (tmp_path / "results").iterdir() if path.is_dir()) == ["data"]
    kept = (tmp_path / "kept" / "fastscnn.csv").stat().st_mtime_ns
    assert " min" not in zoo(tmp_path, *SMALL)
    assert (tmp_path / "kept" / "fastscnn.csv").stat().st_mtime_ns == kept
