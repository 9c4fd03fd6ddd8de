"""One batch of training between the `elmo` component and its listeners.

Owns the layers of the batch, the one buffer that all listeners add their gradients
to, and the decision when the biLM's backward pass runs. No listener is special: one
that stays silent, is frozen or excluded costs the others nothing.
"""

from itertools import accumulate
from typing import Callable, Dict, List, Optional, Sequence, Set

import numpy
from spacy.tokens import Doc

from .models.types import LayerBatch


class PendingBatch:
    """The layers of a batch, and who has reported a gradient for which Docs.

    docs (Sequence[Doc]): The Docs of the batch.
    batch (LayerBatch): Their layers; with `d_layers` if a gradient is wanted.
    listeners (int): How many listeners may report.
    backprop (Optional[Callable[[LayerBatch], None]]): Takes the collected gradient
        through the biLM, once; None if it is frozen.
    """

    def __init__(
        self,
        docs: Sequence[Doc],
        batch: LayerBatch,
        listeners: int,
        backprop: Optional[Callable[[LayerBatch], None]] = None,
    ) -> None:
        self.docs = list(docs)  # held, so that their ids stay theirs
        self.batch = batch
        self.backprop = backprop
        self.flushed = False
        self._n_listeners = listeners
        self._index = {id(doc): i for i, doc in enumerate(self.docs)}
        self._starts = [0, *accumulate(batch.lengths)]
        self._reported: Dict[int, Set[int]] = {}
        self._open = 0

    def __reduce__(self):  # type: ignore[no-untyped-def]
        return type(None), ()  # a copied or pickled listener has no pending batch

    def __deepcopy__(self, memo: object) -> None:
        return None

    def covers(self, docs: Sequence[Doc]) -> bool:
        """RETURNS (bool): Whether all of these very Docs are in the batch."""
        return not self.flushed and all(id(doc) in self._index for doc in docs)

    def take(self, docs: Sequence[Doc]) -> LayerBatch:
        """The layers of some Docs of the batch, for a forward pass in training.

        docs (Sequence[Doc]): Docs that the batch covers, in any order.
        RETURNS (LayerBatch): Their layers. All Docs in order share the gradient
            buffer; others get a part of their own, which `report` adds to it.
        """
        self._open += 1
        where = self._positions(docs)
        if where == list(range(len(self.docs))):
            return self.batch
        empty = self.batch.layers[:, :0]
        # numpy's functions dispatch to cupy for its arrays
        layers = numpy.concatenate(
            [empty, *(self.batch.layers[:, self._rows(i)] for i in where)], axis=1
        )
        d_layers = None if self.batch.d_layers is None else numpy.zeros_like(layers)
        return LayerBatch(layers, [self.batch.lengths[i] for i in where], d_layers)

    def report(self, listener: int, docs: Sequence[Doc], taken: LayerBatch) -> None:
        """Note that a listener's gradient has been added; run the backward pass when
        all listeners have reported all Docs.

        listener (int): The listener's id.
        docs (Sequence[Doc]): The Docs that the gradient is for.
        taken (LayerBatch): What `take` gave for them.
        """
        if self.flushed:
            raise ValueError(
                "A component sent a gradient to 'elmo' after the biLM's backward pass for this "
                "batch had run. Run each update of a component before the next update of 'elmo'."
            )
        if self.backprop is None:
            return
        where = self._positions(docs)
        if taken is not self.batch and taken.d_layers is not None:
            start = 0
            for i in where:
                end = start + self.batch.lengths[i]
                self.batch.d_layers[:, self._rows(i)] += taken.d_layers[:, start:end]  # type: ignore[index]
                start = end
        self._open -= 1
        self._reported.setdefault(listener, set()).update(where)
        complete = [done for done in self._reported.values() if len(done) == len(self.docs)]
        if len(complete) == self._n_listeners and self._open == 0:
            self.flush()

    def flush(self) -> bool:
        """Run the backward pass if it has not run and there is any gradient.

        RETURNS (bool): Whether it ran.
        """
        if self.flushed or self.backprop is None or not self._reported:
            return False
        self.flushed = True
        self.backprop(self.batch)
        self.backprop = None  # lets go of the graph
        return True

    def _positions(self, docs: Sequence[Doc]) -> List[int]:
        return [self._index[id(doc)] for doc in docs]

    def _rows(self, index: int) -> slice:
        return slice(self._starts[index], self._starts[index + 1])
