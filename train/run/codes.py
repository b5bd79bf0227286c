"""The VQ-VAE of a prior: another run, whose codes the prior models and which turns them back.

`--dataset=codes:<workdir>` names it. The prior's `config.json` remembers the fingerprint of its
weights, so that codes are never decoded by another state of it.
"""

import contextlib
import hashlib
import sys
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pixelcnn_tf.levels import levels_to_input
from pixelcnn_tf.models.vq_vae import STRIDE, VQVAE
from train.config import config_json as configuration
from train.config.codes_name import codes_path, run_of_codes
from train.config.config import Config
from train.data.codes import read_fingerprint
from train.data.load import load_configured
from train.devices import Workers
from train.errors import UserError, writing
from train.files import whole
from train.progress import Counter
from train.run.restore import at_size, load_run

BATCH_SIZE = 64  # images encoded or decoded at a time


class VQVAERun(NamedTuple):
    """A trained VQ-VAE, by its averaged weights.

    Attributes:
      config: of its run.
      model: the `VQVAE`.
      fingerprint: of its weights, hexadecimal.
    """

    config: Config
    model: VQVAE
    fingerprint: str

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Integer levels `[N, H, W, C]` of codes `[N, h, w, 1]`, uint8 up to 256 levels."""
        dtype = np.uint8 if self.model.num_levels <= 256 else np.uint16
        parts = [
            self.model.decode_to_levels(tf.constant(codes[begin : begin + BATCH_SIZE, ..., 0]))
            for begin in range(0, len(codes), BATCH_SIZE)
        ]
        return np.concatenate([part.numpy() for part in parts]).astype(dtype)

    def enlarge(self, mask: np.ndarray) -> np.ndarray:
        """A mask of codes `[h, w]` as one of pixels `[H, W]`."""
        height, width, _ = self.model.image_shape
        return mask.repeat(STRIDE, axis=0).repeat(STRIDE, axis=1)[:height, :width]


def fingerprint_of(model: VQVAE) -> str:
    """16 hexadecimal digits of SHA-256 over the weights, the codebook's state included."""
    digest = hashlib.sha256()
    for variable in (*model.trainable_variables, *model.state):
        value = np.ascontiguousarray(variable.numpy())
        digest.update(f"{value.dtype} {value.shape}".encode() + value.tobytes())
    return digest.hexdigest()[:16]


def load_vq_vae(config: Config) -> VQVAERun | None:
    """The VQ-VAE whose codes are a configuration's data set; None if it has other data.

    Raises:
      UserError: if it is gone, is none, or is not the one that the prior in `config.workdir` was
        trained with.
    """
    run, what = run_of_codes(config.dataset), f"--dataset={config.dataset}"
    if run is None:
        return None
    try:
        vq_config, _, model, _ = load_run(run)
    except UserError as error:
        raise UserError(f"{what}: its VQ-VAE cannot be had ({error})") from None
    if not isinstance(model, VQVAE):
        raise UserError(f"{what}: the run there is a {vq_config.model}, must be a vq_vae")
    found = VQVAERun(vq_config, model, fingerprint_of(model))
    saved = configuration.find(config.workdir)
    if saved is not None and saved.config.dataset == config.dataset:
        data = saved.data._replace(fingerprint=found.fingerprint)
        configuration.refuse_other_data(saved, config, data)
    return found


def to_size(model, vq_vae: VQVAERun | None, height: int, width: int) -> tuple:
    """A model, and its VQ-VAE if there is one, at the size of images that `--height` and `--width`
    ask for; see `at_size`.

    Returns:
      `(model, vq_vae)`.
    """
    if vq_vae is None:
        return at_size(model, height, width), None
    decoder = at_size(vq_vae.model, height, width)
    return model.at_size(*decoder.codes_shape[:2]), vq_vae._replace(model=decoder)


def prepare_codes(
    vq_vae: VQVAERun | None, data_dir: str = "", workers: Workers | None = None
) -> None:
    """Encodes the data set of a VQ-VAE's run, unless that is done: one file beside the run, with
    its fingerprint. Of several processes the chief does it, and each must call this.

    Args:
      vq_vae: of `load_vq_vae`; None: there is nothing to do.
      data_dir: where its tfds data is, if elsewhere than in its training.
      workers: the processes of the run.

    Raises:
      UserError: if its data cannot be had or the file cannot be written.
    """
    if vq_vae is None:
        return
    if workers is None or workers.is_chief:
        path = codes_path(vq_vae.config.workdir)
        if read_fingerprint(path) != vq_vae.fingerprint:
            arrays = _encode_data(vq_vae, data_dir)
            with writing(path), whole(path) as temporary, open(temporary, "wb") as file:
                np.savez_compressed(file, **arrays)
            print(f"codes of {vq_vae.config.dataset}: {path}", flush=True)
    if workers is not None:
        workers.broadcast_from_chief(0)  # waits for it


def _encode_data(vq_vae, data_dir):
    """The arrays of the file of codes; images as evaluation sees them, not augmented."""
    config, model = vq_vae.config, vq_vae.model
    dataset = load_configured(config, data_dir)
    saved = configuration.load(config.workdir)
    configuration.refuse_other_data(saved, config, dataset)
    configuration.refuse_data_read_otherwise(saved, config, dataset)
    arrays = {
        "num_levels": model.likelihood.nr_embeddings,
        "num_classes": dataset.num_classes or 0,
        "scored": dataset.scored,
        "fingerprint": vq_vae.fingerprint,
    }
    splits = {"train": dataset.train, "test": dataset.test, "validation": dataset.validation}
    splits = {name: split for name, split in splits.items() if split is not None}
    total = sum(split.num_examples for split in splits.values())
    print(f"encoding the {total:,} images of {config.dataset} by {config.workdir} ...", flush=True)
    counter = Counter(("encoded", "images"), total, sys.stdout)
    encode = tf.function(
        lambda levels: model.encode(levels_to_input(levels, model.num_levels)), autograph=False
    )
    with contextlib.closing(counter):
        for name, split in splits.items():
            arrays[f"x_{name}"], labels = _encode_split(encode, split, model, counter)
            if labels is not None:
                arrays[f"y_{name}"] = labels
    return arrays


def _encode_split(encode, split, model, counter):
    """Codes `[N, h, w]` of a split in its order, and labels `[N]` or None."""
    num, shape = split.num_examples, model.codes_shape[:2]
    many = model.likelihood.nr_embeddings > 256
    codes = np.empty((num, *shape), np.uint16 if many else np.uint8)
    labels = []
    for number, batch in enumerate(split.in_order(BATCH_SIZE)):
        begin = number * BATCH_SIZE
        count = min(BATCH_SIZE, num - begin)
        codes[begin : begin + count] = encode(batch["images"])[:count]
        if "labels" in batch:
            labels.append(batch["labels"][:count])
        counter.advance(count)
    return codes, np.concatenate(labels) if labels else None
