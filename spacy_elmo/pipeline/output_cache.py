"""Layers of training and development Docs, kept across epochs while the biLM is frozen.

Layers belong to the weights and settings that they were computed with: others empty the cache.
Nothing is evicted: in an epoch every Doc comes once, so evicting the oldest would evict the next.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from spacy.tokens import Doc

from ..models.encoder import Encoder, Settings, n_layers_of, shim_of
from ..models.layer_batch import Floats3d, LayerBatch
from ..text.segments import Segmenter, find_starts
from ..text.tokens import Tokens

MEGABYTE = 2**20


class OutputCache:
    """Layers by the content of the Doc.

    Docs of updates are stored when they are first seen. Docs of predictions are stored if they
    were also predicted before the last update: development data is, and a text that is served
    after the training is not.

    max_mb (int): Memory to use at most; 0 to store nothing.
    """

    def __init__(self, max_mb: int) -> None:
        self.max_bytes = max_mb * MEGABYTE
        self.clear()

    def __len__(self) -> int:
        return len(self._layers)

    def __reduce__(self):  # type: ignore[no-untyped-def]
        return OutputCache, (self.max_bytes // MEGABYTE,)  # copies start empty

    def clear(self) -> None:
        """Start from nothing, as before the first update."""
        self.in_use = False
        self.hits = self.misses = 0
        self._state: Any = None
        self._seen: set[bytes] = set()  # predicted since the last update
        self._seen_bytes = 0
        self._recurring: set[bytes] = set()  # predicted before an update
        self._drop_layers()

    def update(self, model: Encoder, docs: Sequence[Doc]) -> LayerBatch:
        """As `predict`, for the Docs of a training step, all of which are stored.

        model (Model[List[Doc], LayerBatch]): The encoder.
        docs (Sequence[Doc]): The Docs.
        RETURNS (LayerBatch): The layers.
        """
        self.in_use = True
        if self._seen:
            self._recurring, self._seen, self._seen_bytes = self._seen, set(), 0
        return self._run(model, docs, training=True)

    def predict(self, model: Encoder, docs: Sequence[Doc]) -> LayerBatch:
        """Return all layers of some Docs; the biLM runs over those that are not stored.

        model (Model[List[Doc], LayerBatch]): The encoder.
        docs (Sequence[Doc]): The Docs.
        RETURNS (LayerBatch): The layers.
        """
        return self._run(model, docs, training=False)

    def _run(self, model: Encoder, docs: Sequence[Doc], training: bool) -> LayerBatch:
        settings: Settings = model.attrs["settings"]
        self._check_state(model, settings)
        keys = self.keys(docs, settings.segmenter)
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
        """RETURNS (List[bytes]): The same for Docs that the biLM reads in the same way."""
        tokens = Tokens.of(docs)
        starts = find_starts(tokens, segmenter)
        return [
            blake2b(tokens.orths[a:b].tobytes() + starts[a:b].tobytes(), digest_size=16).digest()
            for a, b in zip(tokens.offsets, tokens.offsets[1:])
        ]

    def _check_state(self, model: Encoder, settings: Settings) -> None:
        """Drop layers that were computed with other weights or settings."""
        version = shim_of(model).bilm.weights_version
        state = version, settings.start_state, settings.precision, type(model.ops)
        if state != self._state:
            self._drop_layers()
            self._state = state

    def _drop_layers(self) -> None:
        self._layers: dict[bytes, Floats3d] = {}
        self.n_bytes = 0

    def _store(self, key: bytes, layers: Floats3d) -> None:
        """Store a copy of the layers [n_layers, n_tokens, width] of a Doc, if there is room."""
        if key not in self._layers and self.n_bytes + layers.nbytes <= self.max_bytes:
            self._layers[key] = layers.copy()
            self.n_bytes += layers.nbytes

    def _note(self, key: bytes, layers: Floats3d) -> None:
        """Remember that a Doc was predicted, as long as its layers would fit."""
        if key not in self._seen and self._seen_bytes + layers.nbytes <= self.max_bytes:
            self._seen.add(key)
            self._seen_bytes += layers.nbytes
