"""A wrapper that applies a row-wise layer in chunks at inference, to bound activation memory."""

from collections.abc import Callable, Iterator
from typing import Any, cast

from thinc.api import Model
from thinc.types import Floats2d

CHUNK_ROWS = 4096

RowLayer = Model[Floats2d, Floats2d]


def chunked_predict(layer: RowLayer) -> RowLayer:
    """At inference, apply a row-wise layer in chunks of `CHUNK_ROWS` rows to bound activation
    memory. In training, apply it to all rows at once.

    layer (Model[Floats2d, Floats2d]): The layer. Each row of its output must depend on the same
        row of its input alone.
    RETURNS (Model[Floats2d, Floats2d]): A layer with the same outputs.
    """
    return Model(f"chunked_predict({layer.name})", forward, init=init, layers=[layer])


def init(model: RowLayer, X: Any = None, Y: Any = None) -> None:
    model.layers[0].initialize(X, Y)


def forward(
    model: RowLayer, X: Floats2d, is_train: bool
) -> tuple[Floats2d, Callable[[Floats2d], Floats2d]]:
    layer = cast(RowLayer, model.layers[0])
    if is_train or len(X) <= CHUNK_ROWS:
        return layer(X, is_train)
    first = layer.predict(X[:CHUNK_ROWS])
    output = model.ops.alloc2f(len(X), first.shape[1], zeros=False)
    output[:CHUNK_ROWS] = first
    for rows in row_chunks(len(X), CHUNK_ROWS):
        output[rows] = layer.predict(X[rows])
    return output, no_backprop


def row_chunks(n_rows: int, start: int = 0) -> Iterator[slice]:
    """Divide rows into chunks of at most `CHUNK_ROWS` rows.

    n_rows (int): Number of rows.
    start (int): First row of the first chunk.
    YIELDS (slice): The rows of a chunk.
    """
    for begin in range(start, n_rows, CHUNK_ROWS):
        yield slice(begin, begin + CHUNK_ROWS)


def no_backprop(d_output: Any) -> Any:
    """Raise the error of a layer that was run without `is_train`.

    RAISES (ValueError): Always.
    """
    raise ValueError(
        "There is no backward pass for outputs that were computed with is_train = False. Call "
        "begin_update instead of predict."
    )
