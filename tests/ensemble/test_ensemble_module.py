"""An ensemble as one module: against averages written by hand, and against everything that one does to a network."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.special import log_softmax, logsumexp
from torch import nn

import orograph as og
from networks import BatchNormNet, DictNet, TinyTransformer, TupleNet, trained_statistics
from orograph.basics.errors import ModelError, UsageError, WeightsError
from orograph.ensemble import Ensemble, combine
from orograph.ensemble.collected import Collected
from orograph.results import Member
from orograph.results.ledger import Ledger
from orograph.weights import Weights


class OldStyle(nn.Module):
    """As written years ago: ``view`` with room left in the map, and a ReLU that overwrites what is read again."""

    def __init__(self):
        super().__init__()
        self.conv, self.relu, self.fc = nn.Conv2d(2, 4, 3), nn.ReLU(inplace=True), nn.Linear(4 * 36, 3)

    def forward(self, x):
        x = self.conv(x)
        return self.fc((x + self.relu(x)).view(x.size(0), -1))


class NormFirst(nn.Sequential):
    """Batch norm where no layer before it can take it in."""

    def __init__(self):
        layers = nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)
        super().__init__(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Dropout(), nn.Linear(16, 3))


class Branching(nn.Module):
    """Looks at numbers, so that no graph of it can be traced."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(5, 3)

    def forward(self, x):
        return self.fc(x) if x.sum() > 0 else -self.fc(x)


class Segmentation(nn.Conv2d):
    """(n, 2, h, w) to (n, 3, h, w)."""

    def __init__(self):
        super().__init__(2, 3, 3, padding=1)


def members(make, count=3, inputs=None):
    """Networks with weights, and where inputs are given statistics, of their own."""
    found = []
    for seed in range(count):
        torch.manual_seed(seed)
        found.append(make())
        if inputs is not None:
            trained_statistics(found[-1], inputs * (1 + seed))
        found[-1].eval()
    return found


def pictures(count=12, channels=1, size=8, seed=5):
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(seed))


def by_hand(networks, inputs, average="probability", before=1.0, after=1.0):
    """(n, K) log-probabilities by scipy in float64, of outputs (n, K)."""
    with torch.no_grad():
        z = np.stack([network(inputs).double().numpy() for network in networks]) / before
    log_p = logsumexp(log_softmax(z, -1), axis=0) - np.log(len(z)) if average == "probability" else z.mean(0)
    return log_softmax(log_p / after, -1)


def is_fast(ensemble):
    return bool(ensemble._programs) and ensemble._proven


NETWORKS = {
    "batch norm": (BatchNormNet, 1),
    "old style": (OldStyle, 2),
    "convnet": (lambda: og.models.build("convnet", channels=1, image_size=8), 1),
    "mlp": (lambda: og.models.build("mlp", channels=1, image_size=8), 1),
    "resnet": (lambda: og.models.build("resnet8", channels=3, image_size=8, width=0.5), 3),
    "norm first": (NormFirst, 2),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_the_average_of_its_members_to_rounding(name, dtype):
    make, channels = NETWORKS[name]
    x = pictures(channels=channels).to(dtype)
    networks = members(lambda: make().to(dtype), inputs=x)
    ensemble = Ensemble(networks[0], networks)
    assert ensemble(x).dtype == dtype
    assert is_fast(ensemble)
    tolerance = 2e-5 if dtype == torch.float32 else 1e-12
    for inputs in (x, x[:1], 3 * pictures(40, channels, seed=6).to(dtype)):
        np.testing.assert_allclose(ensemble(inputs).numpy(), by_hand(networks, inputs), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("average", ["probability", "logit"])
@pytest.mark.parametrize("place", ["before", "after", "none"])
def test_temperatures_divide_where_they_are_said_to(average, place):
    x = pictures().double()
    networks = members(lambda: BatchNormNet().double(), inputs=x)
    ensemble = Ensemble(networks[0], networks, average=average, temperature=0.3, temperature_place=place)
    taus = {} if place == "none" else {place: 0.3}
    np.testing.assert_allclose(ensemble(x).numpy(), by_hand(networks, x, average, **taus), rtol=1e-11, atol=1e-12)


def test_its_output_does_what_logits_do():
    x, labels = pictures(), torch.arange(12) % 3
    networks = members(BatchNormNet, inputs=x)
    ensemble = Ensemble(networks[0], networks)
    log_p = torch.from_numpy(combine(ensemble.logits(x).numpy()))
    torch.testing.assert_close(ensemble(x).double().softmax(-1), log_p.exp(), rtol=1e-5, atol=1e-6)
    loss = F.cross_entropy(ensemble(x).double(), labels)
    assert float(loss) == pytest.approx(-float(log_p[range(12), labels].mean()), rel=1e-5)
    assert torch.equal(ensemble(x).argmax(1), log_p.argmax(1))


def test_an_unlikely_class_keeps_its_penalty():
    network = nn.Linear(1, 2)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[0.0], [-500.0]]))
        network.bias.zero_()
    assert float(Ensemble(network, [network, network])(torch.ones(1, 1))[0, 1]) == pytest.approx(-500)


def test_one_member_is_the_network():
    x = pictures()
    network = members(BatchNormNet, 1, x)[0]
    ensemble = Ensemble(network, [network])
    torch.testing.assert_close(ensemble(x), network(x).log_softmax(-1), rtol=1e-5, atol=1e-6)
    ensemble._programs = []
    assert torch.equal(ensemble(x), network(x).log_softmax(-1))


def test_members_come_as_weights_modules_checkpoints_and_files(tmp_path):
    x = pictures()
    networks = members(BatchNormNet, 4, x)
    own, foreign = Weights.of(networks[1]).save(tmp_path / "own.safetensors"), tmp_path / "foreign.pt"
    torch.save(networks[2].state_dict(), foreign)
    given = [Weights.of(networks[0]), own, str(foreign), networks[3]]
    expected = Ensemble(networks[0], networks)(x)
    assert torch.equal(Ensemble(BatchNormNet(), given)(x), expected)


def test_the_given_networks_are_neither_touched_nor_shared(state):
    networks = members(BatchNormNet, 2, pictures())
    networks[1].train()
    before = [state(network) for network in networks]
    ensemble = Ensemble(networks[0], networks)
    found = ensemble(pictures())
    assert [state(network) for network in networks] == before
    with torch.no_grad():
        networks[0].out.bias.add_(100)
    assert torch.equal(ensemble(pictures()), found)


def test_each_member_has_its_own_statistics_and_training_mode_moves_none():
    x = pictures()
    networks = members(lambda: copy.deepcopy(BatchNormNet().requires_grad_(True)), inputs=x)
    for network in networks[1:]:
        network.load_state_dict({**network.state_dict(), **dict(networks[0].named_parameters())})
    ensemble = Ensemble(networks[0], networks)
    logits, buffers = ensemble.logits(x), {n: b.clone() for n, b in ensemble.named_buffers()}
    assert (logits[0] - logits[1]).abs().max() > 0.01  # equal weights, other statistics
    assert ensemble.train() is ensemble
    assert not any(module.training for module in ensemble.modules())
    assert torch.equal(ensemble.logits(x), logits)
    assert all(torch.equal(b, buffers[n]) for n, b in ensemble.named_buffers())
    assert not any(parameter.requires_grad for parameter in ensemble.parameters())


@pytest.mark.parametrize("make", [TupleNet, DictNet])
def test_outputs_of_several_parts(make):
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    networks = members(make)
    with torch.no_grad():
        outputs = [network(x) for network in networks]
    z = torch.stack([out["logits"] if isinstance(out, dict) else out[0] for out in outputs])
    ensemble = Ensemble(networks[0], networks)
    torch.testing.assert_close(ensemble(x), z.log_softmax(-1).logsumexp(0) - np.log(3))
    assert is_fast(ensemble)


def test_a_language_model_with_tied_weights_takes_its_inputs_by_name():
    networks = members(TinyTransformer)
    tokens = torch.randint(0, 11, (4, 6), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(tokens)
    ensemble = Ensemble(networks[0], networks)
    with torch.no_grad():
        z = torch.stack([network(tokens, mask).logits for network in networks])
    expected = z.log_softmax(-1).logsumexp(0) - np.log(3)
    torch.testing.assert_close(ensemble(input_ids=tokens, attention_mask=mask), expected)
    torch.testing.assert_close(ensemble(tokens, mask), expected)
    assert all(member.head.weight is member.tokens.weight for member in ensemble.members)
    assert ensemble.weights(1).fingerprint() == Weights.of(networks[1]).fingerprint()


def test_pictures_of_labels_have_their_classes_second():
    x, networks = pictures(channels=2), members(Segmentation)
    ensemble = Ensemble(networks[0], networks, class_axis=1, temperature=2.0, temperature_place="after")
    with torch.no_grad():
        z = torch.stack([network(x) for network in networks])
    expected = ((z.log_softmax(2).logsumexp(0) - np.log(3)) / 2).log_softmax(1)
    torch.testing.assert_close(ensemble(x), expected)


def test_a_network_that_no_graph_can_hold_answers_itself():
    networks = members(Branching)
    ensemble = Ensemble(networks[0], networks)
    for x in (torch.ones(4, 5), -torch.ones(4, 5)):
        np.testing.assert_allclose(ensemble(x).numpy(), by_hand(networks, x), rtol=1e-5)
    assert not is_fast(ensemble)


@pytest.mark.parametrize("strict", [False, True])
def test_it_can_be_exported_for_any_batch(strict):
    x = pictures()
    networks = members(BatchNormNet, inputs=x)
    ensemble = Ensemble(networks[0], networks, temperature=1.5)
    ensemble(x)
    batch = torch.export.Dim("batch", min=1, max=64)
    exported = torch.export.export(ensemble, (x,), dynamic_shapes=({0: batch},), strict=strict).module()
    for inputs in (x, pictures(7, seed=8), pictures(1)):
        torch.testing.assert_close(exported(inputs), ensemble(inputs), rtol=1e-5, atol=1e-6)


def test_it_follows_whatever_is_done_to_its_weights():
    x = pictures()
    first, second = members(BatchNormNet, inputs=x), members(BatchNormNet, 6, x)[3:]
    ensemble, other = Ensemble(first[0], first), Ensemble(second[0], second)
    was, expected = ensemble(x), other(x)
    twin = copy.deepcopy(ensemble)
    assert torch.equal(twin(x), was)

    ensemble.load_state_dict(other.state_dict())
    assert torch.equal(ensemble(x), expected)
    assert torch.equal(twin(x), was)
    twin.load_state_dict(other.state_dict(), assign=True)
    assert torch.equal(twin(x), expected)
    for member, network in zip(ensemble.members, first, strict=True):
        Weights.of(network).put_into(member)
    assert torch.equal(ensemble(x), was)
    with torch.inference_mode():
        ensemble.members[0].bn1.running_mean.add_(1.0)
        first[0].bn1.running_mean.add_(1.0)
    np.testing.assert_allclose(ensemble(x).numpy(), by_hand(first, x), rtol=1e-4, atol=1e-5)
    assert is_fast(ensemble)
    ensemble.members[0].bn1.running_mean.data.sub_(1.0)  # behind autograd's back: noticed after any move
    first[0].bn1.running_mean.sub_(1.0)
    np.testing.assert_allclose(ensemble.to("cpu")(x).numpy(), by_hand(first, x), rtol=1e-4, atol=1e-5)
    wide = ensemble.double()(x.double())
    np.testing.assert_allclose(wide.numpy(), by_hand([n.double() for n in first], x.double()), rtol=1e-11, atol=1e-12)
    assert is_fast(ensemble)


def test_parts_put_in_the_place_of_others_are_used():
    x = pictures()
    networks = members(BatchNormNet, inputs=x)
    ensemble = Ensemble(networks[0], networks)
    ensemble(x)

    seen = []
    handle = ensemble.members[2].conv2.register_forward_hook(lambda *call: seen.append(call))
    ensemble(x)
    assert len(seen) == 1
    handle.remove()

    ensemble.members[0].bn2.train()  # on purpose, beside the ensemble
    before = ensemble.members[0].bn2.num_batches_tracked.clone()
    ensemble(x)
    assert ensemble.members[0].bn2.num_batches_tracked == before + 1
    ensemble.eval()

    ensemble.members[1].out = networks[1].out = nn.Linear(8, 3)
    networks[0] = ensemble.members[0]
    np.testing.assert_allclose(ensemble(x).detach().numpy(), by_hand(networks, x), rtol=1e-4, atol=1e-5)

    moved = {"members.2.out.bias": torch.full((3,), 2.0)}
    found = torch.func.functional_call(ensemble, moved, (x,))
    with torch.no_grad():
        networks[2].out.bias.fill_(2.0)
    np.testing.assert_allclose(found.detach().numpy(), by_hand(networks, x), rtol=1e-4, atol=1e-5)


def test_an_objective_measures_it_at_other_weights_too():
    x, labels = pictures(), torch.arange(12) % 3
    first, second = members(BatchNormNet, inputs=x), members(BatchNormNet, 6, x)[3:]
    ensemble, other = Ensemble(first[0], first), Ensemble(second[0], second)
    ensemble(x)
    objective = og.Objective(ensemble, (x, labels), batchnorm="frozen")
    for point in (ensemble, other):
        expected = F.cross_entropy(point(x), labels)
        assert objective(Weights.of(point, "all")).loss == pytest.approx(float(expected), rel=1e-4)
    assert torch.equal(ensemble(x), Ensemble(first[0], first)(x))


def test_gradients_of_inputs_and_where_asked_for_of_weights():
    x = pictures().double()
    networks = members(lambda: BatchNormNet().double(), inputs=x)
    ensemble = Ensemble(networks[0], networks)
    gradients = []
    for fast in (True, False):
        ensemble._programs = None if fast else []
        with torch.inference_mode():
            ensemble(x)  # programs made here serve autograd too
        images = x.clone().requires_grad_(True)
        gradients.append(torch.autograd.grad(ensemble(images)[:, 0].sum(), images)[0])
        assert is_fast(ensemble) == fast
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-9, atol=1e-12)
    ensemble._programs = None
    ensemble.members[0].out.requires_grad_(True)
    ensemble(x)[:, 0].sum().backward()
    assert ensemble.members[0].out.weight.grad.abs().sum() > 0


def test_low_precision_is_averaged_in_float32():
    x = pictures()
    networks = members(BatchNormNet, inputs=x)
    ensemble, expected = Ensemble(networks[0], networks), torch.from_numpy(by_hand(networks, x)).float()
    with torch.autocast("cpu", torch.bfloat16):
        found = ensemble(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)
    found = ensemble.bfloat16()(x.bfloat16())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.exp().sum(1), torch.ones(12))


def test_inputs_that_do_not_fit_are_refused_by_the_network_and_spoil_nothing():
    networks = members(BatchNormNet, inputs=pictures())
    ensemble = Ensemble(networks[0], networks)
    assert ensemble(pictures(0)).shape == (0, 3)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="channels"):
            ensemble(pictures(channels=3))
        ensemble(pictures())
        assert is_fast(ensemble)


def test_it_knows_the_classes_and_normalisation_of_the_data():
    data = og.data.load("digits", train_size=40, test_size=20)
    network = og.models.build("convnet", data, seed=0)
    ensemble = Ensemble(network, [network], data=data)
    assert (ensemble.class_names, ensemble.mean, ensemble.std) == (data.class_names, data.mean, data.std)
    other = og.models.build("convnet", data, classes=4)
    with pytest.raises(ModelError, match="4 outputs but there are 10 class names"):
        Ensemble(other, [other], data=data)(data.test.inputs)


def test_averages_of_weights_see_the_training_data_first():
    x = pictures(30)
    weights = [Weights.of(network) for network in members(BatchNormNet, 2, x)]
    records = (Member("swa", batchnorm="recalibrate"), Member("last", batchnorm="frozen"))
    collected = Collected("swa", tuple(weights), records, (), Ledger(), 1, "recalibrate")
    with pytest.raises(UsageError, match=r"member swa is an average .* pass calibration=data\.train"):
        Ensemble(BatchNormNet(), collected)
    ensemble = Ensemble(BatchNormNet(), collected, calibration=(x, torch.zeros(30, dtype=torch.long)))
    swa, last = ensemble.members
    seen = swa.conv1(x)
    torch.testing.assert_close(swa.bn1.running_mean, seen.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(swa.bn1.running_var, seen.var((0, 2, 3), correction=0), rtol=1e-4, atol=1e-5)
    assert torch.equal(last.bn1.running_mean, weights[1].buffers["bn1.running_mean"])
    assert [record.batchnorm for record in ensemble.records] == ["frozen", "frozen"]


def test_what_makes_no_ensemble_is_refused_by_name():
    networks = members(BatchNormNet, 2)
    network, weights = networks[0], [Weights.of(one) for one in networks]
    with pytest.raises(UsageError, match="at least one member"):
        Ensemble(network, [])
    with pytest.raises(UsageError, match="2 members but 1 names"):
        Ensemble(network, networks, names=["only"])
    with pytest.raises(UsageError, match=r"a TupleNet and the network a BatchNormNet"):
        Ensemble(network, [TupleNet()])
    for spoiled in (weights[1] * float("nan"), weights[1].with_vector(weights[1].vector * float("inf"))):
        with pytest.raises(WeightsError, match=r"^member second: conv1\.weight holds NaN or infinity"):
            Ensemble(network, [weights[0], spoiled], names=["first", "second"])
    buffers = {**weights[1].buffers, "bn1.running_var": torch.full((6,), float("nan"))}
    with pytest.raises(WeightsError, match=r"^member B: bn1\.running_var holds NaN"):
        Ensemble(network, [weights[0], Weights(weights[1].vector, weights[1].layout, buffers)])
    with pytest.raises(UsageError, match="use 'probability' or 'logit'"):
        Ensemble(network, networks, average="vote")
    with pytest.raises(UsageError, match="'before' or 'after'"):
        Ensemble(network, networks, temperature_place="between")
    for tau in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="positive number"):
            Ensemble(network, networks, temperature=tau)


def test_members_of_other_architectures_are_refused_by_name():
    ten, five = (og.models.build("mlp", classes=classes, channels=4, image_size=2) for classes in (10, 5))
    with pytest.raises(
        WeightsError, match=r"^member B: .*classifier\.weight: .*\(5, 64\), the network's is \(10, 64\)"
    ):
        Ensemble(ten, [ten, five])
    shallow = og.models.build("mlp", channels=4, image_size=2, hidden=(64,))
    deep = og.models.build("mlp", channels=4, image_size=2, hidden=(64, 64))
    with pytest.raises(WeightsError, match="member A: "):
        Ensemble(shallow, [deep])
    with pytest.raises(WeightsError, match="member A: "):
        Ensemble(deep, [shallow])
    bare = Weights.of(BatchNormNet())
    with pytest.raises(WeightsError, match=r"member A: it lacks 'bn1\.running_mean'"):
        Ensemble(BatchNormNet(), [Weights(bare.vector, bare.layout)])


def test_a_mask_may_be_infinite():
    network = nn.Linear(2, 2)
    network.register_buffer("mask", torch.tensor([0.0, float("-inf")]))
    assert Ensemble(network, [network])(torch.ones(1, 2)).shape == (1, 2)


@pytest.mark.parametrize("network", [nn.Linear(4, 1), nn.Flatten(0)])
def test_one_output_is_no_classification(network):
    with pytest.raises(ModelError, match="two classes or more"):
        Ensemble(network, [network])(torch.ones(1, 4)[:, : getattr(network, "in_features", 1)])


def test_a_network_that_cannot_be_copied_says_so():
    network = nn.Linear(2, 2)
    network.lock = (value for value in ())
    with pytest.raises(UsageError, match="cannot be copied"):
        Ensemble(network, [Weights.of(network)])
