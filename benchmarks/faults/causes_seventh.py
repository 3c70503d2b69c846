"""Causes of the seventh part that ``causes.py`` lacks, written down before anything was scored."""

from __future__ import annotations

SEVENTH_CAUSES: dict[str, str] = {
    "layers-not-registered": "Layers are held in a plain list, so the model does not know them: use a ModuleList.",
    "warm-up-too-long": "The warm-up of the learning rate outlasts the training: shorten it.",
    "weights-overwritten": "Something writes old weights back into the model while it trains: keep the copy apart.",
    "non-differentiable-operation": "A threshold or rounding lets no gradient through: use a smooth one.",
    "optimizer-epsilon-too-large": "The epsilon of an adaptive optimiser swamps the gradients: use the default.",
    "momentum-too-high": "The momentum is so near one that steps pile up: lower it, or the rate with it.",
    "group-rate-too-low": "A parameter group has a rate far too low for layers that start at random: raise it.",
    "labels-inconsistent": "Parts of the data code the same class differently: use one code for all.",
    "augmentation-too-strong": "Augmentation drowns what the inputs say: weaken it.",
    "targets-too-small": "Regression targets were scaled down to almost nothing: standardise them.",
    "mask-inverted": "The mask keeps the padding and hides the data: turn it round.",
    "class-weights-wrong": "Class weights switch classes off: compute them anew.",
    "loss-unbounded": "The loss wants log-probabilities and gets raw scores, so that it falls for ever.",
    "regulariser-dominates": "A penalty outweighs the loss of the data: lower its factor.",
    "output-constant": "The last operation gives the same number whatever the input: drop it.",
    "dropout-in-evaluation": "Dropout is not switched off in evaluation: pass training=self.training.",
    "bottleneck-too-narrow": "A layer is too narrow for what has to pass: widen it.",
    "updates-too-rare": "So many batches are accumulated that hardly any update is made: accumulate fewer.",
}
