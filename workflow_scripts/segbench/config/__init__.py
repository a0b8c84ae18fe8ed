"""The configuration, typed and checked at parse time: `read_config` is what the Snakefile calls."""

from segbench.config.check import read_config

__all__ = ["read_config"]
