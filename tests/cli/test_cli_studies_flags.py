"""Options of studies and of runs share one set of flags, so no two may have one name."""

import dataclasses
import inspect

import pytest

from orograph import studies
from orograph.cli.run import RunOptions
from orograph.studies.registry import known


@pytest.mark.parametrize("study", known(), ids=lambda study: study.name)
def test_no_option_of_a_study_is_called_like_one_of_a_run(study):
    own = {field.name for field in dataclasses.fields(study.options)}
    assert not own & {field.name for field in dataclasses.fields(RunOptions)}
    assert not own & (set(inspect.signature(studies.run).parameters) - {"options"})
