"""One process of a short training under a strategy; writes what came out to an `.npz`.

    python tests/replica_run.py <number of logical CPU devices> <output.npz> [flag=value ...]

A process has its devices for life, and `TF_CONFIG` too: so the tests run this one.
"""

import json
import os
import sys

from small import run_of

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

STEPS = 20


def main(num_devices, output, *changes):
    import numpy as np
    import tensorflow as tf

    devices = [tf.config.LogicalDeviceConfiguration()] * int(num_devices)
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], devices)

    from small import SMALLEST_RUN

    from train.config.presets import from_values
    from train.data.load import load
    from train.devices import make_strategy
    from train.sampling.samples import write_samples
    from train.training.evaluation import make_evaluate
    from train.training.trainer import Trainer

    values = dict(
        **SMALLEST_RUN,
        workdir=os.path.dirname(output),
        strategy="mirrored" if int(num_devices) > 1 else "auto",
    )
    values |= {name: json.loads(value) for name, value in (c.split("=") for c in changes)}
    config = from_values(values)
    strategy = make_strategy(config.strategy, config.nr_gpu)
    batch_size = 20
    replicas = strategy.num_replicas_in_sync
    trainer = Trainer(
        run_of(config.replace(batch_size=batch_size // replicas)), load("digits"), strategy
    )
    trainer.initialize()
    batches = trainer.dataset.train.epoch(0, batch_size, seed=1)
    batches = iter(strategy.experimental_distribute_dataset(batches))
    losses = [trainer.train_steps(batches, count).numpy() for count in (1, STEPS - 1)]
    evaluate = make_evaluate(trainer.averaged_model, strategy)
    score = evaluate(trainer.dataset.eval, 64).loss
    path = os.path.join(os.path.dirname(output), f"samples_{os.path.basename(output)}")
    write_samples(trainer.averaged_model, 6, 1, path.removesuffix(".npz"), workers=trainer.workers)
    if trainer.workers.is_chief:
        groups = {
            "parameter": trainer.model.trainable_variables,
            "average": trainer.averaged_model.trainable_variables,
            "optimizer": trainer.optimizer.variables,
        }
        arrays = {
            f"{group}{n}": variable.value.numpy()
            for group, variables in groups.items()
            for n, variable in enumerate(variables)
        }
        losses = np.concatenate(losses)
        np.savez(output, losses=losses, score=score, replicas=replicas, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
