"""An ensemble's folder: every bit comes back, nothing in it is run, and what is wrong with it is said in one line."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import orograph as og
from networks import BatchNormNet, TinyTransformer, TupleNet, trained_statistics
from orograph.basics.errors import ModelError, StoreError, UsageError, WeightsError
from orograph.basics.keys import content_key
from orograph.ensemble import Architecture, Ensemble, load, save
from orograph.results import Member
from orograph.weights import Weights

DATA = og.data.load("digits", train_size=40, test_size=20)
FACTORY = """
from pathlib import Path
from torch import nn

Path({marker!r}).touch()

def make(classes, channels, image_size, hidden=4):
    first = nn.Linear(channels * image_size**2, hidden)
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), nn.Linear(hidden, classes))
"""


def ensemble_of(make, inputs, count=2, **options):
    networks = []
    for seed in range(count):
        torch.manual_seed(seed)
        networks.append(trained_statistics(make(), inputs * (seed + 1)).eval())
    return Ensemble(networks[0], networks, **options)


def own(count=3, **options):
    """An ensemble of orograph's own networks, with batch norm."""
    architecture = Architecture.of("convnet", DATA, width=4, batch_norm=True)
    networks = [trained_statistics(architecture.build(), DATA.train.inputs * (n + 1)) for n in range(count)]
    for number, network in enumerate(networks):
        with torch.no_grad():
            network.classifier.bias += number
    return Ensemble(architecture, [Weights.of(network) for network in networks], data=DATA, **options)


def custom(**options):
    return ensemble_of(BatchNormNet, torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(0)), **options)


def rewritten(folder, change):
    """Alter what ``ensemble.json`` says, as somebody would who knows how checksums are made."""
    path = folder / "ensemble.json"
    manifest = json.loads(path.read_text())
    change(manifest["ensemble"])
    manifest["checksum"] = content_key(manifest["ensemble"])
    path.write_text(json.dumps(manifest))


def same_bits(left, right):
    one, two = left.state_dict(), right.state_dict()
    return list(one) == list(two) and all(torch.equal(one[n], two[n]) and one[n].dtype == two[n].dtype for n in one)


def test_a_folder_gives_back_every_bit_without_being_told_the_network(tmp_path):
    records = [Member(f"run {n}", method="independent", seed=n, iteration=100) for n in range(3)]
    made = own(names=records, average="logit", temperature=1.1, temperature_place="after")
    random = torch.get_rng_state()
    found = load(save(made, tmp_path / "deep" / "ensemble"))
    assert torch.equal(torch.get_rng_state(), random)
    assert same_bits(found, made)
    assert torch.equal(found(DATA.test.inputs), made(DATA.test.inputs))
    options = ("average", "temperature", "temperature_place", "class_axis", "class_names", "mean", "std")
    assert {name: getattr(found, name) for name in options} == {name: getattr(made, name) for name in options}
    assert found.architecture == made.architecture
    assert [(r.name, r.method, r.seed, r.iteration) for r in found.records] == [
        (r.name, r.method, r.seed, r.iteration) for r in records
    ]
    assert [r.weights_hash for r in found.records] == [made.weights(n).fingerprint() for n in range(3)]
    again = save(found, tmp_path / "again") / "ensemble.json"
    assert again.read_text() == (tmp_path / "deep" / "ensemble" / "ensemble.json").read_text()


def test_it_holds_words_and_ordinary_state_dicts_alone(tmp_path):
    made = custom()
    folder = save(made, tmp_path / "ensemble")
    names = sorted(file.name for file in folder.iterdir())
    assert names == ["ensemble.json", "member-00.safetensors", "member-01.safetensors"]
    network = BatchNormNet()
    network.load_state_dict(load_file(folder / names[2]))
    assert torch.equal(network.fc.weight, made.members[1].fc.weight)
    assert sorted(tmp_path.iterdir()) == [folder]


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions_come_back(tmp_path, dtype):
    made = own().to(dtype)
    found = load(save(made, tmp_path / "ensemble"))
    assert same_bits(found, made)
    x = DATA.test.inputs.to(dtype)
    assert torch.equal(found(x), made(x))


def test_a_custom_network_is_passed_and_stays_the_callers(tmp_path, state):
    made = custom()
    folder = save(made, tmp_path / "ensemble")
    with pytest.raises(UsageError, match=r"does not say which network its members are; pass model="):
        load(folder)
    network = BatchNormNet()
    before = state(network)
    found = load(folder, network)
    assert state(network) == before
    assert same_bits(found, made)
    assert all(isinstance(member, BatchNormNet) for member in found.members)


def test_tied_and_frozen_weights_come_back_as_they_were(tmp_path):
    torch.manual_seed(0)
    network = TinyTransformer()
    network.places.requires_grad_(False)
    weights = Weights.of(network)
    made = Ensemble(network, [weights, weights * 2.0])
    folder = save(made, tmp_path / "ensemble")
    found = load(folder, TinyTransformer())
    assert same_bits(found, made)
    stored = Weights.load(folder / "member-00.safetensors")
    assert stored.layout == weights.layout
    assert stored.fingerprint() == weights.fingerprint()


def test_what_was_loaded_into_it_is_what_is_saved(tmp_path):
    made, other = custom(), custom()
    made.load_state_dict({name: value * 2 for name, value in other.state_dict().items()})
    assert same_bits(load(save(made, tmp_path / "ensemble"), BatchNormNet()), made)


def test_one_member_is_enough(tmp_path):
    made = own(1)
    assert torch.equal(load(save(made, tmp_path / "one"))(DATA.test.inputs), made(DATA.test.inputs))


@pytest.fixture
def factory(tmp_path):
    """The user's file, and the mark that it leaves when it is imported."""
    file, marker = tmp_path / "nets.py", tmp_path / "imported"
    file.write_text(FACTORY.format(marker=str(marker)))
    return f"{file}:make", marker


def saved_with_factory(name, folder):
    architecture = Architecture.of(name, DATA, hidden=6)
    return save(Ensemble(architecture, [Weights.of(architecture.build())] * 2), folder)


def test_a_strangers_reference_is_not_imported_unasked(tmp_path, factory):
    _, marker = factory
    stranger = tmp_path / "stranger.py"
    stranger.write_text(FACTORY.format(marker=str(marker)))
    folder = save(own(), tmp_path / "ensemble")
    for name in (f"{stranger}:make", "stranger:make"):
        rewritten(folder, lambda content, name=name: content["architecture"].update(name=name))
        with pytest.raises(UsageError, match="would import it: pass model="):
            load(folder)
    assert not marker.exists()
    assert "stranger" not in sys.modules


def test_a_reference_is_imported_where_the_caller_names_it_or_trusts_the_folder(tmp_path, factory):
    name, _ = factory
    folder = saved_with_factory(name, tmp_path / "ensemble")
    for found in (load(folder, name), load(folder, trust=True)):
        assert found.members[0][1].out_features == 6
        assert found.architecture.name == name
    moved = tmp_path / "moved.py"
    shutil.copy(name.removesuffix(":make"), moved)
    assert load(folder, f"{moved}:make").members[0][1].out_features == 6


def test_a_factory_that_has_changed_is_told_of(tmp_path, factory):
    name, _ = factory
    folder = saved_with_factory(name, tmp_path / "ensemble")
    with open(name.removesuffix(":make"), "a") as file:
        file.write("# another network, for all one knows\n")
    with pytest.raises(ModelError, match="is not what it was"):
        load(folder, trust=True)
    with pytest.warns(UserWarning, match="is not what it was"):
        load(folder, name)


def test_options_that_cannot_be_written_down_are_refused():
    with pytest.raises(UsageError, match="options of mlp cannot be written down"):
        Architecture.of("mlp", DATA, hidden=torch.ones(2))


@pytest.mark.parametrize("file", ["../outside.safetensors", "/tmp/member-00.safetensors", "member-00.pt", "", 3])
def test_no_path_leads_out_of_the_folder_or_to_a_pickle(tmp_path, file):
    folder = save(own(), tmp_path / "ensemble")
    rewritten(folder, lambda content: content["members"][0].update(file=file))
    with pytest.raises(StoreError, match=r"ensemble\.json is damaged or was edited"):
        load(folder)


def test_a_missing_member_is_named(tmp_path):
    folder = save(own(names=["a", "b", "c"]), tmp_path / "ensemble")
    (folder / "member-01.safetensors").unlink()
    with pytest.raises(StoreError, match=r"lacks member-01\.safetensors, its member b"):
        load(folder)


def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path):
    folder = save(own(), tmp_path / "ensemble")
    file = folder / "member-01.safetensors"
    content = file.read_bytes()
    for place in (3, 20, len(content) - 100, len(content) - 1):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(WeightsError, match=r"member-01\.safetensors"):
            load(folder)
    file.write_bytes(content)
    path = folder / "ensemble.json"
    text = path.read_text()
    for old, new in (('"temperature": 1.0', '"temperature": 1.5'), ('"mean"', '"meam"'), ("{", "(")):
        assert old in text
        path.write_text(text.replace(old, new, 1))
        with pytest.raises(StoreError, match=r"ensemble\.json is damaged or was edited"):
            load(folder)
    path.write_text(text)
    load(folder)


def test_members_that_changed_places_are_noticed(tmp_path):
    folder = save(own(), tmp_path / "ensemble")
    shutil.copy(folder / "member-02.safetensors", folder / "member-00.safetensors")
    with pytest.raises(WeightsError, match=r"member-00\.safetensors is not the member A that was saved here"):
        load(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.pop("temperature"),
        lambda content: content.update(members=7),
        lambda content: content["members"][0].update(strange=1),
        lambda content: content.update(architecture={"name": "mlp"}),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(tmp_path, change):
    folder = save(own(), tmp_path / "ensemble")
    rewritten(folder, change)
    with pytest.raises(StoreError, match=r"ensemble\.json is damaged or was edited"):
        load(folder)


def test_a_folder_without_members_is_refused(tmp_path):
    folder = save(own(), tmp_path / "ensemble")
    rewritten(folder, lambda content: content.update(members=[]))
    with pytest.raises(UsageError, match="at least one member"):
        load(folder)


def test_a_newer_folder_asks_for_an_upgrade(tmp_path):
    folder = save(own(), tmp_path / "ensemble")
    path = folder / "ensemble.json"
    path.write_text(path.read_text().replace('"schema_version": 1', '"schema_version": 2'))
    with pytest.raises(StoreError, match=r"newer orograph \(schema 2\); upgrade"):
        load(folder)


def test_another_architecture_is_refused(tmp_path):
    folder = save(own(), tmp_path / "ensemble")
    with pytest.raises(WeightsError, match=r"^member A: "):
        load(folder, BatchNormNet())
    with pytest.raises(WeightsError, match=r"^member A: "):
        load(folder, og.models.build("convnet", DATA, width=8, batch_norm=True))
    rewritten(folder, lambda content: content["architecture"].update(classes=4))
    with pytest.raises(WeightsError, match=r"^member A: classifier\.weight: .*\(10, 8\), the network's is \(4, 8\)"):
        load(folder)


def test_members_that_disagree_on_the_classes_are_refused(tmp_path):
    folder = save(own(2), tmp_path / "ensemble")
    other = Weights.of(og.models.build("convnet", DATA, classes=7, width=4, batch_norm=True))
    other.save(folder / "member-01.safetensors")
    rewritten(folder, lambda content: content["members"][1].update(weights_hash=other.fingerprint()))
    with pytest.raises(WeightsError, match=r"^member B: classifier\.weight: .*\(7, 8\), the network's is \(10, 8\)"):
        load(folder)


def test_what_is_no_ensembles_folder(tmp_path):
    with pytest.raises(StoreError, match="no such folder"):
        load(tmp_path / "nowhere")
    with pytest.raises(StoreError, match=r"is no ensemble's folder: it has no ensemble\.json"):
        load(tmp_path)


def test_nothing_is_overwritten(tmp_path):
    made, folder = custom(), tmp_path / "ensemble"
    folder.mkdir()
    save(made, folder)  # an empty folder is as good as none
    with pytest.raises(StoreError, match="holds something already"):
        save(made, folder)
    with pytest.raises(StoreError, match="holds something already"):
        save(made, folder / "ensemble.json")
    load(folder, BatchNormNet())


def test_weights_that_are_not_finite_are_not_written(tmp_path):
    made = custom(names=["first", "second"])
    with torch.no_grad():
        made.members[1].fc.weight[0, 0] = float("nan")
    with pytest.raises(WeightsError, match=r"^member second: fc\.weight holds NaN"):
        save(made, tmp_path / "ensemble")
    assert not any(tmp_path.iterdir())


def test_a_disk_that_fails_half_way_leaves_nothing(tmp_path, monkeypatch):
    made, write = custom(), Weights.save

    def failing(weights, path):
        if "01" in str(path):
            raise StoreError("the disk is full")
        return write(weights, path)

    monkeypatch.setattr(Weights, "save", failing)
    with pytest.raises(StoreError, match="disk is full"):
        save(made, tmp_path / "ensemble")
    assert not any(tmp_path.iterdir())


def test_outputs_of_several_parts_come_back(tmp_path):
    x = torch.randn(12, 6, generator=torch.Generator().manual_seed(0))
    made = ensemble_of(TupleNet, x)
    assert torch.equal(load(save(made, tmp_path / "ensemble"), TupleNet())(x), made(x))


def test_it_goes_where_it_is_asked_to(tmp_path):
    folder = save(own(), tmp_path / "ensemble")
    assert next(load(folder, device="meta").parameters()).device.type == "meta"
    with pytest.raises(UsageError, match="unknown device"):
        load(folder, device="abacus")


def test_the_names_are_there_without_torch():
    code = "import sys, orograph.ensemble as e; assert 'torch' not in sys.modules; e.load, e.save, e.Ensemble"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        og.ensemble.absent  # noqa: B018
    assert isinstance(og.ensemble.Ensemble(nn.Linear(2, 2), [nn.Linear(2, 2)]), nn.Module)
