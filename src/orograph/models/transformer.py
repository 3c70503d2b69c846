r"""The transformer: a sentence is read by attention (encoder), its translation written by attention (decoder).

A position asks with a query for the values of other positions, by how well their keys answer it, in several heads:

.. math:: \mathrm{softmax}(Q K^T / \sqrt{d_k}) V, \quad Q = X W_Q,\ K = M W_K,\ V = M W_V

Layers are post-norm, ``norm(x + f(x))``, as in the paper, or pre-norm, ``x + f(norm(x))``, with one more norm after
the last layer of each side. Post-norm is the harder to train: without a warm-up of the learning rate it often stalls.

Attention is written out rather than left to a fused kernel: those can be differentiated only once, and a Hessian (or
an initialisation that learns from a gradient) differentiates twice.

Ashish Vaswani, Noam Shazeer, Niki Parmar, Jakob Uszkoreit, Llion Jones, Aidan Gomez, Lukasz Kaiser, Illia Polosukhin.
Attention Is All You Need. NeurIPS 2017. Pre-norm: Ruibin Xiong et al. On Layer Normalization in the Transformer
Architecture. ICML 2020.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from orograph.basics.errors import ModelError, UsageError, nearest
from orograph.basics.symbols import NAMES, PADDING
from orograph.models.sizes import check_dropout

Norm = Literal["post", "pre"]


class Transformer(nn.Module):
    """Encoder and decoder for translation.

    Parameters
    ----------
    source_words, target_words: sizes of the two vocabularies, the four symbols included.
    layers: of the encoder, and as many of the decoder.
    dimension: of every position's state, even and a multiple of ``heads``. The defaults are the paper's base network.
    heads: of each attention.
    feedforward: units of the hidden layer of each feed-forward part; None: four times ``dimension``.
    dropout: share of the entries set to zero in training, of the embedded words and of what each part adds.
    norm: "post" (the paper) or "pre".
    tied: whether the decoder's embedding and the output projection are one matrix, as in the paper. The source has
        an embedding of its own (the paper shares that too, between languages with one vocabulary).

    Initial values: Glorot uniform for each matrix (query, key and value apart), biases 0; embeddings normal with
    variance ``1 / dimension``, so that their product with ``sqrt(dimension)`` has variance 1, and 0 for padding.

    Input ``source`` (n, S) and ``prefix`` (n, T), int64 numbers of words; 0 is padding, which nothing reads wherever
    it stands. Output logits (n, T, target_words); those at t are for the word after ``prefix[:, t]``, and depend on
    the prefix up to t only.

    Raises ModelError for vocabularies without words, UsageError for an option out of range.
    """

    def __init__(
        self,
        source_words: int,
        target_words: int,
        *,
        layers: int = 6,
        dimension: int = 512,
        heads: int = 8,
        feedforward: int | None = None,
        dropout: float = 0.1,
        norm: Norm = "post",
        tied: bool = True,
    ) -> None:
        super().__init__()
        feedforward = 4 * dimension if feedforward is None else feedforward
        _check((source_words, target_words), layers, dimension, heads, feedforward, norm)
        check_dropout(dropout)
        # Numbers rather than a buffer, so that a network in float64 has positions in float64.
        self._frequencies = [10000.0 ** (-2 * pair / dimension) for pair in range(dimension // 2)]
        self.source_embedding = Embedding(source_words, dimension, padding_idx=PADDING)
        self.target_embedding = Embedding(target_words, dimension, padding_idx=PADDING)
        self.dropout = nn.Dropout(dropout)

        def part(module: nn.Module) -> Residual:
            return Residual(module, dimension, dropout, norm)

        def attention() -> Residual:
            return part(Attention(dimension, heads))

        def positionwise() -> Residual:
            return part(_feedforward(dimension, feedforward))

        self.encoder = nn.ModuleList(EncoderLayer(attention(), positionwise()) for _ in range(layers))
        self.decoder = nn.ModuleList(DecoderLayer(attention(), attention(), positionwise()) for _ in range(layers))
        # A pre-norm layer adds to its input without bounds, a post-norm one has just been normalised.
        self.encoder_norm = nn.LayerNorm(dimension) if norm == "pre" else nn.Identity()
        self.decoder_norm = nn.LayerNorm(dimension) if norm == "pre" else nn.Identity()
        self.output = nn.Linear(dimension, target_words, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                _glorot(module)
        if tied:
            self.output.weight = self.target_embedding.weight

    def forward(self, source: Tensor, prefix: Tensor) -> Tensor:
        logits: Tensor = self.output(self.decode(prefix, self.encode(source), source))
        return logits

    def encode(self, source: Tensor) -> Tensor:
        """What the encoder makes of ``source`` (n, S): states (n, S, dimension)."""
        visible = _words(source)
        states = self._embedded(self.source_embedding, source)
        for layer in self.encoder:
            states = layer(states, visible)
        encoded: Tensor = self.encoder_norm(states)
        return encoded

    def decode(self, prefix: Tensor, memory: Tensor, source: Tensor) -> Tensor:
        """States (n, T, dimension), which ``output`` makes logits of; ``memory`` is what ``encode(source)`` gave."""
        visible, visible_past = _words(source), _past_words(prefix)
        states = self._embedded(self.target_embedding, prefix)
        for layer in self.decoder:
            states = layer(states, visible_past, memory, visible)
        decoded: Tensor = self.decoder_norm(states)
        return decoded

    def _embedded(self, embedding: nn.Embedding, words: Tensor) -> Tensor:
        """(n, T, dimension) the words' embeddings, made as large as the positions that are added to them."""
        embedded: Tensor = embedding(words) * math.sqrt(embedding.embedding_dim)
        # The same for every sentence, so for the first one only.
        angles = _places(words[:1]).unsqueeze(2).to(embedded) * embedded.new_tensor(self._frequencies)
        # Sine and cosine of one frequency stand side by side.
        dropped: Tensor = self.dropout(embedded + torch.stack((angles.sin(), angles.cos()), 3).flatten(2))
        return dropped


class Attention(nn.Module):
    """Scaled dot-product attention in several heads, without biases, as in the paper."""

    def __init__(self, dimension: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = 1 / math.sqrt(dimension // heads)
        self.query = nn.Linear(dimension, dimension, bias=False)
        self.key = nn.Linear(dimension, dimension, bias=False)
        self.value = nn.Linear(dimension, dimension, bias=False)
        self.output = nn.Linear(dimension, dimension, bias=False)

    def forward(self, states: Tensor, visible: Tensor, memory: Tensor | None = None) -> Tensor:
        """(n, T, d) from ``states`` (n, T, d), which ask, and ``memory`` (n, S, d), by default the same, which answers.

        ``visible`` is bool of shape (n, T, S) or (n, 1, S) and must be true somewhere in each row.
        """
        memory = states if memory is None else memory
        query = self._in_heads(self.query(states)) * self.scale
        key, value = self._in_heads(self.key(memory)), self._in_heads(self.value(memory))
        answers = (query @ key.transpose(2, 3)).masked_fill(~visible.unsqueeze(1), float("-inf"))
        mixed: Tensor = self.output((answers.softmax(3) @ value).transpose(1, 2).flatten(2))
        return mixed

    def _in_heads(self, states: Tensor) -> Tensor:
        """(n, T, d) as (n, heads, T, d / heads)."""
        return states.view(states.shape[0], states.shape[1], self.heads, -1).transpose(1, 2)


class Residual(nn.Module):
    """What a part adds to the states: ``norm(x + dropout(part(x)))``, or pre-norm ``x + dropout(part(norm(x)))``."""

    def __init__(self, part: nn.Module, dimension: int, dropout: float, norm: Norm) -> None:
        super().__init__()
        self.part = part
        self.norm = nn.LayerNorm(dimension)
        self.dropout = nn.Dropout(dropout)
        self.pre = norm == "pre"

    def forward(self, states: Tensor, *context: Tensor) -> Tensor:
        if self.pre:
            added: Tensor = states + self.dropout(self.part(self.norm(states), *context))
            return added
        normalised: Tensor = self.norm(states + self.dropout(self.part(states, *context)))
        return normalised


class EncoderLayer(nn.Module):
    """Attention within the source, then the same two linear layers with ReLU between them at each position."""

    def __init__(self, attention: Residual, feedforward: Residual) -> None:
        super().__init__()
        self.attention = attention
        self.feedforward = feedforward

    def forward(self, states: Tensor, visible: Tensor) -> Tensor:
        attended: Tensor = self.feedforward(self.attention(states, visible))
        return attended


class DecoderLayer(nn.Module):
    """Attention within the prefix, attention to the encoder's states, then two linear layers at each position."""

    def __init__(self, attention: Residual, reading: Residual, feedforward: Residual) -> None:
        super().__init__()
        self.attention = attention
        self.reading = reading
        self.feedforward = feedforward

    def forward(self, states: Tensor, visible_past: Tensor, memory: Tensor, visible: Tensor) -> Tensor:
        states = self.attention(states, visible_past)
        attended: Tensor = self.feedforward(self.reading(states, visible, memory))
        return attended


class Embedding(nn.Embedding):
    """Word embeddings that are drawn with variance ``1 / dimension``; the padding's is 0."""

    def reset_parameters(self) -> None:
        # A meta tensor has no values to draw, and its normal_ spends seconds importing torch's decompositions.
        if not self.weight.is_meta:
            nn.init.normal_(self.weight, std=self.embedding_dim**-0.5)
            with torch.no_grad():
                self.weight[PADDING].zero_()


def _feedforward(dimension: int, units: int) -> nn.Sequential:
    layers: list[tuple[str, nn.Module]] = [
        ("linear1", nn.Linear(dimension, units)),
        ("relu", nn.ReLU()),
        ("linear2", nn.Linear(units, dimension)),
    ]
    return nn.Sequential(OrderedDict(layers))


def _glorot(layer: nn.Linear) -> None:
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _places(words: Tensor) -> Tensor:
    """(n, T) 0, 1, …, T - 1 in each row. A sum, which torch.fx can trace as it cannot a range of unknown length."""
    return torch.ones_like(words).cumsum(1) - 1


def _words(sentences: Tensor) -> Tensor:
    """(n, 1, S) what may be read of ``sentences`` (n, S): all but padding.

    A sentence of padding alone is read whole: a softmax over nothing would be NaN.
    """
    words = (sentences != PADDING).unsqueeze(1)
    return words | ~words.any(2, keepdim=True)


def _past_words(prefix: Tensor) -> Tensor:
    """(n, T, T) what position t may read of ``prefix`` (n, T): all but padding up to t, and itself whatever it is."""
    words, place = (prefix != PADDING).unsqueeze(1), _places(prefix)
    asking, read = place.unsqueeze(2), place.unsqueeze(1)
    return (words & (read <= asking)) | (read == asking)


def _check(words: tuple[int, int], layers: int, dimension: int, heads: int, feedforward: int, norm: str) -> None:
    if min(words) <= len(NAMES):
        raise ModelError(
            f"a transformer needs vocabularies of at least {len(NAMES) + 1} words, the {len(NAMES)} symbols included, "
            f"not {words[0]} and {words[1]}"
        )
    for name, number in (("layers", layers), ("dimension", dimension), ("heads", heads), ("feedforward", feedforward)):
        if not isinstance(number, int) or number < 1:
            raise UsageError(f"{name} is a whole number from 1, not {number!r}")
    if dimension % 2 or dimension % heads:
        raise UsageError(f"dimension must be even and a multiple of the {heads} heads, not {dimension}")
    if norm not in get_args(Norm):
        raise UsageError(f"norm is 'post' (the paper) or 'pre', not {norm!r}{nearest(str(norm), get_args(Norm))}")
