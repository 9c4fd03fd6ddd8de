"""A training batch that is shared by the `elmo` component and its listeners.

It contains the layers of the batch and the buffer to which all listeners add their gradients. When
all listeners have reported their gradients, it runs the biLM's backward pass. A listener may not
report, because its component is frozen, excluded or returns early. This does not affect the
gradients of the other listeners.

A component may train on copies of the Docs, as spaCy's entity_linker does. A mark in the user data
distinguishes the copies from later Docs of the same text. A digest of the tokens distinguishes
them from Docs whose tokens were merged or split since.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate, count
from typing import Any, cast

import numpy
from spacy.tokens import Doc

from ..models.layer_batch import LayerBatch
from ..text.tokens import digest_of

_marks = count(1)


class PendingBatch:
    """The layers of a batch, and which listeners have reported a gradient for which Docs.

    docs (Sequence[Doc]): The Docs of the batch.
    batch (LayerBatch): The layers of the Docs, with `d_layers` if a gradient is needed.
    n_listeners (int): Number of listeners that may report.
    backprop (Optional[Callable[[LayerBatch], None]]): Runs the biLM's backward pass with the
        collected gradient; None if the biLM is frozen.
    version (int): Version of the weights with which the layers were computed.
    name (str): Name of the upstream component.
    """

    def __init__(
        self,
        docs: Sequence[Doc],
        batch: LayerBatch,
        *,
        n_listeners: int,
        backprop: Callable[[LayerBatch], None] | None = None,
        version: int = 0,
        name: str = "elmo",
    ) -> None:
        self.docs = list(docs)  # keeps the Docs alive, so that their ids stay unique
        self.batch = batch
        self.version = version
        self.backprop = backprop
        self.flushed = False
        self._n_listeners = n_listeners
        self._index = {id(doc): i for i, doc in enumerate(self.docs)}
        # `Doc.copy` and Docs that are given the user data of another Doc keep this key
        self._key = cast(Any, ("._.", f"{name}_batch", None, None))
        self._mark = next(_marks)
        self._digests = [digest_of(doc) for doc in self.docs]
        self._places: dict[bytes, list[int]] = {}
        for i, (doc, digest) in enumerate(zip(self.docs, self._digests)):
            doc.user_data[self._key] = self._mark
            self._places.setdefault(digest, []).append(i)
        self._starts = [0, *accumulate(batch.lengths)]
        self._reported: dict[int, set[int]] = {}
        self._open = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()  # a copied or pickled listener has no pending batch

    def __deepcopy__(self, memo: object) -> None:
        return None

    def find(self, docs: Sequence[Doc]) -> list[int] | None:
        """Find Docs of the batch, or copies of them.

        docs (Sequence[Doc]): The Docs, in any order.
        RETURNS (Optional[List[int]]): The position of each Doc in the batch; None if a Doc is not
            in the batch.
        """
        where: list[int] = []
        used: dict[bytes, int] = {}
        for doc in docs:
            digest, place = digest_of(doc), self._index.get(id(doc))
            places = self._places.get(digest)
            if places is None or (place is None and doc.user_data.get(self._key) != self._mark):
                return None
            # if several Docs have the same tokens, the n-th copy belongs to the n-th of them
            n = used[digest] = used.get(digest, -1) + 1
            if place is None or self._digests[place] != digest:
                place = places[n % len(places)]
            where.append(place)
        return where

    def read(self, where: Sequence[int]) -> LayerBatch:
        """Return the layers of some Docs of the batch, without a gradient.

        where (Sequence[int]): The positions of the Docs, as `find` returns them.
        RETURNS (LayerBatch): The layers of the Docs.
        """
        if where == list(range(len(self.docs))):
            return LayerBatch(self.batch.layers, self.batch.lengths)
        # numpy's functions dispatch to cupy for its arrays
        per_doc: Any = [self.batch.layers[:, self._rows(i)] for i in where]
        joined: Any = numpy.concatenate([self.batch.layers[:, :0], *per_doc], axis=1)
        return LayerBatch(joined, [self.batch.lengths[i] for i in where])

    def take(self, where: Sequence[int]) -> LayerBatch:
        """Return the layers of some Docs of the batch for a forward pass in training. Its backward
        pass must call `report`.

        where (Sequence[int]): The positions of the Docs, as `find` returns them.
        RETURNS (LayerBatch): The layers of the Docs. If these are all Docs in order, `d_layers` is
            the shared buffer. Otherwise it is a new buffer, which `report` adds to the shared one.
        RAISES (ValueError): If the biLM's backward pass for the batch has already run.
        """
        if self.flushed:
            raise ValueError(
                "A component ran its model on a batch again after the biLM's backward pass for it "
                "had run. While 'elmo' is not frozen, a component's forward passes in one update "
                "must all come before its backward passes."
            )
        self._open += 1
        taken = self.read(where)
        if self.batch.d_layers is not None:
            shared = taken.layers is self.batch.layers
            zeros: Any = None if shared else numpy.zeros_like(cast(Any, taken.layers))
            taken.d_layers = self.batch.d_layers if shared else zeros
        return taken

    def report(self, listener: int, where: Sequence[int], taken: LayerBatch) -> None:
        """Record the gradient of a listener, and run the biLM's backward pass when all listeners
        have reported gradients for all Docs.

        listener (int): Id of the listener.
        where (Sequence[int]): The positions of the Docs that the gradient belongs to.
        taken (LayerBatch): The layers of the Docs, from `take`.
        RAISES (ValueError): If the biLM's backward pass for the batch has already run.
        """
        if self.flushed:
            raise ValueError(
                "A component sent a gradient to 'elmo' after the biLM's backward pass for this "
                "batch had run. Run each update of a component before the next update of 'elmo'."
            )
        d_layers: Any = self.batch.d_layers
        d_taken: Any = taken.d_layers
        if d_layers is not None and d_taken is not None and d_taken is not d_layers:
            start = 0
            for i in where:
                end = start + self.batch.lengths[i]
                d_layers[:, self._rows(i)] += d_taken[:, start:end]
                start = end
            d_taken[...] = 0  # a backward pass may be called again, for another loss
        self._open -= 1
        self._reported.setdefault(listener, set()).update(where)
        if self.complete:
            self.flush()

    @property
    def complete(self) -> bool:
        """RETURNS (bool): Whether all listeners have reported gradients for all Docs."""
        done = sum(len(docs) == len(self.docs) for docs in self._reported.values())
        return done == self._n_listeners and self._open == 0

    def flush(self) -> None:
        """Run the biLM's backward pass, if it has not run and a listener has reported."""
        if self.flushed or self.backprop is None or not self._reported:
            return
        self.flushed = True
        self.backprop(self.batch)
        self.backprop = None  # frees the autograd graph
        self.batch.d_layers = None

    def _rows(self, index: int) -> slice:
        return slice(self._starts[index], self._starts[index + 1])
