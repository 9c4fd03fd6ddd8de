"""Probabilities of words in sentences, and likely substitutes for a word."""

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
from ..runtime.devices import device_of_gpu_id
from ..runtime.ragged import elements_of
from ..runtime.torch_scope import own_torch_settings
from .language_model import LanguageModel
from .vocab import SPECIAL

# maximum number of log-probabilities in memory at once
MAX_ELEMENTS = 2**22


@dataclass(frozen=True)
class SentenceScore:
    """Log-probabilities (natural logarithms) of the words of a sentence of n words.

    forward (ndarray): The log-probability of each word given the words before it, and of the end
        of the sentence, float32 [n + 1].
    backward (ndarray | None): The log-probability of the start of the sentence, and of each word
        given the words after it, float32 [n + 1]; None if the model has no backward direction.
    """

    forward: np.ndarray
    backward: np.ndarray | None


class Substitute(NamedTuple):
    """A word that could replace another word.

    word (str): A word of the vocabulary.
    probability (float): Its probability in the place of the other word.
    """

    word: str
    probability: float


class LanguageScorer:
    """Compute probabilities with a pretrained language model.

    A word outside the vocabulary is scored with the probability of <UNK>. As context, it is encoded
    from its characters, like every other word.

    path (str | Path): A directory that `spacy elmo pretrain` wrote.
    gpu_id (int): GPU ID, or -1 for the CPU.
    start_state (str): LSTM state at the start of a sentence: "warm" (a constant) or "zero".
    precision (str): Precision of the LSTMs' matrix products: "float32", "bfloat16", or "int8" on a
        CPU.
    RAISES (ValueError): If a setting is unknown, the GPU does not exist, or the directory holds no
        language model or a damaged one.
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
        device = device_of_gpu_id(gpu_id, "gpu_id", "Use -1 for the CPU.")
        self.model = LanguageModel.load(path)
        self.model.to(device)
        self.start_state, self.precision = start_state, precision

    @own_torch_settings()
    @torch.no_grad()
    def score(
        self, sentences: Sequence[Sequence[str]], max_tokens: int = MAX_TOKENS
    ) -> list[SentenceScore]:
        """Compute the log-probability of every word. Each sentence is scored independently.

        sentences (Sequence[Sequence[str]]): The words of each sentence.
        max_tokens (int): Maximum number of words in a batch, which bounds the memory.
        RETURNS (list[SentenceScore]): The scores of each sentence, in order.
        RAISES (ValueError): If `max_tokens` is less than 1, `sentences` is not a list of lists of
            strings, or the model gives probabilities that are not finite.
        """
        if max_tokens < 1:
            raise ValueError(f"max_tokens is {max_tokens}; it must be at least 1.")
        batch = WordBatch.from_sentences(sentences)
        vocab = self.model.vocab
        ids = vocab.ids(batch.words)[batch.ids] if len(batch.ids) else batch.ids
        # a sentence of n words has n + 1 predictions
        ends = np.cumsum(batch.lengths + 1)
        starts = ends - batch.lengths - 1
        n_directions = self.model.bilm.options.n_directions
        scores = np.empty((n_directions, ends[-1] if len(ends) else 0), dtype=np.float32)
        for selected, top, rows in self._run(batch, max_tokens):
            lengths = batch.lengths[selected]
            where = elements_of(batch.lengths + 1, selected)
            words = ids[batch.tokens_of(selected)]
            targets = (
                np.insert(words, np.cumsum(lengths), vocab.end),
                np.insert(words, np.cumsum(lengths) - lengths, vocab.start),
            )
            for d in range(n_directions):
                scores[d, where] = self._target_log_probs(top[d, rows[d]], targets[d])
        if not np.isfinite(scores).all():
            wrong = int(np.flatnonzero(~np.isfinite(scores).all(axis=0))[0])
            raise _not_finite(sentences[int(np.searchsorted(ends, wrong, side="right"))])
        forward, backward = scores[0], scores[1] if n_directions > 1 else None
        return [
            SentenceScore(forward[a:b], None if backward is None else backward[a:b])
            for a, b in zip(starts, ends)
        ]

    @own_torch_settings()
    @torch.no_grad()
    def substitutes(self, sentence: Sequence[str], index: int, n: int = 10) -> list[Substitute]:
        """Find the words that are most probable in the place of a word.

        Each direction gives a distribution p over the vocabulary from one side of the context.
        Their product p_forward(w) p_backward(w), which treats the two sides as independent, is
        normalized over the vocabulary without <S>, </S> and <UNK>. The word at `index` has no
        effect on the result.

        sentence (Sequence[str]): The words.
        index (int): Index of the word to substitute; negative indices count from the end.
        n (int): Maximum number of substitutes.
        RETURNS (list[Substitute]): The substitutes, most probable first.
        RAISES (ValueError): If the sentence has no such word, `n` is not a whole number of at least
            0, or the model gives probabilities that are not finite.
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
        # forward predicts the words and the end, backward the start and the words
        predictions = (index, index + 1)
        log_probs = torch.zeros(len(vocab), dtype=torch.float64, device="cpu")
        for d in range(self.model.bilm.options.n_directions):
            h = top[d, rows[d][predictions[d], None]]
            log_probs += self.model.head.log_probs(h)[0].double().cpu()
        if not torch.isfinite(log_probs).all():
            raise _not_finite(sentence)
        log_probs[[vocab.start, vocab.end, vocab.unknown]] = -torch.inf
        best = torch.softmax(log_probs, dim=0).topk(min(n, len(vocab) - len(SPECIAL)))
        return [
            Substitute(vocab.words[word], probability)
            for word, probability in zip(best.indices.tolist(), best.values.tolist())
        ]

    def _run(
        self, words: WordBatch, max_tokens: int
    ) -> Iterator[tuple[np.ndarray, Tensor, tuple[Tensor, Tensor]]]:
        """Run the model in batches of at most `max_tokens` words.

        YIELDS (tuple[ndarray, Tensor, tuple[Tensor, Tensor]]): The sentences of a batch; the top
            layer [n_directions, R, P]; and for each direction the row of each prediction, in the
            order of the text.
        """
        model = self.model
        bilm, table = model.bilm, model.word_table(words.words)
        n_directions = bilm.options.n_directions
        for selected in words.chunks(max_tokens):
            lengths = words.lengths[selected]
            packed = pack_words(words.ids[words.tokens_of(selected)], lengths)
            x = model.look_up(table, packed.inputs[:n_directions].to(model.device))
            state = bilm.start_state(self.start_state, len(selected))
            top, _ = model.outputs(x, packed.packing.active, state, self.precision)
            # a sentence of n words has n + 1 predictions, the first at step 0 in each direction
            rows = torch.from_numpy(packed.packing.element_rows(lengths + 1)).to(model.device)
            yield selected, top, (rows[0], rows[1])

    def _target_log_probs(self, h: Tensor, targets: np.ndarray) -> np.ndarray:
        """Return the log-probabilities of targets [N] given outputs [N, P], computed in chunks."""
        n_rows = max(1, MAX_ELEMENTS // len(self.model.vocab))
        classes = torch.from_numpy(targets).to(h.device)[:, None]
        found = torch.empty(len(h), dtype=torch.float32, device=h.device)
        for start in range(0, len(h), n_rows):
            rows = slice(start, start + n_rows)
            found[rows] = self.model.head.log_probs(h[rows]).gather(1, classes[rows])[:, 0]
        log_probs: np.ndarray = found.cpu().numpy()
        return log_probs


def _not_finite(sentence: Sequence[str]) -> ValueError:
    text = " ".join(sentence)
    return ValueError(
        f"The language model gives probabilities that are not finite (NaN or zero) for the "
        f"sentence {text!r:.200}. Its weights are damaged or its training diverged: use another "
        f"model."
    )
