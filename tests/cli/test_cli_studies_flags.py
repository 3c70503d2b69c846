"""Options of studies and of runs share one set of flags, so no two may have one name."""

import dataclasses
import inspect
import json

import pytest

from orograph import studies
from orograph.cli import main
from orograph.cli.run import RunOptions
from orograph.studies.registry import known


@pytest.mark.parametrize("study", known(), ids=lambda study: study.name)
def test_no_option_of_a_study_is_called_like_one_of_a_run(study):
    own = {field.name for field in dataclasses.fields(study.options)}
    assert not own & {field.name for field in dataclasses.fields(RunOptions)}
    assert not own & (set(inspect.signature(studies.run).parameters) - {"options"})


def test_a_paper_s_size_is_where_the_flags_start(capsys, tmp_path):
    words = ["run", "initial-values", "--paper=resnet18-cifar10", "--data", "digits", "--model", "mlp", "--dry-run"]
    assert main([*words, "--json", "--out", str(tmp_path / "x")]) == 0
    tasks = json.loads(capsys.readouterr().out)["tasks"]
    assert sum("replica" in str(task["task"]) for task in tasks) >= 8
    assert main(["run", "mode-connectivity", "--paper", "vgg", "--dry-run"]) == 2
    assert "use one of vgg16-cifar10" in capsys.readouterr().err
    study = tmp_path / "study.toml"
    study.write_text('study = "initial-values"\nreplicas = 3\n')
    assert main(["run", str(study), "--paper", "resnet18-cifar10", "--dry-run"]) == 2
    assert "leave --paper out" in capsys.readouterr().err
