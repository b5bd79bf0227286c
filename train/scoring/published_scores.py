"""Published test scores, to set a run's own beside them."""

import math
from typing import NamedTuple


class Result(NamedTuple):
    """A published score: bits/dim, or nats an image where that is said."""

    model: str
    score: float
    paper: str


PIXEL_RNN = "van den Oord et al. 2016a (PixelRNN)"
GATED = "van den Oord et al. 2016b (Gated PixelCNN)"
PIXELCNN_PP = "Salimans et al. 2017 (PixelCNN++)"
IMAGE_TRANSFORMER = "Parmar et al. 2018 (Image Transformer)"
SNAIL = "Chen et al. 2018 (PixelSNAIL)"
SPARSE = "Child et al. 2019 (Sparse Transformer)"
RESIDUAL_FLOWS = "Chen et al. 2019 (Residual Flows), a bound"

CIFAR10 = (
    Result("PixelCNN", 3.14, PIXEL_RNN),
    Result("Row LSTM", 3.07, PIXEL_RNN),
    Result("Gated PixelCNN", 3.03, GATED),
    Result("Diagonal BiLSTM", 3.00, PIXEL_RNN),
    Result("PixelCNN++, class-conditional", 2.94, PIXELCNN_PP),
    Result("PixelCNN++", 2.92, PIXELCNN_PP),
    Result("Image Transformer", 2.90, IMAGE_TRANSFORMER),
    Result("PixelSNAIL", 2.85, SNAIL),
    Result("Sparse Transformer", 2.80, SPARSE),
)
IMAGENET32 = (
    Result("PixelRNN", 3.86, PIXEL_RNN),
    Result("Gated PixelCNN", 3.83, GATED),
    Result("PixelSNAIL", 3.80, SNAIL),
    Result("Image Transformer", 3.77, IMAGE_TRANSFORMER),
)
IMAGENET64 = (
    Result("PixelRNN", 3.63, PIXEL_RNN),
    Result("Gated PixelCNN", 3.57, GATED),
    Result("PixelSNAIL", 3.52, SNAIL),
    Result("Sparse Transformer", 3.44, SPARSE),
)
# Densities of images to which noise was added, and so bounds of the likelihood of 256 levels.
MNIST = (
    Result("RealNVP", 1.06, RESIDUAL_FLOWS),
    Result("Glow", 1.05, RESIDUAL_FLOWS),
    Result("FFJORD", 0.99, RESIDUAL_FLOWS),
    Result("Residual Flow", 0.97, RESIDUAL_FLOWS),
)

# Nats an image, of the fixed binarisation of Salakhutdinov and Murray (2008).
BINARIZED_MNIST = (
    Result("PixelCNN", 81.30, PIXEL_RNN),
    Result("Diagonal BiLSTM, 1 layer", 80.75, PIXEL_RNN),
    Result("Row LSTM", 80.54, PIXEL_RNN),
    Result("Diagonal BiLSTM, 7 layers", 79.20, PIXEL_RNN),
)

RESULTS = {
    "cifar10": CIFAR10,
    "downsampled_imagenet/32x32": IMAGENET32,
    "downsampled_imagenet/64x64": IMAGENET64,
    "imagenet_resized/32x32": IMAGENET32,
    "imagenet_resized/64x64": IMAGENET64,
    "mnist": MNIST,
}
IN_NATS = {"binarized_mnist": BINARIZED_MNIST}
OTHER_IMAGENET = (
    "imagenet_resized is not the downsampled ImageNet of these papers: its bits/dim are not "
    "comparable with theirs"
)


class Published(NamedTuple):
    """The published results that a data set's scores stand beside.

    Attributes:
      unit: of the scores: "bits/dim" or "nats" (an image).
      factor: bits/dim times this is in that unit.
      decimals: of a score of one's own in that unit.
      results: those of the very images and levels of the data set; () if there are none.
    """

    unit: str
    factor: float
    decimals: int
    results: tuple[Result, ...]


def published(benchmark: str, image_shape: tuple) -> Published:
    """What there is for a `Dataset.benchmark`."""
    if benchmark in IN_NATS:
        factor = math.log(2.0) * math.prod(image_shape)
        return Published("nats", factor, 2, IN_NATS[benchmark])
    return Published("bits/dim", 1.0, 4, RESULTS.get(benchmark, ()))


def notes(dataset) -> list[str]:
    """What a reader of a `Dataset`'s scores should know, in sentences."""
    found = [dataset.note] if dataset.note else []
    if dataset.name.startswith("imagenet_resized"):
        found.append(OTHER_IMAGENET)
    return found


def table(dataset, rows: list[tuple[str, float, float | None]]) -> str:
    """The closing table of an evaluation.

    Published results stand beside the run's own only where these are of the very images and
    levels of the benchmark.

    Args:
      dataset: the `Dataset`.
      rows: this run's `(name, bits/dim, standard error)`; the error may be None.

    Returns:
      Text of several lines.
    """
    unit, factor, decimals, results = published(dataset.benchmark, dataset.image_shape)
    images = f"{dataset.eval.num_examples:,}"
    lines = [f"  {unit:>8}  {dataset.name}, {dataset.eval_name}"]
    for name, score, error in rows:
        other = f" ({score:.4f} bits/dim)" if unit == "nats" else ""
        lines.append(f"  {score * factor:8.{decimals}f}  this run, {name}{other}")
        if error is not None:
            lines[-1] += f" +- {error * factor:.{decimals}f} (standard error, {images} images)"
    lines += [f"  {each.score:8.2f}  {each.model} - {each.paper}" for each in results]
    if not results:
        lines.append("  (no published results are of these images and levels, or none is listed)")
    lines += [f"  note: {text}" for text in notes(dataset)]
    return "\n".join(lines)
