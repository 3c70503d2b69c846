"""Changes to a copy that the doctor may try, each a small function; what a user would type is in the findings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Adam
from torch.overrides import TorchFunctionMode

from orograph.basics.errors import ModelError
from orograph.data.structure import map_tensors
from orograph.diagnose.batches import with_inputs, with_targets
from orograph.diagnose.chart import Edit
from orograph.diagnose.hidden import hidden
from orograph.diagnose.losses import Loss, parts_of
from orograph.diagnose.patient import Copy
from orograph.diagnose.thresholds import threshold
from orograph.diagnose.watching import is_leaf
from orograph.initialize.applying import apply
from orograph.initialize.parts import is_norm
from orograph.initialize.slots import slots_of
from orograph.objective.criterion import classes_last, logits_of


def rate(factor: float) -> Edit:
    """Multiply all learning rates, also those that a schedule sets in between."""

    def change(made: Copy) -> None:
        original: list[float] = []

        def before(optimizer: Any, args: Any, kwargs: Any) -> None:
            original[:] = [group["lr"] for group in optimizer.param_groups]
            for group in optimizer.param_groups:
                group["lr"] = group["lr"] * factor

        def after(optimizer: Any, args: Any, kwargs: Any) -> None:
            for group, value in zip(optimizer.param_groups, original, strict=True):
                group["lr"] = value

        made.handles += [
            made.optimizer.register_step_pre_hook(before),
            made.optimizer.register_step_post_hook(after),
        ]

    return Edit(f"learning rate x {factor:g}", change)


def trusted_optimizer(lr: float = 1e-3) -> Edit:
    """Adam on all parameters and the ordinary step, in place of the user's."""

    def change(made: Copy) -> None:
        made.model.requires_grad_(True)
        made.model.train()
        made.optimizer = Adam(made.model.parameters(), lr=lr)

    return Edit(f"Adam with rate {lr:g} and the ordinary step", change, ordinary=True)


def ordinary_step() -> Edit:
    """The user's optimiser with zero_grad, loss, backward, step."""
    return Edit("zero_grad, loss, backward, step", lambda made: None, ordinary=True)


def redrawn(scheme: str = "he-normal") -> Edit:
    """Draw all weights anew; norm layers as they begin."""

    def change(made: Copy) -> None:
        apply(made.model, scheme, seed=0)
        with torch.no_grad():
            for slot in slots_of(made.model):
                if is_norm(slot.layer):
                    slot.parameter.fill_(1.0 if slot.own == "weight" else 0.0)

    return Edit(f"weights drawn by {scheme}, norm layers reset", change)


def gains() -> Edit:
    """Gains of norm layers 1, their shifts 0."""

    @torch.no_grad()
    def change(made: Copy) -> None:
        for slot in slots_of(made.model):
            if is_norm(slot.layer):
                slot.parameter.fill_(1.0 if slot.own == "weight" else 0.0)

    return Edit("gains of norm layers 1", change)


def small_eps() -> Edit:
    """eps of all norm layers 1e-5."""

    def change(made: Copy) -> None:
        for layer in made.model.modules():
            if is_norm(layer) and hasattr(layer, "eps"):
                vars(layer)["eps"] = 1e-5

    return Edit("eps of norm layers 1e-5", change)


def clipped(limit: float) -> Edit:
    """Clip the gradient's norm before every step."""

    def change(made: Copy) -> None:
        def before(optimizer: Any, args: Any, kwargs: Any) -> None:
            owned = [p for group in optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(owned, limit)

        made.handles.append(made.optimizer.register_step_pre_hook(before))

    return Edit(f"gradients clipped to {limit:.3g}", change)


def option(name: str, value: Any) -> Edit:
    """Set an option of all the optimiser's groups."""

    def change(made: Copy) -> None:
        for group in made.optimizer.param_groups:
            if name in group:
                group[name] = value

    return Edit(f"{name} = {value}", change)


def all_parameters() -> Edit:
    """Every parameter trainable and in the optimiser; those of other networks out of it."""

    def change(made: Copy) -> None:
        made.model.requires_grad_(True)
        own = list(made.model.parameters())
        ids = {id(p) for p in own}
        groups = made.optimizer.param_groups
        for group in groups:
            group["params"] = [p for p in group["params"] if id(p) in ids]
        known = {id(p) for group in groups for p in group["params"]}
        missing = [p for p in own if id(p) not in known]
        if missing:
            groups[0]["params"] = [*groups[0]["params"], *missing]

    return Edit("all parameters in the optimiser", change)


def owned() -> Edit:
    """Give what is hidden to the optimiser, as registering it would."""

    def change(made: Copy) -> None:
        group = made.optimizer.param_groups[0]
        group["params"] = [*group["params"], *hidden(made.model).values()]

    return Edit("hidden layers in the optimiser", change)


def learning_rates() -> Edit:
    """A usable rate in every group that has none, or next to none: the largest of the others', else 1e-3."""

    def change(made: Copy) -> None:
        groups = made.optimizer.param_groups
        good = [group["lr"] for group in groups if math.isfinite(group["lr"]) and group["lr"] > 0]
        for group in groups:
            if not (math.isfinite(group["lr"]) and group["lr"] > threshold("group_rate") * max(good, default=0.0)):
                group["lr"] = max(good, default=1e-3)

    return Edit("a positive learning rate", change)


def training_mode() -> Edit:
    """``model.train()`` before, and at, every step."""

    def change(made: Copy) -> None:
        made.model.train()
        made.handles.append(made.model.register_forward_pre_hook(_training))

    return Edit("model.train()", change)


def _training(model: nn.Module, args: Any) -> None:
    if torch.is_grad_enabled():
        model.train()


def quiet_layers() -> Edit:
    """Dropout off; norm layers still go by the batch."""

    def change(made: Copy) -> None:
        made.model.eval()
        for layer in made.model.modules():
            if isinstance(layer, nn.modules.batchnorm._NormBase):
                layer.train()

    return Edit("dropout off", change)


def fresh_gradients() -> Edit:
    """``zero_grad`` after every step."""

    def change(made: Copy) -> None:
        made.handles.append(
            made.optimizer.register_step_post_hook(lambda optimizer, args, kwargs: optimizer.zero_grad())
        )

    return Edit("optimizer.zero_grad() after every step", change)


def standardised(mean: float, std: float) -> Edit:
    """Floating inputs less their mean, over their standard deviation."""

    def change(made: Copy) -> None:
        before = made.change

        def scaled(tensor: Tensor) -> Tensor:
            return (tensor - mean) / std if tensor.is_floating_point() else tensor

        made.change = lambda batch: with_inputs(before(batch), lambda inputs: map_tensors(scaled, inputs))

    return Edit("inputs standardised", change)


def repaired() -> Edit:
    """NaN and infinity in the inputs replaced by 0."""

    def change(made: Copy) -> None:
        before = made.change

        def mended(tensor: Tensor) -> Tensor:
            return torch.nan_to_num(tensor, 0.0, 0.0, 0.0) if tensor.is_floating_point() else tensor

        made.change = lambda batch: map_tensors(mended, before(batch))

    return Edit("NaN and infinity replaced by 0", change)


def shuffled(batches: list[Any]) -> Edit:
    """The examples of all batches mixed; batches keep their sizes."""

    def change(made: Copy) -> None:
        inputs = [parts_of(batch)[0] for batch in batches]
        targets = [parts_of(batch)[1] for batch in batches]
        if not all(isinstance(part, Tensor) for part in [*inputs, *targets]):
            return
        try:
            x, y = torch.cat(inputs), torch.cat(targets)
        except RuntimeError:
            return
        drawing = torch.Generator().manual_seed(0)

        def mixed(batch: Any) -> Any:
            rows = torch.randint(len(x), (len(parts_of(batch)[1]),), generator=drawing).to(x.device)
            return x[rows], y[rows]

        made.change = mixed

    return Edit("examples shuffled", change)


def joined(batches: list[Any], size: int) -> Edit:
    """Batches of at least this size, drawn from all batches together."""

    def change(made: Copy) -> None:
        inputs, targets = zip(*map(parts_of, batches), strict=True)
        if not all(isinstance(part, Tensor) for part in [*inputs, *targets]):
            raise ModelError("only tensors can be joined")
        x, y = torch.cat(inputs), torch.cat(targets)
        drawing = torch.Generator().manual_seed(0)

        def larger(batch: Any) -> Any:
            rows = torch.randint(len(x), (max(size, len(parts_of(batch)[1])),), generator=drawing).to(x.device)
            return x[rows], y[rows]

        made.change = larger

    return Edit(f"batches of {size} examples", change)


def numbers_again() -> Edit:
    """NaN in buffers and other tensors of modules replaced by 0."""

    @torch.no_grad()
    def change(made: Copy) -> None:
        for layer in made.model.modules():
            for tensor in [*vars(layer).values(), *layer._buffers.values()]:
                if isinstance(tensor, Tensor) and tensor.is_floating_point():
                    tensor[torch.isnan(tensor)] = 0.0

    return Edit("NaN in masks and buffers replaced by 0", change)


def standardised_by_column(batches: Sequence[Any]) -> Edit:
    """Each column of (n, columns) inputs less its mean, over its standard deviation."""
    x = torch.cat([inputs for inputs, _ in map(parts_of, batches)])
    mean, std = x.mean(0), x.std(0, correction=0)
    std = torch.where(std > 0, std, torch.ones_like(std))

    def change(made: Copy) -> None:
        before = made.change
        made.change = lambda batch: with_inputs(before(batch), lambda inputs: (inputs - mean) / std)

    return Edit("every input column standardised", change)


def other_loss(name: str, loss: Callable[[Any, Any], Tensor]) -> Edit:
    """Another loss of (outputs, targets), with the ordinary step."""

    def change(made: Copy) -> None:
        made.loss = Loss(loss)
        made.loss.of_outputs = True

    return Edit(name, change, ordinary=True)


def scaled_loss(factor: float) -> Edit:
    """The user's loss times a number, with the ordinary step."""

    def change(made: Copy) -> None:
        user = made.loss
        made.loss = Loss(lambda model, batch: factor * user(model, batch))
        made.loss.of_outputs = False

    return Edit(f"loss x {factor:.3g}", change, ordinary=True)


def log_of_probabilities(outputs: Any, targets: Tensor) -> Tensor:
    """Cross-entropy of outputs that are probabilities already."""
    scores, labels = classes_last(logits_of(outputs), targets)
    return F.nll_loss(scores.clamp_min(1e-12).log(), labels)


def cross_entropy(outputs: Any, targets: Tensor) -> Tensor:
    """Mean cross-entropy of logits."""
    return F.cross_entropy(*classes_last(logits_of(outputs), targets))


def binary_cross_entropy(outputs: Any, targets: Tensor) -> Tensor:
    """Mean binary cross-entropy of logits."""
    return F.binary_cross_entropy_with_logits(logits_of(outputs).reshape(targets.shape).float(), targets.float())


def squared_error_of_pairs(outputs: Any, targets: Tensor) -> Tensor:
    """Mean squared error with outputs brought to the targets' shape."""
    return (logits_of(outputs).reshape(targets.shape) - targets).square().mean()


def without(kind: type[nn.Module] | tuple[type[nn.Module], ...], name: str, last: bool = False) -> Edit:
    """Replace modules of a type (or only the last of them) by the identity."""

    def change(made: Copy) -> None:
        places = [(path, module) for path, module in made.model.named_modules() if isinstance(module, kind) and path]
        for path, _ in places[-1:] if last else places:
            parent, _, child = path.rpartition(".")
            setattr(made.model.get_submodule(parent), child, nn.Identity())

    return Edit(name, change)


def stripped(paths: Sequence[str], name: str) -> Edit:
    """Replace the modules at these paths by the identity."""

    def change(made: Copy) -> None:
        for path in paths:
            parent, _, child = path.rpartition(".")
            setattr(made.model.get_submodule(parent), child, nn.Identity())

    return Edit(name, change)


def rectified(scheme: str = "he-normal") -> Edit:
    """ReLU in place of sigmoid and tanh within the network (an activation at its very end stays), weights to suit."""

    def change(made: Copy) -> None:
        squashing = (nn.Sigmoid, nn.Tanh, nn.Softsign, nn.Hardtanh, nn.LogSigmoid)
        layers = [(path, module) for path, module in made.model.named_modules() if path and is_leaf(module)]
        for path, module in layers[:-1]:
            if isinstance(module, squashing):
                parent, _, child = path.rpartition(".")
                setattr(made.model.get_submodule(parent), child, nn.ReLU())
        redrawn(scheme).apply(made)

    return Edit("ReLU in place of sigmoid and tanh, weights to suit", change)


def bent() -> Edit:
    """ReLU after every layer with weights but the last."""

    def change(made: Copy) -> None:
        layers = list({id(slot.layer): slot.layer for slot in slots_of(made.model) if slot.parts}.values())
        made.handles += [one.register_forward_hook(_rectified) for one in layers[:-1]]

    return Edit("ReLU between the layers", change)


def _rectified(module: nn.Module, args: Any, output: Any) -> Any:
    return output.relu() if isinstance(output, Tensor) else output


def dropout(share: float) -> Edit:
    """Set the share of all dropout layers."""

    def change(made: Copy) -> None:
        for module in made.model.modules():
            if isinstance(module, nn.modules.dropout._DropoutNd):
                module.p = share

    return Edit(f"dropout {share:g}", change)


def rescaled_targets(mean: float, std: float) -> Edit:
    """Targets less their mean, over their standard deviation."""

    def change(made: Copy) -> None:
        before = made.change

        made.change = lambda batch: with_targets(before(batch), lambda targets: (targets - mean) / std)

    return Edit("targets standardised", change)


def other_targets(name: str, change: Callable[[Tensor], Tensor]) -> Edit:
    """Other targets of each batch."""

    def changed(made: Copy) -> None:
        before = made.change
        made.change = lambda batch: with_targets(before(batch), change)

    return Edit(name, changed)


def attached() -> Edit:
    """``detach()`` and ``.data`` without effect while the network runs."""

    def change(made: Copy) -> None:
        forward = made.model.forward

        def whole(*args: Any, **kwargs: Any) -> Any:
            with _Attached():
                return forward(*args, **kwargs)

        made.model.forward = whole

    return Edit("without detach()", change)


_DATA = vars(torch._C.TensorBase)["data"].__get__  # what reading ``.data`` calls


class _Attached(TorchFunctionMode):
    """Returns a tensor itself where it would be cut off from its history."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(function, "__name__", "")
        if name in ("detach", "detach_") or function == _DATA:
            return args[0]
        return function(*args, **(kwargs or {}))


def both(*edits: Edit) -> Edit:
    """Several changes at once."""

    def change(made: Copy) -> None:
        for edit in edits:
            edit.apply(made)

    return Edit(", ".join(edit.name for edit in edits), change, any(edit.ordinary for edit in edits))


def largest_finite(values: list[float]) -> float:
    """The largest number, 0 for none."""
    return max((value for value in values if math.isfinite(value)), default=0.0)
