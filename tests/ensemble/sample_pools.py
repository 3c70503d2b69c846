"""Pools of imaginary networks, whose truth is known, and the textbook forms of what the package computes fast."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax, logsumexp
from scipy.stats import binom

from orograph.results.predictions import Predictions


def pool(members=8, examples=400, classes=5, *, sharpness=1.7, noise=1.5, seed=0):
    """Networks that see the truth through noise of their own, too sure of themselves where ``sharpness`` is above 1."""
    chance = np.random.default_rng(seed)
    truth = 2 * chance.standard_normal((examples, classes))
    labels = (truth + chance.gumbel(size=truth.shape)).argmax(1)
    logits = sharpness * truth + noise * chance.standard_normal((members, examples, classes))
    return Predictions.of(logits, labels)


def nll_before(logits, labels, tau):
    """(N,) the NLL of the averaged probabilities, each member's logits divided by tau; plainly, in float64."""
    log_p = log_softmax(logits.astype(np.float64) / tau, axis=-1)
    return np.log(len(logits)) - logsumexp(log_p[:, np.arange(len(labels)), labels], axis=0)


def nll_after(log_p, labels, tau):
    """(N,) the NLL of averaged log-probabilities divided by tau and normalised again."""
    return -log_softmax(log_p / tau, axis=-1)[np.arange(len(labels)), labels]


def coin_pool(members, examples, high, low, share, seed=0):
    """Networks that give the right one of two classes the probability ``high``, in a ``share`` of cases, or ``low``."""
    chance = np.random.default_rng(seed)
    labels = np.arange(examples) % 2
    p = np.where(chance.random((members, examples)) < share, high, low)
    right = np.eye(2)[labels]
    return Predictions.of(np.log(np.where(right == 1, p[..., None], 1 - p[..., None])), labels)


def coin_nll(n, high, low, share):
    """The expected NLL of an ensemble of n of them: a sum over how many are in favour."""
    k = np.arange(n + 1)
    return -(binom.pmf(k, n, share) * np.log(low + (high - low) * k / n)).sum()
