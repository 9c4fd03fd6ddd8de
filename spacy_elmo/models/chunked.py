"""A layer in bounded memory, where nothing has to be kept for a backward pass."""

from collections.abc import Callable, Iterator
from typing import Any, cast

from thinc.api import Model
from thinc.types import Floats2d

ROWS = 4096

Layer = Model[Floats2d, Floats2d]


def in_blocks(layer: Layer) -> Layer:
    """In use, though not in training, run a layer over some thousand rows at a time: what it
    makes on its way, such as the pieces of a maxout layer, is never there for all of a novel.

    layer (Model[Floats2d, Floats2d]): It must make each row of the output of the same row of
        the input alone.
    RETURNS (Model[Floats2d, Floats2d]): The same numbers.
    """
    return Model(f"in_blocks({layer.name})", forward, init=init, layers=[layer])


def init(model: Layer, X: Any = None, Y: Any = None) -> None:
    model.layers[0].initialize(X, Y)


def forward(model: Layer, X: Floats2d, is_train: bool) -> tuple[Floats2d, Callable]:
    layer = cast(Layer, model.layers[0])
    if is_train or len(X) <= ROWS:
        return layer(X, is_train)
    first = layer.predict(X[:ROWS])
    output = model.ops.alloc2f(len(X), first.shape[1], zeros=False)
    output[:ROWS] = first
    for rows in blocks(len(X), ROWS):
        output[rows] = layer.predict(X[rows])
    return output, no_backprop


def blocks(n_rows: int, start: int = 0) -> Iterator[slice]:
    """YIELDS (slice): Some thousand rows at a time, from `start` on."""
    for begin in range(start, n_rows, ROWS):
        yield slice(begin, begin + ROWS)


def no_backprop(d_output: Any) -> Any:
    raise ValueError("A layer in bounded memory has no backward pass outside of training.")
