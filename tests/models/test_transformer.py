"""The transformer against plain matrix algebra, and against what masks must and must not let through."""

from __future__ import annotations

import copy
import math
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from orograph.basics.errors import ModelError, UsageError
from orograph.models import Transformer, build, known

NORMS = ("post", "pre")


def network(**options: object) -> Transformer:
    """11 and 9 words, two layers of 8, in float64 and evaluation mode."""
    torch.manual_seed(3)
    sizes = {"layers": 2, "dimension": 8, "heads": 2, "feedforward": 12} | options
    return Transformer(11, 9, **sizes).double().eval()


def sentences(n: int, length: int, words: int, seed: int = 0) -> Tensor:
    """Random words, no symbols."""
    return torch.randint(4, words, (n, length), generator=torch.Generator().manual_seed(seed))


# ---- the definition, written again without any module -------------------------------------------------------------


def softmax(answers: Tensor) -> Tensor:
    shares = torch.exp(answers - answers.amax(-1, keepdim=True))
    return shares / shares.sum(-1, keepdim=True)


def norm_by_hand(layer: nn.LayerNorm, x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5) * layer.weight + layer.bias


def attention_by_hand(values: dict[str, Tensor], at: str, x: Tensor, memory: Tensor, mask: Tensor, heads: int):
    """One sentence: x (T, d), memory (S, d), mask (T, S); head by head."""
    d = x.shape[1] // heads
    query, key, value = (
        source @ values[f"{at}.{name}.weight"].T for name, source in (("query", x), ("key", memory), ("value", memory))
    )
    mixed = []
    for head in range(heads):
        part = slice(head * d, (head + 1) * d)
        answers = query[:, part] @ key[:, part].T / math.sqrt(d)
        mixed.append(softmax(answers.masked_fill(~mask, -1e300)) @ value[:, part])
    return torch.cat(mixed, 1) @ values[f"{at}.output.weight"].T


def feedforward_by_hand(values: dict[str, Tensor], at: str, x: Tensor) -> Tensor:
    hidden = (x @ values[f"{at}.linear1.weight"].T + values[f"{at}.linear1.bias"]).clamp_min(0)
    return hidden @ values[f"{at}.linear2.weight"].T + values[f"{at}.linear2.bias"]


def embedded_by_hand(table: Tensor, words: Tensor) -> Tensor:
    d = table.shape[1]
    positions = torch.zeros(len(words), d, dtype=torch.float64)
    for place in range(len(words)):
        for entry in range(d):
            angle = place / 10000 ** (2 * (entry // 2) / d)
            positions[place, entry] = math.sin(angle) if entry % 2 == 0 else math.cos(angle)
    return table[words] * math.sqrt(d) + positions


def logits_by_hand(model: Transformer, source: Tensor, prefix: Tensor, norm: str) -> Tensor:
    """One sentence without padding: source (S,), prefix (T,); logits (T, words)."""
    values, heads = model.state_dict(), model.encoder[0].attention.part.heads

    def step(residual: nn.Module, x: Tensor, part) -> Tensor:
        return x + part(norm_by_hand(residual.norm, x)) if norm == "pre" else norm_by_hand(residual.norm, x + part(x))

    memory = embedded_by_hand(values["source_embedding.weight"], source)
    whole = torch.ones(len(source), len(source), dtype=torch.bool)
    for number, layer in enumerate(model.encoder):
        at = f"encoder.{number}"
        memory = step(
            layer.attention,
            memory,
            lambda x, at=at: attention_by_hand(values, f"{at}.attention.part", x, x, whole, heads),
        )
        memory = step(
            layer.feedforward, memory, lambda x, at=at: feedforward_by_hand(values, f"{at}.feedforward.part", x)
        )
    if norm == "pre":
        memory = norm_by_hand(model.encoder_norm, memory)
    states = embedded_by_hand(values["target_embedding.weight"], prefix)
    past = torch.ones(len(prefix), len(prefix), dtype=torch.bool).tril()
    all_of_it = torch.ones(len(prefix), len(source), dtype=torch.bool)
    for number, layer in enumerate(model.decoder):
        at = f"decoder.{number}"
        states = step(
            layer.attention,
            states,
            lambda x, at=at: attention_by_hand(values, f"{at}.attention.part", x, x, past, heads),
        )
        states = step(
            layer.reading,
            states,
            lambda x, at=at: attention_by_hand(values, f"{at}.reading.part", x, memory, all_of_it, heads),
        )
        states = step(
            layer.feedforward, states, lambda x, at=at: feedforward_by_hand(values, f"{at}.feedforward.part", x)
        )
    if norm == "pre":
        states = norm_by_hand(model.decoder_norm, states)
    return states @ values["output.weight"].T


@pytest.mark.parametrize("norm", NORMS)
def test_logits_are_those_of_plain_matrix_algebra(norm: str) -> None:
    model = network(norm=norm)
    for parameter in model.parameters():  # biases and scales that say something
        nn.init.normal_(parameter, std=0.5)
    source, prefix = sentences(3, 5, 11), sentences(3, 4, 9, seed=1)
    logits = model(source, prefix)
    assert logits.shape == (3, 4, 9)
    for row in range(3):
        expected = logits_by_hand(model, source[row], prefix[row], norm)
        torch.testing.assert_close(logits[row], expected, rtol=1e-10, atol=1e-12)


# ---- masks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("place", range(5))
def test_a_word_changes_the_logits_from_its_own_place_on_and_none_before(norm: str, place: int) -> None:
    model, source, prefix = network(norm=norm), sentences(2, 4, 11), sentences(2, 5, 9)
    other = prefix.clone()
    other[:, place] = (prefix[:, place] - 4 + 1) % 5 + 4
    before, after = model(source, prefix), model(source, other)
    assert torch.equal(before[:, :place], after[:, :place])
    assert (before[:, place:] != after[:, place:]).any(2).all()


@pytest.mark.parametrize("norm", NORMS)
def test_longer_padding_changes_nothing(norm: str) -> None:
    model, source, prefix = network(norm=norm), sentences(3, 4, 11), sentences(3, 5, 9)
    nothing = torch.zeros(3, 6, dtype=torch.int64)
    padded = model(torch.cat([source, nothing], 1), torch.cat([prefix, nothing], 1))
    torch.testing.assert_close(padded[:, :5], model(source, prefix), rtol=1e-12, atol=1e-13)
    assert padded.isfinite().all()


def test_sentences_of_a_batch_do_not_see_each_other() -> None:
    model, source, prefix = network(), sentences(3, 4, 11), sentences(3, 5, 9)
    source[0, 2:], prefix[0, 3:] = 0, 0
    alone = model(source[:1, :2], prefix[:1, :3])
    torch.testing.assert_close(model(source, prefix)[:1, :3], alone, rtol=1e-12, atol=1e-13)


def test_what_stands_in_the_place_of_padding_is_never_read() -> None:
    """Also in the midst of a sentence: another embedding of padding changes no logits of words."""
    model, source, prefix = network(tied=False), sentences(2, 5, 11), sentences(2, 5, 9)
    source[0, 2] = prefix[1, 1] = 0
    before = model(source, prefix)
    with torch.no_grad():
        model.source_embedding.weight[0] = 3.0
        model.target_embedding.weight[0] = -3.0
    after, words = model(source, prefix), prefix != 0
    assert torch.equal(before[words], after[words])


@pytest.mark.parametrize("norm", NORMS)
def test_a_sentence_of_padding_alone_gives_finite_logits_and_gradients(norm: str) -> None:
    model, source, prefix = network(norm=norm), sentences(3, 4, 11), sentences(3, 5, 9)
    source[1], prefix[2] = 0, 0
    logits = model(source, prefix)
    assert logits.isfinite().all()
    logits.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


# ---- parameters ---------------------------------------------------------------------------------------------------


def count_by_hand(d: int, hidden: int, layers: int, source: int, target: int, norm: str, tied: bool) -> int:
    attention, feedforward, scale = 4 * d * d, 2 * d * hidden + d + hidden, 2 * d
    encoder, decoder = attention + feedforward + 2 * scale, 2 * attention + feedforward + 3 * scale
    ends = d * (source + target * (1 if tied else 2)) + (2 * scale if norm == "pre" else 0)
    return layers * (encoder + decoder) + ends


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("tied", [True, False])
def test_the_number_of_parameters_is_the_sum_over_the_parts(norm: str, tied: bool) -> None:
    model = network(norm=norm, tied=tied, layers=3)
    assert sum(value.numel() for value in model.parameters()) == count_by_hand(8, 12, 3, 11, 9, norm, tied)


def test_known_describes_the_base_network_by_its_true_size() -> None:
    for name, norm in (("transformer", "post"), ("transformer-pre", "pre")):
        count = count_by_hand(512, 2048, 6, 7857, 5977, norm, tied=True)
        assert known()[name].endswith(f"{count:,} parameters on Multi30k")


def test_tied_embedding_and_projection_are_one_parameter_also_in_a_copy() -> None:
    for model in (network(), copy.deepcopy(network())):
        assert model.output.weight is model.target_embedding.weight
        assert "output.weight" not in dict(model.named_parameters())
    assert network(tied=False).output.weight is not network(tied=False).target_embedding.weight


def test_initial_values_have_the_documented_spread() -> None:
    model = Transformer(400, 300, layers=1, dimension=64, heads=4)
    for part in model.modules():
        if isinstance(part, nn.Linear) and part is not model.output:
            bound = math.sqrt(6 / (part.in_features + part.out_features))
            assert 0.95 * bound < part.weight.abs().max() <= bound
            assert part.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
            assert part.bias is None or not part.bias.any()
    for embedding in (model.source_embedding, model.target_embedding):
        assert not embedding.weight[0].any()
        assert embedding.weight[1:].std().item() == pytest.approx(1 / 8, rel=0.05)
    assert Transformer(400, 300, layers=1, dimension=64, heads=4, tied=False).output.weight.std().item() == (
        pytest.approx(math.sqrt(2 / 364), rel=0.05)
    )


# ---- what the rest of the package does with a network -------------------------------------------------------------


def loss_at(model: Transformer, values: dict[str, Tensor], source: Tensor, prefix: Tensor, labels: Tensor) -> Tensor:
    logits = torch.func.functional_call(model, values, (source, prefix))
    return nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("context", [nullcontext, partial(sdpa_kernel, SDPBackend.MATH)], ids=["default", "math"])
def test_the_second_derivative_is_the_slope_of_the_first(norm: str, context) -> None:
    """A Hessian times a direction by a second backward pass, against differences of gradients in float64."""
    model, source, prefix = network(norm=norm), sentences(3, 4, 11), sentences(3, 5, 9)
    labels = sentences(3, 5, 9, seed=2)
    source[0, 2:], prefix[1, 3:], labels[1, 3:] = 0, 0, -100
    values = {name: value.detach() for name, value in model.named_parameters()}
    direction = {name: torch.randn_like(value) for name, value in values.items()}

    def gradient(t: float) -> list[Tensor]:
        moved = {name: (value + t * direction[name]).requires_grad_() for name, value in values.items()}
        return list(torch.autograd.grad(loss_at(model, moved, source, prefix, labels), list(moved.values())))

    with context():
        start = {name: value.clone().requires_grad_() for name, value in values.items()}
        loss = loss_at(model, start, source, prefix, labels)
        first = torch.autograd.grad(loss, list(start.values()), create_graph=True)
        along = sum((part * step).sum() for part, step in zip(first, direction.values(), strict=True))
        second = torch.autograd.grad(along, list(start.values()))
    step = 1e-6
    for up, down, exact in zip(gradient(step), gradient(-step), second, strict=True):
        torch.testing.assert_close((up - down) / (2 * step), exact, rtol=1e-5, atol=1e-6)


def test_symbolic_tracing_gives_the_same_function_at_other_lengths() -> None:
    model = network()
    traced = torch.fx.symbolic_trace(model)
    for length in (3, 6):
        source, prefix = sentences(2, length, 11), sentences(2, length + 1, 9)
        assert torch.equal(traced(source, prefix), model(source, prefix))


def test_dropout_acts_in_training_only() -> None:
    model, source, prefix = network(dropout=0.5), sentences(2, 4, 11), sentences(2, 5, 9)
    assert torch.equal(model(source, prefix), model(source, prefix))
    model.train()
    assert not torch.equal(model(source, prefix), model(source, prefix))


# ---- build --------------------------------------------------------------------------------------------------------


@dataclass
class SomeText:
    source_vocabulary: tuple[str, ...] = tuple("....abcd")
    target_vocabulary: tuple[str, ...] = tuple("....ab")


@dataclass
class SomeImages:
    classes: int = 4
    input_shape: tuple[int, ...] = (1, 8, 8)


SMALL = {"layers": 1, "dimension": 8, "heads": 2}


@pytest.mark.parametrize(("name", "final"), [("transformer", nn.Identity), ("transformer-pre", nn.LayerNorm)])
def test_build_learns_the_vocabularies_from_the_data(name: str, final: type) -> None:
    model = build(name, SomeText(), seed=0, **SMALL)
    assert (model.source_embedding.num_embeddings, model.output.out_features) == (8, 6)
    assert type(model.decoder_norm) is final
    assert torch.equal(model.output.weight, build(name, SomeText(), seed=0, **SMALL).output.weight)


def test_vocabularies_can_be_given_instead_of_data_and_beside_data_of_ones_own() -> None:
    assert build("transformer", source_words=7, target_words=8, **SMALL).output.out_features == 8
    assert build("transformer", SomeText(), target_words=20, **SMALL).output.out_features == 20
    assert build("transformer", SomeImages(), source_words=7, target_words=8, **SMALL).output.out_features == 8


def test_a_factory_gets_the_sizes_of_the_vocabularies_that_it_names() -> None:
    seen: dict[str, int] = {}

    def factory(source_words: int, target_words: int) -> nn.Module:
        seen.update(source_words=source_words, target_words=target_words)
        return nn.Identity()

    build(factory, SomeText())
    assert seen == {"source_words": 8, "target_words": 6}


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: build("resnet20", SomeText()),
            ModelError,
            r"takes images.* sentences \(SomeText\); use 'transformer'",
        ),
        (lambda: build("mlp", SomeText(), classes=3), ModelError, "the data are sentences"),
        (lambda: build("transformer", SomeImages()), ModelError, r"takes sentences .*data\.load\('multi30k'\)"),
        (lambda: build("transformer"), ModelError, "or source_words= and target_words="),
        (lambda: build("transformer", SomeText(), classes=5), UsageError, "no option 'classes'"),
        (lambda: build("transformer", SomeText(), width=2), UsageError, "no option 'width'.*; it has source_words"),
        (lambda: build("transformer-pre", SomeText(), norm="post"), UsageError, "no option 'norm'"),
        (lambda: build("transformer", SomeText(), norm="Pre"), UsageError, r"norm is 'post' .* \(did you mean 'pre'"),
        (lambda: build("transformer", SomeText(), heads=3), UsageError, "a multiple of the 3 heads, not 512"),
        (lambda: build("transformer", SomeText(), dimension=7, heads=7), UsageError, "dimension must be even"),
        (lambda: build("transformer", SomeText(), layers=0), UsageError, "layers is a whole number from 1, not 0"),
        (lambda: build("transformer", SomeText(), feedforward=0), UsageError, "feedforward is a whole number"),
        (lambda: build("transformer", SomeText(), dropout=1), UsageError, "dropout must be at least 0 and below 1"),
        (lambda: build("transformer", source_words=4, target_words=9), ModelError, "vocabularies of at least 5 words"),
        (lambda: build("transformers", SomeText()), UsageError, "did you mean 'transformer'"),
    ],
)
def test_what_does_not_fit_is_one_line_with_a_remedy(call, error: type, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
