"""The digits that come with scikit-learn: 1,797 images of 8 x 8 pixels, no download.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI (1998). Pixels are counts from 0
to 16. The train and test sets (1,437 and 360 examples, stratified) are the same in every run.
"""

from __future__ import annotations

import numpy as np
import torch

from orograph.basics.seeds import generator
from orograph.data.images import ImageData, LabelledImages
from orograph.data.subset import train_test


def read_digits() -> ImageData:
    """The digits, in a fixed random order."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = bunch.images.astype(np.uint8)[:, None]
    labels = bunch.target.astype(np.int64)
    # The seed of the call picks a subset, never what is train and what is test.
    train, test = train_test(torch.from_numpy(labels), len(labels), generator(0, "digits"))
    return ImageData(
        name="digits",
        train=LabelledImages(pixels[train], labels[train]),
        test=LabelledImages(pixels[test], labels[test]),
        class_names=tuple("0123456789"),
        source="digits",
        white=16,
    )
