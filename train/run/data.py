"""The data set of a run."""

from train.config import config_json as configuration
from train.config.config import Config
from train.config.config_json import DataDescription
from train.data.dataset import Dataset
from train.data.load import load_configured
from train.run.codes import VQVAERun, load_vq_vae, prepare_codes


def load_data(
    config: Config, data_dir: str = "", any_size: bool = False, vq_vae: VQVAERun | None = None
) -> Dataset:
    """The data set of a run, which must be of the kind that its model was made for. Prints the
    warnings of it, and one if it is not read as it was in training.

    Args:
      config: the run's `Config`, perhaps with another data set.
      data_dir: where its tfds data is, if elsewhere than in training.
      any_size: its images may have another size.
      vq_vae: of `load_vq_vae`, if that was called already.

    Raises:
      UserError: if it cannot be had or is of another kind.
    """
    prepare_codes(vq_vae or load_vq_vae(config), data_dir)
    dataset = load_configured(config, data_dir)
    kind = DataDescription(*(getattr(dataset, field) for field in DataDescription._fields))
    if any_size:
        kind = kind._replace(image_shape=(None, None, kind.image_shape[-1]))
    saved = configuration.load(config.workdir)
    configuration.refuse_other_data(saved, config, kind)
    for warning in (*dataset.warnings, configuration.warn_of_other_data(saved, config, dataset)):
        if warning:
            print(f"warning: {warning}", flush=True)
    return dataset
