"""Layout of sequences of different lengths in one batch without padding.

Sequences are sorted by length, longest first, and laid out step by step: all first elements,
then all second elements, and so on. A sequence leaves the batch when it ends, so step t occupies
`active[t]` consecutive rows. This is the layout of `torch.nn.utils.rnn.PackedSequence`, where
`active` is called `batch_sizes`. The backward direction reads each sequence from its end and has
the same layout.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..runtime.ragged import positions_within

PadSteps = Callable[[np.ndarray], np.ndarray]
"""Map the rows of each step, int64 [n_steps], to at least as many rows and steps."""


@dataclass(frozen=True)
class Packing:
    """Rows of a packed batch. Sequence k is the k-th longest.

    active (List[int]): Rows of each step, descending: one for each sequence that is still
        running, or more if the steps are padded.
    offsets (ndarray): First row of each step, then the number of rows R, int64 [n_steps + 1].
    """

    active: list[int]
    offsets: np.ndarray

    @property
    def n_rows(self) -> int:
        return int(self.offsets[-1])

    def row_sequences(self) -> np.ndarray:
        """RETURNS (ndarray): The sequence of each row, int64 [R]."""
        return positions_within(np.array(self.active, dtype=np.int64))

    def row_steps(self) -> np.ndarray:
        """RETURNS (ndarray): The step of each row, int64 [R]."""
        return np.repeat(np.arange(len(self.active)), self.active)

    def element_rows(self, lengths: np.ndarray, first_step: int = 0) -> np.ndarray:
        """Return the row in which each direction reads each element.

        lengths (ndarray): Elements of each sequence, int64 [n_sequences].
        first_step (int): Step at which a sequence's first element is read.
        RETURNS (ndarray): Rows of the forward and of the backward direction, int64
            [2, n_elements], sequence after sequence. Element p of n is read at step
            `first_step + p` forward and at step `first_step + n - 1 - p` backward.
        """
        sequence = np.repeat(np.arange(len(lengths)), lengths)
        forward = positions_within(lengths)
        backward = np.repeat(lengths, lengths) - 1 - forward
        return np.stack(
            [
                self.offsets[first_step + forward] + sequence,
                self.offsets[first_step + backward] + sequence,
            ]
        )


def pack(lengths: np.ndarray, pad_steps: PadSteps | None = None) -> Packing:
    """Lay out sequences step by step.

    lengths (ndarray): Elements of each sequence, descending, int64 [n_sequences].
    pad_steps (Optional[Callable]): Pads the rows of the steps, see `cuda_graphs.pad_steps`.
    RETURNS (Packing): The layout.
    RAISES (ValueError): If the lengths are not descending.
    """
    if (lengths[1:] > lengths[:-1]).any():
        raise ValueError(
            f"The lengths are {lengths.tolist()!s:.60}; they must be descending. Sort the "
            f"sequences by `longest_first` first."
        )
    n_steps = int(lengths[0]) if len(lengths) else 0
    # lengths are descending, so the sequences that reach step t come first
    active = np.searchsorted(-lengths, -np.arange(n_steps), side="left")
    if pad_steps is not None:
        active = pad_steps(active)
    return Packing(active.tolist(), np.concatenate([[0], np.cumsum(active)]))


def longest_first(lengths: np.ndarray) -> np.ndarray:
    """RETURNS (ndarray): Indices that sort sequences by descending length, stable, int64."""
    return np.argsort(-lengths, kind="stable")
