"""Running text and Docs as chunks of sentences, by the rules that the component uses.

Owns the work with spaCy, which is imported here and nowhere else in this package. It does
not know of files other than DocBins.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import spacy
from spacy.tokens import Doc, DocBin
from spacy.vocab import create_vocab

from ..text.segments import PunctSegments, Segmenter, SentenceSegments, segment_docs
from .corpus_writer import Chunk

# What is tokenized before its strings are forgotten, among them the tokenizer's own cache.
BATCH_CHARS = 1_000_000
BATCH_TOKENS = 200_000


class Tokenizer:
    """spaCy's tokenizer of a language.

    lang (str): The language, "en" for example.
    """

    def __init__(self, lang: str) -> None:
        self.nlp = spacy.blank(lang)

    def chunks(self, texts: Iterable[tuple[int, str]]) -> Iterator[Chunk]:
        """Tokenize pieces of text and cut them into sentences.

        texts (Iterable[Tuple[int, str]]): For each piece the number of its document, and
            the text.
        YIELDS (Chunk): The sentences.
        """
        numbers: list[int] = []
        pieces: list[str] = []
        n_chars = 0
        for number, text in texts:
            numbers.append(number)
            pieces.append(text)
            n_chars += len(text)
            if n_chars >= BATCH_CHARS:
                yield self._chunk(pieces, numbers)
                numbers, pieces, n_chars = [], [], 0
        yield self._chunk(pieces, numbers)

    def _chunk(self, pieces: list[str], numbers: list[int]) -> Chunk:
        with self.nlp.memory_zone():
            docs = [self.nlp.tokenizer(text) for text in pieces]
            return chunk_of_docs(docs, numbers, PunctSegments())

    def read_docs(self, stream: BinaryIO, path: Path) -> Iterator[Chunk]:
        """Read a DocBin.

        stream, path: Its bytes, and its name for error messages.
        YIELDS (Chunk): The sentences that are marked in the Docs; those of Docs without
            such marks are cut as in running text.
        """
        # a vocabulary of its own, which goes when the file has been read
        vocab = create_vocab(self.nlp.lang, self.nlp.Defaults)
        data = stream.read()
        if not data:
            return
        try:
            doc_bin = DocBin().from_bytes(data)
        except Exception as error:  # zlib's, msgpack's and spaCy's own kinds
            raise ValueError(
                f"{path} cannot be read as a DocBin: {error}. Write it again with "
                f"DocBin.to_disk, or give its text as a .txt file."
            ) from error
        del data
        docs: list[Doc] = []
        numbers: list[int] = []
        n_tokens = 0
        for number, doc in enumerate(doc_bin.get_docs(vocab)):
            docs.append(doc)
            numbers.append(number)
            n_tokens += len(doc)
            if n_tokens >= BATCH_TOKENS:
                yield chunk_of_docs(docs, numbers, _segmenter_of(docs))
                docs, numbers, n_tokens = [], [], 0
        yield chunk_of_docs(docs, numbers, _segmenter_of(docs))


def chunk_of_docs(docs: Sequence[Doc], numbers: Sequence[int], segmenter: Segmenter) -> Chunk:
    """Cut Docs into sentences, without whitespace tokens.

    docs (Sequence[Doc]): The Docs.
    numbers (Sequence[int]): For each Doc the number of the document it belongs to.
    segmenter (Segmenter): Where sentences start.
    RETURNS (Chunk): The sentences.
    """
    segmented = segment_docs(docs, segmenter)
    batch = segmented.batch
    _, firsts = np.unique(batch.ids, return_index=True)
    order = np.argsort(firsts)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    starts = segmented.rows[np.cumsum(batch.lengths) - batch.lengths]
    docs_of_starts = np.searchsorted(np.cumsum(segmented.lengths), starts, side="right")
    documents = np.array(numbers, dtype=np.int64)[docs_of_starts]
    return Chunk([batch.words[i] for i in order], rank[batch.ids], batch.lengths, documents)


def _segmenter_of(docs: Sequence[Doc]) -> Segmenter:
    # all Docs at once where none is marked
    return _by_doc if any(map(_is_marked, docs)) else PunctSegments()


def _by_doc(doc: Doc) -> np.ndarray:
    return (SentenceSegments() if _is_marked(doc) else PunctSegments())(doc)


def _is_marked(doc: Doc) -> bool:
    return doc.has_annotation("SENT_START")
