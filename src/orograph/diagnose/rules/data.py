"""Data: what comes in and what is asked for, in which order and on which scale."""

from __future__ import annotations

import math
from collections.abc import Iterator

from orograph.diagnose import edits
from orograph.diagnose.chart import Chart, Suspicion
from orograph.diagnose.thresholds import threshold
from orograph.results.diagnosis import Evidence


def data(chart: Chart) -> Iterator[Suspicion]:
    """What is wrong with the data."""
    inputs = chart.probe.inputs
    if inputs.not_finite or inputs.bad_targets:
        what = "inputs" if inputs.not_finite else "targets"
        yield Suspicion(
            "D01",
            f"the {what} hold NaN or infinity",
            "critical",
            0.99,
            f"some {what} are no numbers, and everything that meets them becomes NaN",
            "find and repair or drop these examples",
            "assert torch.isfinite(x).all()",
            where=f"batch {inputs.bad_batch}" if inputs.not_finite else "",
            evidence=(Evidence("entries that are not finite", inputs.not_finite or inputs.bad_targets, 0.0, "0"),),
            explains=("O01", "O03", "O08", "O00"),
            edit=edits.repaired(),
        )
    if inputs.blank > threshold("blank"):
        yield Suspicion(
            "D03",
            "many inputs are blank",
            "critical" if inputs.blank > 0.9 else "warning",
            0.9,
            f"in {inputs.blank:.0%} of the examples all numbers are the same: files that could not be read, a crop "
            "beside the picture, or values that were clamped away",
            "look at these examples, and at what reads and changes them",
            "print((x.flatten(1).std(1) == 0).float().mean())",
            evidence=(Evidence("share of examples without any contrast", inputs.blank, threshold("blank"), "0"),),
            explains=("D05", "I01", "O00", "D02", "D09", "A00", "I06", "D10"),
        )
    if inputs.same_token > threshold("same_token"):
        yield Suspicion(
            "D03",
            "nearly all input tokens are the same",
            "critical",
            0.9,
            f"{inputs.same_token:.1%} of the tokens are one and the same (padding, or the mark of unknown words)",
            "look at the vocabulary, at what the tokenizer does with unknown words, and at how lines are padded",
            "print(torch.bincount(x.flatten()).topk(5))",
            evidence=(Evidence("share of the most frequent token", inputs.same_token, threshold("same_token")),),
            explains=("D05", "I01", "O00", "D09"),
        )
    if math.isfinite(inputs.between) and inputs.between < 1e-3:
        yield Suspicion(
            "D03",
            "all inputs are the same",
            "critical",
            0.95,
            "the inputs do not differ between examples, so there is nothing to learn from",
            "look at what the dataset returns",
            "x, y = next(iter(loader)); print(x.std(0))",
            evidence=(Evidence("standard deviation over examples, over that of all numbers", inputs.between, 1e-3),),
            explains=("D05", "I01", "O00", "D02"),
        )
    yield from _scale(chart)
    if math.isfinite(chart.probe.batch_entropy) and chart.probe.batch_entropy < threshold("batch_entropy"):
        yield Suspicion(
            "D04",
            "batches hold like targets: the data are not shuffled",
            "warning",
            0.9,
            "examples come sorted: each batch pulls the network towards the targets that it holds",
            "shuffle the training data",
            "DataLoader(dataset, batch_size=…, shuffle=True)",
            evidence=(
                Evidence("entropy or variance of a batch's targets over shuffled ones'", chart.probe.batch_entropy,
                         threshold("batch_entropy"), "1"),
            ),
            explains=("O01", "O03", "O04", "O00"),
            limits="a stream that is sorted on purpose",
            edit=edits.shuffled(chart.patient.batches),
        )  # fmt: skip
    few = 0 < inputs.distinct < threshold("few_examples")
    small = inputs.distinct == inputs.seen >= threshold("few_examples") / 2  # a data set that is no larger
    often = inputs.distinct < min(threshold("repeated_share") * inputs.seen, threshold("some_examples"))
    if inputs.seen and (
        few or (not chart.patient.repeats and inputs.distinct < threshold("distinct_share") * inputs.seen)
    ):
        yield Suspicion(
            "D09",
            f"only {inputs.distinct} different examples ever come",
            # Oversampling is sound, and few categories have many targets each.
            "warning" if ((few and not small) or often) and inputs.pairs < 1.5 * inputs.distinct else "question",
            0.85,
            f"of {inputs.seen} examples in one pass over the loader {inputs.distinct} differ: the rest are repetitions"
            if not few
            else "the loader holds so few examples that a network learns them by heart and nothing else",
            "look at the sampler and at what the dataset does with its index",
            "print(len({x.numpy().tobytes() for batch, _ in loader for x in batch}))",
            evidence=(Evidence("different examples over all in one pass", inputs.distinct / inputs.seen,
                               threshold("distinct_share"), "1"),),
            explains=("D06",) if few else (),
            limits="overfitting a few examples on purpose, or inputs that repeat by nature (few categories)",
        )  # fmt: skip


def _scale(chart: Chart) -> Iterator[Suspicion]:
    inputs = chart.probe.inputs
    if not math.isfinite(inputs.std):
        return
    offset = abs(inputs.mean) / inputs.std if inputs.std > 0 else 0.0
    large = inputs.largest > threshold("input_largest") or offset > threshold("input_offset")
    tiny = inputs.std < threshold("input_tiny")
    uneven = inputs.uneven > threshold("uneven_columns")
    mean, std, largest = chart.probe.depends.entering
    inside = 0.2 < std < 5 and abs(mean) < threshold("input_offset") * std and largest < threshold("input_largest")
    if not (large or tiny or uneven) or (inside and not uneven):  # a network may standardise them by itself
        return
    whole = ("the training set's mean and standard deviation", f"x = (x - {inputs.mean:.4g}) / {inputs.std:.4g}",
             edits.standardised(inputs.mean, max(inputs.std, 1e-12)))  # fmt: skip
    columns = ("the training set's mean and standard deviation of each column", "x = (x - x_train.mean(0)) / "
               "x_train.std(0)      # sklearn.preprocessing.StandardScaler")  # fmt: skip
    ways = [(*columns, edits.standardised_by_column(chart.patient.batches)), whole] if inputs.table else [whole]
    spread = f"; standard deviations of columns differ {inputs.uneven:.0f} times" if uneven else ""
    for by, code, edit in ways:
        yield Suspicion(
            "D02",
            f"inputs are {'large or far from zero' if large else 'very small' if tiny else 'on very different scales'}",
            "warning" if chart.trains else "critical",
            0.8,
            f"inputs have mean {inputs.mean:.3g} and standard deviation {inputs.std:.3g}{spread}; initialisations and "
            "rates are made for 0 and 1",
            f"standardise the inputs with {by}",
            code,
            evidence=(
                Evidence("largest absolute input", inputs.largest, threshold("input_largest"), "below 5"),
                Evidence("mean over standard deviation", offset, threshold("input_offset"), "below 1"),
                Evidence("standard deviation", inputs.std, threshold("input_tiny"), "about 1"),
            ),
            explains=("I01", "I02", "I04", "I05", "O01", "O02", "O03", "O08", "O00", "A05"),
            edit=edit,
            needs="nothing" if inputs.largest > threshold("input_huge") and not _normed_first(chart) else "proof",
        )


def _normed_first(chart: Chart) -> bool:
    """Whether a norm layer stands between the inputs and the first weights."""
    for reading in chart.probe.layers:
        if "Norm" in reading.kind:
            return True
        if reading.kind not in ("Flatten", "Identity", "Unflatten", "Dropout", "Embedding", "EmbeddingBag"):
            return False
    return False
