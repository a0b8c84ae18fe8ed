"""Warn where a class does not meet its label. Common causes are a wrong id_map, class_map or order of classes."""

from __future__ import annotations

from segbench.scoring.confusion import Matrix

IGNORED_SHARE = 0.5  # of label pixels; street scenes ignore a tenth
NO_CLASS_SHARE = 0.01  # of predictions on labelled pixels
MAX_NAMED = 5


def unmet(matrix: Matrix, classes: list[str]) -> list[str]:
    """Return warnings about a (K+1)×(K+1) confusion matrix, as `fold` makes it; none where everything meets."""
    labelled, counted = matrix[:-1].sum(1), int(matrix[:-1].sum())
    found = []
    if no_label := [name for name, count in zip(classes, labelled, strict=True) if not count]:
        found.append(f"no label has {_named(no_label)}: check classes and id_map")
    predicted = matrix[:-1].sum(0)[:-1]
    if missed := [n for n, label, own in zip(classes, labelled, predicted, strict=True) if label and not own]:
        found.append(f"{_named(missed)} is labelled, but never predicted: check class_map and the order of classes")
    ignored, pixels = int(matrix[-1].sum()), int(matrix.sum())
    if pixels and ignored / pixels > IGNORED_SHARE:
        found.append(f"{ignored / pixels:.0%} of label pixels are ignored: check ignore_index and id_map")
    no_class = int(matrix[:-1, -1].sum())
    if counted and no_class / counted > NO_CLASS_SHARE:
        found.append(
            f"{no_class / counted:.0%} of predictions are none of the classes: check class_count, class_map and the ids"
            " that the model puts out"
        )
    return found


def _named(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(map(repr, names[:MAX_NAMED])) + more
