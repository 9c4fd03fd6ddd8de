"""Splitting running text and Docs into chunks of sentences, by the rules of the `elmo` component.

This is the only module of the package that imports spaCy.
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

# size of a chunk of texts or Docs; the memory zone of a chunk bounds the tokenizer's string store
CHUNK_CHARS = 1_000_000
CHUNK_TOKENS = 200_000


class Tokenizer:
    """Tokenize text with spaCy's tokenizer for a language.

    lang (str): Language code, such as "en".
    """

    def __init__(self, lang: str) -> None:
        self.nlp = spacy.blank(lang)

    def chunks(self, texts: Iterable[tuple[int, str]]) -> Iterator[Chunk]:
        """Tokenize texts and split them into sentences.

        texts (Iterable[tuple[int, str]]): The texts, each with the index of its document. A long
            document is divided into several texts.
        YIELDS (Chunk): The next sentences.
        """
        documents: list[int] = []
        chunk: list[str] = []
        n_chars = 0
        for document, text in texts:
            documents.append(document)
            chunk.append(text)
            n_chars += len(text)
            if n_chars >= CHUNK_CHARS:
                yield self._tokenize(chunk, documents)
                documents, chunk, n_chars = [], [], 0
        yield self._tokenize(chunk, documents)

    def read_docs(self, stream: BinaryIO, path: Path) -> Iterator[Chunk]:
        """Read a DocBin. Docs without sentence boundaries are split like running text.

        stream (BinaryIO): The content of the file.
        path (Path): The file, for error messages.
        YIELDS (Chunk): The next sentences.
        RAISES (ValueError): If the file is not a DocBin.
        """
        # a separate vocabulary, which is freed after the file
        vocab = create_vocab(self.nlp.lang, self.nlp.Defaults)
        data = stream.read()
        if not data:
            return
        try:
            doc_bin = DocBin().from_bytes(data)
        except Exception as error:  # raised by zlib, msgpack or spaCy
            raise ValueError(
                f"{path} cannot be read as a DocBin: {error}. Write it again with "
                f"DocBin.to_disk, or give its text as a .txt file."
            ) from error
        del data
        docs: list[Doc] = []
        documents: list[int] = []
        n_tokens = 0
        for document, doc in enumerate(doc_bin.get_docs(vocab)):
            docs.append(doc)
            documents.append(document)
            n_tokens += len(doc)
            if n_tokens >= CHUNK_TOKENS:
                yield chunk_of_docs(docs, documents, _segmenter_of(docs))
                docs, documents, n_tokens = [], [], 0
        yield chunk_of_docs(docs, documents, _segmenter_of(docs))

    def _tokenize(self, texts: list[str], documents: list[int]) -> Chunk:
        with self.nlp.memory_zone():
            docs = [self.nlp.tokenizer(text) for text in texts]
            return chunk_of_docs(docs, documents, PunctSegments())


def chunk_of_docs(docs: Sequence[Doc], documents: Sequence[int], segmenter: Segmenter) -> Chunk:
    """Split Docs into sentences, without whitespace tokens.

    docs (Sequence[Doc]): The Docs.
    documents (Sequence[int]): The index of the document that each Doc belongs to, ascending.
    segmenter (Segmenter): The rule for the starts of sentences.
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
    return Chunk(
        words=[batch.words[i] for i in order],
        ids=rank[batch.ids],
        lengths=batch.lengths,
        documents=np.array(documents, dtype=np.int64)[docs_of_starts],
    )


def _segmenter_of(docs: Sequence[Doc]) -> Segmenter:
    # PunctSegments processes all Docs at once
    return _by_doc if any(map(_has_sentences, docs)) else PunctSegments()


def _by_doc(doc: Doc) -> np.ndarray:
    return (SentenceSegments() if _has_sentences(doc) else PunctSegments())(doc)


def _has_sentences(doc: Doc) -> bool:
    return doc.has_annotation("SENT_START")
