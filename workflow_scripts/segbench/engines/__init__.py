"""One engine per file; `segbench.engines.base` holds the protocol that they share."""
