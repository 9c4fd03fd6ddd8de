"""A cache for the layers of training and development Docs while the biLM is frozen.

The cache is emptied when the weights change, or the settings that affect the layers. Single Docs
are never evicted: each epoch reads every Doc once, so the oldest Doc is the one that is needed
next.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, cast

from spacy.tokens import Doc
from thinc.types import Floats3d

from ..models.encoder import Encoder, n_layers_of, settings_of, shim_of
from ..models.layer_batch import LayerBatch
from ..text.segments import Segmenter, find_starts
from ..text.tokens import Tokens

MEGABYTE = 2**20


class OutputCache:
    """Stores the layers of Docs. The key of a Doc is a hash of its tokens and segments.

    The Docs of an update are stored when they are first seen. A predicted Doc is stored only if it
    was also predicted before the last update. Development data is therefore stored, and texts that
    are processed after the training are not.

    max_mb (int): Maximum memory in MB; 0 disables the cache.
    """

    def __init__(self, max_mb: int) -> None:
        self.max_bytes = max_mb * MEGABYTE
        self.clear()

    def __len__(self) -> int:
        return len(self._layers)

    def __reduce__(self) -> tuple[Any, ...]:
        return OutputCache, (self.max_bytes // MEGABYTE,)  # copies start empty

    def clear(self) -> None:
        """Empty the cache, and disable it until the next update."""
        self.in_use = False
        self.hits = self.misses = 0
        self._state: Any = None
        self._seen: set[bytes] = set()  # predicted since the last update
        self._seen_bytes = 0
        self._recurring: set[bytes] = set()  # predicted before an update
        self._drop_layers()

    def update(self, model: Encoder, docs: Sequence[Doc]) -> LayerBatch:
        """Return all layers of the Docs of a training step, and store them.

        model (Model[List[Doc], LayerBatch]): The encoder.
        docs (Sequence[Doc]): The Docs.
        RETURNS (LayerBatch): The layers.
        """
        self.in_use = True
        if self._seen:
            self._recurring, self._seen, self._seen_bytes = self._seen, set(), 0
        return self._run(model, docs, training=True)

    def predict(self, model: Encoder, docs: Sequence[Doc]) -> LayerBatch:
        """Return all layers of Docs. The biLM runs over the Docs that are not stored.

        model (Model[List[Doc], LayerBatch]): The encoder.
        docs (Sequence[Doc]): The Docs.
        RETURNS (LayerBatch): The layers.
        """
        return self._run(model, docs, training=False)

    def _run(self, model: Encoder, docs: Sequence[Doc], training: bool) -> LayerBatch:
        self._check_state(model)
        keys = self.keys(docs, settings_of(model).segmenter)
        found: list[Floats3d | None] = [self._layers.get(key) for key in keys]
        missing = [i for i, layers in enumerate(found) if layers is None]
        self.misses += len(missing)
        self.hits += len(docs) - len(missing)
        if missing:
            batch = model.predict([docs[i] for i in missing])
            for i, layers in zip(missing, batch.split()):
                if training or keys[i] in self._recurring:
                    self._store(keys[i], layers)
                else:
                    self._note(keys[i], layers)
                found[i] = layers
            if len(missing) == len(docs):
                return batch
        xp = model.ops.xp
        shape = (n_layers_of(model), 0, model.get_dim("nO"))
        joined = xp.concatenate([model.ops.alloc3f(*shape), *found], axis=1)
        return LayerBatch(joined, [len(doc) for doc in docs])

    @staticmethod
    def keys(docs: Sequence[Doc], segmenter: Segmenter) -> list[bytes]:
        """Return the key of each Doc. Docs with the same tokens and segments have the same key.

        docs (Sequence[Doc]): The Docs.
        segmenter (Callable[[Doc], Ints1d]): Returns the tokens at which segments start.
        RETURNS (List[bytes]): The keys.
        """
        tokens = Tokens.of(docs)
        starts = find_starts(tokens, segmenter)
        return [
            blake2b(tokens.orths[a:b].tobytes() + starts[a:b].tobytes(), digest_size=16).digest()
            for a, b in zip(tokens.offsets, tokens.offsets[1:])
        ]

    def _check_state(self, model: Encoder) -> None:
        """Drop layers that were computed with other weights or settings."""
        version, settings = shim_of(model).module.weights_version, settings_of(model)
        state = version, settings.start_state, settings.precision, type(model.ops)
        if state != self._state:
            self._drop_layers()
            self._state = state

    def _drop_layers(self) -> None:
        self._layers: dict[bytes, Floats3d] = {}
        self.n_bytes = 0

    def _store(self, key: bytes, layers: Floats3d) -> None:
        """Store a copy of the layers [n_layers, n_tokens, width] of a Doc, if it fits in the
        memory budget."""
        if key not in self._layers and self.n_bytes + layers.nbytes <= self.max_bytes:
            self._layers[key] = cast(Any, layers).copy()
            self.n_bytes += layers.nbytes

    def _note(self, key: bytes, layers: Floats3d) -> None:
        """Record that a Doc was predicted, if the layers of all recorded Docs fit in the memory
        budget."""
        if key not in self._seen and self._seen_bytes + layers.nbytes <= self.max_bytes:
            self._seen.add(key)
            self._seen_bytes += layers.nbytes
