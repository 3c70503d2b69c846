"""Deep copies of networks that keep results of a pass, which torch refuses to copy."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn


def copied(network: nn.Module) -> nn.Module:
    """A deep copy; see :func:`kept_results`."""
    found: nn.Module = copy.deepcopy(network, kept_results(network))
    return found


def kept_results(network: nn.Module) -> dict[int, Any]:
    """A memo for ``copy.deepcopy`` with the plain attributes of modules that are results of a pass: features that were
    stored, and the weights of pruned (``torch.nn.utils.prune``) and weight-normalised layers, which the next pass
    computes anew. The copy gets their values without their graph."""
    memo: dict[int, Any] = {}
    for module in network.modules():
        for value in vars(module).values():
            memo.update({id(one): one.detach().clone() for one in _tensors(value) if not one.is_leaf})
    return memo


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        yield from (one for one in value if isinstance(one, Tensor))
    elif isinstance(value, dict):
        yield from (one for one in value.values() if isinstance(one, Tensor))
