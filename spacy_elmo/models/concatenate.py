"""Vectors of several models for the same Docs, side by side.

As thinc's `concatenate`, which copies what a Doc has from each model before it joins them: of a
novel these copies take more memory than anything else.
"""

from collections.abc import Callable
from typing import Any

from spacy.tokens import Doc
from thinc.api import Model

from .layer_batch import Floats2d, join, split_rows
from .token_reader import READ_TOKENS, TokenReader, token_reader

Tok2Vec = Model[list[Doc], list[Floats2d]]


def side_by_side(*layers: Tok2Vec) -> Tok2Vec:
    """RETURNS (Model[List[Doc], List[Floats2d]]): As wide as all layers together."""
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
        parts, backprop_layer = layer(docs, is_train)
        backprops.append(backprop_layer)
        columns.append(join(xp, parts) if docs else model.ops.alloc2f(0, 0))
    widths = [column.shape[1] for column in columns]

    def backprop(d_parts: list[Floats2d]) -> list[Doc]:
        if d_parts:
            d_joined, start = join(xp, d_parts), 0
            for width, backprop_layer in zip(widths, backprops):
                d_column = model.ops.as_contig(d_joined[:, start : start + width])
                backprop_layer(split_rows(d_column, lengths))
                start += width
        return []  # there is no gradient of a Doc

    return split_rows(xp.concatenate(columns, axis=1), lengths), backprop


def read_tokens(model: Tok2Vec, doc: Doc) -> TokenReader:
    readers = [token_reader(layer, doc) for layer in model.layers]
    xp = model.ops.xp
    return lambda start, end: xp.concatenate([read(start, end) for read in readers], axis=1)
