"""A training run as one object: its configuration, data, checkpoints, metrics and models."""

import contextlib
import os
from typing import TYPE_CHECKING

from train.config.config import Config
from train.config.models import make_model
from train.data.description import DataDescription
from train.errors import ArgumentError, errors_about
from train.run import config_json, lock, metrics, pack
from train.run.config_json import DatasetFingerprint, RunConfig

if TYPE_CHECKING:
    from pixelcnn_tf.models.image_model import ImageModel
    from train.data.dataset import Dataset
    from train.run.codes import Decoder

MAX_SIDE = 2**14  # pixels of height or width


class Run:
    """A training run: a folder that training writes, or pretrained weights, which are read-only.

    `Run.open` reads one, `Run.create` starts or resumes one. TensorFlow is imported by the methods
    that need it.

    Attributes:
      workdir: how the run is named: its folder, or `pretrained:NAME`.
      folder: where its files are.
      output_folder: where files made from the run go by default.
      config: its `Config`.
      saved: the contents of its `config.json`; None of a run that has not begun.

    Example:
      >>> run = Run.open("pretrained:mnist")
      >>> run.config.nr_filters, run.step
      >>> run.model().sample(16, seed=1)
    """

    def __init__(self, config: Config, folder: str, saved: RunConfig | None):
        self.workdir = config.workdir
        self.config = config
        self.folder = folder
        self.saved = saved
        self.output_folder = pack.output_folder(self.workdir)
        self._lock = None
        self._made_folder = False
        self._models = None

    @classmethod
    def open(cls, workdir: str | os.PathLike) -> "Run":
        """Opens a run to read it.

        Args:
          workdir: its folder, or `pretrained:NAME` (`pixelcnn_tf.pretrained.names()` lists them).

        Raises:
          ArgumentError: if there is no run, or its `config.json` is damaged.
        """
        workdir = os.fspath(workdir)
        if not workdir:
            raise ArgumentError("workdir", None, "is missing: the folder of the run")
        folder = pack.find_folder(workdir)
        if not pack.is_pretrained(workdir):
            lock.check_path(workdir)
        saved = config_json.read(folder, workdir)
        return cls(saved.config, folder, saved)

    @classmethod
    def create(cls, config: Config, locked: bool = True) -> "Run":
        """Starts a run in `config.workdir`, or resumes the one that is there.

        Nothing is written but the folder and its lock, which `close` or the end of the process
        releases.

        Args:
          config: a checked `Config`.
          locked: keep other processes out of the folder.

        Raises:
          ArgumentError: if the folder cannot be written, is in use, or holds another run.
        """
        folder = config.workdir
        pack.check_not_pretrained(folder)
        is_new = not os.path.exists(folder)
        lock.prepare_folder(folder)
        held = lock.lock_workdir(folder) if locked else None
        try:
            saved = None
            if os.path.exists(os.path.join(folder, config_json.NAME)):
                saved = config_json.read(folder, folder)
                config_json.check_config_matches(saved, config)
        except BaseException:
            if held is not None:
                lock.release(held)
            raise
        run = cls(config, folder, saved)
        run._lock, run._made_folder = held, is_new
        return run

    def close(self) -> None:
        """Releases the lock. A new folder to which nothing was written is removed."""
        if self._lock is not None:
            lock.release(self._lock)
            self._lock = None
            if self._made_folder:
                with contextlib.suppress(OSError):  # not empty
                    os.rmdir(self.folder)

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def __repr__(self):
        return f"Run({self.workdir!r})"

    # What is in the folder.

    def path(self, *names: str) -> str:
        """A file in the run's folder."""
        return os.path.join(self.folder, *names)

    @property
    def is_pretrained(self) -> bool:
        return pack.is_pretrained(self.workdir)

    @property
    def data(self) -> DataDescription:
        """Shape, levels and classes of the images that the run was trained on."""
        return self.saved.data

    @property
    def card(self) -> dict:
        """The model card (`card.json`) of pretrained weights; {} of any other run.

        Raises:
          ArgumentError: if it is damaged.
        """
        if not self.is_pretrained:
            return {}
        from pixelcnn_tf import pretrained

        try:
            return pretrained.card(os.path.join(self.folder, ""))
        except ValueError as error:
            raise ArgumentError("workdir", self.workdir, str(error)) from None

    @property
    def step(self) -> int | None:
        """The step of the loaded checkpoint, or of the newest one; None without a checkpoint."""
        if self._models is not None:
            return self._models[2]
        if self.is_pretrained:
            return self.card["step"]
        from train.run.checkpoints import steps_in

        return max(steps_in(self.path("checkpoints")), default=None)

    def metrics(self) -> list[dict]:
        """The rows of `metrics.jsonl`, `{"step": int, name: number, ...}`: ready for pandas.

        Raises:
          UserError: if the file cannot be read.
        """
        path = self.path("metrics.jsonl")
        return metrics.read(path) if os.path.exists(path) else []

    def write_config(self, dataset: "Dataset", global_batch_size: int) -> None:
        """Writes `config.json`, and copies the Keras model of an embedding into the folder. Raises
        UserError if they cannot be written."""
        embedding = ""
        if self.config.embedding_file is not None:
            from train.run.embedding import keep_embedding

            embedding = keep_embedding(self)
        self.saved = RunConfig(
            self.config,
            DataDescription(*(getattr(dataset, field) for field in DataDescription._fields)),
            global_batch_size,
            config_json.versions(),
            embedding,
            DatasetFingerprint.of(dataset),
        )
        config_json.write(self.folder, self.saved)

    # The data.

    def dataset(
        self,
        split: str = "",
        data_dir: str = "",
        name: str = "",
        any_size: bool = False,
    ) -> "Dataset":
        """The data set of the run, read as in training; prints warnings.

        Args:
          split: what `Dataset.eval` is: test, validation, train, or a part such as train[:10%];
            default: as in training.
          data_dir: where its tfds data is; default: as in training.
          name: another data set of the same kind; splits, resizing and cropping of the run do not
            apply to it.
          any_size: its images may have another size than in training.

        Raises:
          UserError: if it cannot be loaded or is of another kind.
        """
        from train.data.load import load_configured

        config = self.config.replace(data_dir=data_dir or self.config.data_dir)
        if name:
            config = config.replace(dataset=name, train_split="", eval_split="", resize="", crop="")
            if not name.startswith("folder:"):
                config = config.replace(alpha="", skip_broken=False)
            config = self._with_binarization(config)
        if split:
            config = config.replace(eval_split=split)
        other = Run(config, self.folder, self.saved)
        other.prepare_codes()
        with errors_about("split", instead_of="eval_split" if split else ""):
            dataset = load_configured(config)
        fields = {field: getattr(dataset, field) for field in DataDescription._fields}
        if any_size:
            fields["image_shape"] = (None, None, dataset.image_shape[-1])
        expected = self.data
        if not self.config.class_conditional:
            expected = expected._replace(num_classes=None)
        owner = f"the run in {self.workdir}"
        config_json.check_same_kind(expected, DataDescription(**fields), config.dataset, owner)
        changed = config_json.changed_data_warning(self.saved, config, dataset)
        for warning in (*dataset.warnings, changed):
            if warning:
                print(f"warning: {warning}", flush=True)
        return dataset

    def training_data(self, num_replicas: int, workers) -> "Dataset":
        """The data set of a run that is started or resumed, checked against the saved run.

        Args:
          num_replicas: replicas that share a batch.
          workers: the processes of the run; the chief encodes the data of a prior.

        Raises:
          UserError: if it cannot be loaded, has changed, or the batch is another.
        """
        from train.data.load import load_configured
        from train.run.embedding import check_same_embedding

        check_same_embedding(self)
        self.prepare_codes(workers)
        dataset = load_configured(self.config)
        if self.saved is not None:
            config_json.check_dataset_matches(self.saved, self.config, dataset)
            config_json.check_batch_matches(self.saved, self.config, num_replicas)
        return dataset

    def _with_binarization(self, config):
        """Without the run's binarisation, if the images of `config.dataset` have two levels."""
        from train.data.load import describe

        if config.binarize and describe(config.dataset, config.data_dir).num_levels == 2:
            return config.replace(binarize="")
        return config

    # Models.

    def model(
        self, averaged: bool = True, image_size: tuple[int, int] | None = None
    ) -> "ImageModel":
        """The trained model, from the newest readable checkpoint.

        Args:
          averaged: the Polyak averages of the weights, not the raw ones.
          image_size: `(H, W)` of its images; default: as in training. The weights are shared.

        Raises:
          UserError: if there is no readable checkpoint, or no such weights or size.
        """
        if self._models is None:
            self._models = self._load_pretrained() if self.is_pretrained else self._load()
        raw, average, _ = self._models
        if not averaged and raw is None:
            raise ArgumentError("averaged", False, f"{self.workdir} has averaged weights only")
        model = average if averaged else raw
        if image_size is None:
            return model
        for argument, value in zip(("height", "width"), image_size, strict=True):
            if not 1 <= value <= MAX_SIDE:
                raise ArgumentError(argument, value, f"must be from 1 to {MAX_SIDE}")
        return model.at_size(*image_size)

    def sized_model(self, height: int, width: int, averaged: bool = True) -> tuple:
        """The model for images of a size, with the decoder of a prior.

        Args:
          height, width: of the images (not of the codes); 0: as trained.
          averaged: see `model`.

        Returns:
          `(model, decoder)`; decoder is None of a run of images.
        """
        model, decoder = self.model(averaged), self.load_decoder()
        if not height and not width:
            return model, decoder
        shown = model if decoder is None else decoder.model
        size = height or shown.image_shape[0], width or shown.image_shape[1]
        if decoder is None:
            return self.model(averaged, size), None
        decoder = self.load_decoder(size)
        return self.model(averaged, decoder.model.codes_shape[:2]), decoder

    @property
    def has_raw_weights(self) -> bool:
        return not self.is_pretrained

    def _load(self):
        """`(raw model, averaged model, step)` of the newest readable checkpoint."""
        from train.run.checkpoints import Checkpoints

        encoder = self.encoder()
        models = [make_model(self.config, self.data, encoder) for _ in range(2)]
        step = Checkpoints(self.folder, *models).restore_latest()
        if step is None:
            if os.path.exists(self.path("card.json")):
                path = os.path.abspath(self.folder)
                text = f"the folder holds packed weights; use pretrained:{path}"
                raise ArgumentError("workdir", self.workdir, text)
            raise ArgumentError("workdir", self.workdir, "the run has no checkpoint yet")
        return *models, step

    def _load_pretrained(self):
        from pixelcnn_tf import pretrained

        try:
            model = pretrained.load(os.path.join(self.folder, ""))
        except ValueError as error:
            raise ArgumentError("workdir", self.workdir, str(error)) from None
        kind = (tuple(model.image_shape), model.num_levels)
        if kind != (self.data.image_shape, self.data.num_levels):
            raise ArgumentError(
                "workdir",
                self.workdir,
                f"config.json describes images of {self.data.image_shape} and "
                f"{self.data.num_levels} levels, card.json of {kind[0]} and {kind[1]}: they are of "
                "two runs",
            )
        return None, model, self.card["step"]

    def new_model(self, dataset: "Dataset | DataDescription", encoder=None) -> "ImageModel":
        """An untrained model of this configuration.

        Args:
          dataset: what its images are.
          encoder: of `encoder`.
        """
        return make_model(self.config, dataset, encoder)

    def encoder(self):
        """The Keras model of `--condition=embedding:...`, or None."""
        if self.config.embedding_file is None:
            return None
        from train.run.embedding import find_embedding, load_encoder

        return load_encoder(find_embedding(self))

    @property
    def embedding_fingerprint(self) -> str:
        """Of the Keras model of `--condition=embedding:...`, or ""."""
        if self.config.embedding_file is None:
            return ""
        from train.run.embedding import find_embedding

        return find_embedding(self).fingerprint

    @property
    def decoder(self) -> "Run | None":
        """The run of the VQ-VAE whose codes this run models, or None.

        Raises:
          ArgumentError: if there is no such run.
        """
        workdir = self.config.vq_vae_workdir
        return None if workdir is None else Run.open(workdir)

    def load_decoder(self, image_size: tuple[int, int] | None = None) -> "Decoder | None":
        """What turns the codes that this run models into images; None of a run of images."""
        if self.config.vq_vae_workdir is None:
            return None
        from train.run.codes import load_decoder

        return load_decoder(self, image_size)

    def prepare_codes(self, workers=None) -> None:
        """Encodes the data set of the run's VQ-VAE unless that is done; nothing of a run of images.

        Args:
          workers: the processes of the run; the chief encodes, and each must call this.
        """
        if self.config.vq_vae_workdir is not None:
            from train.run.codes import prepare_codes

            prepare_codes(self, workers)


def last_scores(run: Run) -> dict | None:
    """The last scores of a run up to its step, `{"step": ..., "test/...": ...}`, or None."""
    if run.card:
        scores = run.card["scores"].items()
        flat = {f"{split}/{name}": value for split, row in scores for name, value in row.items()}
        return {"step": run.card["step"]} | flat
    for row in reversed(run.metrics()):
        scored = {key: row[key] for key in row if key.startswith(("test/", "validation/"))}
        if scored and row["step"] <= run.step:
            return {"step": row["step"]} | scored
    return None
