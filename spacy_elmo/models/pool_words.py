"""A word's vectors in one place beside their mean over all places of the word in the Doc.

What one sentence leaves open, another one may tell: that "Blackwater" is a house and "Laura" no
town. After Akbik et al. 2019, "Pooled Contextualized Embeddings for Named Entity Recognition",
but the memory is the Doc, so that vectors depend on nothing that was read before.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from spacy.attrs import LOWER
from spacy.tokens import Doc
from thinc.api import Dropout, Model, Ops

from .chunked import blocks
from .layer_batch import Floats2d, join, split_rows
from .token_reader import READ_TOKENS, TokenReader, token_reader


def build_pool_words_v1(
    tok2vec: Model[list[Doc], list[Floats2d]],
) -> Model[list[Doc], list[Floats2d]]:
    """`spacy-elmo.PoolWords.v1`: the vectors of tokens, and beside them the means over all
    tokens of the Doc that are the same word, capital or not. It wants Docs that are texts,
    not single sentences.

    tok2vec (Model[List[Doc], List[Floats2d]]): Vectors of tokens, e.g. a listener.
    CREATES (Model[List[Doc], List[Floats2d]]): The model, twice as wide.
    """
    return Model(
        "pool_words",
        forward,
        init=init,
        layers=[tok2vec, Dropout()],
        dims={"nO": None},
        attrs={READ_TOKENS: read_tokens},
    )


def init(model: Model, X: Any = None, Y: Any = None) -> None:
    tok2vec = model.layers[0]
    tok2vec.initialize(X)
    model.set_dim("nO", 2 * tok2vec.get_dim("nO"))


def forward(
    model: Model, docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], Any]]:
    tok2vec, dropout = model.layers
    parts, backprop_tok2vec = tok2vec(docs, is_train)
    if not docs:
        return [], backprop_tok2vec
    xp, lengths = model.ops.xp, [len(doc) for doc in docs]
    words, counts = _words(model.ops, docs)
    vectors = join(xp, parts)
    means, backprop_dropout = dropout(_means(model.ops, vectors, words, counts), is_train)

    def backprop(d_parts: list[Floats2d]) -> Any:
        d_own, d_means = xp.split(xp.concatenate(d_parts), 2, axis=1)
        # a symmetric matrix makes means of vectors, so its transpose is itself
        d_vectors = d_own + _means(model.ops, backprop_dropout(d_means), words, counts)
        return backprop_tok2vec(split_rows(d_vectors, lengths))

    return split_rows(xp.concatenate([vectors, means], axis=1), lengths), backprop


def _words(ops: Ops, docs: list[Doc]) -> tuple[Any, Floats2d]:
    """RETURNS (Tuple[Ints1d, Floats2d]): A number for each token [n], the same for the same
    words of a Doc and for no others, and how often each number occurs [n_words, 1]."""
    words: list[np.ndarray] = []
    counts: list[np.ndarray] = []
    n_words = 0
    for doc in docs:
        _, numbers, often = np.unique(
            doc.to_array([LOWER]).reshape(-1), return_inverse=True, return_counts=True
        )
        words.append(numbers.reshape(-1) + n_words)
        counts.append(often)
        n_words += len(often)
    # thinc's types know no arrays of numpy
    known = cast(Any, (np.concatenate(words), np.concatenate(counts)[:, None]))
    return ops.asarray1i(known[0]), ops.asarray2f(known[1])


def _means(ops: Ops, vectors: Floats2d, words: Any, counts: Floats2d) -> Floats2d:
    """RETURNS (Floats2d): Of each token the mean over all tokens of its word [n, D].

    vectors (Floats2d): [n, D].
    words (Ints1d): Number of the word of each token [n].
    counts (Floats2d): Tokens of each word [n_words, 1].
    """
    sums = ops.alloc2f(len(counts), vectors.shape[1])
    ops.scatter_add(sums, words, ops.as_contig(vectors))
    return (sums / counts)[words]


def read_tokens(model: Model, doc: Doc) -> TokenReader:
    """The vectors of tokens are made twice, for the means of words and for what is read: of a
    novel those of the words take far less memory."""
    ops, tok2vec = model.ops, model.layers[0]
    own = token_reader(tok2vec, doc)
    words, counts = _words(ops, [doc])
    means = ops.alloc2f(len(counts), tok2vec.get_dim("nO"))
    for rows in blocks(len(doc)):
        ops.scatter_add(means, words[rows], ops.as_contig(own(rows.start, rows.stop)))
    means /= counts
    return lambda start, end: ops.xp.concatenate([own(start, end), means[words[start:end]]], axis=1)
