"""The listener: a layer that mixes the layers of an upstream `elmo` component.

In training, the listener reads the layers from the pending batch of the upstream component,
otherwise from the Doc. Some components create their own Docs, which have no layers. The listener
then calls the upstream component to compute them.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import cast

from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d, Floats3d

from ..models.layer_batch import LayerBatch, join_docs
from ..models.scalar_mix import MixLayer, ScalarMix, is_trained, settings_of
from ..models.token_reader import READ_TOKENS, Tok2Vec, TokenReader
from . import annotations
from .pending_batch import PendingBatch
from .upstream_ref import UpstreamRef

NO_LAYERS = (
    "A component that was trained on ELMo gets zeros for its vectors, because the Docs have no "
    "layers. Check that 'elmo' is in the pipeline, enabled, and before this component."
)
MISSING = (
    "A listener got neither a batch from 'elmo' nor layers on the Docs. 'elmo' must come before "
    "this component in the pipeline and be updated with it. To keep the weights of 'elmo' fixed, "
    "set frozen = true in its block. It can be in frozen_components only if it is sourced from a "
    "trained pipeline and is also in annotating_components."
)
OTHER_DOCS = (
    "A component that listens to '{name}' was trained on Docs that '{name}' was not updated with: "
    "Docs that the component creates, or Docs whose tokens were merged or split after '{name}' "
    "ran. Their gradient cannot reach the biLM. Set frozen = true in the block of '{name}', or "
    'give the component its own biLM: @architectures = "spacy-elmo.Tok2VecElmo.v1".'
)


def build_elmo_listener_v1(
    width: int,
    depth: int = 2,
    upstream: str = "*",
    top_only: bool = False,
    weights: list[float] | None = None,
    dropout: float = 0.0,
    layer_norm: bool = False,
    l2: float = 0.0,
) -> Tok2Vec:
    """Construct `spacy-elmo.ElmoListener.v1`: a listener that mixes the layers of an upstream
    `elmo` component with its own learned weights.

    width (int): Width of the biLM's layers: ${components.elmo.model.width}.
    depth (int): Number of the biLM's LSTM layers: ${components.elmo.model.depth}.
    upstream (str): Name of the `elmo` component; "*" for the only one in the pipeline.
    top_only (bool): Whether to use only the top layer, scaled by gamma.
    weights (Optional[List[float]]): Fixed weights of the layers before the softmax, one for each
        layer, the token layer first. The mix then has no trained parameters. A weight of -9e10
        excludes a layer.
    dropout (float): Dropout rate of the mixed vectors in training; `training.dropout` has no effect
        on it.
    layer_norm (bool): Whether to normalize each layer of each token to mean 0 and variance 1 before
        the mix. The original implementation uses one mean and variance for the whole batch; here
        vectors do not depend on the batch.
    l2 (float): Strength λ of the penalty `λ * sum(w ** 2)`, which pulls the weights of the layers
        towards equal weights. It does not include gamma.
    CREATES (Model[List[Doc], List[Floats2d]]): The model.
    RAISES (ValueError): If the settings of the mix are invalid; see `ScalarMix`.
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


class ElmoListener(Model[list[Doc], list[Floats2d]]):
    """Gets the layers of an upstream `elmo` component and mixes them.

    upstream (str): Name of the component, or "*".
    mix (Model[LayerBatch, List[Floats2d]]): The mix.
    """

    def __init__(self, upstream: str, mix: MixLayer) -> None:
        super().__init__(
            "elmo-listener",
            forward,
            init=init,
            layers=[mix],
            dims={"nO": mix.get_dim("nO")},
            attrs={READ_TOKENS: read_tokens},
        )
        self.upstream_name = upstream
        self.pending: PendingBatch | None = None
        self.upstream = UpstreamRef()

    @property
    def mix(self) -> MixLayer:
        """RETURNS (Model[LayerBatch, List[Floats2d]]): The mix."""
        return cast(MixLayer, self.layers[0])

    def receive(self, pending: PendingBatch) -> None:
        """Receive the batch with which the upstream component was updated.

        pending (PendingBatch): The batch.
        """
        self.pending = pending


def init(model: Tok2Vec, X: list[Doc] | None = None, Y: list[Floats2d] | None = None) -> None:
    model.layers[0].initialize()


def forward(
    model: Tok2Vec, docs: Sequence[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], list[Doc]]]:
    # a copied listener is a plain Model: it has no pending batch
    pending: PendingBatch | None = getattr(model, "pending", None)
    where = None if pending is None else pending.find(docs)
    if is_train and pending is not None and where is not None:
        batch: LayerBatch | None = pending.take(where)
    else:
        batch = _collect_layers(model, docs, is_train)
    mix = model.layers[0]
    if batch is None:
        # no warning during initialization, when other layers only infer shapes from the zeros
        if any(len(doc) for doc in docs) and is_trained(mix):
            warnings.warn(NO_LAYERS, stacklevel=2)
        return [model.ops.alloc2f(len(doc), model.get_dim("nO")) for doc in docs], _no_backprop
    mixed, backprop_mix = mix(batch, is_train)

    def backprop(d_mixed: list[Floats2d]) -> list[Doc]:
        taken = backprop_mix(d_mixed)
        if is_train and pending is not None and where is not None:
            pending.report(model.id, where, taken)
        # a list, because layers with several branches add the gradients of their inputs
        return []

    return mixed, backprop


def read_tokens(model: Tok2Vec, doc: Doc) -> TokenReader:
    """Return a function that mixes the layers of ranges of tokens; see `token_reader`."""
    batch = _collect_layers(model, [doc], is_train=False)
    if batch is None:
        zeros = model.predict([doc])[0]
        return lambda start, end: zeros[start:end]
    layers, mix = batch.layers, model.layers[0]

    def read(start: int, end: int) -> Floats2d:
        chunk = layers[:, start:end]
        mixed: list[Floats2d] = mix.predict(LayerBatch(chunk, [chunk.shape[1]]))
        return mixed[0]

    return read


def _collect_layers(model: Tok2Vec, docs: Sequence[Doc], is_train: bool) -> LayerBatch | None:
    """Collect the layers that are stored on Docs, and compute missing layers. No gradient is
    computed for them.

    model (Model[List[Doc], List[Floats2d]]): The listener.
    docs (Sequence[Doc]): The Docs.
    is_train (bool): Whether this is a forward pass in training.
    RETURNS (Optional[LayerBatch]): The layers; None if no Doc has layers and they cannot be
        computed.
    RAISES (ValueError): If stored layers belong to other tokens or have another shape, or if only
        some Docs have layers and the missing layers cannot be computed. In training also if there
        are no layers, or if the biLM is not frozen and its gradient would be lost.
    """
    n_layers, width = settings_of(model.layers[0]).n_layers, model.get_dim("nO")
    found: list[Floats3d | None] = [
        annotations.read_layers(doc, n_layers, width) if len(doc) else None for doc in docs
    ]
    missing = [i for i, layers in enumerate(found) if layers is None and len(docs[i])]
    if missing:
        computed = _compute_layers(model, [docs[i] for i in missing], is_train)
        if computed is not None:
            for i, layers in zip(missing, computed.split()):
                found[i] = layers
        elif is_train:
            raise ValueError(MISSING)
        elif any(layers is not None for layers in found):
            raise ValueError(
                f"Only {len(docs) - len(missing)} of {len(docs)} Docs have ELMo layers. Run 'elmo' "
                f"over all of them, with store_layers = true."
            )
        else:
            return None
    ops = model.ops
    arrays = [ops.asarray3f(layers) for layers in found if layers is not None]
    joined = join_docs(ops.xp, arrays, axis=1) if arrays else ops.alloc3f(n_layers, 0, width)
    return LayerBatch(joined, [len(doc) for doc in docs])


def _compute_layers(model: Tok2Vec, docs: Sequence[Doc], is_train: bool) -> LayerBatch | None:
    """Compute the layers of Docs with the upstream component.

    model (Model[List[Doc], List[Floats2d]]): The listener.
    docs (Sequence[Doc]): The Docs.
    is_train (bool): Whether this is a forward pass in training.
    RETURNS (Optional[LayerBatch]): The layers; None if there is no upstream component, or if it
        has no weights.
    RAISES (ValueError): In training, if the biLM is not frozen and its gradient would be lost.
    """
    elmo = model.upstream() if isinstance(model, ElmoListener) else None
    if elmo is None or not elmo.loaded:
        return None
    pending = cast(ElmoListener, model).pending
    if is_train and not elmo.frozen:
        raise ValueError(MISSING if pending is None else OTHER_DOCS.format(name=elmo.name))
    if not is_train and pending is not None and pending.version == elmo.weights_version:
        # for a component in annotating_components while 'elmo' is not in it
        where = pending.find(docs)
        if where is not None:
            return pending.read(where)
    return elmo.predict(docs)


def _no_backprop(d_mixed: list[Floats2d]) -> list[Doc]:
    return []
