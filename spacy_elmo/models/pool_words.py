"""A layer that concatenates each token vector with the mean vector of the same word in the Doc.

A single sentence may not show that "Blackwater" is a house or that "Laura" is not a town, but other
sentences of the text do. The original method computes the mean over all text that was processed
before. Here it is computed over the Doc, so that vectors do not depend on other Docs.

REFERENCE: Akbik et al. 2019, "Pooled Contextualized Embeddings for Named Entity Recognition".
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from spacy.attrs import LOWER
from spacy.tokens import Doc
from thinc.api import Dropout, Model, Ops
from thinc.types import Floats2d, Ints1d

from .chunked import row_chunks
from .layer_batch import join_docs, split_docs
from .token_reader import READ_TOKENS, Tok2Vec, TokenReader, token_reader


def build_pool_words_v1(tok2vec: Tok2Vec) -> Tok2Vec:
    """Construct `spacy-elmo.PoolWords.v1`: token vectors, each concatenated with the mean over all
    tokens of the Doc with the same lowercase text. Use it with Docs that contain whole texts, not
    single sentences.

    tok2vec (Model[List[Doc], List[Floats2d]]): A layer that returns token vectors, e.g. a
        listener. `training.dropout` applies to the means.
    CREATES (Model[List[Doc], List[Floats2d]]): The model, which is twice as wide as `tok2vec`.
    """
    return Model(
        "pool_words",
        forward,
        init=init,
        layers=[tok2vec, Dropout()],
        dims={"nO": None},
        attrs={READ_TOKENS: read_tokens},
    )


def init(model: Tok2Vec, X: Any = None, Y: Any = None) -> None:
    tok2vec = model.layers[0]
    tok2vec.initialize(X)
    model.set_dim("nO", 2 * tok2vec.get_dim("nO"))


def forward(
    model: Tok2Vec, docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], Any]]:
    tok2vec, dropout = model.layers
    token_vectors, backprop_tok2vec = tok2vec(docs, is_train)
    if not docs:
        return [], backprop_tok2vec
    xp, lengths = model.ops.xp, [len(doc) for doc in docs]
    words, counts = _number_words(model.ops, docs)
    vectors = join_docs(xp, token_vectors)
    means, backprop_dropout = dropout(_word_means(model.ops, vectors, words, counts), is_train)

    def backprop(d_output: list[Floats2d]) -> Any:
        d_own, d_means = xp.split(xp.concatenate(d_output), 2, axis=1)
        # computing means is a product with a symmetric matrix, so the backward pass is the same
        d_vectors = d_own + _word_means(model.ops, backprop_dropout(d_means), words, counts)
        return backprop_tok2vec(split_docs(d_vectors, lengths))

    return split_docs(xp.concatenate([vectors, means], axis=1), lengths), backprop


def _number_words(ops: Ops, docs: list[Doc]) -> tuple[Ints1d, Floats2d]:
    """Number the distinct words of each Doc.

    ops (Ops): Ops of the arrays.
    docs (List[Doc]): The Docs, at least one.
    RETURNS (Tuple[Ints1d, Floats2d]): The number of each token's word [n_tokens], different for
        the words of different Docs, and the number of tokens of each word [n_words, 1].
    """
    words: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    n_words = 0
    for doc in docs:
        _, numbers, n_tokens = np.unique(
            doc.to_array([LOWER]).reshape(-1), return_inverse=True, return_counts=True
        )
        words.append(numbers.reshape(-1) + n_words)
        counts.append(n_tokens)
        n_words += len(n_tokens)
    # thinc's types do not include numpy arrays
    all_words = cast(Any, np.concatenate(words))
    all_counts = cast(Any, np.concatenate(counts)[:, None])
    return ops.asarray1i(all_words), ops.asarray2f(all_counts)


def _word_means(ops: Ops, vectors: Any, words: Any, counts: Any) -> Floats2d:
    """Return for each token the mean over all tokens of its word.

    ops (Ops): Ops of the arrays.
    vectors (Floats2d): [n_tokens, D].
    words (Ints1d): Number of each token's word [n_tokens].
    counts (Floats2d): Number of tokens of each word [n_words, 1].
    RETURNS (Floats2d): [n_tokens, D].
    """
    sums: Any = ops.alloc2f(len(counts), vectors.shape[1])
    ops.scatter_add(sums, words, ops.as_contig(vectors))
    means: Floats2d = (sums / counts)[words]
    return means


def read_tokens(model: Tok2Vec, doc: Doc) -> TokenReader:
    """Return a function that predicts ranges of tokens; see `token_reader`.

    Token vectors are predicted twice, once for the means and once for the output, because the means
    of a novel take far less memory than its token vectors.
    """
    ops, tok2vec = model.ops, model.layers[0]
    read_own = token_reader(tok2vec, doc)
    words, counts = _number_words(ops, [doc])
    means: Any = ops.alloc2f(len(counts), tok2vec.get_dim("nO"))
    for rows in row_chunks(len(doc)):
        vectors = read_own(rows.start, rows.stop)
        ops.scatter_add(means, words[rows], ops.as_contig(vectors))
    means /= counts

    def read(start: int, end: int) -> Floats2d:
        vectors: Floats2d = ops.xp.concatenate(
            [read_own(start, end), means[words[start:end]]], axis=1
        )
        return vectors

    return read
