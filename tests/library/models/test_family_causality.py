"""Every sub-pixel of every model sees exactly what the papers say, by gradient at every position
and channel.

What they say is written here a second time, as relations between sub-pixels, without a network:
a layer is a boolean matrix, a stack of layers their product.
"""

import itertools

import numpy as np
import pytest
import tensorflow as tf
from family import FAMILY, lively, small
from small import with_encoder

from pixelcnn_tf.levels import levels_to_input

HEIGHT, WIDTH = 7, 9


def relation(channels, offsets, centre=None):
    """`[N, N]`, N = H W C: whether an output sub-pixel sees an input sub-pixel.

    Args:
      channels: C.
      offsets: list of (rows, columns) from the output's pixel, whose channels are all seen.
      centre: what is seen of the output's own pixel: "before" or "up to" its own channel; or
        None, nothing.
    """
    matrix = np.zeros([HEIGHT, WIDTH, channels, HEIGHT, WIDTH, channels], bool)
    for y in range(HEIGHT):
        for x in range(WIDTH):
            for dy, dx in offsets:
                if 0 <= y + dy < HEIGHT and 0 <= x + dx < WIDTH:
                    matrix[y, x, :, y + dy, x + dx, :] = True
            if centre:
                own = np.tri(channels, k=-1 if centre == "before" else 0, dtype=bool)
                matrix[y, x, :, y, x, :] = own
    size = HEIGHT * WIDTH * channels
    return matrix.reshape(size, size)


def then(*relations):
    """The relation of layers applied one after the other, the first one first."""
    result = relations[0].astype(int)
    for following in relations[1:]:
        result = following.astype(int) @ result > 0
    return result.astype(bool)


def masked(channels, rows, columns, mask_type):
    """The masked convolution: all above and to the left within the kernel, and its own pixel."""
    offsets = [(dy, dx) for dy in range(-(rows // 2), 0) for dx in around(columns)]
    offsets += [(0, dx) for dx in range(-(columns // 2), 0)]
    return relation(channels, offsets, "before" if mask_type == "A" else "up to")


def around(columns):
    return range(-(columns // 2), columns // 2 + 1)


def recurrent(channels, offsets, inputs):
    """An LSTM whose state sees the states at `offsets` (none later) and `inputs`."""
    state, step = inputs, relation(channels, offsets)
    for _ in range(HEIGHT + WIDTH):
        state = inputs | then(state, step)
    return state


def mirrored(matrix, channels):
    shape = [HEIGHT, WIDTH, channels] * 2
    size = HEIGHT * WIDTH * channels
    return matrix.reshape(shape)[:, ::-1, :, :, ::-1].reshape(size, size)


def expected(name, channels, nr_resnet):
    own = relation(channels, [], "up to")  # a masked 1x1 convolution, a residual connection
    if name == "gated_pixelcnn":
        row_up = relation(channels, [(-1, 0)])
        vertical = horizontal = None
        for size in [7] + [5] * nr_resnet:
            rows = relation(
                channels, [(dy, dx) for dy in range(-(size // 2), 1) for dx in around(size)]
            )
            vertical = rows if vertical is None else then(vertical, rows)
            left = masked(channels, 1, size, "A" if horizontal is None else "B")
            horizontal = left if horizontal is None else then(horizontal, left)
            horizontal = horizontal | then(vertical, row_up)
        return horizontal
    first = masked(channels, 7, 7, "A")
    if name == "pixelcnn":
        block = masked(channels, 3, 3, "B")
    elif name == "row_lstm":
        block = recurrent(channels, [(-1, -1), (-1, 0), (-1, 1)], masked(channels, 1, 3, "B"))
    else:
        to_right = recurrent(channels, [(0, -1), (-1, 0)], own)
        block = to_right | then(mirrored(to_right, channels), relation(channels, [(-1, 0)]))
    return then(first, *[block | own] * nr_resnet)


def dependencies(model, seeds=range(3)):
    """`[N, N]`: whether the distribution of a sub-pixel depends on a sub-pixel, by gradient.

    Row i of a batch of N equal images is asked for the gradient of sub-pixel i alone.
    """
    size = int(np.prod(model.image_shape))
    levels = model.num_levels
    # Weights of both signs, so that a dependence cannot cancel out.
    weights = tf.random.stateless_normal([levels], [5, 6], dtype=tf.float64)
    chosen = tf.eye(size, dtype=tf.float64)[:, :, None] * weights
    seen = np.zeros([size, size], bool)
    for seed in seeds:  # a ReLU that one image leaves dead lives in another
        image = tf.random.stateless_uniform(model.image_shape, [seed, 2], -1, 1, tf.float64)
        images = tf.repeat(image[None], size, axis=0)
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = tf.reshape(model(images), [size, size, levels])
            asked = tf.reduce_sum(outputs * chosen)
        seen |= (tape.gradient(asked, images).numpy() != 0).reshape(size, size)
    return seen


CONDITIONS = ["gated_pixelcnn, small:2", "gated_pixelcnn, vector"]  # the images' own


@pytest.mark.parametrize(
    "name, channels", [*itertools.product(FAMILY, [1, 3]), *((name, 1) for name in CONDITIONS)]
)
def test_every_sub_pixel_sees_exactly_what_its_paper_allows(name, channels):
    name, _, condition = name.partition(", ")
    arguments = {"condition": condition} if condition else {}
    arguments = with_encoder(image_shape=(HEIGHT, WIDTH, channels), **arguments)
    model = lively(small(name, **arguments))
    seen = dependencies(model)
    assert not np.triu(seen).any()  # in raster order, R before G before B
    np.testing.assert_array_equal(seen, expected(name, channels, nr_resnet=2))


def columns_seen(seen, rows_up, column):
    """What the pixel in the last row and `column` sees of the row so far above it."""
    return list(seen[(HEIGHT - 1) * WIDTH + column].reshape(HEIGHT, WIDTH)[HEIGHT - 1 - rows_up])


def test_blind_spot_of_pixelcnn_and_of_no_other():
    """PixelCNN never sees beyond column x + 2 + k of the row k above, however deep it is: one
    column a row from 3x3 convolutions, and at most two more from the 7x7 one. The others do."""
    deep = {
        name: dependencies(lively(small(name, (HEIGHT, WIDTH, 1), nr_resnet=8)))
        for name in ("pixelcnn", "gated_pixelcnn")
    }
    deep["diagonal_bilstm"] = dependencies(lively(small("diagonal_bilstm", (HEIGHT, WIDTH, 1))))
    for name, seen in deep.items():
        for k in range(1, HEIGHT):
            for column in (0, 3):
                limit = column + 2 + k if name == "pixelcnn" else WIDTH
                allowed = [x <= limit for x in range(WIDTH)]
                if name == "diagonal_bilstm" and k == 1:
                    # Its layers see features of the pixels before one; those of the last pixel of
                    # the row above know all but that pixel itself.
                    allowed[-1] = False
                assert columns_seen(seen, k, column) == allowed, (name, k, column)


def test_row_lstm_sees_a_triangle():
    """Beyond the three columns of the 7x7 convolution, a layer sees one more on either side with
    every row up, and one to the left by its own convolution of the inputs."""
    seen = dependencies(small("row_lstm", (HEIGHT, WIDTH, 1), nr_resnet=1))
    for column in (0, 4, WIDTH - 1):
        for k in range(1, HEIGHT):
            row = columns_seen(seen, k, column)
            assert row == [column - 4 - k <= x <= column + 2 + k for x in range(WIDTH)]


def test_embedded_codes_are_seen_in_raster_order():
    """Codes have no gradient: one code is changed at a time."""
    model = small("gated_pixelcnn", (4, 5, 1), input_embedding=True, num_levels=7)
    values = tf.linspace(tf.constant(-1.0, tf.float64), 1.0, 7)
    codes = np.random.default_rng(1).integers(0, 7, [4, 5, 1])
    before = model(tf.gather(values, codes)[None])[0].numpy().reshape(20, 7)
    for position in range(20):
        changed = codes.copy().reshape(20)
        changed[position] = (changed[position] + 3) % 7
        changed = tf.gather(values, changed.reshape(4, 5, 1))[None]
        after = model(changed)[0].numpy().reshape(20, 7)
        differs = (after != before).any(axis=1)
        assert not differs[: position + 1].any() and differs[position + 1 :].all()


def test_embeddings_are_seen_as_the_values_are():
    """By gradient, through the embedding's output: as `expected` of a network without it."""
    model = lively(small("gated_pixelcnn", (HEIGHT, WIDTH, 1), input_embedding=True, num_levels=7))
    size = HEIGHT * WIDTH
    codes = np.random.default_rng(1).integers(0, 7, [HEIGHT, WIDTH, 1])
    embedded = model.network_input(levels_to_input(codes, 7)[None])
    embedded = tf.repeat(embedded, size, axis=0)
    weights = tf.random.stateless_normal([7], [5, 6], dtype=tf.float64)
    chosen = tf.eye(size, dtype=tf.float64)[:, :, None] * weights
    with tf.GradientTape() as tape:
        tape.watch(embedded)
        outputs = model.walk(embedded, lambda layer, v, h: layer(v, h))
        asked = tf.reduce_sum(tf.reshape(outputs, [size, size, 7]) * chosen)
    gradient = tape.gradient(asked, embedded).numpy()
    seen = (gradient != 0).any(axis=-1).reshape(size, size)
    np.testing.assert_array_equal(seen, expected("gated_pixelcnn", 1, nr_resnet=2))


def test_spatial_condition_is_seen_by_its_own_pixel_and_later_ones():
    model = lively(small("gated_pixelcnn", (4, 5, 1), spatial_channels=2))
    images = tf.random.stateless_uniform([20, 4, 5, 1], [1, 2], -1, 1, tf.float64)
    maps = tf.random.stateless_uniform([20, 4, 5, 2], [3, 4], -1, 1, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        outputs = tf.reshape(model(images, maps), [20, 20, 3])
        asked = tf.reduce_sum(
            tf.linalg.diag_part(tf.transpose(outputs, [2, 0, 1])) * [[1.0], [2], [-4]]
        )
    seen = np.abs(tape.gradient(asked, maps).numpy()).reshape(20, 20, 2).max(axis=-1) > 0
    assert np.diag(seen).all()
