"""Writes a run's training step as StableHLO, for a machine with a GPU and JAX but no TensorFlow.

    python experiments/accelerator/hand_over.py --to=<new folder> <the flags of train.main>

Then, on the other machine, `run_there.py <folder> <results> --seconds=...`, and here again
`take_back.py --results=... <the flags of train.main>`: the run's folder then has the checkpoint and
the log as if `train.main` had done the steps. They are the trainer's own: its gradients as XLA
takes them from it, its batches in its order, its seeds; only the update of weights and averages
is written again, in JAX. One replica, a split in memory, no labels.

With `--marked_warps` half of each batch is warped at random and told from the rest by a class
("distribution augmentation", Jun et al. 2020); `take_back.py` makes a model without classes of it.
"""

import gzip
import hashlib
import json
import os

import numpy as np
from absl import app
from absl import flags as absl_flags

from pixelcnn_tf.likelihoods.base import Likelihood
from train import flags
from train.command import start_tensorflow
from train.run import Run, config_json
from train.sampling.grid import write_npz

SCORED_AT_ONCE = 500  # images

absl_flags.DEFINE_string("to", None, "folder to write", required=True)
absl_flags.DEFINE_bool(
    "marked_warps", False, "half of each batch is warped, and given a class of its own"
)
absl_flags.DEFINE_string("weights", "", "state.npz of run_there.py to begin with")
absl_flags.DEFINE_integer("eval_every", 0, "steps between scorings; 0: as --eval_interval says")


def write_function(folder, name, function, specs, variables):
    """`<name>.mlir.gz`: a function of tensors and of the variables that it reads; returns, for
    each of its further arguments, the number of the variable."""
    import tensorflow as tf

    compiled = tf.function(function, autograph=False, jit_compile=True)
    numbers = {id(variable.value.handle): n for n, variable in enumerate(variables)}
    captured = compiled.get_concrete_function(*specs).captured_inputs
    for tensor in captured:
        if id(tensor) not in numbers:
            raise ValueError(f"{name} reads something that is no weight: {tensor}")
    text = compiled.experimental_get_compiler_ir(*specs)(stage="stablehlo")
    with gzip.open(os.path.join(folder, f"{name}.mlir.gz"), "wt") as file:
        file.write(text)
    return [numbers[id(tensor)] for tensor in captured]


def order(trainer, first, last):
    """What the steps `first` ... `last - 1`, counted from 0, train on: numbers of images `[S, B]`,
    and the step seeds `[S, 2]`."""
    import tensorflow as tf

    from train.data.splits import ArraySplit, step_seed

    split, seed, size = trainer.dataset.train, trainer.config.seed, trainer.global_batch_size
    if type(split) is not ArraySplit:
        raise ValueError(f"{type(split).__name__}: only a split in memory")
    a_epoch = split.steps_per_epoch(size)

    @tf.function
    def of_epoch(epoch):
        positions = tf.range(a_epoch * size)
        maximum = split.num_examples - 1
        return tf.random.experimental.index_shuffle(positions, [seed, epoch], maximum)

    epochs = range(first // a_epoch, -(-last // a_epoch))
    indices = np.concatenate([of_epoch(tf.constant(e)).numpy() for e in epochs])
    indices = indices.reshape(-1, size)[first - epochs[0] * a_epoch :][: last - first]
    steps = tf.range(first, last)
    seeds = tf.function(lambda s: tf.vectorized_map(lambda x: step_seed(seed, x), s))(steps)
    epoch, skip = divmod(first, a_epoch)
    batch = next(iter(split.epoch(epoch, size, seed, skip)))
    if not trainer.config.random_flip:
        np.testing.assert_array_equal(batch["images"], split.images[indices[0]])
    np.testing.assert_array_equal(batch["seeds"][:, :2], np.repeat(seeds[:1], size, axis=0))
    return indices.astype(np.uint16 if split.num_examples < 2**16 else np.int32), seeds.numpy()


def updates(trainer, first, last):
    """Learning rate and epsilon of each step, bias corrections in them; float32 `[S]` each."""
    optimizer = trainer.optimizer
    t = np.arange(first + 1, last + 1, dtype=np.float64)
    rate = trainer.config.learning_rate * optimizer.lr_decay**t
    correction_1, correction_2 = 1 - optimizer.beta_1**t, 1 - optimizer.beta_2**t
    rate = rate * np.sqrt(correction_2) / correction_1
    return rate.astype(np.float32), (optimizer.epsilon * correction_2).astype(np.float32)


def begin_with(trainer, arrays):
    """Takes over weights; what is given to classes, if they have none, begins at 0."""
    weights = [arrays[n] for n in sorted(arrays) if n.startswith("parameters/")]
    variables = trainer.model.trainable_variables
    without_classes = len(weights) < len(variables)
    for variable in variables:
        added = without_classes and variable.path.endswith("/hw")
        variable.assign(np.zeros(variable.shape) if added else weights.pop(0))
    if weights:
        raise ValueError(f"{len(weights)} arrays too many")
    trainer.average.start()


def shared(folder, **arrays):
    """Writes arrays beside the folder, under a name made of what is in them, for several runs."""
    digest = hashlib.sha256(b"".join(array.tobytes() for array in arrays.values())).hexdigest()
    name = f"{'-'.join(arrays)}-{digest[:12]}.npz"
    path = os.path.join(os.path.dirname(os.path.abspath(folder)), name)
    if not os.path.exists(path):
        write_npz(path, **arrays)
    return name


def main(_):
    config = flags.to_config()
    with Run.create(config) as run:
        hand_over(run)


def hand_over(run):
    config = run.config
    start_tensorflow()
    import tensorflow as tf

    from pixelcnn_tf.levels import levels_to_input
    from train.data.load import load_configured
    from train.training.train_run import count_steps, start_weights
    from train.training.trainer import Trainer

    folder = absl_flags.FLAGS.to
    os.makedirs(folder)
    dataset = load_configured(config)
    saved = run.saved
    if saved is not None:
        config_json.check_dataset_matches(saved, config, dataset)
        config_json.check_batch_matches(saved, config, 1)
    marked = absl_flags.FLAGS.marked_warps
    if marked and config.batch_size % 2:
        raise ValueError(f"--batch_size={config.batch_size}: must be even with --marked_warps")
    if marked:
        run.config, dataset = (
            config.replace(class_conditional=True),
            dataset._replace(num_classes=2),
        )
    trainer = Trainer(run, dataset, tf.distribute.get_strategy())
    if marked:
        dataset = dataset._replace(num_classes=None)
    if config.class_conditional or config.condition or trainer.model.non_gradient_variables:
        raise ValueError("only a model of images alone")
    if config.binarize or not isinstance(trainer.model.likelihood, Likelihood):
        raise ValueError("neither --binarize nor --energy_distance is handed over")
    if config.optimizer != "adam" or config.polyak_warmup:
        raise ValueError("only --optimizer=adam with --nopolyak_warmup is handed over")
    if trainer.loss_scale is not None:
        raise ValueError(f"--dtype={config.dtype}: its loss scale is not handed over")
    first = trainer.restore()
    if first is not None and absl_flags.FLAGS.weights:
        raise ValueError(f"--weights: the run in {config.workdir} has its own, of step {first}")
    if first is None:
        first = 0
        if absl_flags.FLAGS.weights:
            begin_with(trainer, np.load(absl_flags.FLAGS.weights))
        else:
            start_weights(trainer, print)
    run.config = config
    run.write_config(dataset, trainer.global_batch_size)
    a_epoch = dataset.train.steps_per_epoch(trainer.global_batch_size)
    last = count_steps(config, a_epoch)

    shape, size = dataset.image_shape, trainer.global_batch_size
    dtype = tf.as_dtype(dataset.train.images.dtype)
    classes = np.arange(size, dtype=np.int32) * 2 // size  # of the marked: 0 as it is, 1 warped

    def step(images, seeds):
        batch = {"images": images, "seeds": seeds}
        if marked:
            batch["labels"] = tf.constant(classes)
        if config.random_flip:
            batch = dataset.train.augmentation.train(batch)
        loss, (gradients, _) = trainer.gradients(batch, 1.0)
        return loss, gradients

    def score(images):
        model = trainer.averaged_model
        inputs = levels_to_input(images, model.num_levels)
        labels = tf.zeros(images.shape[:1], tf.int32) if marked else None
        return model.likelihood.loss(inputs, model(inputs, labels))

    variables = trainer.model.trainable_variables
    specs = [tf.TensorSpec([size, *shape], dtype), tf.TensorSpec([size, 3], tf.int32)]
    step_reads = write_function(folder, "step", step, specs, variables)
    at_once = min(SCORED_AT_ONCE, dataset.eval.num_examples)
    specs = [tf.TensorSpec([at_once, *shape], dtype)]
    score_reads = write_function(
        folder, "score", score, specs, trainer.averaged_model.trainable_variables
    )
    indices, seeds = order(trainer, first, last)
    rates, epsilons = updates(trainer, first, last)
    moments = [trainer.optimizer.moments(v) for v in variables]
    state = {"parameters": variables}
    if first:  # else the averages are the same and the moments 0
        state |= {
            "averages": trainer.averaged_model.trainable_variables,
            "first_moments": [m for m, _ in moments],
            "second_moments": [v for _, v in moments],
        }
    write_npz(
        os.path.join(folder, "state.npz"),
        rates=rates,
        epsilons=epsilons,
        **{
            f"{part}/{n:04}": np.asarray(variable)
            for part, several in state.items()
            for n, variable in enumerate(several)
        },
    )
    plan = {
        "images": shared(folder, train=dataset.train.images, scored=dataset.eval.images),
        "order": shared(folder, indices=indices, seeds=seeds),
        "first": first,
        "last": last,
        "eval_every": absl_flags.FLAGS.eval_every or config.eval_interval * a_epoch,
        "marked_warps": marked,
        "log_every": config.log_interval,
        "scored_at_once": at_once,
        "step_reads": step_reads,
        "score_reads": score_reads,
        "beta_1": trainer.optimizer.beta_1,
        "beta_2": trainer.optimizer.beta_2,
        "polyak_decay": config.polyak_decay,
        "values": int(np.prod(shape)),
    }
    with open(os.path.join(folder, "plan.json"), "w") as file:
        json.dump(plan, file)
    print(f"{folder}: steps {first} to {last}, {trainer.model.count_params():,} weights")


if __name__ == "__main__":
    flags.define_config()
    app.run(main)
