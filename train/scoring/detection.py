"""How well a score distinguishes outliers from a reference."""

from typing import NamedTuple

import numpy as np

TPR = 0.95  # share of the images from elsewhere that must be found


class Detection(NamedTuple):
    """How well outliers are detected.

    Attributes:
      auroc: area under the ROC curve: the probability that an image from elsewhere has the higher
        score of two. 0.5 is chance.
      fpr: share of the reference that is taken for it where 95 % of the others are found.
    """

    auroc: float
    fpr: float


def detect(images: np.ndarray, reference: np.ndarray) -> Detection:
    """Evaluates a score as a detector of outliers, with scikit-learn.

    Args:
      images: their scores `[N]`, N >= 1; higher: less like the reference.
      reference: scores `[M]`, M >= 1, of images known to be from there.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    scores = np.concatenate([images, reference])
    is_other = np.concatenate([np.ones(len(images)), np.zeros(len(reference))])
    fpr, tpr, _ = roc_curve(is_other, scores, drop_intermediate=False)
    return Detection(float(roc_auc_score(is_other, scores)), float(fpr[np.argmax(tpr >= TPR)]))
