"""Pictures that are read in part: fewer examples, true errors, and the same numbers however they are computed."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from networks import BatchNormNet, TupleNet
from orograph.data import Split
from orograph.landscape import line, neighbourhood
from orograph.landscape.lattice import coarse_lattice, nearest_on
from orograph.objective import Objective
from orograph.weights import Weights


@pytest.fixture
def model():
    torch.manual_seed(0)
    return TupleNet()


def clouds(n, seed=3):
    generator = torch.Generator().manual_seed(seed)
    return Split(torch.randn(n, 6, generator=generator), torch.randint(0, 3, (n,), generator=generator))


def sampled(model, split, **options):
    return Objective(model, split, tolerance=0.01, batch_size=64, **options)


def test_a_coarse_lattice_reaches_the_ends_and_holds_few_cells():
    found = coarse_lattice((41, 41))
    assert len(found) == 64
    assert {0, 40, 40 * 41, 41 * 41 - 1} <= set(found)
    assert coarse_lattice((3,)) == [0, 1, 2]
    assert nearest_on((5, 5), 7, [0, 4, 20, 24])[0] == 0  # (1, 2) is as near to 0 as to 4; the first one given wins
    assert nearest_on((5, 5), 7, [24, 4]) == [4, 24]


def test_a_sampled_picture_costs_less_and_its_errors_are_true(model):
    split = clouds(4000)
    start = Weights.of(model)
    exact = neighbourhood(Objective(model, split), start, resolution=17)
    found = neighbourhood(sampled(model, split), start, resolution=17)
    assert exact.n_examples.sum() > 3 * found.n_examples.sum()
    shares = []
    for seed in range(6):  # all cells of one picture share their examples and so their luck
        other = neighbourhood(sampled(model, split, seed=seed), start, resolution=17)
        inside = np.abs(other.loss - exact.loss) <= 2 * other.loss_se + 1e-9
        shares.append(inside[other.n_examples < 4000].mean())
    assert np.mean(shares) > 0.9
    assert (found.loss_se < 0.01).all()
    thorough = found.n_examples == 4000
    assert thorough.sum() >= len(coarse_lattice((17, 17)))
    np.testing.assert_allclose(found.loss[thorough], exact.loss[thorough], rtol=1e-6)
    np.testing.assert_allclose(found.accuracy[thorough], exact.accuracy[thorough], rtol=1e-12)
    close = np.abs(found.accuracy - exact.accuracy) <= 2 * found.accuracy_se + 1e-9
    assert close.mean() > 0.9
    assert found.anchors[0].loss == pytest.approx(exact.anchors[0].loss, rel=1e-6)  # given networks are read whole
    said = found.summary()
    assert "times fewer examples than all, standard errors up to 0.0" in said
    assert "fewer" not in exact.summary()


def test_however_a_sampled_picture_is_computed_its_numbers_are_the_same(model, tmp_path):
    split = clouds(1000)
    start = Weights.of(model)
    whole = neighbourhood(sampled(model, split), start, resolution=11)
    rows = neighbourhood(sampled(model, split), start, resolution=11, rows=[7], partial=tmp_path)
    np.testing.assert_array_equal(rows.loss[7], whole.loss[7])
    assert rows.computed.sum() == 11
    kept = len(list(tmp_path.rglob("unit-*.npz")))
    assert kept == 1 + len(coarse_lattice((11, 11)))
    objective = sampled(model, split)
    seen = []
    again = neighbourhood(objective, start, resolution=11, partial=tmp_path, progress=lambda *step: seen.append(step))
    assert again.equals(whole)
    assert seen[-1] == (36, 36)  # 25 references and 11 rows
    assert objective.cost.forward < 0.8 * whole.provenance.cost.forward  # the references were not read again
    with ThreadPoolExecutor(1) as executor:
        assert neighbourhood(sampled(model, split), start, resolution=11, executor=executor).equals(whole)


def test_lines_are_sampled_too_and_small_pictures_are_not_worth_it(model):
    split = clouds(4000)
    a = Weights.of(model)
    b = a.with_vector(a.vector + torch.randn(len(a), generator=torch.Generator().manual_seed(5)))
    exact = line(Objective(model, split), a, b)
    found = line(sampled(model, split), a, b)
    assert exact.n_examples.sum() > 2 * found.n_examples.sum()
    assert np.abs(found.loss - exact.loss).max() < 0.05
    few = line(sampled(model, split), a, b, alphas=[0.0, 0.5, 1.0], barrier=False)
    assert (few.loss_se > 0).all()
    capped = line(sampled(model, split, cap=1.0), a, b)  # its barrier is exact all the same
    assert capped.barrier.height == pytest.approx(line(Objective(model, split), a, b).barrier.height, rel=1e-9)


def test_a_loss_of_ones_own_is_sampled_with_or_without_single_examples(model):
    def single(network, batch):
        return torch.nn.functional.cross_entropy(network(batch[0])[0], batch[1], reduction="none")

    def mean(network, batch):
        return single(network, batch).mean()

    split = clouds(2000)
    start = Weights.of(model)
    counts = {}
    for loss in (single, mean):
        found = neighbourhood(sampled(model, split, loss=loss), start, resolution=11)
        exact = neighbourhood(Objective(model, split, loss=loss), start, resolution=11)
        assert np.abs(found.loss - exact.loss).max() < 0.06
        counts[loss] = found.n_examples.sum()
    assert counts[single] < counts[mean]


def test_what_a_coarser_format_and_a_capped_subset_cost_is_in_the_picture():
    torch.manual_seed(0)
    images = Split(torch.randn(300, 1, 8, 8), torch.randint(0, 3, (300,)))
    model = BatchNormNet()
    start = Weights.of(model)
    options = {"calibration": images, "batch_size": 50}
    plain = neighbourhood(Objective(model, images, **options), start, resolution=3)
    assert plain.economy.precision_gap is None
    assert plain.economy.calibration_gap is None  # all of the training examples serve
    saving = Objective(model, images, precision="bf16", calibration_examples=100, **options)
    found = neighbourhood(saving, start, resolution=3)
    assert 0 < found.economy.precision_gap < 0.05
    assert 0 < found.economy.calibration_gap < 0.5
    assert "of its float32 value" in found.summary()
    assert "for the batch-norm statistics move the middle point's loss by" in found.summary()
    assert neighbourhood(saving, start, resolution=3).equals(found)
