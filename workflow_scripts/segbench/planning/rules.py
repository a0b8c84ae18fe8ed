"""Look-ups by rule file: rules/data.smk asks `planning.data`, rules/models.smk asks `planning.models`, and so on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from segbench.planning.calibration import Calibration
from segbench.planning.comparison import Comparison
from segbench.planning.data import Data
from segbench.planning.engines import Engines
from segbench.planning.explain import Explain
from segbench.planning.inference import Inference
from segbench.planning.jobs import Jobs
from segbench.planning.lookup import Lookup
from segbench.planning.mixed_precision import MixedPrecision
from segbench.planning.models import Models
from segbench.planning.report import Report
from segbench.planning.scoring import Scoring
from segbench.planning.training import Training


class Planning(Lookup):
    """All look-ups in `config`. `overlays` are the files given by --configfile. With `cluster`, jobs go to other
    machines.
    """

    def __init__(self, config: dict[str, Any], overlays: Sequence[str] = (), cluster: bool = False) -> None:
        super().__init__(config)
        self.jobs = Jobs(config, cluster)
        self.data = Data(config)
        self.models = Models(config)
        self.calibration = Calibration(config, self.jobs, self.models)
        self.engines = Engines(config, self.models)
        self.inference = Inference(config)
        self.scoring = Scoring(config)
        self.comparison = Comparison(config, self.jobs, self.engines)
        self.explain = Explain(config)
        self.mixed_precision = MixedPrecision(config, self.calibration, self.engines, self.comparison)
        self.report = Report(config, self.inference, overlays)
        self.training = Training(config)
