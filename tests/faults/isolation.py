"""A whole run without a network, with every file system read-only but for results/, .snakemake/ and two caches.

Namespaces want root: without, nothing is tried.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from faults.fault import Case, small_flow

# In namespaces of its own: no network device but a loopback that is down; the root mounted again as read-only.
SHELL = """set -e
mount --make-rprivate /
for folder in "$PWD/results" "$PWD/.snakemake" "$HOME/.cache" "$TMPDIR"; do mount --bind "$folder" "$folder"; done
mount -o remount,bind,ro /
if touch "$PWD/Snakefile" 2>/dev/null; then echo "the root is not read-only"; exit 9; fi
exec "$@"
"""
# Snakemake keeps the sources of its workflow in the user's cache folder; Python and the engines use the other.
CACHES = (".cache", "tmp")


def cases(count: int, seed: int, folder: Path) -> Iterator[Case]:
    """One run, and what it left in the home folder's cache and in the temporary one."""
    if subprocess.run(["unshare", "-n", "-m", "true"], capture_output=True, check=False).returncode:
        print("isolation: no right to make namespaces here: not tried")
        return
    flow = small_flow(folder / "flow", calibrated=True)
    for name in ("results", ".snakemake"):
        (flow.folder / name).mkdir(exist_ok=True)
    home = folder / "home"
    for name in CACHES:
        (home / name).mkdir(parents=True)
    snakemake = [sys.executable, "-m", "snakemake", "--configfile", "overlay.yaml"]
    done = subprocess.run(
        ["unshare", "-n", "-m", "sh", "-c", SHELL, "sh", *snakemake],
        cwd=flow.folder,
        env={"HOME": str(home), "TMPDIR": str(home / "tmp"), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin"},
        capture_output=True,
        text=True,
        check=False,
    )
    rows = flow.rows() if done.returncode == 0 else []
    bad = "" if rows and all(row["status"] == "ok" for row in rows) else (done.stdout + done.stderr)[-2000:]
    yield Case("isolation", "no network, all read-only but results/ and caches", bad, f"{len(rows)} rows are ok")
    for name in CACHES:
        left = sorted({str(path.relative_to(home / name).parts[0]) for path in (home / name).rglob("*")})
        strange = [one for one in left if (name, one) != (".cache", "snakemake")]
        yield Case("isolation", f"what is left in {name}", f"{strange}" if strange else "", f"{left}")
