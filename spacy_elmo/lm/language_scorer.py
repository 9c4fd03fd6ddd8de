"""What a language model makes of sentences: probabilities of their words, and words that
could stand in a place.

Owns which output predicts which word. Each sentence is scored by itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..bilm.batch import WordBatch
from ..bilm.bilm import MAX_TOKENS
from ..bilm.packed_words import pack_words
from ..bilm.run_settings import WARM, check_precision, check_start_state
from ..files.paths import PathLike
from ..lstm.packing import elements_of
from ..runtime.torch_scope import own_torch_settings
from .language_model import LanguageModel
from .vocab import SPECIAL

# log-probabilities held at once
MAX_ELEMENTS = 2**22


@dataclass(frozen=True)
class SentenceScore:
    """Natural logarithms of the probabilities of a sentence of n words.

    forward (ndarray): Of each word given those before it, and last of the sentence's end,
        float32 [n + 1].
    backward (Optional[ndarray]): First of the sentence's start, and of each word given
        those after it, float32 [n + 1]; None if the model reads forwards only.
    """

    forward: np.ndarray
    backward: np.ndarray | None


class Substitute(NamedTuple):
    """word (str): A word of the vocabulary.
    probability (float): How likely it is in the place."""

    word: str
    probability: float


class LanguageScorer:
    """Ask a pretrained language model for probabilities.

    Words outside the vocabulary have the probability of <UNK>; read, they are spelled like
    all others.

    path (Union[str, Path]): A directory that `spacy elmo pretrain` wrote.
    gpu_id (int): The GPU to use, -1 for the CPU.
    start_state (str): State at the start of a sentence: "warm" (a constant) or "zero".
    precision (str): "float32", or "bfloat16" or, on a CPU, "int8" for the LSTMs' matrix products.
    """

    def __init__(
        self,
        path: PathLike,
        gpu_id: int = -1,
        *,
        start_state: str = WARM,
        precision: str = "float32",
    ) -> None:
        check_start_state(start_state)
        check_precision(precision)
        if gpu_id >= torch.cuda.device_count():
            raise ValueError(
                f"gpu_id is {gpu_id}, but torch {torch.__version__} finds "
                f"{torch.cuda.device_count()} GPUs here. Use -1 for the CPU."
            )
        self.model = LanguageModel.load(path)
        self.model.to("cpu" if gpu_id < 0 else f"cuda:{gpu_id}")
        self.start_state, self.precision = start_state, precision

    @own_torch_settings()
    @torch.no_grad()
    def score(
        self, sentences: Sequence[Sequence[str]], max_tokens: int = MAX_TOKENS
    ) -> list[SentenceScore]:
        """Log-probabilities of all words. Those of a sentence do not depend on the others.

        sentences (Sequence[Sequence[str]]): The words of each sentence.
        max_tokens (int): Words run at once; bounds the memory.
        RETURNS (List[SentenceScore]): For each sentence in its order.
        RAISES (ValueError): If `max_tokens` is less than 1.
        """
        if max_tokens < 1:
            raise ValueError(f"max_tokens is {max_tokens}; it must be at least 1.")
        batch = WordBatch.from_sentences(sentences)
        ids = self.model.vocab.ids(batch.words)[batch.ids] if len(batch.ids) else batch.ids
        # a sentence has one prediction more than it has words
        ends = np.cumsum(batch.lengths + 1)
        n_directions = self.model.bilm.options.n_directions
        found = np.empty((n_directions, ends[-1] if len(ends) else 0), dtype=np.float32)
        for part, top, rows in self._run(batch, max_tokens):
            lengths = batch.lengths[part]
            where = elements_of(batch.lengths + 1, part)
            words = ids[batch.tokens_of(part)]
            after_last, first = np.cumsum(lengths), np.cumsum(lengths) - lengths
            targets = (
                np.insert(words, after_last, self.model.vocab.end),
                np.insert(words, first, self.model.vocab.start),
            )
            for d in range(n_directions):
                found[d, where] = self._of_targets(top[d, rows[d]], targets[d])
        if not np.isfinite(found).all():
            wrong = int(np.flatnonzero(~np.isfinite(found).all(axis=0))[0])
            raise _not_finite(sentences[int(np.searchsorted(ends, wrong, side="right"))])
        forward, backward = found[0], found[1] if n_directions > 1 else None
        return [
            SentenceScore(forward[a:b], None if backward is None else backward[a:b])
            for a, b in zip(ends - batch.lengths - 1, ends)
        ]

    @own_torch_settings()
    @torch.no_grad()
    def substitutes(self, sentence: Sequence[str], index: int, n: int = 10) -> list[Substitute]:
        """The likeliest words in a place of a sentence, the word that is there left aside.

        Each direction gives a distribution p over the words from one side of the context.
        They are taken as independent witnesses: their product, p_forward(w) p_backward(w),
        is scaled to a sum of 1 over the vocabulary. <S>, </S> and <UNK> are left out.

        sentence (Sequence[str]): The words.
        index (int): Which of them to find substitutes for; from the end if negative.
        n (int): How many.
        RETURNS (List[Substitute]): The likeliest first.
        RAISES (ValueError): If there is no such word, or `n` is below zero or no whole number.
        """
        if not isinstance(n, int) or n < 0:
            raise ValueError(f"n is {n!r}; it must be a whole number of substitutes, 0 or more.")
        batch = WordBatch.from_sentences([sentence])
        length = len(sentence)
        if not -length <= index < length:
            raise ValueError(f"The sentence has {length} words, so there is none at {index}.")
        index %= length
        vocab = self.model.vocab
        ((_, top, rows),) = self._run(batch, MAX_TOKENS)
        # predictions: forward those of the words and the end, backward of the start and the words
        places = (index, index + 1)
        logs = torch.zeros(len(vocab), dtype=torch.float64, device="cpu")
        for d in range(self.model.bilm.options.n_directions):
            h = top[d, rows[d][places[d], None]]
            logs += self.model.head.log_probs(h)[0].double().cpu()
        if not torch.isfinite(logs).all():
            raise _not_finite(sentence)
        logs[[vocab.start, vocab.end, vocab.unknown]] = -torch.inf
        best = torch.softmax(logs, dim=0).topk(min(n, len(vocab) - len(SPECIAL)))
        return [
            Substitute(vocab.words[word], probability)
            for word, probability in zip(best.indices.tolist(), best.values.tolist())
        ]

    def _run(
        self, batch: WordBatch, max_tokens: int
    ) -> Iterator[tuple[np.ndarray, Tensor, list[Tensor]]]:
        """Run the model over a batch, a part at a time.

        YIELDS (Tuple[ndarray, Tensor, List[Tensor]]): The sentences of a part, the top layer
            [n_directions, R, P], and for each direction its row for each prediction, in the
            order of the text.
        """
        model = self.model
        bilm, table = model.bilm, model.word_table(batch.words)
        n_directions = bilm.options.n_directions
        for part in batch.chunks(max_tokens):
            lengths = batch.lengths[part]
            packed = pack_words(batch.ids[batch.tokens_of(part)], lengths)
            x = model.look_up(table, packed.inputs[:n_directions].to(model.device))
            state = bilm.start_state(self.start_state, len(part))
            top, _ = model.outputs(x, packed.packing.active, state, self.precision)
            # a sentence of n words has n + 1 predictions, the first at step 0 in each direction
            rows = packed.packing.element_rows(lengths + 1)
            yield part, top, [torch.from_numpy(own).to(model.device) for own in rows]

    def _of_targets(self, h: Tensor, targets: np.ndarray) -> np.ndarray:
        """Log-probabilities of the targets [N] after outputs [N, P], some rows at a time."""
        n_rows = max(1, MAX_ELEMENTS // len(self.model.vocab))
        wanted = torch.from_numpy(targets).to(h.device)[:, None]
        parts = [
            self.model.head.log_probs(rows).gather(1, of)[:, 0]
            for rows, of in zip(h.split(n_rows), wanted.split(n_rows))
        ]
        found: np.ndarray = torch.cat(parts).cpu().numpy()
        return found


def _not_finite(sentence: Sequence[str]) -> ValueError:
    text = " ".join(sentence)
    return ValueError(
        f"The language model gives probabilities that are not finite (NaN or zero) for the "
        f"sentence {text!r:.200}. Its weights are damaged or its training broke down: load others."
    )
