"""One data set layout per file; `segbench.datasets.base` holds what they share."""
