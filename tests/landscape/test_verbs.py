"""Lines, planes, barriers and trajectories against a quadratic known in closed form."""

from concurrent.futures import ThreadPoolExecutor

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from quadratic import Bowl, bowl, points
from torch import nn

from networks import BatchNormNet, TupleNet, trained_statistics
from orograph.basics.errors import UsageError, WeightsError
from orograph.data import Split
from orograph.landscape import barrier, distances, line, neighbourhood, plane, trajectory
from orograph.landscape import grid as grid_module
from orograph.objective import Objective
from orograph.results import Checkpoint
from orograph.weights import Weights


def test_a_line_through_two_points_of_a_quadratic():
    model, objective = bowl()
    a, b = points(model, 2)
    found = line(objective, a, b, resolution=31)
    expected = [model.height(a.vector + t * (b.vector - a.vector)) for t in found.alphas]
    np.testing.assert_allclose(found.loss, expected, rtol=1e-12)
    assert found.length == pytest.approx(a.distance(b))
    assert found.loss[found.alphas == 0][0] == objective(a).loss
    assert found.loss[found.alphas == 1][0] == objective(b).loss
    assert found.barrier.height == 0  # a convex function has none
    assert not found.barrier.resolved
    assert found.accuracy is None
    assert found.computed.all()


@settings(max_examples=10)
@given(seed=st.integers(0, 1000))
def test_planes_in_both_frames_equal_the_quadratic(seed):
    model, objective = bowl(seed=seed)
    a, b, c = points(model, 3, seed)
    for frame in ("oblique", "orthonormal"):
        found = plane(objective, a, b, c, frame=frame, resolution=9)
        e1, e2 = (b - a, c - a) if frame == "oblique" else (None, None)
        if e1 is None:
            from orograph.landscape.frames import orthonormal

            axes = orthonormal(a, b, c)
            d1, d2 = axes.first[:], axes.second[:]
        else:
            d1, d2 = e1.vector, e2.vector
        for j, beta in enumerate(found.beta):
            for i, alpha in enumerate(found.alpha):
                expected = model.height(a.vector + alpha * d1 + beta * d2)
                assert found.loss[j, i] == pytest.approx(expected, rel=1e-9)
        assert [anchor.loss for anchor in found.anchors] == [objective(w).loss for w in (a, b, c)]
        for anchor, name in zip(found.anchors, "ABC", strict=True):
            assert anchor.name == name
        assert 0.0 in found.alpha
        assert 0.0 in found.beta


def test_the_given_networks_are_cells_of_the_oblique_plane_verbatim():
    split = Split(torch.randn(40, 6), torch.randint(0, 3, (40,)))
    models = [TupleNet() for _ in range(3)]
    a, b, c = (Weights.of(m) for m in models)
    objective = Objective(models[0], split)
    found = plane(objective, a, b, c, resolution=9)
    assert len(found.alpha) == 9
    cells = {(0, 0): a, (1, 0): b, (0, 1): c}
    for (u, v), weights in cells.items():
        j, i = np.flatnonzero(found.v == v)[0], np.flatnonzero(found.u == u)[0]
        assert found.loss[j, i] == objective(weights).loss


class Hill(nn.Module):
    """L = exp(-((w - 0.4) / 0.2)^2): one hill on the line from 0 to 1, its top off any coarse grid."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, x):
        return torch.exp(-(((self.w - 0.437) / 0.2) ** 2))


def hill_loss(model, batch):
    return model(batch[0]).expand(len(batch[0])) * batch[1]


def test_a_barrier_is_refined_off_the_grid_with_a_paired_error():
    model = Hill()
    factors = torch.tensor([0.9, 1.0, 1.1, 1.0], dtype=torch.float64)
    objective = Objective(model, Split(torch.zeros(4, 1), factors), loss=hill_loss, precision="float64")
    a = Weights.of(model)
    b = a.with_vector(a.vector + 1)
    found = barrier(objective, a, b, resolution=6)
    ts = np.linspace(0, 1, 200_001)
    curve = np.exp(-(((ts - 0.437) / 0.2) ** 2))
    heights = curve - ((1 - ts) * curve[0] + ts * curve[-1])
    assert found.height == pytest.approx(heights.max(), rel=1e-5)
    assert found.at == pytest.approx(ts[heights.argmax()], abs=2e-3)
    assert found.grid_height < found.height
    assert found.grid_at == pytest.approx(0.4)
    scale = found.loss_at - (1 - found.at) * found.loss_start - found.at * found.loss_end
    assert found.se == pytest.approx(scale * factors.numpy().std(ddof=1) / 2, rel=1e-9)
    assert found.resolved


def test_a_barrier_with_a_hole_in_it_is_infinite():
    class Hole(Hill):
        def forward(self, x):
            return torch.where((self.w > 0.45) & (self.w < 0.55), torch.nan, super().forward(x))

    model = Hole()
    objective = Objective(model, Split(torch.zeros(4, 1), torch.ones(4)), loss=hill_loss, precision="float64")
    a = Weights.of(model)
    found = barrier(objective, a, a.with_vector(a.vector + 1), resolution=11)
    assert found.height == np.inf
    assert found.at == pytest.approx(0.5)


def test_a_permuted_copy_computes_the_same_but_a_barrier_lies_between():
    torch.manual_seed(0)
    x = torch.randn(400, 6)
    y = (x[:, 0] * x[:, 1] > 0).long() + (x[:, 2] > 1).long()
    model = TupleNet()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(200):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x)[0], y).backward()
        optimizer.step()
    a = Weights.of(model)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        model.body.weight.copy_(model.body.weight[order])
        model.body.bias.copy_(model.body.bias[order])
        model.head.weight.copy_(model.head.weight[:, order])
    b = Weights.of(model)
    objective = Objective(model, Split(x, y), precision="float64")
    found = line(objective, a, b, resolution=31)
    assert objective(a).loss == pytest.approx(objective(b).loss, rel=1e-6)
    assert found.barrier.resolved
    assert found.barrier.height > 0.1
    assert found.barrier.error_height > 0
    unaligned = line(Objective(model, Split(x, y), precision="bf16"), a, b, resolution=31)
    assert unaligned.barrier.height == pytest.approx(found.barrier.height, rel=1e-3)  # measured in float32 all the same


def test_reversed_rows_and_columns_give_the_reversed_array_exactly():
    split = Split(torch.randn(30, 6), torch.randint(0, 3, (30,)))
    model = TupleNet()
    objective, a = Objective(model, split), Weights.of(model)
    d1, d2 = (a.with_vector(torch.randn(len(a), generator=torch.Generator().manual_seed(s))) for s in (1, 2))
    there = neighbourhood(objective, a, directions=(d1, d2), resolution=7)
    back = neighbourhood(objective, a, directions=(-d1, -d2), resolution=7)
    np.testing.assert_array_equal(there.loss, back.loss[::-1, ::-1])


def test_interrupted_parallel_and_serial_planes_are_identical(tmp_path, monkeypatch):
    model, objective = bowl()
    a, b, c = points(model, 3)
    whole = plane(objective, a, b, c, resolution=9)
    with ThreadPoolExecutor(1) as pool:  # another executor; one thread, as the module is borrowed in turn
        assert plane(objective, a, b, c, resolution=9, executor=pool).equals(whole)

    measured = []
    original = grid_module.compute_unit

    def breaks(cells, unit):
        if len(measured) == 4:
            raise KeyboardInterrupt
        measured.append(unit)
        return original(cells, unit)

    monkeypatch.setattr(grid_module, "compute_unit", breaks)
    with pytest.raises(KeyboardInterrupt):
        plane(objective, a, b, c, resolution=9, partial=tmp_path)
    (folder,) = tmp_path.iterdir()
    assert len(list(folder.iterdir())) == 4
    next(folder.glob("unit-00002*")).write_bytes(b"damaged")
    monkeypatch.setattr(grid_module, "compute_unit", lambda cells, unit: measured.append(unit) or original(cells, unit))
    again = plane(objective, a, b, c, resolution=9, partial=tmp_path)
    assert again.equals(whole)
    assert measured == [0, 1, 2, 3, 2, 4, 5, 6, 7, 8]


def test_rows_that_were_not_asked_for_are_marked_and_not_nan():
    model, objective = bowl()
    a, b, c = points(model, 3)
    some = plane(objective, a, b, c, resolution=9, rows=[0, 3])
    whole = plane(objective, a, b, c, resolution=9)
    assert some.computed.sum() == 18
    np.testing.assert_array_equal(some.loss[3], whole.loss[3])
    assert np.isfinite(some.loss).all()


def holey_loss(model, batch):
    value = model(batch[0])
    return torch.where(value > 6, torch.nan, value).expand(len(batch[0]))


def test_cells_that_are_not_finite_stay_so_and_harm_no_neighbour():
    model, objective = bowl()
    a, b, c = points(model, 3)
    clean = plane(objective, a, b, c, resolution=9)
    holes = plane(Objective(model, objective.split, loss=holey_loss, precision="float64"), a, b, c, resolution=9)
    expected = clean.loss > 6
    assert expected.any()
    assert not expected.all()
    np.testing.assert_array_equal(np.isnan(holes.loss), expected)
    np.testing.assert_array_equal(holes.loss[~expected], clean.loss[~expected])
    assert holes.nonfinite == expected.sum()
    assert holes.computed.all()


def test_a_neighbourhood_holds_its_centre_verbatim_and_reports_true_lengths():
    split = Split(torch.randn(30, 6), torch.randint(0, 3, (30,)))
    model = TupleNet()
    objective, a = Objective(model, split), Weights.of(model)
    found = neighbourhood(objective, a, resolution=8, span=0.5, seed=3)
    assert len(found.alpha) == 9  # rounded up so that the centre is a cell
    assert found.loss[4, 4] == objective(a).loss
    moved = sum(slot.view(a.vector).double().square().sum() for slot in a.layout.slots if len(slot.shape) > 1)
    assert found.norm_alpha == pytest.approx(float(moved) ** 0.5, rel=1e-5)
    assert found.norm_beta == pytest.approx(found.norm_alpha, rel=1e-5)
    assert abs(found.cosine) < 1e-6
    assert found.equals(neighbourhood(objective, a, resolution=9, span=0.5, seed=3))


def test_nothing_of_a_batch_norm_network_moves_but_its_weights():
    x = torch.randn(64, 1, 8, 8)
    split = Split(x, torch.randint(0, 3, (64,)))
    models = [trained_statistics(BatchNormNet(), x * (1 + i)) for i in range(3)]
    a, b, c = (Weights.of(m) for m in models)
    before = {name: buffer.clone() for name, buffer in models[0].named_buffers()}
    for policy in ("frozen", "recalibrate"):
        objective = Objective(models[0], split, calibration=split, batchnorm=policy)
        for found in (
            plane(objective, a, b, c, resolution=5),
            neighbourhood(objective, a, resolution=3, span=3.0),
        ):
            assert np.isfinite(found.loss).all()
        gaps = [abs(anchor.loss - anchor.loss_own) for anchor in plane(objective, a, b, c, resolution=5).anchors]
        assert (gaps[0] == 0) == (policy == "frozen")
        assert gaps[1] > 0
    for name, buffer in models[0].named_buffers():
        assert torch.equal(buffer, before[name])


def test_pca_axes_equal_the_singular_vectors():
    model, objective = bowl()
    path = points(model, 6)
    found = trajectory(objective, path)
    rows = np.stack([(w.vector - path[-1].vector).numpy() for w in path])
    _, values, vectors = np.linalg.svd(rows)
    shares = values**2 / (values**2).sum()
    np.testing.assert_allclose(found.explained, shares[:5], rtol=1e-9)
    coordinates = rows @ vectors[:2].T
    coordinates *= np.sign(coordinates[0])
    np.testing.assert_allclose(found.coordinates, coordinates, atol=1e-9)
    rest = np.linalg.norm(rows - rows @ vectors[:2].T @ vectors[:2], axis=1)
    np.testing.assert_allclose(found.off_plane, rest, atol=1e-7)
    np.testing.assert_allclose(found.loss, [model.height(w.vector) for w in path], rtol=1e-12)
    on_plane = path[-1].vector.numpy() + rows @ vectors[:2].T @ vectors[:2]
    np.testing.assert_allclose(found.loss_projected, [model.height(torch.from_numpy(w)) for w in on_plane], rtol=1e-9)
    assert found.loss[-1] == found.loss_projected[-1] == objective(path[-1]).loss


def test_a_random_walk_shows_the_published_shares():
    generator = torch.Generator().manual_seed(0)
    model, objective = Bowl(4000), None
    del objective
    steps = torch.randn(200, 4000, generator=generator, dtype=torch.float64).cumsum(0)
    origin = Weights.of(model)
    from orograph.landscape.trajectory import _mean, principal_axes

    path = [origin.with_vector(row) for row in steps]
    _, _, shares = principal_axes(path, _mean(path))
    assert shares[0] == pytest.approx(0.61, abs=0.03)
    assert shares[1] == pytest.approx(0.15, abs=0.02)


def test_a_trajectory_draws_its_surface_and_says_if_its_steps_are_uneven():
    model, objective = bowl()
    path = points(model, 4)
    checkpoints = [
        Checkpoint(float(e), s, weights=w) for e, s, w in zip((0, 1, 2, 8), (0, 10, 20, 80), path, strict=True)
    ]
    found = trajectory(objective, checkpoints, resolution=7)
    assert not found.even
    assert found.epochs.tolist() == [0, 1, 2, 8]
    surface = found.surface
    j, i = np.flatnonzero(surface.beta == 0)[0], np.flatnonzero(surface.alpha == 0)[0]
    assert surface.loss[j, i] == objective(path[-1]).loss
    assert surface.norm_alpha == pytest.approx(1)
    assert trajectory(objective, path, reference="mean").even


def test_distances_have_an_oracle_and_name_what_moved():
    torch.manual_seed(0)
    models = [nn.Sequential(nn.Linear(100, 200), nn.BatchNorm1d(200)) for _ in range(4)]
    nn.init.uniform_(models[0][1].weight)
    found = distances(models, names=["w", "x", "y", "z"])
    variance = (1 / 100) / 3  # PyTorch's default: uniform on ±1/sqrt(fan in)
    expected = np.sqrt(2 * variance * (200 * 100 + 200))
    assert found.matrix[1, 2] == pytest.approx(expected, rel=0.02)
    np.testing.assert_array_equal(found.matrix, found.matrix.T)
    assert not np.diag(found.matrix).any()
    np.testing.assert_allclose(np.sqrt(found.squared_by_tensor.sum(0)), found.matrix)
    assert found.norm_layer_share[0, 1] > 0
    assert found.norm_layer_share[1, 2] == 0
    assert found.pairs.shape == (6,)


def test_networks_that_do_not_belong_together_are_refused_by_name():
    model, objective = bowl()
    a, b = points(model, 2)
    broken = b.with_vector(b.vector * float("nan"))
    with pytest.raises(WeightsError, match="network B holds NaN"):
        line(objective, a, broken)
    with pytest.raises(UsageError, match="same point"):
        line(objective, a, a)
    with pytest.raises(WeightsError, match=r"first: shapes|no parameter"):
        distances([a, Weights.of(nn.Linear(2, 2))])
    with pytest.raises(UsageError, match="at least three"):
        trajectory(objective, [a, b])
    with pytest.raises(UsageError, match="lie on one line"):
        trajectory(objective, [a, a + 0.5 * (b - a), b])
    with pytest.raises(UsageError, match="parallel"):
        neighbourhood(objective, a, directions=(b, 2 * b), resolution=3)
    with pytest.raises(UsageError, match="must contain the centre"):
        neighbourhood(objective, a, span=(0.5, 1.0), resolution=3, normalization="none")
    with pytest.raises(UsageError, match="did you mean 'oblique'"):
        plane(objective, a, b, points(model, 3)[2], frame="obligue")


def test_each_result_carries_its_own_cost_and_not_that_of_the_objective_so_far():
    split = Split(torch.randn(30, 6), torch.randint(0, 3, (30,)))
    objective = Objective(TupleNet(), split)
    networks = [Weights.of(TupleNet()) for _ in range(3)]
    first, second = (plane(objective, *networks, resolution=5).provenance.cost for _ in range(2))
    assert first.forward == second.forward == 30 * (25 + 3)  # 25 cells, three given networks once more
    assert objective.cost.forward == first.forward + second.forward
