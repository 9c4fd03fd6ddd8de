"""Vectors for tokenized sentences without a pipeline.

The methods and shapes are those of AllenNLP's former class of this name, so that
code written for it needs a new import only. What differs: vectors do not depend on
what was embedded before, unless `start_state="carry"` asks for it.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch

from ..bilm.batch import WordBatch
from ..bilm.layers import State
from ..bilm.run_settings import START_STATES, check_precision, check_start_state
from ..files.paths import PathLike
from ..weights import load_bilm

CARRY = "carry"
BATCH_SIZE = 64
# tokens that stood for the boundary words in AllenNLP, even within a sentence
BOUNDARY_TOKENS = ("<S>", "</S>")


class ElmoEmbedder:
    """Embed tokenized sentences.

    options_file (Optional[Union[str, Path]]): The options.json of HDF5 weights; looked
        for beside them if None.
    weight_file (Optional[Union[str, Path]]): Weights of any known format; the packaged
        model if None.
    cuda_device (int): The GPU to use, -1 for the CPU.
    start_state (str): State at the start of a sentence: "warm" (a constant), "zero",
        or "carry": sentence k of a batch goes on from where sentence k of the batch
        before ended, as in the original implementations.
    precision (str): "float32", or "bfloat16" or, on a CPU, "int8" for faster matrix products.
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
                f"options_file is given, {options_file}, without weight_file: give both or "
                f"neither. Weights alone are given by name: ElmoEmbedder(weight_file=...)."
            )
        if cuda_device >= torch.cuda.device_count():
            raise ValueError(
                f"cuda_device is {cuda_device}, but torch {torch.__version__} finds "
                f"{torch.cuda.device_count()} GPUs here. Use cuda_device=-1 for the CPU; a GPU "
                f"takes a CUDA build of torch."
            )
        self.start_state = start_state
        self.precision = precision
        self.bilm = load_bilm(weight_file, options_file) if weight_file else load_bilm()
        self.bilm.to(f"cuda:{cuda_device}" if cuda_device >= 0 else "cpu")
        self._state: State | None = None

    def embed_sentence(self, sentence: Sequence[str]) -> np.ndarray:
        """All layers of one sentence.

        sentence (Sequence[str]): Its tokens.
        RETURNS (ndarray): float32 [n_layers, n_tokens, width].
        """
        return self.embed_batch([sentence])[0]

    def embed_batch(self, batch: Sequence[Sequence[str]]) -> list[np.ndarray]:
        """All layers of some sentences.

        batch (Sequence[Sequence[str]]): The tokens of each sentence.
        RETURNS (List[ndarray]): For each float32 [n_layers, n_tokens, width].
        """
        words = WordBatch.from_sentences(batch, BOUNDARY_TOKENS)
        with torch.no_grad():
            if self.start_state == CARRY:
                layers = self._carry(words)
            else:
                layers = self.bilm(words, start_state=self.start_state, precision=self.precision)
        ends = np.cumsum(words.lengths)
        parts = np.split(layers.cpu().numpy(), ends, axis=1)[: len(batch)]
        return [np.ascontiguousarray(part) for part in parts]

    def embed_sentences(
        self, sentences: Iterable[Sequence[str]], batch_size: int = BATCH_SIZE
    ) -> Iterator[np.ndarray]:
        """All layers of a stream of sentences.

        sentences (Iterable[Sequence[str]]): The tokens of each sentence.
        batch_size (int): Sentences run together.
        YIELDS (ndarray): For each float32 [n_layers, n_tokens, width], in order.
        RAISES (ValueError): If `batch_size` is less than 1.
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

    def _carry(self, words: WordBatch) -> torch.Tensor:
        if self._state is not None:
            missing = len(words.lengths) - self._state.h.shape[2]
            if missing > 0:  # rows that no batch has used yet start from zeros
                self._state = State(
                    *(
                        torch.cat([x, x.new_zeros(*x.shape[:2], missing, x.shape[3])], dim=2)
                        for x in (self._state.h, self._state.c)
                    )
                )
        layers, self._state = self.bilm.carry(words, self._state, precision=self.precision)
        return layers

    def reset_states(self) -> None:
        """Forget what "carry" has kept; the next batch starts from zeros."""
        self._state = None
