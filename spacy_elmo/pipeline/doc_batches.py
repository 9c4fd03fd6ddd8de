"""Batches of a stream of Docs, bounded by their number of Docs and of tokens."""

from collections.abc import Iterable, Iterator

from spacy.tokens import Doc


def batch_docs(stream: Iterable[Doc], max_docs: int, min_tokens: int) -> Iterator[list[Doc]]:
    """Divide a stream into batches of consecutive Docs.

    stream (Iterable[Doc]): The Docs.
    max_docs (int): A batch ends when it has this number of Docs.
    min_tokens (int): A batch ends with the Doc that brings it to this number of tokens.
    YIELDS (List[Doc]): A batch of at least one Doc.
    """
    docs: list[Doc] = []
    n_tokens = 0
    for doc in stream:
        docs.append(doc)
        n_tokens += len(doc)
        if len(docs) >= max_docs or n_tokens >= min_tokens:
            yield docs
            docs, n_tokens = [], 0
    if docs:
        yield docs
