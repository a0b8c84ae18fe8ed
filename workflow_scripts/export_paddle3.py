"""Export a Paddle 3 model (.json) at its fixed input shape: argmax and a cast to 8 bits put into its graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segbench.files import as_fetched, atomic, scratch
from segbench.models import paddle3_model
from segbench.models.record import check_class_map, entry_parser, write_model
from segbench.process.lifetime import command


def export(
    model: str, entry: dict[str, Any], checkpoint: Path, program: Path, pdiparams: Path
) -> tuple[int, list[str]]:
    """Write the inference model: float32 1×3×H×W in, uint8 1×H×W class indices out. Returns its parameter count, and
    notes for its record.

    Raises InputError naming `model` when class map, model file, class_count or input size do not fit.
    """
    check_class_map(model, entry)
    with scratch(program.with_suffix(".export")) as folder:
        count, notes = paddle3_model.export(model, entry, checkpoint, folder / "model")
        for suffix, out in ((".pdiparams", pdiparams), (".json", program)):
            with atomic(out) as temporary:
                (folder / "model").with_suffix(suffix).rename(temporary)
    return count, notes


@command
def main() -> None:
    """Parse the command line and export."""
    parser = entry_parser(__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="the model: X.json, with X.pdiparams beside it")
    parser.add_argument("--program", type=Path, required=True, help="file to write")
    parser.add_argument("--pdiparams", type=Path, required=True, help="file to write")
    parser.add_argument("--json", type=Path, required=True, help="model.json to write")
    args = parser.parse_args()
    checkpoints = [args.checkpoint, args.checkpoint.with_suffix(".pdiparams")]

    def work() -> dict[str, Any]:
        for path in checkpoints:
            as_fetched(path)
        count, notes = export(args.model, args.entry, args.checkpoint, args.program, args.pdiparams)
        return {"parameter_count": count, "notes": notes}

    files = {"program.json": args.program, "program.pdiparams": args.pdiparams}
    write_model(args.json, args.model, args.entry, checkpoints, files, ("paddlepaddle",), work)


if __name__ == "__main__":
    main()
