"""Validate the clock, the harness and the scores. Run `python -m validation.…`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow_scripts"))
