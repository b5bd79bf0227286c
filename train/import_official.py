"""Brings a checkpoint of the official program into a run, or a run's weights out again.

python -m train.import_official --checkpoint=/path/params_cifar.ckpt --workdir=runs/official
python -m train.import_official --workdir=runs/official --export_official=/path/new.ckpt
"""

import os

from absl import flags

from train.config import config_json as configuration
from train.config.config import Config
from train.errors import UserError, run, writing
from train.quiet import start_tensorflow
from train.run.lock import claim

FLAGS = flags.FLAGS
OFFICIAL_LEVELS = 256  # of its data sets; its loss has their bins (official `nn.py`)


def define() -> None:
    flags.DEFINE_string("checkpoint", "", "prefix of the official checkpoint to import")
    flags.DEFINE_string("workdir", "", "folder of the run: new for an import")
    flags.DEFINE_string("export_official", "", "prefix of the official checkpoint to write")
    flags.DEFINE_string("dataset", "cifar10", "data set that the model was trained on")
    flags.DEFINE_integer("image_size", 32, "side length of its images")
    flags.DEFINE_enum(
        "resnet_nonlinearity",
        None,
        ["concat_elu", "elu", "relu"],
        "only to tell relu from elu, whose checkpoints look the same",
    )
    flags.DEFINE_integer("batch_size", 16, "batch size per GPU of the official program")
    flags.DEFINE_integer("nr_gpu", 1, "GPUs of the official program that will read the export")


def _refuse_existing(workdir):
    if os.path.exists(configuration.path_in(workdir)):
        raise UserError(f"--workdir={workdir}: already holds a run; give a new folder")


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
      resnet_nonlinearity: only to tell relu from elu, whose checkpoints look the same, or None.
      batch_size: of the run.

    Raises:
      UserError: if the checkpoint does not fit, naming what is missing or left over, if the data
        set has other images, or if the workdir already holds a run.
    """
    _refuse_existing(workdir)

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
        raise UserError(f"--checkpoint={path}: {error}") from None
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
    data = configuration.DataDescription(model.image_shape, OFFICIAL_LEVELS, model.num_classes)
    configuration.refuse_images_of_another_kind(
        data, config, describe(dataset), f"--checkpoint={path}: a model of"
    )
    with claim(workdir):
        _refuse_existing(workdir)
        Checkpoints(workdir, model, averaged, optimizer).save(state.step)
        # Last: without config.json the folder is no run.
        configuration.save(config, data)
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
    start_tensorflow()
    from pixelcnn_tf import OfficialAdam, official
    from train.config.models import make_model
    from train.run.checkpoints import Checkpoints
    from train.serving import official_checkpoint

    config, description, *_ = configuration.load(workdir)
    if config.model != Config.model:
        raise UserError(f"--workdir={workdir}: --model={config.model} has no official form")
    if config.condition:
        raise UserError(f"--workdir={workdir}: --condition={config.condition} has no official form")
    if description.num_levels != OFFICIAL_LEVELS:
        raise UserError(
            f"--workdir={workdir}: has {description.num_levels} levels; the official program knows "
            f"{OFFICIAL_LEVELS} alone, and would score by other bins"
        )
    model, averaged = make_model(config, description), make_model(config, description)
    optimizer = OfficialAdam()
    optimizer.build(model.trainable_variables)
    step = Checkpoints(workdir, model, averaged, optimizer).restore_latest()
    if step is None:
        raise UserError(f"--workdir={workdir}: the run has no checkpoint yet")
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
        raise UserError("--workdir is missing: the folder of the run")
    if bool(FLAGS.checkpoint) == bool(FLAGS.export_official):
        raise UserError("give either --checkpoint (to import) or --export_official (to export)")
    for name in ("batch_size", "nr_gpu", "image_size"):
        if FLAGS[name].value < 1:
            raise UserError(f"--{name}={FLAGS[name].value}: must be at least 1")
    if FLAGS.export_official.endswith("/"):
        raise UserError(
            f"--export_official={FLAGS.export_official}: a folder; give the beginning of the "
            "files' names, such as out/params.ckpt"
        )
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
