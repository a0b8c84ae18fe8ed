"""Measure accuracy: class maps on disk, confusion matrices, and the record of a score."""
