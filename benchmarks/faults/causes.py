"""The causes a diagnosis may name, as short keys: a finding is scored by the key of the cause it stands for.

A case lists the accepted keys in ``truth``: the planted cause first, then those whose patch cures it as well. They
were written down before anything was scored.
"""

from __future__ import annotations

CAUSES: dict[str, str] = {
    "learning-rate-too-high": "The step is too long for this network: lower the learning rate, warm up or clip.",
    "learning-rate-too-low": "The step is too short to get anywhere in the budget: raise the learning rate.",
    "probabilities-into-logits-loss": "The loss takes logits and gets probabilities: drop the softmax or sigmoid.",
    "activation-on-logits": "An activation after the last layer cuts off part of the logits: drop it.",
    "labels-carry-no-signal": "Targets have nothing to do with their inputs: repair how labels are read.",
    "labels-misaligned": "Targets belong to other inputs of the same batch or data set: repair the pairing.",
    "gradients-not-zeroed": "Gradients of earlier steps are added up: call zero_grad in each step.",
    "frozen-untrained-layers": "Layers at random initial values are kept from training by requires_grad: free them.",
    "parameters-not-in-optimizer": "The optimiser does not hold parameters that should train: hand them over.",
    "optimizer-holds-other-parameters": "The optimiser holds parameters of another model: build it after the model.",
    "initialisation-too-small": "Weights start so small that the signal dies on its way: use He or Glorot scale.",
    "initialisation-too-large": "Weights start so large that activations or logits explode: use He or Glorot scale.",
    "symmetric-initialisation": "Units of a layer start equal and stay equal: draw the weights at random.",
    "saturated-activations": "Sigmoid or tanh units sit on their flat ends: smaller weights or inputs.",
    "vanishing-gradients": "The gradient shrinks from layer to layer: other activations, norms or skips.",
    "dead-units": "ReLU units are zero on every example: smaller biases, a fresh start or a leaky activation.",
    "inputs-not-scaled": "Inputs are far from mean zero and variance one: standardise them.",
    "inputs-too-small": "Inputs were scaled down to almost nothing: standardise them.",
    "normalisation-in-eval": "Norm layers use stale running statistics while training: call model.train().",
    "data-not-shuffled": "Batches come in an order that depends on the class: shuffle.",
    "loss-summed": "The loss is summed over the batch where a mean was meant: take the mean.",
    "recurrent-matrix-explodes": "The recurrent matrix enlarges the state in each step: orthogonal start, clip.",
    "optimizer-step-missing": "optimizer.step is never called: call it.",
    "gradients-erased": "zero_grad stands between backward and step: move it before backward.",
    "loss-maximised": "The loss is driven up: a sign is wrong, or maximize is on.",
    "gradient-cut": "A detach, no_grad or copy cuts the graph: layers before it get no gradient.",
    "weight-decay-too-large": "Weight decay pulls weights to zero faster than the loss can hold them.",
    "clipping-too-tight": "Gradients are clipped to a norm far below their own: raise the limit.",
    "shapes-broadcast": "Outputs (n, 1) meet targets (n,) and broadcast to (n, n): give both one shape.",
    "dropout-too-high": "Dropout leaves almost nothing of the signal: lower it.",
    "bounded-output": "The output activation cannot reach the targets: drop it.",
    "non-finite-data": "An input or target is NaN or infinite: clean the data.",
    "examples-mixed": "Examples of one batch are mixed with each other: repair the reshape or the axis.",
    "one-class-only": "All or nearly all targets that are loaded are of one class: repair the filter.",
    "batch-repeated": "The same few examples come in every step: iterate over the data set.",
    "schedule-decays-at-once": "The learning-rate schedule reaches zero within a few steps: stretch it.",
    "normalisation-gain-zero": "Gains of norm layers are zero or nearly: start them at one.",
    "targets-not-scaled": "Regression targets have a huge offset or scale: standardise them.",
    "loss-not-connected": "The loss that is driven down does not depend on the model or on the targets.",
    "inputs-carry-no-signal": "What the network gets says nothing of the example: repair the preprocessing.",
}
