"""Networks whose weights are a function of other parameters, which are what is trained.

A point of a curve, say, is a function of the curve's control points: at each step the loop lets :meth:`Carried.place`
write the network's weights, runs forward, backward and clipping on the network as ever, lets :meth:`Carried.pull` turn
its gradients into those of the parameters, and steps the optimiser on these.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import nn


class Carried(nn.Module):
    """A module whose own parameters carry ``network``, which is not one of its submodules."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = (network,)  # in a tuple torch does not see it: its parameters are not ours

    @property
    def network(self) -> nn.Module:
        """What is run forward and backward."""
        return self._network[0]

    @property
    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """What training depends on besides the parameters, as JSON types."""

    @abstractmethod
    def place(self, step: int) -> None:
        """Write the network's weights for step ``step``, in place."""

    @abstractmethod
    def pull(self) -> None:
        """Write the gradients of the own parameters, given those of the network."""

    def forward(self, *arguments: Any, **named: Any) -> Any:
        return self.network(*arguments, **named)


def network_of(model: nn.Module) -> nn.Module:
    """The network that is run: the carried one, or ``model`` itself."""
    return model.network if isinstance(model, Carried) else model
