"""Distils a packed model of two levels from itself and other packed models.

    python experiments/distillation/distil.py --student=<folder> --teachers=<folder>,<folder> \\
        --shares=0.7,0.3 --workdir=<new folder> --data_dir=<prepared tfds data>

The target of each pixel is the weighted mean of the teachers' logits (Hinton et al. 2015). A share
`--warped` of the training images is rotated, stretched and bent at random, so that no teacher has
memorised them. `--muon` trains the hidden kernels with `pixelcnn_tf.Muon`. `--workdir` becomes a
run that continues from the student's last step, for `train.pack`. Rerun the same command to resume.
A step is a batch of the student, split into updates of `--update_size` images.
"""

import json
import os
import shutil
import time

import tensorflow as tf
from absl import app, flags

from pixelcnn_tf import pretrained
from pixelcnn_tf.levels import levels_to_input
from train.data.load import load_configured
from train.files import write_json
from train.run import Run
from train.run.metrics import MetricsLog
from train.training.evaluation import make_evaluate
from train.training.trainer import Trainer, dtype_policy

FLAGS = flags.FLAGS
flags.DEFINE_string("student", None, "packed folder to begin with", required=True)
flags.DEFINE_list("teachers", None, "packed folders", required=True)
flags.DEFINE_list("shares", None, "weight of each teacher's logits", required=True)
flags.DEFINE_string("workdir", None, "folder of the run", required=True)
flags.DEFINE_string("data_dir", "", "where the tfds data sets are")
flags.DEFINE_integer("steps", 500, "steps, of as many images as the student's last ones had")
flags.DEFINE_integer("update_size", 16, "images an update")
flags.DEFINE_float("learning_rate", 0.0002, "at the beginning; at the end a fortieth")
flags.DEFINE_float("polyak_decay", 0.995, "decay of the averages, an update")
flags.DEFINE_float("muon", 0.0, "learning rate of Muon for hidden kernels; 0: Adam for all weights")
flags.DEFINE_float("warped", 1.0, "share of each update's images that are warped")
flags.DEFINE_integer("checkpoint_every", 25, "steps between checkpoints and rows of the log")
flags.DEFINE_integer(
    "eval_every",
    0,
    "steps between evaluations, a multiple of --checkpoint_every; 0: only at the end",
)

LR_FALLS_TO = 1 / 40
SCORED_AT_ONCE = 100  # images
SETTINGS = "distil.json"  # in the run's folder: the flags that it was begun with
FIXED = ("student", "teachers", "shares", "steps", "update_size", "learning_rate", "polyak_decay")
FIXED += ("muon", "warped")
# Half of those of accelerator/run_there.py: standard deviations of each entry of a warp's matrix,
# and of shift and bending in pixels, cut at twice that; the bending is that of 5x5 points.
MATRIX, SHIFT, BEND, BEND_POINTS, CUT = 0.06, 0.5, 0.5, 5, 2.0


def warp(images, seed):
    """Each image turned, sheared, stretched and bent a little, at random: `[B, H, W, C]`, its own
    values only (the nearest pixel's), the lowest level from outside."""
    size, (height, width) = tf.shape(images)[0], images.shape[1:3]

    def draw(number, *shape):
        drawn = tf.random.stateless_normal([size, *shape], tf.random.fold_in(seed, number))
        return tf.clip_by_value(drawn, -CUT, CUT)

    matrix = tf.eye(2) + MATRIX * draw(0, 2, 2)
    shift = SHIFT * draw(1, 2)
    bend = BEND * draw(2, BEND_POINTS, BEND_POINTS, 2)
    bend = tf.image.resize(bend, [height, width], "bicubic")
    grid = tf.stack(tf.meshgrid(tf.range(height), tf.range(width), indexing="ij"), axis=-1)
    centre = tf.constant([(height - 1) / 2, (width - 1) / 2])
    places = tf.einsum("bij,hwj->bhwi", matrix, tf.cast(grid, tf.float32) - centre) + centre
    places = tf.cast(tf.round(places + shift[:, None, None] + bend), tf.int32)
    last = tf.constant([height - 1, width - 1])
    inside = tf.reduce_all((places >= 0) & (places <= last), axis=-1, keepdims=True)
    taken = tf.gather_nd(images, tf.clip_by_value(places, 0, last), batch_dims=1)
    return tf.where(inside, taken, tf.zeros_like(taken))


def log_probs(model, inputs):
    """Of the two levels at every pixel: the lower and the upper, `[B, H, W]` each."""
    parameters = model(inputs)
    ones = tf.ones_like(inputs)
    return [model.likelihood.log_prob(level, parameters) for level in (-ones, ones)]


def make_update(trainer, teachers, shares, num_warped):
    """A function of levels `[B, H, W, 1]` and a seed that does one update; returns the mean
    divergence of student from target, in nats/image."""
    model = trainer.model

    @tf.function
    def update(levels, seed):
        warped = warp(levels[:num_warped], seed)
        inputs = levels_to_input(tf.concat([warped, levels[num_warped:]], axis=0), 2)
        logit = 0.0
        for teacher, share in zip(teachers, shares, strict=True):
            lower, upper = log_probs(teacher, inputs)
            logit += share * (upper - lower)
        target = tf.sigmoid(logit)
        entropy = -tf.reduce_sum(
            tf.math.xlogy(target, target) + tf.math.xlog1py(1 - target, -target)
        )
        with tf.GradientTape() as tape:
            lower, upper = log_probs(model, inputs)
            loss = -tf.reduce_sum(target * upper + (1 - target) * lower)
        variables = model.trainable_variables
        trainer.optimizer.apply(tape.gradient(loss, variables), variables)
        trainer.average.update()
        return (loss - entropy) / tf.cast(tf.shape(levels)[0], tf.float32)

    return update


def refuse_changes(workdir, settings):
    """Raises ValueError if the run in `workdir` was begun with other flags."""
    path = os.path.join(workdir, SETTINGS)
    if not os.path.exists(path):
        raise ValueError(f"{workdir}: was begun by an older distil.py; use a new folder")
    with open(path) as file:
        begun = json.load(file)
    for name, now in settings.items():
        if begun[name] != now:
            raise ValueError(f"{workdir} was begun with --{name}={begun[name]}, now it is {now}")


def main(_):
    shares = [float(share) for share in FLAGS.shares]
    if len(shares) != len(FLAGS.teachers) or abs(sum(shares) - 1.0) > 1e-6:
        raise ValueError(f"--shares={FLAGS.shares}: must be one for each teacher, 1 together")
    source = Run.open(f"pretrained:{FLAGS.student}")
    saved, begin = source.saved, source.card
    size = saved.config.batch_size
    if size % FLAGS.update_size:
        raise ValueError(f"--update_size={FLAGS.update_size}: must divide the batch of {size}")
    if FLAGS.eval_every % FLAGS.checkpoint_every:
        raise ValueError(
            f"--eval_every={FLAGS.eval_every}: must be a multiple of --checkpoint_every"
        )
    if not 0 <= FLAGS.warped <= 1:
        raise ValueError(f"--warped={FLAGS.warped}: must be from 0 to 1")
    if saved.data.num_levels != 2 or saved.config.class_conditional:
        raise ValueError(f"--student={FLAGS.student}: must be of two levels and without classes")
    updates, first_step = size // FLAGS.update_size, begin["step"]
    last = first_step + FLAGS.steps
    config = saved.config.replace(
        data_dir=FLAGS.data_dir,
        workdir=FLAGS.workdir,
        eval_split="validation",
        learning_rate=FLAGS.learning_rate,
        lr_decay=LR_FALLS_TO ** (1 / (FLAGS.steps * updates)),
        polyak_decay=FLAGS.polyak_decay,
        max_steps=last,
        optimizer="muon" if FLAGS.muon else "adam",
        muon_learning_rate=FLAGS.muon or saved.config.muon_learning_rate,
    )
    dataset = load_configured(config)
    a_epoch = dataset.train.steps_per_epoch(size)
    config = config.replace(max_epochs=-(-last // a_epoch))
    with Run.create(config) as run:
        distil(run, dataset, shares, first_step, last)


def distil(run, dataset, shares, first_step, last):
    """Trains the run, or resumes it."""
    config = run.config
    settings = {name: FLAGS[name].value for name in FIXED}
    size, a_epoch = config.batch_size, dataset.train.steps_per_epoch(config.batch_size)
    updates = size // FLAGS.update_size
    trainer = Trainer(run, dataset, tf.distribute.get_strategy())
    step = trainer.restore()
    if step is not None:
        refuse_changes(config.workdir, settings)
    if step is None:
        step = first_step
        trainer.start_from(pretrained.load(FLAGS.student))
        run.write_config(dataset, size)
        write_json(os.path.join(config.workdir, SETTINGS), settings)
        log = os.path.join(pretrained.folder_of(FLAGS.student), "metrics.jsonl")
        shutil.copy(log, config.workdir)
    log = MetricsLog(config.workdir, min(step, last - 1))  # the last row is written below
    teachers = []
    for name in FLAGS.teachers:
        packed = pretrained.load(name)
        with dtype_policy(config.dtype):
            model = type(packed).from_config(
                {k: v for k, v in packed.get_config().items() if k not in ("name", "dtype")}
            )
        model.set_weights(packed.get_weights())
        teachers.append(model)
    num_warped = round(FLAGS.warped * FLAGS.update_size)
    update = make_update(trainer, teachers, shares, num_warped)
    evaluate = make_evaluate(trainer.averaged_model, trainer.strategy)

    def score():
        loss, scores = evaluate(dataset.eval, SCORED_AT_ONCE)
        values = {f"validation/{name}": value for name, value in scores.items()}
        epoch = (step - 1) // a_epoch
        log.write(step, epoch=epoch, **values, **{"validation/loss_per_image": loss})
        print(f"step {step}, validation: {loss:.3f} nats/image", flush=True)

    print(f"{config.workdir}: steps {step} to {last}, {updates} updates each", flush=True)
    began, divergences = time.monotonic(), []
    while step < last:
        for batch in dataset.train.epoch(step // a_epoch, size, config.seed, step % a_epoch):
            divergences += [
                update(levels, tf.random.fold_in(batch["seeds"][0, :2], number))
                for number, levels in enumerate(tf.split(batch["images"], updates))
            ]
            step += 1
            if step == last or step % FLAGS.checkpoint_every == 0:
                divergence = float(tf.reduce_mean(divergences))
                speed = len(divergences) * FLAGS.update_size / (time.monotonic() - began)
                numbers = f"{divergence:.4f} nats, {speed:.1f} images/s"
                print(f"step {step}/{last}, {numbers}", flush=True)
                log.write(step, images_per_sec=speed, **{"train/divergence": divergence})
                trainer.save(step)
                if FLAGS.eval_every and step % FLAGS.eval_every == 0 and step < last:
                    score()
                began, divergences = time.monotonic(), []
            if step == last:
                break
    score()
    log.close()


if __name__ == "__main__":
    app.run(main)
