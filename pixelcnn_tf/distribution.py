"""A model as a TensorFlow Probability distribution over whole images.

`pixelcnn_tf.PixelCNNDistribution` imports this module on first use, since importing TensorFlow
Probability (the extra `tfp`) takes seconds.
"""

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_probability as tfp

from pixelcnn_tf import sampling
from pixelcnn_tf.levels import (
    input_to_levels,
    level_values,
    levels_to_input,
    require_levels,
    round_to_level,
)
from pixelcnn_tf.likelihoods.base import require_likelihood
from pixelcnn_tf.models.image_model import AutoregressiveModel
from pixelcnn_tf.random import Seed, example_seeds

tfd = tfp.distributions
IMAGES = ("levels", "values")


def _holds_levels(dtype, images, num_levels):
    """Whether the dtype represents every level, or its value, without changing the level."""
    if dtype.is_integer:
        return num_levels - 1 <= dtype.max
    with tf.init_scope():  # a distribution may be created inside a graph
        levels = tf.range(num_levels)
        if images == "values":
            held = input_to_levels(tf.cast(level_values(num_levels), dtype), num_levels)
        else:
            held = tf.cast(tf.cast(levels, dtype), tf.int32)
        return bool(tf.reduce_all(held == levels))


class PixelCNNDistribution(tfd.Distribution):
    """A model's distribution over images, a replacement for `tfp.distributions.PixelCNN`.

    The event shape is `(H, W, C)`. The batch shape is `()`, or the batch shape of the constructor's
    `conditional_input`. A `conditional_input` of `log_prob` or `sample` works as in
    `tfd.PixelCNN`: in `log_prob` it is broadcast against the images; in `sample` its shape is `()`
    or the end of the sample shape, as in `sample((4, 3), conditional_input=[1, 2, 3])`.

    `sample` runs the model's cached sampler; a seed gives the same images inside and outside a
    `tf.function`. `log_prob` is in nats and differentiable with respect to the model's weights.

    Args:
      model: an `AutoregressiveModel`.
      images: "levels": integers 0 ... num_levels - 1, as in `tfd.PixelCNN`; "values": level values
        in [-1, 1].
      conditional_input: the conditions of a batch, or None.
      conditional_shape: shape of one condition: `()` for a class, of any dtype (default);
        `(num_classes,)` for a vector; `(H, W, D)` for a model conditioned on maps.
      dtype: dtype of images; levels may be integers, such as `tf.uint8`.
      validate_args: check in `log_prob` that images are integers, or values in [-1, 1]. Levels out
        of range always raise an error.
      allow_nan_stats: tfp's own; the distribution has no statistics.
      name: tfp's own.

    Raises:
      ValueError: for an invalid argument, or conditions that do not fit the model.

    Example:
      >>> from pixelcnn_tf import PixelCNN
      >>> model = PixelCNN((4, 4, 1), nr_resnet=1, nr_filters=4, num_head_filters=4)
      >>> PixelCNNDistribution(model).sample(2, seed=1).shape
      TensorShape([2, 4, 4, 1])
    """

    def __init__(
        self,
        model: AutoregressiveModel,
        images: str = "levels",
        conditional_input: tf.Tensor | None = None,
        conditional_shape: Sequence[int] | None = None,
        dtype: tf.DType = tf.float32,
        validate_args: bool = False,
        allow_nan_stats: bool = True,
        name: str = "PixelCNNDistribution",
    ):
        parameters = dict(locals())
        dtype = tf.as_dtype(dtype)
        if images not in IMAGES:
            raise ValueError(f"images={images!r}: must be one of {', '.join(IMAGES)}")
        if not dtype.is_floating and (images == "values" or not dtype.is_integer):
            raise ValueError(f"dtype={dtype.name}: must be a float dtype, or an integer for levels")
        if not _holds_levels(dtype, images, model.num_levels):
            raise ValueError(f"dtype={dtype.name}: cannot represent {model.num_levels} levels")
        self._model = model
        self._images = images
        self._conditional_shape = self._shape_of_condition(conditional_shape)
        self._conditional_input = None
        if conditional_input is not None:
            self._conditional_input = self._as_condition(conditional_input)
        super().__init__(
            dtype=dtype,
            reparameterization_type=tfd.NOT_REPARAMETERIZED,
            validate_args=validate_args,
            allow_nan_stats=allow_nan_stats,
            parameters=parameters,
            name=name,
        )

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        def event_ndims(self):
            return len(self.conditional_shape)

        return {"conditional_input": tfp.util.ParameterProperties(event_ndims=event_ndims)}

    def _shape_of_condition(self, shape):
        classes, number = self._model.num_classes, self._model.num_conditions
        if self._model.spatial_channels is not None:
            allowed = [(*self._model.image_shape[:2], number)]
        elif self._model.condition is not None:
            allowed = [(number,)]
        else:
            allowed = [()] if classes is None else [(), (classes,)]
        shape = allowed[0] if shape is None else tuple(shape)
        if shape not in allowed:
            raise ValueError(f"conditional_shape={shape}: must be one of {allowed}")
        return shape

    def _as_condition(self, given):
        """Conditions as a tensor `[..., *conditional_shape]`: classes are int32."""
        if self._model.num_conditions is None:
            raise ValueError("conditional_input: must be None, the model is unconditional")
        given = tf.convert_to_tensor(given)
        classes = self._model.spatial_channels is None and self._model.condition is None
        if not classes and not given.dtype.is_floating:
            raise ValueError(
                f"conditional_input of dtype {given.dtype.name}: maps and vectors must be floats"
            )
        given = tf.cast(given, tf.float32 if self._conditional_shape else tf.int32)
        rank = len(self._conditional_shape)
        if given.shape.rank < rank or tuple(given.shape[given.shape.rank - rank :]) != (
            self._conditional_shape
        ):
            raise ValueError(
                f"conditional_input of shape {given.shape}: must end in {self._conditional_shape}"
            )
        return given

    @property
    def model(self) -> AutoregressiveModel:
        """The model."""
        return self._model

    @property
    def conditional_input(self) -> tf.Tensor | None:
        """The conditions of the batch, `[*batch_shape, *conditional_shape]`."""
        return self._conditional_input

    @property
    def conditional_shape(self) -> tuple[int, ...]:
        """The shape of one condition."""
        return self._conditional_shape

    @property
    def trainable_variables(self) -> tuple[tf.Variable, ...]:
        """The model's weights."""
        return tuple(variable.value for variable in self._model.trainable_variables)

    def _event_shape(self):
        return tf.TensorShape(self._model.image_shape)

    def _event_shape_tensor(self):
        return tf.constant(self._model.image_shape)

    def _conditions_shape(self, conditions):
        rank = conditions.shape.rank - len(self._conditional_shape)
        return tf.shape(conditions)[:rank]

    def _batch_shape(self):
        if self._conditional_input is None:
            return tf.TensorShape([])
        rank = self._conditional_input.shape.rank - len(self._conditional_shape)
        return self._conditional_input.shape[:rank]

    def _batch_shape_tensor(self, **_):
        if self._conditional_input is None:
            return tf.constant([], tf.int32)
        return self._conditions_shape(self._conditional_input)

    def _default_event_space_bijector(self):
        return None  # levels are discrete

    def _chosen(self, given):
        """The conditions of a call: its own, the constructor's, or None."""
        if given is None:
            return self._conditional_input
        if self._conditional_input is not None:
            raise ValueError("conditional_input: must be None, the constructor has it already")
        return self._as_condition(given)

    def _log_prob(
        self,
        value,
        conditional_input=None,
        training: bool = False,
        dropout_seed: Seed | None = None,
    ):
        conditions = self._chosen(conditional_input)
        if self._images == "levels":
            value = require_levels(value, self._model.num_levels)
            value = levels_to_input(value, self._model.num_levels)
        elif value.dtype.is_floating and value.dtype.size < tf.float32.size:
            # Half precision cannot represent the values exactly.
            value = round_to_level(tf.cast(value, tf.float32), self._model.num_levels)
        shape, event = tf.shape(value)[:-3], list(self._model.image_shape)
        if value.shape.rank is not None and not value.shape[-3:].is_compatible_with(event):
            raise ValueError(f"value of shape {value.shape}: must be [..., {str(event)[1:-1]}]")
        if conditions is not None:
            shape = tf.broadcast_dynamic_shape(shape, self._conditions_shape(conditions))
            value = tf.broadcast_to(value, tf.concat([shape, event], 0))
            one = list(self._conditional_shape)
            whole = tf.concat([shape, tf.constant(one, tf.int32)], 0)
            conditions = tf.reshape(tf.broadcast_to(conditions, whole), [-1, *one])
        images = tf.reshape(value, [-1, *event])
        options = {} if dropout_seed is None else {"seed": dropout_seed}
        parameters = self._model(images, conditions, training=training, **options)
        likelihood = require_likelihood(self._model.likelihood)
        nats = tf.reduce_sum(likelihood.log_prob(images, parameters), axis=[1, 2])
        return tf.reshape(nats, shape)

    def _sample_n(self, n, seed=None, conditional_input=None):
        conditions = self._chosen(conditional_input)
        number, batch = n, tf.constant([], tf.int32)
        if conditions is not None:
            conditions_shape = self._conditions_shape(conditions)
            num_conditions = tf.reduce_prod(conditions_shape)
            if self._conditional_input is not None:  # a batch: n samples of each
                batch, number = conditions_shape, n * num_conditions
            else:  # their shape is the end of the sample shape
                if tf.get_static_value(n % num_conditions):  # known, and not 0
                    raise ValueError(
                        f"conditional_input of shape {conditions.shape}: must be the end of the "
                        "sample shape"
                    )
            one = list(self._conditional_shape)
            conditions = tf.reshape(conditions, [-1, *one])
            conditions = tf.tile(conditions, [number // num_conditions, *(1 for _ in one)])
        seed = tfp.random.sanitize_seed(seed, salt="pixelcnn")
        values = self._draw(number, tf.cast(seed, tf.int32), conditions)
        if self._images == "levels":
            values = input_to_levels(values, self._model.num_levels)
        event = list(self._model.image_shape)
        return tf.cast(tf.reshape(values, tf.concat([[n], batch, event], 0)), self.dtype)

    def _draw(self, number, seed, conditions):
        """Level values `[number, H, W, C]`."""
        image_shape = self._model.image_shape
        images = tf.zeros([number, *image_shape])
        if tf.executing_eagerly():
            if not int(number):
                return images
            return sampling.sample(self._model, int(number), seed, conditions)
        mask = tf.zeros([number, *image_shape[:2]], tf.bool)
        uniforms = sampling.pixel_uniforms(self._model, example_seeds(seed, number))
        return sampling.complete_unchecked(self._model, images, mask, uniforms, conditions)

    def _sample_control_dependencies(self, x, **_):
        if not self.validate_args:
            return []
        if self._images == "values":
            message = "images: must be in [-1, 1]"
            return [
                tf.debugging.assert_greater_equal(x, tf.cast(-1, x.dtype), message),
                tf.debugging.assert_less_equal(x, tf.cast(1, x.dtype), message),
            ]
        highest = self._model.num_levels - 1
        message = f"images: must be integers in 0 ... {highest}"
        wide = tf.cast(x, tf.float32)
        return [
            tf.debugging.assert_equal(wide, tf.round(wide), message),
            tf.debugging.assert_greater_equal(wide, 0.0, message),
            tf.debugging.assert_less_equal(wide, float(highest), message),
        ]
