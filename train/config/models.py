"""The models of the program, by the name of `--model`. Imports no TensorFlow.

To add one, write a subclass of `AutoregressiveModel` (or, if it has no likelihood of images, of
`ImageModel`; both in `pixelcnn_tf/models/image_model.py`) in a file of its own, and add it to
`MODELS`.
"""

import importlib
from typing import NamedTuple

from train.errors import ArgumentError

CONDITIONAL = "class_conditional"  # becomes the argument num_classes
CONDITION = "condition"  # no text becomes None
REMAT = "remat"  # becomes the attribute


class Entry(NamedTuple):
    """A model of the program.

    Attributes:
      path: "module:class", loaded when it is built.
      about: what it is, and what its sizes mean.
      sizes: preset of `--config` -> the fields that it sets, over those of the preset.
      options: the fields that it takes besides those in `sizes`.
    """

    path: str
    about: str
    sizes: dict
    options: tuple = ()

    def fields(self) -> set[str]:
        """The fields of `Config` that mean something to this model."""
        return {field for size in self.sizes.values() for field in size} | set(self.options)


def _sizes(tiny, small, paper, *others):
    """The sizes of each preset: `(nr_resnet, nr_filters, *others)`, as dicts."""
    names = ("nr_resnet", "nr_filters", *(others or ("num_head_filters",)))
    every = {"tiny": tiny, "small": small, "paper": paper}
    return {name: dict(zip(names, size, strict=True)) for name, size in every.items()}


MODELS = {
    "pixelcnn_pp": Entry(
        "pixelcnn_tf.models.pixelcnn_pp:PixelCNNPlusPlus",
        "PixelCNN++; num_stages stages up and down of nr_resnet blocks, nr_filters maps",
        _sizes((1, 24, 5), (2, 32, 5), (5, 160, 10), "nr_logistic_mix"),
        (
            "num_stages",
            "resnet_nonlinearity",
            "dropout_p",
            "energy_distance",
            CONDITION,
            CONDITIONAL,
            REMAT,
        ),
    ),
    "pixelcnn": Entry(
        "pixelcnn_tf.models.pixelcnn:PixelCNN",
        "PixelCNN; nr_resnet residual blocks of h = nr_filters maps",
        _sizes((5, 24, 32), (10, 48, 128), (15, 128, 1024)),
    ),
    "gated_pixelcnn": Entry(
        "pixelcnn_tf.models.gated_pixelcnn:GatedPixelCNN",
        "Gated PixelCNN; nr_resnet layers after the first, stacks of p = nr_filters maps",
        _sizes((5, 24, 32), (8, 48, 128), (20, 384, 1024)),
        ("input_embedding", CONDITION, CONDITIONAL),
    ),
    "row_lstm": Entry(
        "pixelcnn_tf.models.pixel_rnn.row_lstm:RowLSTM",
        "PixelRNN; nr_resnet Row LSTM layers of h = nr_filters",
        _sizes((3, 24, 32), (6, 48, 128), (12, 128, 1024)),
    ),
    "diagonal_bilstm": Entry(
        "pixelcnn_tf.models.pixel_rnn.diagonal_bilstm:DiagonalBiLSTM",
        "PixelRNN; nr_resnet Diagonal BiLSTM layers of h = nr_filters",
        _sizes((3, 24, 32), (6, 48, 128), (12, 128, 1024)),
    ),
    "vq_vae": Entry(
        "pixelcnn_tf.models.vq_vae:VQVAE",
        "VQ-VAE, whose codes another run models (--dataset=codes:...); nr_resnet residual blocks "
        "of nr_filters maps",
        _sizes(
            (2, 64, 32, 32), (2, 128, 512, 64), (2, 256, 512, 64), "num_embeddings", "embedding_dim"
        ),
        ("commitment_cost", "codebook_update", "ema_decay", "reset_unused_after"),
    ),
}


# Fields of `Config` that only some models have: arguments of the same name, but for those above.
MODEL_FIELDS = sorted(set().union(*(entry.fields() for entry in MODELS.values())))


def make_model(config, dataset, encoder=None):
    """Builds the model that a checked `Config` describes, untrained.

    Args:
      config: `Config`.
      dataset: a `Dataset` or `DataDescription`.
      encoder: the Keras model of `--condition=embedding:...`.

    Returns:
      An `ImageModel`.

    Raises:
      UserError: if the two do not fit.
    """
    if config.class_conditional and dataset.num_classes is None:
        why = getattr(dataset, "missing_labels", "")
        why = f" ({why})" if why else ""
        text = f"--dataset={config.dataset} has no labels{why}"
        raise ArgumentError("class_conditional", True, text)
    entry = MODELS[config.model]
    module, name = entry.path.split(":")
    fields = entry.fields()
    arguments = {field: getattr(config, field) for field in fields - {CONDITIONAL, REMAT}}
    if CONDITION in fields:
        arguments[CONDITION] = encoder if config.embedding_file else config.condition or None
    if CONDITIONAL in fields:
        arguments["num_classes"] = dataset.num_classes if config.class_conditional else None
    model = getattr(importlib.import_module(module), name)
    try:
        return model(dataset.image_shape, num_levels=dataset.num_levels, **arguments)
    except ValueError as error:
        text = str(error)
        if text.startswith("condition: "):  # of a Keras model
            raise ArgumentError(
                "condition", config.condition, text.removeprefix("condition: ")
            ) from None
        raise ArgumentError("model", config.model, f"--dataset={config.dataset}: {text}") from None
