"""Export for TF Serving: a SavedModel whose signatures score, sample and complete images, or, for a
VQ-VAE, encode and decode them.

Every signature has a free batch dimension, and the answer for an image does not depend on the rest
of the batch: TF Serving may batch requests of several clients.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence

import tensorflow as tf

from pixelcnn_tf import sampling
from pixelcnn_tf.levels import input_to_levels, levels_to_input
from pixelcnn_tf.likelihoods.base import Likelihood, bits_per_dim, nats_to_bits
from pixelcnn_tf.models.image_model import ImageModel
from pixelcnn_tf.models.vq_vae import VQVAE

# Signatures for a server's warm-up: these cost one pass of the network.
CHEAP_SIGNATURES = ("score", "score_map", "embed", "encode", "decode")
DEFAULT_SIGNATURE = tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY
DEFAULTS = ("score", "encode")  # the first of these that the model has is the default signature


def request_dtype(num_levels: int) -> tf.DType:
    """The dtype of images in requests: uint8 up to 256 levels, else int32."""
    return tf.uint8 if num_levels <= 256 else tf.int32


def _require(condition, expected, found):
    """An operation that fails, naming what was expected, unless `condition` holds."""
    return tf.debugging.Assert(condition, [expected, "got", found], summarize=8)


class _Requests:
    """Checks the inputs of requests at serving time.

    A server does not compare an input's shape with the signature, and a fully convolutional network
    would return a wrong number for an image of another size.
    """

    def __init__(self, model, vq_vae=None):
        shown = vq_vae or model
        self.num_levels = shown.num_levels
        self.shapes = {
            "images": list(shown.image_shape),
            "mask": list(model.image_shape[:2]),
            "seeds": [2],
            "labels": [],
        }
        self.allowed = {"images": shown.num_levels, "mask": 2, "labels": model.num_classes}
        self.takes_vectors = model.encoder is not None
        if model.condition is not None:
            self.shapes["condition"] = list(model.condition.shape(model.image_shape))
            if not self.takes_vectors:
                self.allowed["condition"] = model.num_levels
        if isinstance(model, VQVAE):
            self.shapes["codes"] = list(model.codes_shape[:2])
            self.allowed["codes"] = model.likelihood.num_embeddings

    def spec(self, name):
        """The `tf.TensorSpec` of an input."""
        levels = request_dtype(self.num_levels)
        condition = tf.float32 if self.takes_vectors else levels
        dtypes = {"images": levels, "condition": condition, "mask": tf.uint8}
        return tf.TensorSpec([None, *self.shapes[name]], dtypes.get(name, tf.int32), name)

    def check(self, **inputs):
        """Returns the inputs (without those that are None) in order, as tensors that depend on the
        checks.

        Raises, when run:
          InvalidArgumentError: naming the input and what is allowed.
        """
        inputs = {name: tensor for name, tensor in inputs.items() if tensor is not None}
        checked, batch = [], None
        for name, tensor in inputs.items():
            # Without a static shape, else the graph optimiser would remove the check.
            tensor = tf.raw_ops.PlaceholderWithDefault(input=tensor, shape=tf.TensorShape(None))
            expected = " ".join(["batch", *map(str, self.shapes[name])])
            found = tf.strings.format("{}", tf.shape(tensor)[1:])
            right = tf.equal(found, "[" + " ".join(map(str, self.shapes[name])) + "]")
            right &= tf.rank(tensor) > 0
            message = f"{name}: must have the shape [{expected}]"
            with tf.control_dependencies([_require(right, message, tf.shape(tensor))]):
                tensor = tf.ensure_shape(tf.identity(tensor), [None, *self.shapes[name]])
            size = tf.shape(tensor)[0]
            requirements = [_require(size > 0, f"{name}: the batch must not be empty;", size)]
            if batch is None:
                batch, first = size, name
            else:
                message = f"{name}: must have the batch size of {first};"
                requirements.append(_require(tf.equal(size, batch), message, (size, batch)))
            if tensor.dtype.is_floating:
                finite = tf.reduce_all(tf.math.is_finite(tensor))
                requirements.append(_require(finite, f"{name}: must be finite;", tensor))
            if name in self.allowed:
                number = tf.cast(tensor, tf.int32)
                message = f"{name}: must be in 0 ... {self.allowed[name] - 1};"
                right = tf.reduce_all((number >= 0) & (number < self.allowed[name]))
                extremes = tf.stack([tf.reduce_min(number), tf.reduce_max(number)])
                requirements.append(_require(right, message, extremes))
            with tf.control_dependencies(requirements):
                checked.append(tf.identity(tensor))
        with tf.control_dependencies(checked):
            return [tf.identity(tensor) for tensor in checked]


def signatures(
    model: ImageModel, vq_vae: VQVAE | None = None, names: Sequence[str] | None = None
) -> dict:
    """The signatures of a SavedModel of `model`.

    | name | inputs | outputs |
    |---|---|---|
    | `score` | `images` `[B, H, W, C]` | `bits_per_dim` float32 `[B]`, `log_prob` (nats) `[B]` |
    | `score_map` | `images` | `bits` float32 `[B, H, W]` |
    | `sample` | `seeds` int32 `[B, 2]` | `images` |
    | `complete` | `images`, `mask` uint8 `[B, H, W]` (1: given), `seeds` | `images` |

    Images are integer levels, uint8 (int32 above 256 levels). A class-conditional model also
    takes `labels` int32 `[B]` in all of them. Image i of a sample depends only on `seeds[i]` and
    `labels[i]`. A prior, passed with its VQ-VAE, takes and returns images; mask and bits map have
    the shape of the codes `[B, h, w]`, which `sample` and `complete` also return (`codes`).

    With a `condition`, `sample` and `complete` also take `condition`: `[B, h, w, D]`, levels of
    grey or small images, or float32 vectors `[B, D]`; `score` computes it from the images. If it is
    a vector, `embed` returns it for `images`, as `condition`.

    For a `VQVAE`:

    | name | inputs | outputs |
    |---|---|---|
    | `encode` | `images` | `codes` int32 `[B, h, w]` |
    | `decode` | `codes` | `images` |

    Args:
      model: an `AutoregressiveModel`, or a `VQVAE`.
      vq_vae: the `VQVAE` whose codes `model` is a prior of, or None.
      names: the signatures to return, in this order; default: all.

    Returns:
      `{name: concrete function}`; `score` and `score_map` only for a model with a likelihood.

    Raises:
      ValueError: if the model does not support a signature, or `vq_vae` has another number of codes
        than `model` has levels.
    """
    if vq_vae is not None and model.num_levels != vq_vae.likelihood.num_embeddings:
        raise ValueError(
            f"vq_vae: must have num_embeddings={model.num_levels}, the number of levels of model, "
            f"got {vq_vae.likelihood.num_embeddings}"
        )
    requests = _Requests(model, vq_vae)
    if isinstance(model, VQVAE):
        offered = _codes_signatures(model, requests)
    else:
        offered = _pixels_signatures(model, vq_vae, requests)
    names = list(offered if names is None else names)
    if set(names) - set(offered):
        raise ValueError(f"names={names}: must be among {', '.join(offered)}")
    # Only the requested ones are traced, which takes seconds each.
    return {name: _traced(*offered[name], requests) for name in names}


def _pixels_signatures(model, vq_vae, requests):
    """The signatures of an `AutoregressiveModel`: name -> (function, names of its inputs)."""

    def to_values(images):
        if vq_vae is None:
            return levels_to_input(images, model.num_levels)
        codes = vq_vae.encode(levels_to_input(images, vq_vae.num_levels))
        return levels_to_input(codes[..., None], model.num_levels)

    def pixel_log_prob(images, labels):
        images, *labels = requests.check(images=images, labels=labels)
        values = to_values(images)
        return model.likelihood.log_prob(values, model(values, *labels))

    def score(images, labels=None):
        nats = tf.reduce_sum(pixel_log_prob(images, labels), axis=[1, 2])
        return {"bits_per_dim": bits_per_dim(-nats, model.image_shape), "log_prob": nats}

    def score_map(images, labels=None):
        return {"bits": nats_to_bits(-pixel_log_prob(images, labels))}

    dtype = request_dtype(requests.num_levels)

    def fill(values, mask, seeds, labels):
        if model.condition is not None:
            (given,) = labels
            if model.encoder is None:
                given = levels_to_input(given, model.num_levels)
            labels = [model.condition.broadcast_to_image(given, model.image_shape)]
        noise = sampling.pixel_uniforms(model, seeds)
        values = sampling.complete_unchecked(model, values, mask > 0, noise, *labels)
        levels = input_to_levels(values, model.num_levels)
        if vq_vae is None:
            return {"images": tf.cast(levels, dtype)}
        codes = levels[..., 0]
        return {"images": tf.cast(vq_vae.decode_to_levels(codes), dtype), "codes": codes}

    def sample(seeds, labels=None, condition=None):
        seeds, *labels = requests.check(seeds=seeds, labels=labels, condition=condition)
        shape = [tf.shape(seeds)[0], *model.image_shape]
        blank = levels_to_input(tf.zeros(shape, tf.int32), model.num_levels)
        return fill(blank, tf.zeros(shape[:3], tf.uint8), seeds, labels)

    def complete(images, mask, seeds, labels=None, condition=None):
        images, mask, seeds, *labels = requests.check(
            images=images, mask=mask, seeds=seeds, labels=labels, condition=condition
        )
        return fill(to_values(images), mask, seeds, labels)

    def embed(images):
        (images,) = requests.check(images=images)
        return {"condition": model.condition.from_images(levels_to_input(images, model.num_levels))}

    offered = {"sample": (sample, ["seeds"]), "complete": (complete, ["images", "mask", "seeds"])}
    if isinstance(model.likelihood, Likelihood):
        offered |= {"score": (score, ["images"]), "score_map": (score_map, ["images"])}
    if model.encoder is not None:
        offered["embed"] = (embed, ["images"])
    labels = ["labels"] if model.num_classes else []
    given = ["condition"] if model.condition is not None else []
    return {
        name: (function, inputs + labels + (given if "seeds" in inputs else []))
        for name, (function, inputs) in offered.items()
    }


def _codes_signatures(model, requests):
    """The signatures of a `VQVAE`, see `_pixels_signatures`."""

    def encode(images):
        (images,) = requests.check(images=images)
        return {"codes": model.encode(levels_to_input(images, model.num_levels))}

    def decode(codes):
        (codes,) = requests.check(codes=codes)
        return {"images": tf.cast(model.decode_to_levels(codes), request_dtype(model.num_levels))}

    return {"encode": (encode, ["images"]), "decode": (decode, ["codes"])}


def _traced(function, inputs, requests):
    """The concrete function of the named inputs."""
    specs = {name: requests.spec(name) for name in inputs}
    return tf.function(function, autograph=False).get_concrete_function(**specs)


def export_saved_model(
    model: ImageModel,
    path: str,
    names: Sequence[str] | None = None,
    vq_vae: VQVAE | None = None,
) -> list[str]:
    """Writes a SavedModel atomically.

    Args:
      model: an `AutoregressiveModel` or a `VQVAE`; usually the one with the Polyak averages.
      path: folder to write, which must not exist; TF Serving expects `<model>/<integer version>`.
      names: signatures to write; default: all that the model supports, see `signatures`.
      vq_vae: the `VQVAE` whose codes `model` is a prior of; it is written too, and the signatures
        take and return images.

    Returns:
      The names of the signatures written; `serving_default` is the same as `score`, or `encode`.

    Raises:
      FileExistsError: if `path` exists.
      ValueError: if the model does not support a signature.
    """
    if os.path.exists(path):
        raise FileExistsError(f"path={path!r}: already exists")
    functions = signatures(model, vq_vae, names)
    default = [name for name in DEFAULTS if name in functions]
    if default:
        functions = {DEFAULT_SIGNATURE: functions[default[0]]} | functions
    module = tf.Module()
    # tf.Variables: TF Serving's loader does not support Keras' variables.
    models = [model] if vq_vae is None else [model, vq_vae]
    module.weights = [variable.value for each in models for variable in each.variables]
    parent = os.path.dirname(os.path.abspath(path))
    os.makedirs(parent, exist_ok=True)
    # Not an integer, so a server that watches the folder ignores it.
    unfinished = tempfile.mkdtemp(prefix=".unfinished-", dir=parent)
    try:
        tf.saved_model.save(module, unfinished, signatures=functions)
        os.chmod(unfinished, 0o755)
        os.rename(unfinished, path)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return list(functions)
