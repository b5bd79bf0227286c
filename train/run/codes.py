"""The codes that a VQ-VAE gives its data set, on which a prior is trained.

A prior is a run with `--dataset=codes:<workdir of a VQ-VAE>`. Its `config.json` holds the
fingerprint of the VQ-VAE's weights, so that codes are never decoded by other weights.
"""

import contextlib
import hashlib
import sys
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pixelcnn_tf.levels import dtype_of_levels, levels_to_input
from pixelcnn_tf.models.vq_vae import STRIDE, VQVAE
from train.data.codes import codes_file, read_fingerprint
from train.errors import ArgumentError, UserError, writing
from train.files import atomic_write
from train.progress import Counter
from train.run import config_json

BATCH_SIZE = 64  # images encoded or decoded at a time


class Decoder(NamedTuple):
    """A trained VQ-VAE, with its averaged weights.

    Attributes:
      workdir: of its run.
      model: the `VQVAE`.
      fingerprint: of its weights, hexadecimal.
    """

    workdir: str
    model: VQVAE
    fingerprint: str

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Integer levels `[N, H, W, C]` of codes `[N, h, w, 1]`, uint8 up to 256 levels."""
        dtype = dtype_of_levels(self.model.num_levels)
        parts = [
            self.model.decode_to_levels(tf.constant(codes[begin : begin + BATCH_SIZE, ..., 0]))
            for begin in range(0, len(codes), BATCH_SIZE)
        ]
        return np.concatenate([part.numpy() for part in parts]).astype(dtype)

    def enlarge(self, mask: np.ndarray) -> np.ndarray:
        """A mask of codes `[h, w]` as a mask of pixels `[H, W]`."""
        height, width, _ = self.model.image_shape
        return mask.repeat(STRIDE, axis=0).repeat(STRIDE, axis=1)[:height, :width]


def fingerprint_of(model: VQVAE) -> str:
    """16 hexadecimal digits of SHA-256 over the weights, the codebook's state included."""
    digest = hashlib.sha256()
    for variable in (*model.trainable_variables, *model.non_gradient_variables):
        value = np.ascontiguousarray(variable.numpy())
        digest.update(f"{value.dtype} {value.shape}".encode() + value.tobytes())
    return digest.hexdigest()[:16]


def load_decoder(prior, image_size: tuple[int, int] | None = None) -> Decoder:
    """The VQ-VAE of a prior.

    Args:
      prior: a `Run` on codes.
      image_size: `(H, W)` of the images; default: as trained.

    Raises:
      ArgumentError: if it cannot be loaded, is another model, or has changed since the prior was
        trained.
    """
    argument = "dataset", prior.config.dataset
    try:
        run = prior.decoder
        model = run.model()
    except UserError as error:
        raise ArgumentError(*argument, f"cannot load its VQ-VAE ({error})") from None
    if not isinstance(model, VQVAE):
        raise ArgumentError(*argument, f"the run there is a {run.config.model}, must be a vq_vae")
    fingerprint = fingerprint_of(model)
    if prior.saved is not None and prior.saved.config.dataset == prior.config.dataset:
        found = prior.saved.data._replace(fingerprint=fingerprint)
        owner = f"the run in {prior.workdir}"
        config_json.check_same_kind(prior.saved.data, found, prior.config.dataset, owner)
    return Decoder(run.workdir, run.model(image_size=image_size), fingerprint)


def prepare_codes(prior, workers=None) -> None:
    """Encodes the data set of the VQ-VAE of a prior, unless that is done: one file beside its run.

    Args:
      prior: a `Run` on codes.
      workers: the processes of the run; the chief encodes, and each must call this.

    Raises:
      UserError: if the VQ-VAE or its data cannot be loaded, or the file cannot be written.
    """
    decoder = prior.load_decoder()
    if workers is None or workers.is_chief:
        path = codes_file(decoder.workdir)
        if read_fingerprint(path) != decoder.fingerprint:
            arrays = _encode_data(prior.decoder, decoder, prior.config.data_dir)
            with writing(path), atomic_write(path) as temporary, open(temporary, "wb") as file:
                np.savez_compressed(file, **arrays)
            print(f"codes of {prior.decoder.config.dataset}: {path}", flush=True)
    if workers is not None:
        workers.broadcast_from_chief(0)  # waits for it


def _encode_data(run, decoder, data_dir):
    """The arrays of the file of codes; images as evaluation reads them, not augmented."""
    model, dataset = decoder.model, run.dataset(data_dir=data_dir)
    config_json.check_dataset_matches(run.saved, run.config, dataset)
    arrays = {
        "num_levels": model.likelihood.num_embeddings,
        "num_classes": dataset.num_classes or 0,
        "scored": dataset.eval_name,
        "fingerprint": decoder.fingerprint,
    }
    splits = {"train": dataset.train, "test": dataset.eval, "validation": dataset.validation}
    splits = {name: split for name, split in splits.items() if split is not None}
    total = sum(split.num_examples for split in splits.values())
    print(f"encoding the {total:,} images of {run.config.dataset} by {run.workdir} ...", flush=True)
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
    codes = np.empty((num, *shape), dtype_of_levels(model.likelihood.num_embeddings))
    labels = []
    for number, batch in enumerate(split.in_order(BATCH_SIZE)):
        begin = number * BATCH_SIZE
        count = min(BATCH_SIZE, num - begin)
        codes[begin : begin + count] = encode(batch["images"])[:count]
        if "labels" in batch:
            labels.append(batch["labels"][:count])
        counter.advance(count)
    return codes, np.concatenate(labels) if labels else None
