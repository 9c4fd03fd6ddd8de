"""A layer that concatenates the token vectors of several layers.

thinc's `concatenate` does the same, but first copies the vectors of each Doc from each layer. For
a novel, these copies take more memory than all other arrays.
"""

from collections.abc import Callable
from typing import Any

from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from .layer_batch import join_docs, split_docs
from .token_reader import READ_TOKENS, Tok2Vec, TokenReader, token_reader


def concatenate_vectors(*layers: Tok2Vec) -> Tok2Vec:
    """Construct a layer that concatenates the token vectors of several layers.

    *layers (Model[List[Doc], List[Floats2d]]): The layers.
    RETURNS (Model[List[Doc], List[Floats2d]]): A layer whose width is the sum of their widths.
    """
    name = "|".join(layer.name for layer in layers)
    attrs = {READ_TOKENS: read_tokens}
    return Model(name, forward, init=init, layers=layers, dims={"nO": None}, attrs=attrs)


def init(model: Tok2Vec, X: Any = None, Y: Any = None) -> None:
    for layer in model.layers:
        layer.initialize(X)
    model.set_dim("nO", sum(layer.get_dim("nO") for layer in model.layers))


def forward(
    model: Tok2Vec, docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], list[Doc]]]:
    xp, lengths = model.ops.xp, [len(doc) for doc in docs]
    columns: list[Floats2d] = []
    backprops: list[Callable[[list[Floats2d]], Any]] = []
    for layer in model.layers:
        vectors, backprop_layer = layer(docs, is_train)
        backprops.append(backprop_layer)
        columns.append(join_docs(xp, vectors) if docs else model.ops.alloc2f(0, 0))
    widths = [column.shape[1] for column in columns]

    def backprop(d_vectors: list[Floats2d]) -> list[Doc]:
        if d_vectors:
            d_joined, start = join_docs(xp, d_vectors), 0
            for width, backprop_layer in zip(widths, backprops):
                d_column = model.ops.as_contig(d_joined[:, start : start + width])
                backprop_layer(split_docs(d_column, lengths))
                start += width
        return []  # Docs have no gradient

    return split_docs(xp.concatenate(columns, axis=1), lengths), backprop


def read_tokens(model: Tok2Vec, doc: Doc) -> TokenReader:
    """Return a function that predicts ranges of tokens; see `token_reader`."""
    readers = [token_reader(layer, doc) for layer in model.layers]
    xp = model.ops.xp
    return lambda start, end: xp.concatenate([read(start, end) for read in readers], axis=1)
