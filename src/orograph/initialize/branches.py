r"""Residual branches of any network, found by listening to one forward pass.

Every addition of two activations is looked at: their nearest common ancestor is where the stream forks, and what lies
between the fork and the addition on either side are a branch and its shortcut, which has fewer weights (none, or a
projection). Whatever the network is written in, its arithmetic arrives at PyTorch's dispatcher, so this needs neither
source code nor names. Cost: one forward pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from orograph.basics.errors import ModelError, in_a_line
from orograph.initialize.parts import is_norm
from orograph.initialize.probing import probing
from orograph.initialize.slots import Slot, slots_of
from orograph.objective.example import Overhearing, arguments_of, plain_attention, run

_VIEWS = ("t", "transpose", "view", "_unsafe_view", "reshape", "permute", "slice", "select", "split", "chunk", "detach",
          "unbind", "expand", "alias", "split_with_sizes", "_to_copy", "clone", "squeeze", "unsqueeze")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Branch:
    """A residual branch: its ``kernels`` (weights that sum their inputs), norm ``gains`` and ``scalars``, in the order
    in which they run; ``last`` is the kernel or gain that runs last."""

    kernels: tuple[Slot, ...]
    gains: tuple[Slot, ...]
    scalars: tuple[Slot, ...]
    last: Slot

    @property
    def depth(self) -> int:
        """Layers with weights; the query, key, value and output of attention count one by one."""
        return sum(_layers(slot) for slot in self.kernels)


@dataclass(frozen=True)
class Anatomy:
    """The branches of a network in order, and the kernel that runs last of all (None: there is none)."""

    branches: tuple[Branch, ...]
    last: Slot | None


class _Node:
    """A tensor that depends on the inputs: what it was made of, and the parameters that took part."""

    def __init__(self, number: int, parents: tuple[_Node, ...], parameters: tuple[str, ...]) -> None:
        self.number = number
        self.parents = parents
        self.parameters = parameters

    def ancestors(self) -> set[_Node]:
        """Itself and all that it was made of."""
        found: set[_Node] = set()
        waiting = [self]
        while waiting:
            node = waiting.pop()
            if node not in found:
                found.add(node)
                waiting.extend(node.parents)
        return found


class _Listener(Overhearing):  # type: ignore[no-untyped-call]
    def __init__(self, parameters: dict[int, str], inputs: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._parameters = parameters  # by identity, with their views
        self._nodes: dict[int, _Node] = {}
        self._alive: list[Tensor] = []  # so that no identity is given twice
        self.sums: list[tuple[_Node, _Node]] = []
        self.last: _Node | None = None
        self.number = 0
        for tensor in inputs:
            self._nodes[id(tensor)] = _Node(-1, (), ())

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        tensors = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, Tensor)]
        # Before the operation, since one in place makes another tensor of the same object.
        parents = tuple(dict.fromkeys(self._nodes[id(t)] for t in tensors if id(t) in self._nodes))
        names = tuple(dict.fromkeys(self._parameters[id(t)] for t in tensors if id(t) in self._parameters))
        result = operator(*args, **(kwargs or {}))
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self._alive += [*tensors, *made]
        name = operator._schema.name.removeprefix("aten::").rstrip("_")
        if parents:
            node = _Node(self.number, parents, names)
            self._nodes.update({id(tensor): node for tensor in made})
            if names:
                self.last = node
            if name == "add" and len(parents) == 2 and not names:
                self.sums.append((parents[0], parents[1]))
        elif names and name in _VIEWS:
            for tensor in made:
                self._parameters.setdefault(id(tensor), names[0])
        self.number += 1
        return result


def anatomy_of(model: nn.Module, example: Any) -> Anatomy:
    """The residual branches of ``model`` as they run on ``example`` (inputs as for the network).

    The network comes back as it was. Raises ModelError where it does not run.
    """
    slots = {slot.name: slot for slot in slots_of(model)}
    identities = {id(slot.parameter): name for name, slot in slots.items()}
    example = arguments_of(model, example)
    inputs = [leaf for leaf in tree_leaves(example) if isinstance(leaf, Tensor)]
    listener = _Listener(identities, inputs)
    with probing(model, norm="running"), plain_attention(), torch.no_grad(), listener:
        try:
            run(model, example)
        except Exception as error:
            reason = in_a_line(error)
            raise ModelError(f"the network does not run on the example ({reason})") from error
    found = [_branch(slots, one, other) for one, other in listener.sums]
    last = listener.last
    names = () if last is None else last.parameters
    ends = [slots[name] for name in names if slots[name].parts]
    if not ends:
        running = sorted((n for n in _all_nodes(listener) if _kernels(slots, n)), key=lambda node: node.number)
        ends = _kernels(slots, running[-1]) if running else []
    return Anatomy(tuple(branch for branch in found if branch is not None), ends[0] if ends else None)


def _branch(slots: dict[str, Slot], one: _Node, other: _Node) -> Branch | None:
    """The branch among two summands; None where they are no branch and shortcut."""
    first, second = one.ancestors(), other.ancestors()
    shared = first & second
    if not shared:
        return None
    fork = max(shared, key=lambda node: node.number)
    sides = [_between(fork, nodes - shared) for nodes in (first, second)]
    sides.sort(key=lambda nodes: len(_weights(slots, nodes)))
    shortcut, branch = (_weights(slots, nodes) for nodes in sides)
    kernels = [slot for slot in branch if slot.parts]
    if not kernels or len(shortcut) == len(branch) or sum(bool(slot.parts) for slot in shortcut) > 1:
        return None
    gains = [slot for slot in branch if not slot.parts]
    names = dict.fromkeys(name for node in sides[1] for name in node.parameters)
    scalars = [slots[name] for name in names if slots[name].parameter.numel() == 1]
    return Branch(tuple(kernels), tuple(gains), tuple(scalars), branch[-1])


def _between(fork: _Node, nodes: set[_Node]) -> list[_Node]:
    """Those of ``nodes`` that the fork flows into, in the order in which they ran."""
    reached: set[_Node] = {fork}
    for node in sorted(nodes, key=lambda node: node.number):
        if any(parent in reached for parent in node.parents):
            reached.add(node)
    return sorted(reached - {fork}, key=lambda node: node.number)


def _weights(slots: dict[str, Slot], nodes: Iterable[_Node]) -> list[Slot]:
    """Kernels and norm gains of some nodes, each once, in order."""
    names = dict.fromkeys(name for node in nodes for name in node.parameters)
    found = (slots[name] for name in names)
    return [slot for slot in found if slot.parts or (is_norm(slot.layer) and slot.own == "weight")]


def _kernels(slots: dict[str, Slot], node: _Node) -> list[Slot]:
    return [slots[name] for name in node.parameters if slots[name].parts]


def _all_nodes(listener: _Listener) -> set[_Node]:
    return set() if listener.last is None else listener.last.ancestors()


def _layers(slot: Slot) -> int:
    """How many layers a kernel stands for: query, key and value are three; gates and groups are one."""
    return len(slot.parts) if isinstance(slot.layer, nn.MultiheadAttention) else 1
