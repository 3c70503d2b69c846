"""A study's options: from TOML, keywords or an instance; what does not fit is named with what would."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orograph.basics.errors import UsageError
from orograph.studies.initial_values.options import InitialValues
from orograph.studies.initial_values.plan import moments
from orograph.studies.options import build, read_study, write_study
from orograph.studies.running import resolve
from orograph.train import Recipe


def test_dotted_keys_tables_and_instances_are_one():
    dotted = build(InitialValues, {"train.epochs": 3, "train.lr": 0.2})
    table = build(InitialValues, {"train": {"epochs": 3, "lr": 0.2}})
    whole = build(InitialValues, {"train": Recipe(**{**vars(InitialValues().train), "epochs": 3.0, "lr": 0.2})})
    assert dotted == table == whole
    assert dotted.train.batch_size == InitialValues().train.batch_size
    assert isinstance(dotted.train.epochs, float)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"replica": 4}, r"unknown option 'replica' \(did you mean 'replicas'\?\)"),
        ({"train.epoch": 4}, r"unknown option 'train.epoch' \(did you mean 'epochs'\?\)"),
        ({"train": {"learning_rate": 4}}, "unknown option 'train.learning_rate'"),
        ({"cap": 2.0}, "give a tolerance too"),
        ({"tolerance": -1}, "at least 0"),
        ({"replicas": "four"}, "replicas must be a whole number, not 'four'"),
        ({"replicas": 3.5}, "replicas must be a whole number"),
        ({"replicas": True}, "replicas must be a whole number"),
        ({"lines": 1}, "lines must be true or false"),
        ({"tolerance": "small"}, "tolerance must be a number"),
        ({"data": 3}, "data must be text"),
        ({"train": 3}, "train is a group of options, e.g. train.epochs, not 3"),
        ({"train.epochs.x": 3}, "train.epochs must be a number"),
        ({"train.epochs": 3, "train": 4}, "train"),
        ({"replicas": 3, "replicas.x": 1}, "both given"),
        ({"frame": "obliqe"}, r"did you mean 'oblique'"),
        ({"branch_epochs": [1.0, "x"]}, "branch_epochs must be a number"),
        ({"replicas": 2}, "at least 3"),
        ({"branch_accuracy": 1.5}, "between 0 and 1"),
        ({"branch_epochs": []}, "positive numbers"),
        ({"plane_points": 3}, "at least 5 points"),
        ({"threads": 0}, "threads"),
        ({"train.direction": "climb"}, "abyss"),
    ],
)
def test_what_cannot_be_used_is_one_line(values, says):
    with pytest.raises(UsageError, match=says) as caught:
        build(InitialValues, values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("replicas = 3", "must name its study"),
        ('study = "initial-value"', "did you mean 'initial-values'"),
        ('study = "initial-values"\nreplica = 4', "did you mean 'replicas'"),
        ('study = "initial-values"\n[train]\nepoch = 4', "unknown option 'train.epoch'"),
        ("replicas: 3", "is not a readable TOML file"),
        ("\udcff", "is not a readable TOML file"),
    ],
)
def test_a_study_file_with_a_mistake_is_one_line(tmp_path, text, says):
    path = tmp_path / "Studie ä.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match=says) as caught:
        resolve(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="no such study file"):
        resolve(tmp_path / "none.toml")


@settings(deadline=None, max_examples=30)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "replicas": st.integers(3, 9),
            "data": st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
            "map_examples": st.none() | st.integers(1, 9),
            "train_size": st.none() | st.integers(1, 9),
            "lines": st.booleans(),
            "branch_epochs": st.lists(st.floats(0.01, 9), min_size=1, max_size=3).map(tuple),
            "model_options": st.lists(st.sampled_from(["width=0.5", "batch_norm=true"]), max_size=2).map(tuple),
            "train.clip_norm": st.none() | st.floats(0.1, 2),
            "train.epochs": st.floats(0.1, 99),
        },
    )
)
def test_a_resolved_study_file_repeats_the_study(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("study") / "study.toml"
    options = build(InitialValues, values)
    assert write_study(path, "initial-values", options)
    assert not write_study(path, "initial-values", options)  # nothing new
    name, content = read_study(path)
    assert name == "initial-values"
    assert build(InitialValues, content) == options
    assert resolve(path)[1] == options


def test_a_study_file_gives_way_to_what_is_said_in_the_call(tmp_path):
    path = tmp_path / "s.toml"
    path.write_text('study = "initial-values"\nreplicas = 5\n[train]\nepochs = 7\nlr = 0.3\n')
    _, options = resolve(path, {"train.epochs": 2})
    assert (options.replicas, options.train.epochs, options.train.lr) == (5, 2.0, 0.3)
    _, again = resolve(options, {"replicas": 6})
    assert (again.replicas, again.train.lr) == (6, 0.3)
    with pytest.raises(UsageError, match="not the options of a study"):
        resolve(Recipe())
    with pytest.raises(UsageError, match="not a int"):
        resolve(3)


def test_moments_ascend_each_once():
    assert moments(InitialValues(branch_epochs=(9.0, 0.2, 9.0))) == (0.2, 9.0)
