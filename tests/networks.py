"""Small networks that several test files use."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TupleNet(nn.Module):
    """Returns (logits, hidden)."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = torch.relu(self.body(x))
        return self.head(hidden), hidden


class DictNet(TupleNet):
    """Returns {"hidden": …, "logits": …}."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        logits, hidden = super().forward(x)
        return {"hidden": hidden, "logits": logits}


class TinyTransformer(nn.Module):
    """A pre-norm causal language model called the Hugging Face way: ``model(input_ids=, attention_mask=)``.

    Its output has an attribute ``logits``; input and output embeddings are tied.
    """

    def __init__(self, vocabulary: int = 11, width: int = 16, heads: int = 2, length: int = 8) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.places = nn.Embedding(length, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True, dropout=0.1)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight
        self.register_buffer("future", torch.triu(torch.ones(length, length, dtype=torch.bool), 1), persistent=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> object:
        n = input_ids.shape[1]
        x = self.tokens(input_ids) + self.places.weight[:n]
        y = self.norm1(x)
        padding = None if attention_mask is None else attention_mask == 0
        x = x + self.attention(y, y, y, attn_mask=self.future[:n, :n], key_padding_mask=padding, need_weights=False)[0]
        x = x + self.mlp(self.norm2(x))
        return type("Output", (), {"logits": self.head(x)})()


class BatchNormNet(nn.Module):
    """Convolution, batch norm, residual addition, linear with batch norm: most patterns folding must understand."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.fc, self.bn3 = nn.Linear(6, 8), nn.BatchNorm1d(8)
        self.dropout = nn.Dropout(0.5)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(x + self.bn2(self.conv2(x)))
        x = torch.relu(self.bn3(self.fc(x.mean((2, 3)))))
        return self.out(self.dropout(x))


def trained_statistics(model: nn.Module, inputs: Tensor, passes: int = 3) -> nn.Module:
    """Run a few training-mode passes, so that running statistics are not the initial zeros and ones."""
    model.train()
    with torch.no_grad():
        for _ in range(passes):
            model(inputs)
    return model
