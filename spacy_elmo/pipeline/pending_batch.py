"""One batch of training between the `elmo` component and its listeners.

Owns the layers of the batch, the one buffer that all listeners add their gradients
to, and the decision when the biLM's backward pass runs. No listener is special: one
that stays silent, is frozen or excluded costs the others nothing.

A component may train on copies of the Docs, as spaCy's entity_linker does. A mark in the user data
tells them from later Docs of the same text, and a digest of the tokens from Docs whose tokens were
merged or split since.
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
    """The layers of a batch, and who has reported a gradient for which Docs.

    docs (Sequence[Doc]): The Docs of the batch.
    batch (LayerBatch): Their layers; with `d_layers` if a gradient is wanted.
    listeners (int): How many listeners may report.
    backprop (Optional[Callable[[LayerBatch], None]]): Takes the collected gradient
        through the biLM, once; None if it is frozen.
    version (int): Of the weights that the layers were computed with.
    name (str): Of the upstream component.
    """

    def __init__(
        self,
        docs: Sequence[Doc],
        batch: LayerBatch,
        listeners: int,
        backprop: Callable[[LayerBatch], None] | None = None,
        version: int = 0,
        name: str = "elmo",
    ) -> None:
        self.docs = list(docs)  # held, so that their ids stay theirs
        self.batch = batch
        self.version = version
        self.backprop = backprop
        self.flushed = False
        self._n_listeners = listeners
        self._index = {id(doc): i for i, doc in enumerate(self.docs)}
        # Doc.copy keeps it, and so do Docs with the user data of another one
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

    def __reduce__(self):  # type: ignore[no-untyped-def]
        return type(None), ()  # a copied or pickled listener has no pending batch

    def __deepcopy__(self, memo: object) -> None:
        return None

    def find(self, docs: Sequence[Doc]) -> list[int] | None:
        """Find Docs of the batch, or copies of them, by their tokens.

        docs (Sequence[Doc]): The Docs, in any order.
        RETURNS (Optional[List[int]]): The place of each in the batch; None if one is not in it.
        """
        where: list[int] = []
        used: dict[bytes, int] = {}
        for doc in docs:
            digest, place = digest_of(doc), self._index.get(id(doc))
            places = self._places.get(digest)
            if places is None or (place is None and doc.user_data.get(self._key) != self._mark):
                return None
            # copies of several equal Docs are those of one after the other
            n = used[digest] = used.get(digest, -1) + 1
            if place is None or self._digests[place] != digest:
                place = places[n % len(places)]
            where.append(place)
        return where

    def read(self, where: Sequence[int]) -> LayerBatch:
        """Return the layers of some Docs of the batch, without a gradient.

        where (Sequence[int]): The places of the Docs, as `find` returns them.
        RETURNS (LayerBatch): Their layers.
        """
        if where == list(range(len(self.docs))):
            return LayerBatch(self.batch.layers, self.batch.lengths)
        # numpy's functions dispatch to cupy for its arrays
        parts = [self.batch.layers[:, :0], *(self.batch.layers[:, self._rows(i)] for i in where)]
        return LayerBatch(numpy.concatenate(parts, axis=1), [self.batch.lengths[i] for i in where])

    def take(self, where: Sequence[int]) -> LayerBatch:
        """As `read`, for a forward pass in training, after which `report` follows.

        RETURNS (LayerBatch): The layers. All Docs in order share the gradient buffer;
            others get a part of their own, which `report` adds to it.
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
            taken.d_layers = self.batch.d_layers if shared else numpy.zeros_like(taken.layers)
        return taken

    def report(self, listener: int, where: Sequence[int], taken: LayerBatch) -> None:
        """Note that a listener's gradient has been added; run the backward pass when
        all listeners have reported all Docs.

        listener (int): The listener's id.
        where (Sequence[int]): The places of the Docs that the gradient is for.
        taken (LayerBatch): What `take` gave for them.
        """
        if self.flushed:
            raise ValueError(
                "A component sent a gradient to 'elmo' after the biLM's backward pass for this "
                "batch had run. Run each update of a component before the next update of 'elmo'."
            )
        d_layers = self.batch.d_layers
        if d_layers is not None and taken.d_layers is not None and taken.d_layers is not d_layers:
            start = 0
            for i in where:
                end = start + self.batch.lengths[i]
                d_layers[:, self._rows(i)] += taken.d_layers[:, start:end]
                start = end
            taken.d_layers[...] = 0  # a callback may be called again, for another loss
        self._open -= 1
        self._reported.setdefault(listener, set()).update(where)
        if self.complete:
            self.flush()

    @property
    def complete(self) -> bool:
        """RETURNS (bool): Whether all listeners have reported all Docs."""
        done = sum(len(docs) == len(self.docs) for docs in self._reported.values())
        return done == self._n_listeners and self._open == 0

    def flush(self) -> None:
        """Run the backward pass if it has not run and there is any gradient."""
        if self.flushed or self.backprop is None or not self._reported:
            return
        self.flushed = True
        self.backprop(self.batch)
        self.backprop = None  # lets go of the graph
        self.batch.d_layers = None

    def _rows(self, index: int) -> slice:
        return slice(self._starts[index], self._starts[index + 1])
