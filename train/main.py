"""Trains a model: `python -m train.main --dataset=cifar10`.

Rerun the same command to resume a run that was interrupted.
"""

from train import flags
from train.command import run, start_tensorflow
from train.config.config import Config
from train.run import Run


def train(config: Config) -> dict[str, float]:
    """Runs a training from its beginning, or from its last checkpoint, to its end.

    Args:
      config: a checked `Config`.

    Returns:
      The final scores of the averaged and the raw weights, `{"averaged": ..., "raw": ...}`, in
      bits/dim or the metric of the model.

    Raises:
      UserError: if configuration, data and folder do not match, the loss is not finite, or
        something cannot be written.
      Stopped: after SIGTERM or SIGINT, with the state saved.
      WorkerLost: if another process of the run is gone.
    """
    start_tensorflow()
    from train.devices import read_cluster
    from train.training.train_run import train_run

    distributed = config.strategy in ("auto", "multi_worker")
    num_workers, number = read_cluster() if distributed else (1, 0)
    with Run.create(config, locked=number == 0) as opened:
        return train_run(opened, num_workers)


def main(_) -> None:
    train(flags.to_config())


if __name__ == "__main__":
    flags.define_config()
    run(main)
