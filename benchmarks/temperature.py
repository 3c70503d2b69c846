"""CPU time of the temperature search for 32 networks, 10,000 examples and 10 classes, and of two plain ways to do it.

The plain ways compute everything anew at each temperature: scipy's bounded search in float64, and torch's LBFGS on
float32 logits, as temperature scaling is usually written. Neither looks at a grid first.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

from common import interleaved, machine, middle, ratio
from orograph.ensemble import after_averaging, before_averaging, calibrated_nll, combine, folds, temperature

MEMBERS, EXAMPLES, CLASSES = 32, 10_000, 10


def outputs() -> tuple[np.ndarray, np.ndarray]:
    """Logits of networks too sure of themselves, and labels."""
    chance = np.random.default_rng(0)
    truth = 2 * chance.standard_normal((EXAMPLES, CLASSES))
    logits = 1.7 * truth + 1.5 * chance.standard_normal((MEMBERS, EXAMPLES, CLASSES))
    return logits.astype(np.float32), (truth + chance.gumbel(size=truth.shape)).argmax(1)


def by_scipy(logits: np.ndarray, labels: np.ndarray) -> float:
    wide, rows = logits.astype(np.float64), np.arange(len(labels))

    def nll(log_tau: float) -> float:
        log_p = log_softmax(wide / np.exp(log_tau), axis=-1)[:, rows, labels]
        return float(np.log(len(wide)) - logsumexp(log_p, axis=0).mean())

    return float(np.exp(minimize_scalar(nll, bounds=np.log([0.05, 20.0]), method="bounded").x))


def by_torch(logits: np.ndarray, labels: np.ndarray) -> float:
    z, y = torch.from_numpy(logits), torch.from_numpy(labels)
    log_tau = torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([log_tau], max_iter=50, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        log_p = torch.log_softmax(z / log_tau.exp(), -1)[:, torch.arange(len(y)), y]
        loss = -(torch.logsumexp(log_p, 0) - np.log(len(z))).mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    return float(log_tau.detach().exp())


def main() -> None:
    torch.set_num_threads(1)
    print(machine())
    logits, labels = outputs()
    log_p, halves = combine(logits), folds(EXAMPLES)
    ours = {
        "before averaging": lambda: temperature(before_averaging(logits, labels)),
        "after averaging": lambda: temperature(after_averaging(log_p, labels)),
    }
    plain = {"scipy, before": lambda: by_scipy(logits, labels), "torch, before": lambda: by_torch(logits, labels)}
    calibrated = {"calibrated NLL, before": lambda: calibrated_nll(before_averaging(logits, labels), halves)}
    spent = interleaved({**ours, **calibrated, **plain}, rounds=7)
    print(f"{MEMBERS} networks, {EXAMPLES} examples, {CLASSES} classes; n = 7, median (lowest to highest)")
    for name, values in spent.items():
        print(f"{name:24} {middle(values)} s CPU")
    for name in plain:
        print(f"{name:24} {ratio(spent[name], spent['before averaging'])} times ours")
    both = [sum(pair) for pair in zip(*(spent[name] for name in ours), strict=True)]
    print(f"{'both settings':24} {middle(both)} s CPU")
    print(f"tau: ours {ours['before averaging']().tau:.5f}, " + ", ".join(f"{n} {f():.5f}" for n, f in plain.items()))


if __name__ == "__main__":
    main()
