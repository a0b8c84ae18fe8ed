"""One calibrating library per file; `segbench.calibration.base` holds the protocol that they share."""
