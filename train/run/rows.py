"""The rows of a run's `metrics.jsonl`, read. Imports no TensorFlow."""

import json

from train.errors import UserError


def read(path: str) -> list[dict]:
    """The rows of a `metrics.jsonl`: `{"step": int, name: number, ...}`.

    Lines that are none are left out, and said unless it is the last, which a killed run leaves
    half-written.

    Raises:
      UserError: if the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    rows = [_row(line) for line in lines]
    damaged = [number for number, row in enumerate(rows[:-1], start=1) if row is None]
    if damaged:
        print(f"{path}: left out what is no row of numbers: {_lines(damaged)}", flush=True)
    return [row for row in rows if row is not None]


def _lines(numbers):
    shown = ", ".join(map(str, numbers[:3])) + (", ..." if len(numbers) > 3 else "")
    return f"line{'s' if len(numbers) > 1 else ''} {shown}"


def _row(line):
    """One line as a row, or None."""
    try:
        row = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or type(row.get("step")) is not int:
        return None
    return row if all(type(value) in (int, float) for value in row.values()) else None
