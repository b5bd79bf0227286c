"""Everything about what is in a run's folder. `from train.run import Run`."""

from train.run.run import Run

__all__ = ["Run"]
