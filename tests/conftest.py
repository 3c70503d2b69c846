"""What every test shares: few threads, one state of chance to begin with, and a state to compare before and after."""

import os
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
# A busy machine is no failure, and make test gives one answer; HYPOTHESIS_PROFILE=explore looks for new examples.
settings.register_profile("same", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))
if "PYTEST_XDIST_WORKER" in os.environ:  # the other processors have tests of their own
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    torch.set_num_threads(1)
else:
    torch.set_num_threads(min(2, torch.get_num_threads()))


@pytest.fixture(autouse=True)
def _same_luck() -> None:
    """Every test begins with one state of the global random streams, whatever ran before it."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def complete_state(model: nn.Module) -> dict[str, object]:
    """Everything that must come back: bits, identities, strides, modes, gradients, hooks and all random streams."""
    tensors = [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]
    return {
        "bits": {n: t.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() for n, t in tensors},
        "identity": {n: (id(t), t.data_ptr(), t.stride(), t.dtype) for n, t in tensors},
        "mode": {n: m.training for n, m in model.named_modules()},
        "grad": {n: (p.requires_grad, id(p.grad) if p.grad is not None else None) for n, p in model.named_parameters()},
        "hooks": {n: (len(m._forward_hooks), len(m._forward_pre_hooks)) for n, m in model.named_modules()},
        "momentum": {n: getattr(m, "momentum", None) for n, m in model.named_modules()},
        "python": random.getstate(),
        "numpy": str(np.random.get_state()),
        "torch": torch.get_rng_state().numpy().tobytes(),
        "tf32": (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32),
        "autocast": torch.is_autocast_enabled("cpu"),
    }


@pytest.fixture
def state():
    return complete_state
