"""Chunks of documents: consecutive sentences that are scored together, to bound memory."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ..spans.sentences import sequence_lengths
from .document import Document


class DocumentChunk(NamedTuple):
    """A chunk of a document.

    document (int): Index of the document.
    begin, end (int): First word of the chunk, and the word after its last one.
    """

    document: int
    begin: int
    end: int


def batch_chunks(documents: list[Document], chunk_words: int) -> Iterator[list[DocumentChunk]]:
    """Divide documents into chunks, and group chunks of short documents in a batch.

    documents (List[Document]): The documents.
    chunk_words (int): Maximum number of words in a batch. A batch is longer only if it is a single
        sequence of the LSTM.
    YIELDS (List[DocumentChunk]): The chunks of a batch.
    """
    batch: list[DocumentChunk] = []
    n_words = 0
    for index, document in enumerate(documents):
        for begin, end in split_document(document, chunk_words):
            if batch and n_words + end - begin > chunk_words:
                yield batch
                batch, n_words = [], 0
            batch.append(DocumentChunk(index, begin, end))
            n_words += end - begin
    if batch:
        yield batch


def split_document(document: Document, chunk_words: int) -> Iterator[tuple[int, int]]:
    """Divide a document at sentence boundaries. A long sentence is divided at the boundaries of the
    sequences that the LSTM reads.

    document (Document): The document.
    chunk_words (int): Maximum number of words in a chunk. A chunk is longer only if it is a single
        sequence.
    YIELDS (Tuple[int, int]): First word of a chunk, and the word after its last one.
    """
    begin = 0
    ends = np.cumsum(sequence_lengths(document.sentence))
    for end, next_end in zip(ends.tolist(), [*ends[1:].tolist(), math.inf]):
        if next_end - begin > chunk_words:
            yield begin, end
            begin = end
