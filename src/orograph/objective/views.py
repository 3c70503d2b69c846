r"""``evaluate_views``: a classifier's errors under the test protocols of the VGG paper.

An image is rescaled until its shorter side has Q pixels, the network looks at one or several views of it, and over all
views v of all scales the softmax is averaged:

.. math:: p(k) = \frac{1}{V} \sum_v \mathrm{softmax}(z_v)_k

``dense`` looks at the whole image and its mirror image, and averages the map of class scores over its positions before
the softmax. Averaging the features before a head with hidden layers is another function, since a mean of rectified
values is not the rectified mean.

Cost: one forward pass of each example for each view, in ``dense`` of the larger image.

Source: K. Simonyan and A. Zisserman, Very deep convolutional networks for large-scale image recognition (ICLR 2015),
sections 3.2 and 4; the ten crops are those of A. Krizhevsky et al. (NeurIPS 2012), section 4.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from orograph.basics.errors import UsageError, nearest
from orograph.basics.numerics import Precision
from orograph.basics.seeds import derive, reseed
from orograph.data import Examples
from orograph.objective.criterion import check_labels
from orograph.objective.looks import VIEWS, Looks, Protocol, log_probabilities
from orograph.objective.objective import Objective
from orograph.results.provenance import Cost
from orograph.results.views import Views, errors_of
from orograph.weights import Weights

_WHOLE = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def evaluate_views(
    model: nn.Module,
    examples: Any,
    protocol: Protocol = "centre-crop",
    *,
    crop: int | None = None,
    scales: int | Sequence[int] | None = None,
    weights: Weights | None = None,
    batch_size: int = 64,
    precision: Precision = "float32",
    device: str | torch.device = "auto",
    name: str = "",
    source: str = "",
    part: str = "",
) -> Views:
    """Top-1 and top-5 error of ``model`` on ``examples`` under a test protocol; ties count against the model.

    The network is evaluated as it stands, with its own running statistics, and comes back bit for bit (weights,
    buffers, modes, random state), also after an exception.

    Parameters
    ----------
    examples : Examples, Dataset, DataLoader or a pair (images, labels)
        Images are floats of shape (n, channels, height, width), and labels are integers (n,). A
        :class:`~orograph.data.BatchList` of such pairs may have images of another size in each batch.
    protocol : "centre-crop", "ten-crop", "multi-crop", "dense"
        The middle (1 view); four corners, centre and their mirror images (10); a grid of 5 x 5 from corner to corner
        and mirror images (50); the whole image and its mirror image (2). At several scales, so many for each.
    crop : int, optional
        Side of the crops in pixels: the size the network was built for. Default: the images' shorter side. ``dense``
        takes none.
    scales : int or several, optional
        Lengths Q in pixels that the images' shorter side is brought to. Default: the one that it has.
    weights : Weights, optional
        Where to evaluate instead, for example a checkpoint.
    precision : as of :class:`~orograph.objective.Objective`; softmax and averages always run in float64
    name, source, part : what the network, the data and the examples are called in the provenance

    Raises
    ------
    UsageError
        An unknown protocol, a crop that does not fit, or examples that are no labelled images.
    ModelError
        The network fails on images of the size of a view, or its output does not fit the labels.

    Notes
    -----
    Any network of images may be asked for ``dense``. One that answers with a map (n, classes, rows, columns) has it
    averaged; one that ends in global average pooling and a single linear layer does the same by itself. A network that
    pools and then has hidden layers answers too, but not to the question of the paper.

    Examples
    --------
    >>> from orograph.models import build
    >>> network = build("vgg-a", classes=10, image_size=32, seed=0, width=0.125)
    >>> pair = torch.zeros(4, 3, 40, 40), torch.tensor([0, 1, 2, 3])
    >>> evaluate_views(network, pair, "ten-crop", crop=32, scales=(40, 48)).views
    20
    """
    if protocol not in VIEWS:
        raise UsageError(f"unknown protocol {protocol!r}{nearest(str(protocol), VIEWS)}; use {', '.join(VIEWS)}")
    if batch_size < 1:
        raise UsageError(f"the batch size must be at least 1, not {batch_size}")
    if crop is not None and protocol == "dense":
        raise UsageError("dense looks at whole images; leave crop out, or use centre-crop, ten-crop or multi-crop")
    options: dict[str, Any] = {"precision": precision, "device": device, "batchnorm": "frozen"}
    objective = Objective(model, examples, name=name, source=source, part=part, batch_size=batch_size, **options)
    looks = _looks(objective.split, protocol, crop, scales)
    ranks, classes = [], 0
    place = Weights.of(model) if weights is None else weights
    with objective.session(place) as workspace:
        workspace.put(place)
        reseed(derive(0, "evaluation"), objective.device.type)
        for batch in objective.split.batches(batch_size):
            images, labels = _labelled(batch)
            found = log_probabilities(model, images.to(objective.device, workspace.flat.dtype), looks)
            check_labels(labels, found.shape[1])
            ranks.append(ranks_of(found, labels).numpy())
            classes = found.shape[1]
            objective.cost += Cost(forward=len(images) * looks.count)
    rank = np.concatenate(ranks)
    top1, top5 = errors_of(rank, classes)
    return Views(
        protocol=protocol,
        scales=looks.scales,
        crop=looks.crop,
        views=looks.count,
        classes=classes,
        top1=top1,
        top5=top5,
        rank=rank,
        provenance=objective.provenance(
            "views", Cost(), citations=("simonyan2015",), protocol=protocol, scales=looks.scales, crop=looks.crop
        ),
    )


def ranks_of(scores: Tensor, labels: Tensor) -> Tensor:
    """(n,) int64: how many other classes reach the score of the label's; a NaN among the two counts as reached."""
    own = scores.gather(1, labels.to(scores.device)[:, None])
    return (~(scores < own)).sum(1) - 1


def _looks(examples: Examples, protocol: Protocol, crop: int | None, scales: int | Sequence[int] | None) -> Looks:
    """The plan, with the images' own shorter side where nothing is said."""
    chosen = () if scales is None else (scales,) if isinstance(scales, int) else tuple(scales)
    if scales is not None and (not chosen or not all(isinstance(scale, int) and scale >= 1 for scale in chosen)):
        raise UsageError(f"scales are lengths in pixels, at least one, not {scales!r}")
    whole = protocol == "dense"
    if not chosen or (crop is None and not whole):
        if examples.kind != "pair":
            raise UsageError(f"images that come as ready-made batches need scales={'' if whole else ' and crop='}")
        side = min(_labelled((examples.inputs, examples.targets))[0].shape[2:])
        chosen = chosen or (side,)
        crop = side if crop is None and not whole else crop
    return Looks(protocol, chosen, crop)


def _labelled(batch: Any) -> tuple[Tensor, Tensor]:
    """The images and labels of a batch. Raises UsageError where it is something else."""
    pair = batch if isinstance(batch, (tuple, list)) and len(batch) == 2 else (None, None)
    images, labels = pair
    if not isinstance(images, Tensor) or images.dim() != 4 or not images.is_floating_point():
        raise UsageError("views are looked at of images: pairs of floats (n, channels, height, width) and labels (n,)")
    if not isinstance(labels, Tensor) or labels.dim() != 1 or labels.dtype not in _WHOLE or int(labels.min()) < 0:
        raise UsageError("errors are counted on examples with one label each: integers from 0, of shape (n,)")
    return images, labels.long().cpu()
