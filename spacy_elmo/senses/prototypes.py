"""The sums of the vectors of each sense's examples. Their directions are the senses' prototypes."""

import numpy as np

START_ROWS = 64


class Prototypes:
    """Running sums of vectors. No example is stored.

    A sense without examples takes no row, so that memory grows with the senses that have examples.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(0, dtype=np.int64)
        self._row_of = np.zeros(0, dtype=np.int64)
        self._sums = np.zeros((0, 0), dtype=np.float32)
        self._norms = np.zeros(0, dtype=np.float32)
        self._n_rows = 0

    @property
    def width(self) -> int:
        """RETURNS (int): Width of the vectors; 0 before the first example."""
        return int(self._sums.shape[1])

    def resize(self, n_senses: int) -> None:
        """Add senses without examples.

        n_senses (int): Number of all senses.
        """
        n_new = n_senses - len(self.counts)
        if n_new > 0:
            self.counts = np.concatenate([self.counts, np.zeros(n_new, dtype=np.int64)])
            self._row_of = np.concatenate([self._row_of, np.full(n_new, -1, dtype=np.int64)])

    def check_width(self, vectors: np.ndarray) -> None:
        """Check that vectors can be added.

        vectors (ndarray): float32 [n, width].
        RAISES (ValueError): If earlier examples had vectors of another width.
        """
        if self.width not in (0, vectors.shape[1]):
            raise ValueError(
                f"The vectors have the width {vectors.shape[1]}, but the known senses have "
                f"prototypes of width {self.width}: the senses were learned with another model. "
                f"Call nlp.initialize() to learn all senses again."
            )

    def add(self, numbers: np.ndarray, vectors: np.ndarray) -> None:
        """Add examples.

        numbers (ndarray): The sense of each example, int64 [n].
        vectors (ndarray): Their vectors, float32 [n, width].
        RAISES (ValueError): If the vectors have another width than those of earlier examples.
        """
        if not len(numbers):
            return
        if not self.width:
            self._sums = np.zeros((START_ROWS, vectors.shape[1]), dtype=np.float32)
            self._norms = np.zeros(START_ROWS, dtype=np.float32)
        self.check_width(vectors)
        for number in np.unique(numbers[self._row_of[numbers] < 0]).tolist():
            self._row_of[number] = self._n_rows
            self._n_rows += 1
        if self._n_rows > len(self._sums):
            rows = np.zeros((2 * self._n_rows, self.width), dtype=np.float32)
            rows[: len(self._sums)] = self._sums
            norms = np.zeros(len(rows), dtype=np.float32)
            norms[: len(self._sums)] = self._norms
            self._sums, self._norms = rows, norms
        np.add.at(self._sums, self._row_of[numbers], vectors)
        changed = np.unique(self._row_of[numbers])
        self._norms[changed] = lengths_of(self._sums[changed])
        np.add.at(self.counts, numbers, 1)

    def remove(self, number: int) -> None:
        """Remove a sense. Later senses move up.

        number (int): The sense.
        """
        self.counts = np.delete(self.counts, number)
        self._row_of = np.delete(self._row_of, number)

    def sums_of(self, numbers: np.ndarray) -> np.ndarray:
        """Return the sums of some senses.

        numbers (ndarray): Senses that have examples, int64 [n].
        RETURNS (ndarray): float32 [n, width].
        """
        sums: np.ndarray = self._sums[self._row_of[numbers]]
        return sums

    def cosines(self, vectors: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        """Return the cosines of vectors with the prototypes of some senses, in one matmul.

        vectors (ndarray): Vectors of length one, float32 [n, width].
        numbers (ndarray): Senses that have examples, int64 [m].
        RETURNS (ndarray): float32 [n, m].
        """
        rows = self._row_of[numbers]
        cosines: np.ndarray = (vectors @ self._sums[rows].T) / self._norms[rows]
        return cosines

    def all_sums(self) -> np.ndarray:
        """RETURNS (ndarray): The sums of all senses that have examples, in the order of the senses,
        float32 [n, width]."""
        return self.sums_of(np.flatnonzero(self.counts))

    @classmethod
    def restore(cls, counts: np.ndarray, sums: np.ndarray) -> "Prototypes":
        """Return prototypes with given counts and sums.

        counts (ndarray): Number of examples of each sense, int64 [n_senses].
        sums (ndarray): Sums of the senses that have examples, float32 [n, width].
        RETURNS (Prototypes): The prototypes.
        RAISES (ValueError): If there is not one finite sum for each sense with examples.
        """
        found = np.flatnonzero(counts)
        if counts.ndim != 1 or sums.ndim != 2 or len(found) != len(sums) or (counts < 0).any():
            raise ValueError(
                f"there are sums of {len(sums)} senses; expected {len(found)}, one for each sense "
                f"that has examples"
            )
        if not np.isfinite(sums).all():
            raise ValueError("there are sums that are not finite")
        prototypes = cls()
        prototypes.resize(len(counts))
        prototypes.counts = counts.astype(np.int64)
        prototypes._row_of[found] = np.arange(len(found))
        prototypes._sums, prototypes._n_rows = np.array(sums, dtype=np.float32), len(found)
        prototypes._norms = lengths_of(prototypes._sums)
        return prototypes


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors to length one.

    vectors (ndarray): float32 [n, width].
    RETURNS (ndarray): float32 [n, width]; zeros stay zeros.
    """
    scaled: np.ndarray = vectors / lengths_of(vectors)[:, None]
    return scaled


def lengths_of(vectors: np.ndarray) -> np.ndarray:
    """Return the lengths of vectors.

    vectors (ndarray): float32 [n, width].
    RETURNS (ndarray): float32 [n]; 1 for zeros, so that they can be divided by it.
    """
    lengths: np.ndarray = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    lengths[lengths == 0] = 1.0
    return lengths
