"""How well a language model predicts the next token, and what it writes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..engine.errors import printable
from . import Evaluator


class LanguageModel(Protocol):
    """Maps tokens `(B, T)` to logits `(B, T, vocab_size)`, and continues tokens `(B, T)`."""

    device: torch.device

    def __call__(self, tokens: Tensor) -> Tensor: ...

    def generate(self, tokens: Tensor, length: int, temperature: float) -> Tensor: ...


class Text(Protocol):
    """Blocks (tokens, following tokens) of a text."""

    vocab_size: int

    def split_tokens(self, split: str) -> Iterable[Tensor]: ...

    def encode(self, text: str) -> Tensor: ...

    def decode(self, tokens: Tensor) -> str: ...


class LanguageReport(Evaluator):
    """Loss, perplexity and bits per character, beside those of unigram and bigram counts.

    Writes `generated.txt`.

    Args:
        batch_size: blocks at a time; changes speed and memory, not results.
        prompt: beginning of the generated text.
        length: characters to generate.
        temperature: of the sampling, > 0; below 1 the likely characters are favoured.
        seed: of the sampling.
    """

    def __init__(
        self,
        batch_size: int = 128,
        prompt: str = "\n",
        length: int = 500,
        temperature: float = 0.8,
        seed: int = 42,
    ):
        self.check_sizes(batch_size=batch_size)
        if length < 0 or temperature <= 0:
            raise ValueError(f"length={length}, temperature={temperature}: at least 0, and above 0")
        self.batch_size, self.prompt, self.length = batch_size, prompt, length
        self.temperature, self.seed = temperature, seed

    def evaluate(self, model: LanguageModel, dataset: Text) -> dict[str, float]:
        """Returns losses in nats per character, and what follows from them."""
        blocks = []  # mean loss of each: all have the same length
        for tokens, targets in self.pairs(model, dataset, self.batch_size):
            logits = model(tokens).transpose(1, 2)  # (B, vocab_size, T)
            blocks += F.cross_entropy(logits, targets, reduction="none").double().mean(1).tolist()
        self.per_example = {"test_loss": blocks}
        unigram, bigram = baseline_losses(
            dataset.split_tokens("train"), dataset.split_tokens("test"), dataset.vocab_size
        )
        losses = {"test": sum(blocks) / len(blocks), "unigram": unigram, "bigram": bigram}
        results: dict[str, float] = {}
        for name, loss in losses.items():
            row = (loss, math.exp(loss), loss / math.log(2))
            keys = ("loss", "perplexity", "bits_per_character")
            results |= {f"{name}_{key}": value for key, value in zip(keys, row, strict=True)}
        text = self._generate(model, dataset)
        (self.folder / "generated.txt").write_text(text, encoding="utf-8")
        print(f"generated, at temperature {self.temperature}:\n{printable(text)}\n")
        return results

    def _generate(self, model: LanguageModel, dataset: Text) -> str:
        start = dataset.encode(self.prompt)
        if not len(start):  # nothing of the prompt is in the vocabulary
            start = torch.zeros(1, dtype=torch.long)
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            tokens = model.generate(start[None].to(model.device), self.length, self.temperature)
        return dataset.decode(tokens[0].cpu())


def baseline_losses(
    train: Iterable[Tensor], test: Iterable[Tensor], vocab_size: int
) -> tuple[float, float]:
    """Loss on `test` of predicting by counts of `train`, in nats per token: unigram, bigram.

    Args:
        train: tokens, piece by piece `(N,)`.
        test: likewise; its second to last are predicted.
        vocab_size: V. One is added to every count (Laplace), so that nothing is impossible.
    """
    first, pairs = _pair_counts(train, vocab_size)
    unigram = pairs.sum(0) + 1
    unigram[first] += 1  # which follows nothing
    bigram = pairs + 1
    _, asked = _pair_counts(test, vocab_size)
    unigram_loss = -(asked.sum(0) * (unigram / unigram.sum()).log()).sum() / asked.sum()
    bigram_loss = -(asked * (bigram / bigram.sum(1, keepdim=True)).log()).sum() / asked.sum()
    return unigram_loss.item(), bigram_loss.item()


def _pair_counts(pieces: Iterable[Tensor], vocab_size: int) -> tuple[int, Tensor]:
    """The first token, and how often each one follows each other one: `(V, V)` float64."""
    first, last = -1, torch.empty(0, dtype=torch.long)
    counts = torch.zeros(vocab_size**2, dtype=torch.long)
    for piece in pieces:
        tokens = torch.cat((last, piece))
        counts += torch.bincount(tokens[:-1] * vocab_size + tokens[1:], minlength=vocab_size**2)
        first, last = int(tokens[0]) if first < 0 else first, tokens[-1:]
    return first, counts.view(vocab_size, vocab_size).double()
