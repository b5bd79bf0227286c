"""Published test bits/dim, to set a run's own beside them."""

from typing import NamedTuple


class Result(NamedTuple):
    model: str
    bits_per_dim: float
    paper: str


PIXEL_RNN = "van den Oord et al. 2016a (PixelRNN)"
GATED = "van den Oord et al. 2016b (Gated PixelCNN)"
PIXELCNN_PP = "Salimans et al. 2017 (PixelCNN++)"
IMAGE_TRANSFORMER = "Parmar et al. 2018 (Image Transformer)"
SNAIL = "Chen et al. 2018 (PixelSNAIL)"
SPARSE = "Child et al. 2019 (Sparse Transformer)"

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

# Nats an image of binarised MNIST, which `table` does not show: of another binarisation than ours.
MNIST_NATS = {
    "PixelCNN": "81.30",
    "Row LSTM": "80.54",
    "Diagonal BiLSTM": "80.75 (1 layer), 79.20 (7 layers)",
}

RESULTS = {
    "cifar10": CIFAR10,
    "downsampled_imagenet/32x32": IMAGENET32,
    "downsampled_imagenet/64x64": IMAGENET64,
    "imagenet_resized/32x32": IMAGENET32,
    "imagenet_resized/64x64": IMAGENET64,
}
OTHER_IMAGENET = (
    "imagenet_resized is not the downsampled ImageNet of these papers: its bits/dim are not "
    "comparable with theirs"
)


def table(dataset_name: str, rows: list[tuple[str, float]], note: str = "") -> str:
    """The closing table of an evaluation.

    Args:
      dataset_name: the value of `--dataset`.
      rows: this run's `(name, bits/dim)`.
      note: of the data set.

    Returns:
      Text of several lines.
    """
    lines = [f"  {'bits/dim':>8}  {dataset_name}, test"]
    lines += [f"  {score:8.4f}  this run, {name}" for name, score in rows]
    for result in RESULTS.get(dataset_name, ()):
        lines.append(f"  {result.bits_per_dim:8.2f}  {result.model} - {result.paper}")
    if dataset_name not in RESULTS:
        lines.append("  (no published results are listed for this data set)")
    notes = [note] if note else []
    if dataset_name.startswith("imagenet_resized"):
        notes.append(OTHER_IMAGENET)
    lines += [f"  note: {text}" for text in notes]
    return "\n".join(lines)
