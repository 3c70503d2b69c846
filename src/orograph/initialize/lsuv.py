r"""Layer-sequential unit variance (Mishkin and Matas 2016).

Weights begin orthonormal; then, layer by layer in the order in which they run on one batch,

.. math:: W \leftarrow W / \mathrm{std}(\text{outputs}) \quad\text{until}\quad |\mathrm{std} - 1| \le 0.1

at most ten times for a layer (once would do without biases). Cost: one forward pass of the batch for each try. What is
left open by the paper: dropout is off and batch norm uses its running statistics (the identity at the start); the last
layer is scaled too unless ``last=False``; attention is scaled by its output projection; recurrent layers, whose outputs
saturate, are left alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from orograph.basics.errors import ModelError, UsageError
from orograph.basics.seeds import isolated_randomness
from orograph.initialize.applying import apply
from orograph.initialize.parts import parts_of
from orograph.initialize.recipes import running_order
from orograph.initialize.slots import require_network
from orograph.objective.example import arguments_of, plain_attention, run
from orograph.results.layer_scales import LayerScale, LayerScales
from orograph.results.provenance import Cost, Provenance

_RECURRENT = (nn.RNNBase, nn.RNNCellBase)


class _Done(Exception):
    """The layer has been seen; what comes after it need not run."""


@torch.no_grad()
def lsuv(
    model: nn.Module,
    example: Any,
    *,
    tolerance: float = 0.1,
    tries: int = 10,
    orthonormal: bool = True,
    last: bool = True,
    seed: int = 0,
) -> LayerScales:
    """Scale every layer of ``model``, in place, so that its outputs on ``example`` have standard deviation 1.

    Parameters
    ----------
    example : a batch of the network's inputs, on its device: a tensor, positional arguments or named ones. Of a batch
        of training data the targets stay out: the second of a pair, where the network does not take two arguments,
        and what is called ``labels``, ``targets``, …
    tolerance, tries : when a layer is done
    orthonormal : draw orthogonal weights first; False scales the weights that are there
    last : scale the last layer too, so that logits have standard deviation 1

    Raises
    ------
    ModelError
        The network does not run on the example (the layer is named), or a layer's outputs are constant or not finite,
        so that no factor helps. UsageError: a tolerance or number of tries that is not above 0, a network with lazy
        layers, or an example that is no batch. After any error the weights are as they were.
    """
    if not tolerance > 0 or tries < 1:
        raise UsageError(f"lsuv needs a tolerance above 0 and at least 1 try, not {tolerance} and {tries}")
    require_network(model)
    example = arguments_of(model, example)
    kept = [(tensor, tensor.clone()) for tensor in model.parameters()]
    modes = [(layer, layer.training) for layer in model.modules()]
    try:
        if orthonormal:
            apply(model, "orthogonal", seed=seed)
        model.eval()
        with isolated_randomness(), plain_attention():
            return _scaled(model, example, tolerance, tries, last, seed, orthonormal)
    except BaseException:
        for tensor, before in kept:
            tensor.copy_(before)
        raise
    finally:
        for layer, training in modes:
            layer.training = training


def _scaled(
    model: nn.Module, example: Any, tolerance: float, tries: int, last: bool, seed: int, orthonormal: bool
) -> LayerScales:
    order = running_order(model, example)
    layers = {name: layer for name, layer in model.named_modules() if _weight_of(layer) is not None}
    names = sorted((name for name in layers if id(layers[name]) in order), key=lambda name: order[id(layers[name])])
    seen: set[int] = set()
    found, passes = [], 1
    for name in names:
        layer, weight = layers[name], _weight_of(layers[name])
        assert weight is not None
        why = ""
        if isinstance(layer, _RECURRENT):
            why = "recurrent, which saturates"
        elif name == names[-1] and not last:
            why = "the last layer"
        elif id(weight) in seen:
            why = "tied to a layer before it"
        if why:
            found.append(LayerScale(name, float("nan"), float("nan"), 1.0, 0, why))
            continue
        seen.add(id(weight))
        scale = _one(model, example, name, layer, weight, tolerance, tries)
        passes += scale.tries + 1
        found.append(scale)
    found += [LayerScale(n, float("nan"), float("nan"), 1.0, 0, "it did not run") for n in layers if n not in names]
    return LayerScales(
        layers=tuple(found),
        tolerance=tolerance,
        provenance=Provenance(
            method="lsuv",
            seeds={"seed": seed},
            options={"tolerance": tolerance, "tries": tries, "orthonormal": orthonormal, "last": last},
            citations=("mishkin2016", *(("saxe2014",) if orthonormal else ())),
            cost=Cost(forward=passes * _examples(example)),
        ),
    )


def _one(
    model: nn.Module, example: Any, name: str, layer: nn.Module, weight: nn.Parameter, tolerance: float, tries: int
) -> LayerScale:
    before = now = _deviation(model, example, name, layer)
    factor, done = 1.0, 0
    while abs(now - 1.0) > tolerance and done < tries:
        weight.div_(now)
        factor /= now
        done += 1
        now = _deviation(model, example, name, layer)
    return LayerScale(name, before, now, factor, done)


def _deviation(model: nn.Module, example: Any, name: str, layer: nn.Module) -> float:
    """Standard deviation of the layer's outputs the first time it runs. Raises ModelError where it has no factor."""
    caught: list[Tensor] = []

    def catch(_: nn.Module, __: Any, output: Any) -> None:
        caught.append(output[0] if isinstance(output, tuple) else output)
        raise _Done

    hook = layer.register_forward_hook(catch)
    try:
        run(model, example)
    except _Done:
        pass
    finally:
        hook.remove()
    found = float(caught[0].float().std(correction=0))
    if not found > 0 or found == float("inf"):
        what = "the same everywhere" if found == 0 else "not finite"
        raise ModelError(f"the outputs of {name or 'the network'} are {what} on this batch, so no factor mends them")
    return found


def _weight_of(layer: nn.Module) -> nn.Parameter | None:
    """The parameter in which the layer's outputs are linear, or for a recurrent layer any; None for others."""
    if isinstance(layer, nn.MultiheadAttention):
        inner = layer.out_proj.weight
        return inner if isinstance(inner, nn.Parameter) else None
    if isinstance(layer, nn.modules.linear.NonDynamicallyQuantizableLinear):  # inside attention, which never calls it
        return None
    own = dict(layer.named_parameters(recurse=False))
    return next((p for name, p in own.items() if parts_of(layer, name, p.detach())), None)


def _examples(example: Any) -> int:
    leaves = example.values() if isinstance(example, dict) else example if isinstance(example, tuple) else (example,)
    return max((len(leaf) for leaf in leaves if isinstance(leaf, Tensor) and leaf.dim()), default=0)
