"""Layers of training Docs, kept across epochs while the biLM is frozen.

Owns the memory budget and the keys. What is in it stays until it is cleared: in an
epoch every Doc comes once, so throwing out the oldest would throw out the next.
"""

from hashlib import blake2b
from typing import Dict, List, Optional, Sequence

from spacy.tokens import Doc

from .models.encoder import Encoder, Settings, n_layers_of
from .models.types import Floats3d, LayerBatch
from .text.segments import Segmenter, find_starts
from .text.tokens import Tokens

MEGABYTE = 2**20


class OutputCache:
    """Layers by the content of the Doc.

    max_mb (int): Memory to use at the most; 0 to keep nothing.
    """

    def __init__(self, max_mb: int) -> None:
        self.max_bytes = max_mb * MEGABYTE
        self.n_bytes = 0
        self.hits = 0
        self.misses = 0
        self._layers: Dict[bytes, Floats3d] = {}

    def __len__(self) -> int:
        return len(self._layers)

    def __reduce__(self):  # type: ignore[no-untyped-def]
        return OutputCache, (self.max_bytes // MEGABYTE,)  # travels empty

    @staticmethod
    def keys(docs: Sequence[Doc], segmenter: Segmenter) -> List[bytes]:
        """RETURNS (List[bytes]): The same for Docs that the biLM reads in the same way."""
        tokens = Tokens.of(docs)
        starts = find_starts(tokens, segmenter)
        return [
            blake2b(tokens.orths[a:b].tobytes() + starts[a:b].tobytes(), digest_size=16).digest()
            for a, b in zip(tokens.offsets, tokens.offsets[1:])
        ]

    def get(self, key: bytes) -> Optional[Floats3d]:
        layers = self._layers.get(key)
        if layers is None:
            self.misses += 1
        else:
            self.hits += 1
        return layers

    def add(self, key: bytes, layers: Floats3d) -> None:
        """Keep a copy of the layers [n_layers, n_tokens, width] of a Doc, if there is room."""
        if key not in self._layers and self.n_bytes + layers.nbytes <= self.max_bytes:
            self._layers[key] = layers.copy()
            self.n_bytes += layers.nbytes

    def predict(self, model: Encoder, docs: Sequence[Doc]) -> LayerBatch:
        """All layers of some Docs; the biLM runs over those that are not kept.

        model (Model[List[Doc], LayerBatch]): The encoder.
        docs (Sequence[Doc]): The Docs.
        RETURNS (LayerBatch): The layers.
        """
        settings: Settings = model.attrs["settings"]
        keys = self.keys(docs, settings.segmenter)
        found: List[Optional[Floats3d]] = [self.get(key) for key in keys]
        missing = [i for i, layers in enumerate(found) if layers is None]
        if missing:
            batch = model.predict([docs[i] for i in missing])
            if len(missing) == len(docs):
                for key, layers in zip(keys, batch.split()):
                    self.add(key, layers)
                return batch
            for i, layers in zip(missing, batch.split()):
                self.add(keys[i], layers)
                found[i] = layers
        xp = model.ops.xp
        shape = (n_layers_of(model), 0, model.get_dim("nO"))
        joined = xp.concatenate([model.ops.alloc3f(*shape), *found], axis=1)
        return LayerBatch(joined, [len(doc) for doc in docs])

    def clear(self) -> None:
        self._layers = {}
        self.n_bytes = self.hits = self.misses = 0
