"""The listener: stands in a component's model and speaks for the biLM.

Owns where the layers come from: the pending batch of the upstream component in
training, the Doc otherwise. The mix itself is a layer of its own.
"""

import warnings
from typing import Callable, List, Optional, Sequence, Tuple, cast

from spacy.tokens import Doc
from thinc.api import Model

from . import annotations
from .models.scalar_mix import ScalarMix, is_trained, settings_of
from .models.types import Floats2d, LayerBatch
from .pending import PendingBatch
from .token_vectors import READ_TOKENS, TokenReader


def build_elmo_listener_v1(
    width: int,
    depth: int = 2,
    upstream: str = "*",
    top_only: bool = False,
    weights: Optional[List[float]] = None,
    dropout: float = 0.0,
    layer_norm: bool = False,
    l2: float = 0.0,
) -> Model[List[Doc], List[Floats2d]]:
    """Listen to an `elmo` component and mix its layers with weights of one's own.

    width (int): Width of the biLM's layers: ${components.elmo.model.width}.
    depth (int): Its number of LSTM layers: ${components.elmo.model.depth}.
    upstream (str): Name of the `elmo` component; "*" for whichever there is.
    top_only (bool): Use the top layer alone, scaled by gamma.
    weights (Optional[List[float]]): Fixed weights, before the softmax, one for each
        layer, the token layer first. Nothing is learned then.
    dropout (float): Rate of the dropout on the mixed vectors, in training.
    layer_norm (bool): Normalize each layer of each token before the mix.
    l2 (float): Strength of the pull towards equal weights.
    CREATES (Model[List[Doc], List[Floats2d]]): The model.
    """
    mix = ScalarMix(
        width,
        depth + 1,
        top_only=top_only,
        weights=weights,
        dropout=dropout,
        layer_norm=layer_norm,
        l2=l2,
    )
    return ElmoListener(upstream, mix)


class ElmoListener(Model[List[Doc], List[Floats2d]]):
    """Gets layers from an `elmo` component and mixes them.

    upstream (str): Name of the component, or "*".
    mix (Model[LayerBatch, List[Floats2d]]): The mix.
    """

    def __init__(self, upstream: str, mix: Model[LayerBatch, List[Floats2d]]) -> None:
        super().__init__(
            "elmo-listener",
            forward,
            init=init,
            layers=[mix],
            dims={"nO": mix.get_dim("nO")},
            attrs={READ_TOKENS: read_tokens},
        )
        self.upstream_name = upstream
        self.pending: Optional[PendingBatch] = None

    @property
    def mix(self) -> Model[LayerBatch, List[Floats2d]]:
        return cast(Model[LayerBatch, List[Floats2d]], self.layers[0])

    def receive(self, pending: PendingBatch) -> None:
        """Take the batch that the upstream component was just updated with."""
        self.pending = pending


def init(
    model: Model[List[Doc], List[Floats2d]],
    X: Optional[List[Doc]] = None,
    Y: Optional[List[Floats2d]] = None,
) -> None:
    model.layers[0].initialize()


def forward(
    model: Model[List[Doc], List[Floats2d]], docs: Sequence[Doc], is_train: bool
) -> Tuple[List[Floats2d], Callable[[List[Floats2d]], List[Doc]]]:
    pending = _pending(model, docs)
    if is_train and pending is not None:
        batch: Optional[LayerBatch] = pending.take(docs)
    else:
        batch = _layers(model, docs, pending)
    mix = model.layers[0]
    if batch is None:
        if is_train:
            raise ValueError(MISSING)
        # before training, other layers ask for the shape alone
        if any(len(doc) for doc in docs) and is_trained(mix):
            warnings.warn(NO_LAYERS, stacklevel=2)
        return [model.ops.alloc2f(len(doc), model.get_dim("nO")) for doc in docs], _no_backprop
    mixed, backprop_mix = mix(batch, is_train)

    def backprop(d_mixed: List[Floats2d]) -> List[Doc]:
        taken = backprop_mix(d_mixed)
        if is_train and pending is not None:
            pending.report(model.id, docs, taken)
        # a list, since layers that join several inputs add the gradients up
        return []

    return mixed, backprop


def read_tokens(model: Model[List[Doc], List[Floats2d]], doc: Doc) -> TokenReader:
    batch = _layers(model, [doc], _pending(model, [doc]))
    if batch is None:
        zeros = model.predict([doc])[0]
        return lambda start, end: zeros[start:end]
    layers, mix = batch.layers, model.layers[0]

    def read(start: int, end: int) -> Floats2d:
        part = layers[:, start:end]
        mixed: List[Floats2d] = mix.predict(LayerBatch(part, [part.shape[1]]))
        return mixed[0]

    return read


def _pending(
    model: Model[List[Doc], List[Floats2d]], docs: Sequence[Doc]
) -> Optional[PendingBatch]:
    """RETURNS (Optional[PendingBatch]): The batch in training that these Docs are of."""
    # a copied listener is a plain Model: it has no upstream and reads from the Docs
    pending: Optional[PendingBatch] = getattr(model, "pending", None)
    return pending if pending is not None and pending.has(docs) else None


def _layers(
    model: Model[List[Doc], List[Floats2d]], docs: Sequence[Doc], pending: Optional[PendingBatch]
) -> Optional[LayerBatch]:
    """RETURNS (Optional[LayerBatch]): The layers that the Docs have, without a gradient."""
    n_layers = settings_of(model.layers[0]).n_layers
    batch = annotations.read(model.ops, docs, n_layers, model.get_dim("nO"))
    if batch is None and pending is not None:
        # a component in annotating_components, with elmo not among them
        batch = pending.read(docs)
    return batch


def _no_backprop(d_mixed: List[Floats2d]) -> List[Doc]:
    return []


NO_LAYERS = (
    "A component that was trained on ELMo gets zeros for its vectors: the Docs have no layers. Is "
    "'elmo' in the pipeline, enabled, and before this component?"
)
MISSING = (
    "A listener got neither a batch from 'elmo' nor layers on the Docs. 'elmo' must come before "
    "this component in the pipeline and be updated with it. To keep its weights, set "
    "frozen = true in its block. In frozen_components it works only if it is sourced from a "
    "trained pipeline and listed in annotating_components as well."
)
