"""A recipe refuses what cannot work, in one line that names the option, and loads without torch."""

import subprocess
import sys

import pytest

from orograph.basics.errors import UsageError
from orograph.basics.numerics import PRECISIONS
from orograph.train import recipe as recipe_module
from orograph.train.recipe import Recipe


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"lr": -0.1}, "lr must be at least 0"),
        ({"lr": float("nan")}, "lr must be a finite number"),
        ({"optimizer": "adan"}, "did you mean 'adam'"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
        ({"precision": "float16"}, "use one of auto, float32, tf32, bf16, float64"),
        ({"direction": "up"}, "use one of descend, climb"),
        ({"epochs": -1}, "epochs must be at least 0"),
        ({"batch_size": 0}, "batch_size must be a whole number"),
        ({"batch_size": 2.5}, "batch_size must be a whole number"),
        ({"momentum": 1.0}, "momentum must be from 0 to below 1"),
        ({"clip_norm": 0.0}, "clip_norm must be above 0"),
        ({"clip_value": -1.0}, "clip_value must be above 0"),
        ({"clip_norm": 1.0, "clip_value": 1.0}, "exclude each other"),
        ({"label_smoothing": 1.0}, "label_smoothing must be from 0 to below 1"),
        ({"label_smoothing": 0.1, "direction": "climb"}, "no meaning in a climb"),
        ({"nesterov": True, "optimizer": "adam"}, "nesterov is for sgd"),
        ({"nesterov": True, "momentum": 0.0}, "nesterov needs momentum"),
        ({"warmup": 11}, "warmup must be from 0 to 10"),
        ({"milestones": (0.75, 0.5)}, "milestones must rise"),
        ({"milestones": (0.5, 1.5)}, "milestones must be from 0 to 1"),
        ({"checkpoints": (0.2, 12)}, "checkpoints must be from 0 to 10"),
        ({"stop_at_accuracy": 34}, "must be from 0 to 1, not 34"),
        ({"measure_every": 0}, "measure_every must be above 0"),
    ],
)
def test_an_impossible_option_is_refused_with_its_name(options, says):
    with pytest.raises(UsageError, match=r"^[^\n]+$") as caught:
        Recipe(**options)
    assert says in str(caught.value)


def test_precisions_are_those_of_the_package():
    assert recipe_module.get_args(recipe_module.Precision) == PRECISIONS


def test_every_option_has_a_line_of_help():
    import dataclasses
    import inspect

    source = inspect.getsource(Recipe)
    for field in dataclasses.fields(Recipe):
        line = next(text for text in source.splitlines() if text.startswith(f"    {field.name}:"))
        following = source.split(line + "\n", 1)[1]
        assert following.startswith('    """'), field.name


def test_the_recipe_loads_without_torch_and_fit_is_the_function_whatever_was_imported_before():
    code = (
        "import sys; from orograph.train import Recipe; Recipe(); assert 'torch' not in sys.modules; "
        "import orograph.train.fitting, orograph.train as t; assert callable(t.fit) and callable(t.load_run)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_auto_is_bf16_where_there_are_units_for_it_and_the_choice_is_on_record(monkeypatch, tmp_path):
    from training_samples import blobs, dense, same_run

    from orograph.train import fit, precision

    for has_units, expected in ((True, "bf16"), (False, "float32")):
        monkeypatch.setattr(precision, "has_bf16_units", lambda device, has_units=has_units: has_units)
        found = fit(dense(), blobs(), Recipe(epochs=1, precision="auto"), out=tmp_path / expected)
        assert found.provenance.precision == expected
        assert found.recipe["precision"] == expected
        assert found.provenance.options["precision"] == f"auto: {expected}"
        same_run(found, fit(dense(), blobs(), Recipe(epochs=1, precision=expected)))


def test_what_auto_chooses_is_asked_of_the_machine(monkeypatch):
    """Also where torch has no word for it, and never where there are no such units."""
    import torch

    from orograph.train import precision

    here = precision.has_bf16_units(torch.device("cpu"))
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported", raising=False)
    assert precision.has_bf16_units(torch.device("cpu")) == here
    assert not precision.has_bf16_units(torch.device("meta"))
