"""Embedding tokenized sentences without a pipeline.

The class has the methods and shapes of AllenNLP's former `ElmoEmbedder`, so that code written for
AllenNLP only needs a new import. Unlike in AllenNLP, vectors do not depend on earlier sentences,
except with `start_state="carry"`.

REFERENCE: AllenNLP, `allennlp.commands.elmo.ElmoEmbedder`.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch

from ..bilm.batch import WordBatch
from ..bilm.layers import State
from ..bilm.run_settings import START_STATES, check_precision, check_start_state
from ..files.paths import PathLike
from ..runtime.devices import device_of_gpu_id
from ..weights import load_bilm

CARRY = "carry"
BATCH_SIZE = 64
# AllenNLP reads these tokens as boundary words, also within a sentence
BOUNDARY_TOKENS = ("<S>", "</S>")


class ElmoEmbedder:
    """Embed tokenized sentences.

    options_file (Optional[Union[str, Path]]): The options.json of HDF5 weights; if None, the file
        next to the weights.
    weight_file (Optional[Union[str, Path]]): Weights of any known format; the packaged model if
        None.
    cuda_device (int): Number of the GPU, -1 for the CPU.
    start_state (str): State at the start of a sentence: "warm" (a constant), "zero", or "carry".
        With "carry", sentence k of a batch starts from the final state of sentence k of the
        previous batch, as in the original implementations.
    precision (str): Precision of the LSTMs' matrix products: "float32", "bfloat16", or "int8" on a
        CPU. The lower precisions are faster.
    RAISES (ValueError): If an argument is invalid, the GPU is not found, or the weights cannot be
        loaded.
    """

    def __init__(
        self,
        options_file: PathLike | None = None,
        weight_file: PathLike | None = None,
        cuda_device: int = -1,
        *,
        start_state: str = "warm",
        precision: str = "float32",
    ) -> None:
        check_start_state(start_state, (*START_STATES, CARRY))
        check_precision(precision)
        if weight_file is None and options_file is not None:
            raise ValueError(
                f"options_file is {options_file}, but weight_file is missing. Give both or "
                f"neither; for weights alone, use ElmoEmbedder(weight_file=...)."
            )
        device = device_of_gpu_id(
            cuda_device,
            "cuda_device",
            "Use cuda_device=-1 for the CPU; a GPU requires a CUDA build of torch.",
        )
        self.start_state = start_state
        self.precision = precision
        self.bilm = load_bilm(weight_file, options_file) if weight_file else load_bilm()
        self.bilm.to(device)
        self._state: State | None = None

    def embed_sentence(self, sentence: Sequence[str]) -> np.ndarray:
        """Return all layers of one sentence.

        sentence (Sequence[str]): The tokens.
        RETURNS (ndarray): float32 [n_layers, n_tokens, width].
        RAISES (ValueError): If `sentence` is not a list of strings, or a vector is not finite.
        """
        return self.embed_batch([sentence])[0]

    def embed_batch(self, batch: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """Return all layers of a batch of sentences.

        batch (Sequence[Sequence[str]]): The tokens of each sentence.
        RETURNS (List[ndarray]): For each sentence, float32 [n_layers, n_tokens, width].
        RAISES (ValueError): If `batch` is not a list of lists of strings, or a vector is not
            finite.
        """
        words = WordBatch.from_sentences(batch, BOUNDARY_TOKENS)
        with torch.no_grad():
            if self.start_state == CARRY:
                layers = self._carry(words)
            else:
                layers = self.bilm(words, start_state=self.start_state, precision=self.precision)
        ends = np.cumsum(words.lengths)
        arrays = np.split(layers.cpu().numpy(), ends, axis=1)[: len(batch)]
        return [np.ascontiguousarray(array) for array in arrays]

    def embed_sentences(
        self, sentences: Iterable[Sequence[str]], batch_size: int = BATCH_SIZE
    ) -> Iterator[np.ndarray]:
        """Embed a stream of sentences in batches.

        sentences (Iterable[Sequence[str]]): The tokens of each sentence.
        batch_size (int): Number of sentences in a batch.
        YIELDS (ndarray): For each sentence in order, float32 [n_layers, n_tokens, width].
        RAISES (ValueError): If `batch_size` is less than 1, a sentence is not a list of strings, or
            a vector is not finite.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; it must be at least 1.")
        batch: list[Sequence[str]] = []
        for sentence in sentences:
            batch.append(sentence)
            if len(batch) == batch_size:
                yield from self.embed_batch(batch)
                batch = []
        if batch:
            yield from self.embed_batch(batch)

    def reset_states(self) -> None:
        """Discard the states of "carry": the next batch starts from zeros."""
        self._state = None

    def _carry(self, words: WordBatch) -> torch.Tensor:
        if self._state is not None:
            n_rows = len(words.lengths)
            h, c = _with_rows(self._state.h, n_rows), _with_rows(self._state.c, n_rows)
            self._state = State(h, c)
        layers, self._state = self.bilm.carry(words, self._state, precision=self.precision)
        return layers


def _with_rows(state: torch.Tensor, n_rows: int) -> torch.Tensor:
    """Add rows of zeros to a state, [n_layers, n_directions, n_rows, width], up to `n_rows`."""
    missing = n_rows - state.shape[2]
    if missing <= 0:
        return state
    zeros = state.new_zeros(*state.shape[:2], missing, state.shape[3])
    return torch.cat([state, zeros], dim=2)
