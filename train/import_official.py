"""Brings a checkpoint of the official program into a run, or a run's weights out again.

python -m train.import_official --checkpoint=/path/params_cifar.ckpt --workdir=runs/official
python -m train.import_official --workdir=runs/official --export_official=/path/new.ckpt
"""

import os

from absl import flags as absl_flags

from train import flags
from train.command import run, start_tensorflow
from train.config.config import Config
from train.data.description import DataDescription
from train.errors import ArgumentError, UserError, writing
from train.run import Run, config_json

FLAGS = absl_flags.FLAGS
OFFICIAL_LEVELS = 256  # of its data sets; its loss has their bins (official `nn.py`)


def define() -> None:
    flags.define(workdir="the run: a new folder for an import")
    text, integer = absl_flags.DEFINE_string, absl_flags.DEFINE_integer
    text("checkpoint", "", "prefix of the official checkpoint to import")
    text("export_official", "", "prefix of the official checkpoint to write")
    text("dataset", "cifar10", "data set that the model was trained on")
    integer("image_size", 32, "side length of its images", lower_bound=1)
    absl_flags.DEFINE_enum(
        "resnet_nonlinearity",
        None,
        ["concat_elu", "elu", "relu"],
        "relu or elu, whose checkpoints look the same",
    )
    integer("batch_size", 16, "batch size per GPU of the official program", lower_bound=1)
    integer("nr_gpu", 1, "GPUs of the official program that will read the export", lower_bound=1)


def import_checkpoint(
    path: str,
    workdir: str,
    dataset: str,
    image_size: int,
    resnet_nonlinearity: str | None,
    batch_size: int,
) -> None:
    """Makes the run in `workdir` of an official checkpoint.

    Args:
      path: prefix of the checkpoint, or one of its files.
      workdir: a new folder.
      dataset: name of the data set that the model was trained on.
      image_size: side length of its images.
      resnet_nonlinearity: relu or elu, whose checkpoints look the same, or None.
      batch_size: of the run.

    Raises:
      UserError: if the checkpoint does not fit, naming what is missing or left over, if the data
        set has other images, or if the workdir already holds a run.
    """
    if os.path.exists(os.path.join(workdir, config_json.NAME)):
        raise ArgumentError("workdir", workdir, "already holds a run; give a new folder")
    start_tensorflow()
    from pixelcnn_tf import OfficialAdam, official
    from train.data.load import describe
    from train.run.checkpoints import Checkpoints
    from train.serving import official_checkpoint

    try:
        state = official_checkpoint.read(path)
        models = [
            official_checkpoint.build_model(state.parameters, image_size, resnet_nonlinearity)
            for _ in range(2)
        ]
        model, averaged = models
        official.assign_variables(model, state.parameters)
        official.assign_variables(averaged, state.averages)
    except ValueError as error:
        raise ArgumentError("checkpoint", path, f"{error}") from None
    optimizer = OfficialAdam()
    optimizer.build(model.trainable_variables)
    if state.moments is not None:
        optimizer.iterations.assign(state.step)
        for name, variable in official.named_variables(model).items():
            for slot, value in zip(optimizer.moments(variable), state.moments[name], strict=True):
                slot.assign(value)

    config = Config(
        dataset=dataset,
        workdir=workdir,
        nr_resnet=model.nr_resnet,
        nr_filters=model.nr_filters,
        nr_logistic_mix=model.nr_logistic_mix,
        resnet_nonlinearity=model.resnet_nonlinearity,
        class_conditional=model.num_classes is not None,
        energy_distance=model.energy_distance,
        batch_size=batch_size,
    )
    data = DataDescription(model.image_shape, OFFICIAL_LEVELS, model.num_classes)
    owner = f"--checkpoint={path}"
    config_json.check_same_kind(data, describe(dataset), dataset, owner)
    with Run.create(config) as created:
        Checkpoints(workdir, model, averaged, optimizer).save(state.step)
        # Last: without config.json the folder is not a run.
        saved = config_json.RunConfig(config, data, batch_size, config_json.versions())
        config_json.write(workdir, saved)
        created.saved = saved
    print(
        f"{path}: {model.count_params():,} weights, step {state.step}, "
        f"{'with' if state.moments is not None else 'without'} Adam's state\n"
        f"nr_resnet {model.nr_resnet}, nr_filters {model.nr_filters}, nr_logistic_mix "
        f"{model.nr_logistic_mix}, {model.resnet_nonlinearity}, num_classes {model.num_classes}, "
        f"energy_distance {model.energy_distance}\n"
        f"now: python -m train.evaluate --workdir={workdir}"
    )


def export_checkpoint(workdir: str, path: str, batch_size: int, nr_gpu: int) -> None:
    """Writes a run's newest checkpoint under the official names.

    Raises:
      UserError: if there is no run or no readable checkpoint.
    """
    opened = Run.open(workdir)
    config, data = opened.config, opened.data
    for field in ("model", "condition", "optimizer", "num_stages"):
        if hasattr(config, field) and getattr(config, field) != getattr(Config, field):
            text = f"--{field}={getattr(config, field)} has no official form"
            raise ArgumentError("workdir", workdir, text)
    if data.num_levels != OFFICIAL_LEVELS:
        raise ArgumentError(
            "workdir",
            workdir,
            f"has {data.num_levels} levels; the official program supports {OFFICIAL_LEVELS} only",
        )
    start_tensorflow()
    from pixelcnn_tf import OfficialAdam, official
    from train.config.models import make_model
    from train.run.checkpoints import Checkpoints
    from train.serving import official_checkpoint

    model, averaged = make_model(config, data), make_model(config, data)
    optimizer = OfficialAdam()
    optimizer.build(model.trainable_variables)
    step = Checkpoints(workdir, model, averaged, optimizer).restore_latest()
    if step is None:
        raise ArgumentError("workdir", workdir, "the run has no checkpoint yet")
    moments = {
        name: tuple(slot.numpy() for slot in optimizer.moments(variable))
        for name, variable in official.named_variables(model).items()
    }
    parameters, averages = (
        {name: variable.numpy() for name, variable in official.named_variables(m).items()}
        for m in (model, averaged)
    )
    state = official_checkpoint.OfficialState(parameters, averages, moments, step)
    with writing(f"--export_official={path}"):
        official_checkpoint.write(path, state, model.num_classes, batch_size, nr_gpu)
    print(f"{path}: step {step} of {workdir}, under the official names")


def main(_) -> None:
    if not FLAGS.workdir:
        raise ArgumentError("workdir", None, "is missing: the folder of the run")
    if bool(FLAGS.checkpoint) == bool(FLAGS.export_official):
        raise UserError("give either --checkpoint (to import) or --export_official (to export)")
    if FLAGS.export_official.endswith("/"):
        text = "is a folder; give the beginning of the files' names, such as out/params.ckpt"
        raise ArgumentError("export_official", FLAGS.export_official, text)
    if FLAGS.checkpoint:
        import_checkpoint(
            FLAGS.checkpoint,
            FLAGS.workdir,
            FLAGS.dataset,
            FLAGS.image_size,
            FLAGS.resnet_nonlinearity,
            FLAGS.batch_size,
        )
    else:
        export_checkpoint(FLAGS.workdir, FLAGS.export_official, FLAGS.batch_size, FLAGS.nr_gpu)


if __name__ == "__main__":
    define()
    run(main)
