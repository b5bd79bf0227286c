"""Images beside what a VQ-VAE makes of them."""

import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from pixelcnn_tf.grid import grid, to_uint8
from pixelcnn_tf.levels import levels_to_input
from pixelcnn_tf.models.vq_vae import VQVAE
from train.data.dataset import Dataset
from train.errors import writing
from train.sampling.grid import write_npz, write_png

PAIRS = 4  # side by side in the picture


def write_reconstructions(
    model: VQVAE,
    dataset: Dataset,
    num_images: int,
    path: str,
    say: Callable[[str], None] = print,
    advice: str = "",
) -> np.ndarray:
    """Writes `<path>.png`, pairs of an original and its reconstruction to the right of it, and
    `<path>.npz` with `originals`, `images` (the reconstructions, both integer levels
    `[N, H, W, C]`), `codes` `[N, h, w]` and `num_levels`.

    Args:
      model: a `VQVAE`.
      dataset: the run's `Dataset`; its first test images are shown.
      num_images: how many; at most all of the split.
      path: without extension.
      say: function that takes a line of text.
      advice: what the user should know if a file cannot be written.

    Returns:
      The picture, uint8 `[H', W', C]`.

    Raises:
      UserError: if a file cannot be written.
    """
    num_images = min(num_images, dataset.eval.num_examples)
    originals = next(iter(dataset.eval.in_order(num_images)))["images"]
    codes = model.encode(levels_to_input(originals, model.num_levels))
    images = tf.cast(model.decode_to_levels(codes), originals.dtype)
    originals, images = originals.numpy(), images.numpy()
    pairs = np.stack([originals, images], axis=1).reshape(-1, *model.image_shape)
    picture = grid(to_uint8(pairs, model.num_levels), columns=2 * min(PAIRS, num_images))
    with writing(path, advice):
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        arrays = {"originals": originals, "images": images, "codes": codes.numpy()}
        write_npz(path + ".npz", num_levels=model.num_levels, **arrays)
        write_png(path + ".png", picture)
    say(f"{num_images} images and their reconstructions: {path}.png, .npz")
    return picture
