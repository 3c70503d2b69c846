"""A study runs, continues, redoes only what an option touches, and says no before it starts where it cannot."""

import dataclasses

import pytest
from tiny import BARE, NET, PARTS, TINY

from orograph import studies
from orograph.basics.errors import ModelError, StoreError, UsageError
from orograph.studies.running import load_study


def run(out, executor="local", **options):
    return studies.run("initial-values", out=out, executor=executor, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study with every part, run once."""
    folder = tmp_path_factory.mktemp("whole") / "Übung mit Leerzeichen"
    return folder, run(folder, **TINY)


@pytest.fixture
def user_file(tmp_path):
    path = tmp_path / "mein netz.py"
    path.write_text(NET)
    return path


def left(out, **options):
    """Names of the tasks that a run with these options would do."""
    plan = studies.plan("initial-values", out=out, **options)
    return {task.name for task in plan.tasks if task.name not in plan.done}


def test_a_whole_study_holds_its_claims_and_can_be_read_again(whole):
    folder, result = whole
    assert [claim.id for claim in result.claims] == [
        "equal-accuracy", "equal-distances", "start-to-end", "different-starts", "same-start",
        "same-start-shallower", "branches-0.2", "many-abysses",
    ]  # fmt: skip
    assert all(panel.result in result.results for section in result.sections for panel in section.panels)
    assert load_study(folder).equals(result)
    assert not (folder / "partial").exists()
    assert result.provenance.cost.backward > 0


def test_running_it_again_computes_nothing_and_gives_the_same(whole):
    folder, result = whole
    assert left(folder, **TINY) == set()
    assert studies.plan("initial-values", out=folder, **TINY).effort == 0
    assert run(folder, **TINY).equals(result)
    assert run_file(folder).equals(result)


def run_file(folder):
    return studies.run(folder / "study.toml", out=folder, executor="local")


@pytest.mark.parametrize(
    ("change", "touched", "untouched"),
    [
        ({"line_points": 10}, {"line A-B", "line A-C", "abyss: line A-B"}, {"replica A", "plane", "trunk"}),
        ({"plane_points": 9}, {"plane", "same start: plane"}, {"replica A", "line A-B", "neighbourhood of A"}),
        ({"replicas": 4}, {"replica D", "line A-D", "distances at the end"}, {"replica A", "line A-B", "plane"}),
        ({"branch_accuracy": 0.5}, {"trunk", "branch A", "branches 0.2: plane"}, {"replica A", "plane", "abyss A"}),
        ({"frame": "orthonormal"}, {"plane", "abyss: plane"}, {"line A-B", "neighbourhood of A"}),
        ({"abyss": False}, set(), {"replica A", "plane"}),
        ({"neighbourhood_points": 7}, {"neighbourhood of A", "trajectory of A"}, {"plane", "replica A"}),
    ],
)
def test_an_option_redoes_only_what_depends_on_it(whole, change, touched, untouched):
    todo = left(whole[0], **{**TINY, **change})
    assert touched <= todo
    assert not untouched & todo


def test_a_seed_or_the_training_redoes_everything(whole):
    everything = {task.name for task in studies.plan("initial-values", **TINY).tasks}
    assert left(whole[0], **{**TINY, "seed": 1}) == everything
    assert left(whole[0], **{**TINY, "train.lr": 0.01}) == everything
    assert left(whole[0], **{**TINY, "test_size": 59}) == everything


@pytest.mark.parametrize("part", PARTS)
def test_each_part_can_be_left_out(whole, part):
    folder, result = whole
    without = {**TINY, part: False}
    assert left(folder, **without) == set()
    found = run(folder, **without)
    titles = {section.title for section in result.sections} - {section.title for section in found.sections}
    gone = {claim.id for claim in result.claims} - {claim.id for claim in found.claims}
    assert (titles, gone) == {
        "lines": ({"Between different starts"}, {"different-starts", "same-start-shallower"}),
        "planes": (set(), set()),
        "same_start": ({"Same start, other data order"}, {"same-start", "same-start-shallower"}),
        "branches": ({"Branches after 0.2 epochs"}, {"branches-0.2"}),
        "abyss": ({"The abyss"}, {"many-abysses"}),
        "neighbourhoods": ({"Surroundings of single networks"}, set()),
    }[part]
    if part == "planes":
        assert not [name for name in found.results if "plane" in name]
    kept = {claim.id: claim for claim in result.claims}
    assert all(kept[claim.id] == claim for claim in found.claims)


def test_the_result_of_other_options_is_not_left_lying_about(tmp_path):
    run(tmp_path / "s", **BARE)
    with pytest.raises(UsageError):
        run(tmp_path / "s", **BARE, seeds=1)  # refused: nothing is touched
    assert load_study(tmp_path / "s")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orograph.studies.running.run_tasks", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "s", **{**BARE, "seed": 1})
    with pytest.raises(StoreError, match="no result yet"):
        load_study(tmp_path / "s")


def same_numbers(one, other):
    """Equal in everything but provenance (when, how long) and notes."""
    return dataclasses.replace(one, notes=()).equals(dataclasses.replace(other, notes=()))


@pytest.mark.slow
def test_processes_give_the_bits_of_local(whole, tmp_path):
    options = {**TINY, **dict.fromkeys(PARTS[1:], False)}
    assert same_numbers(run(whole[0], **options), run(tmp_path / "there", "processes", **options))


@pytest.mark.slow
def test_a_whole_study_is_the_same_in_processes(whole, tmp_path):
    assert same_numbers(run(tmp_path / "there", "processes", **TINY), whole[1])


def test_the_users_own_network_and_data(user_file, tmp_path):
    options = {**BARE, "train_size": None, "test_size": None, "lines": True}
    model, data = f"{user_file}:build", f"{user_file}:blobs"
    result = run(tmp_path / "s", model=model, data=data, **options, model_options=("width=5",))
    assert result.provenance.fingerprint
    assert [claim.id for claim in result.claims][-1] == "different-starts"
    assert result.sections[0].text.startswith("3 networks of 43 parameters")
    kept = dict(options, model=model, data=data, model_options=("width=5",))
    assert left(tmp_path / "s", **kept) == set()
    assert "replica A" in left(tmp_path / "s", **{**kept, "model_options": ("width=6",)})


def test_editing_the_network_redoes_its_tasks(user_file, tmp_path):
    from orograph.basics import references

    kept = {**BARE, "train_size": None, "test_size": None, "model": f"{user_file}:build", "data": f"{user_file}:blobs"}
    run(tmp_path / "s", **kept)
    user_file.write_text(NET.replace("Tanh", "ReLU"))
    references._FILES.clear()  # as a new process would begin
    assert "replica A" in left(tmp_path / "s", **kept)


def test_a_network_with_batch_norm(tmp_path):
    options = {**BARE, "model": "resnet8", "train_size": 60, "test_size": 30, "train.epochs": 0.2, "lines": True}
    result = run(tmp_path / "s", **options)
    line = result.results["line A-B"]
    assert line.provenance.batchnorm["policy"] == "recalibrate"


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"model": "convnett"}, UsageError, "did you mean 'convnet'"),
        ({"data": "digit"}, UsageError, "did you mean 'digits'"),
        ({"model": "FILE:narrow", "data": "FILE:blobs"}, ModelError, "class 2 but the network has 2 outputs"),
        ({"model": "FILE:build"}, ModelError, "cannot read data 'digits'"),
        ({"model_options": ("width",)}, UsageError, "width=0.5"),
        ({"model_options": ("widht=3",)}, UsageError, "did you mean 'width'"),
        ({"device": "tpu9"}, UsageError, "unknown device"),
        ({"train_size": 10**6}, UsageError, "train_size"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_runs(user_file, tmp_path, change, error, says):
    change = {k: v.replace("FILE", str(user_file)) if isinstance(v, str) else v for k, v in change.items()}
    sizes = {"train_size": None, "test_size": None} if "FILE" in str(change) or "blobs" in str(change) else {}
    with pytest.raises(error, match=says) as caught:
        run(tmp_path / "s", **{**BARE, **sizes, **change})
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "s").exists()


def test_executors_are_checked_before_anything_runs(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'processes'"):
        run(tmp_path / "s", "proceses", **BARE)
    with pytest.raises(UsageError, match="workers must be at least 1"):
        run(tmp_path / "s", workers=0, **BARE)
    assert not (tmp_path / "s").exists()


def test_the_plan_counts_examples():
    plan = studies.plan("initial-values", **BARE)
    efforts = {task.name: task.effort for task in plan.tasks}
    assert efforts["replica A"] == 3 * 200 * 0.5
    more = studies.plan("initial-values", **{**BARE, "lines": True})
    assert {t.name for t in more.tasks} - efforts.keys() == {"line A-B", "line A-C"}
    assert more.effort > plan.effort


def test_there_is_nothing_to_load_before_a_study_has_run(tmp_path):
    with pytest.raises(UsageError, match="no such study folder"):
        load_study(tmp_path / "none")
    with pytest.raises(UsageError, match="is not a study's folder"):
        load_study(tmp_path)
    (tmp_path / "catalogue.sqlite").touch()
    with pytest.raises(StoreError, match="no result yet"):
        load_study(tmp_path)
