"""The learned mix of a biLM's layers.

The mix is a native thinc layer. Its parameters are averaged and optimized like the parameters of
other thinc layers, without conversion to torch and back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from thinc.api import Model, Ops
from thinc.types import Floats1d, Floats2d, Floats3d

from .chunked import no_backprop, row_chunks
from .layer_batch import LayerBatch, split_docs
from .node_digest import DIGEST, DigestShim, NodeDigest

NORM_EPSILON = 1e-12

MixLayer = Model[LayerBatch, list[Floats2d]]


@dataclass(frozen=True)
class MixSettings:
    """The settings of a mix.

    thinc does not save attributes of this type, so the settings come from the config and not from
    the saved model. The dropout rate is stored here and not in the attribute `dropout_rate`, which
    `training.dropout` would overwrite.
    """

    n_layers: int
    weights: tuple[float, ...] | None
    dropout: float
    layer_norm: bool
    l2: float


def settings_of(model: MixLayer) -> MixSettings:
    """RETURNS (MixSettings): The settings of a mix."""
    return cast(MixSettings, model.attrs["settings"])


def ScalarMix(
    width: int,
    n_layers: int,
    *,
    top_only: bool = False,
    weights: Sequence[float] | None = None,
    dropout: float = 0.0,
    layer_norm: bool = False,
    l2: float = 0.0,
) -> MixLayer:
    """Construct a layer that mixes the biLM's layers: gamma * sum_k softmax(w)_k * layer_k.

    width (int): Width of the layers.
    n_layers (int): Number of layers, the token layer included.
    top_only (bool): Whether to return gamma * top layer. The mix then has no w.
    weights (Optional[Sequence[float]]): Fixed w, before the softmax. The mix then has no
        parameters. A very low value such as -9e10 excludes a layer.
    dropout (float): Dropout rate of the mixed vectors in training. `training.dropout` has no effect
        on it.
    layer_norm (bool): Whether to normalize each layer of each token to mean 0 and variance 1
        before the mix.
    l2 (float): Strength of the L2 penalty l2 * sum(w ** 2), which pulls w towards equal weights.
    RETURNS (Model[LayerBatch, List[Floats2d]]): The layer. Its backward pass adds the gradient of
        its input to `LayerBatch.d_layers`, unless that is None.
    RAISES (ValueError): If `weights` has another length than `n_layers` or is given together with
        `top_only`, or if `dropout` is not in [0, 1).
    REFERENCE: Peters et al. 2018, "Deep contextualized word representations", equation 1.
    """
    if weights is not None and len(weights) != n_layers:
        raise ValueError(
            f"'weights' holds {len(weights)} numbers, but the biLM returns {n_layers} layers, the "
            f"token layer included. Give one number for each layer."
        )
    if not 0.0 <= dropout < 1.0:
        raise ValueError(
            f"'dropout' of a listener is {dropout}; it must be at least 0 and below 1."
        )
    if weights is not None and top_only:
        raise ValueError("'weights' and 'top_only' are mutually exclusive: give only one of them.")
    params: dict[str, Floats1d | None] = {}
    if weights is None:
        params = {"gamma": None} if top_only else {"w": None, "gamma": None}
    model: MixLayer = Model(
        "scalar_mix",
        forward,
        init=init,
        params=cast(Any, params),
        dims={"nO": width},
        attrs={
            "settings": MixSettings(
                n_layers=n_layers,
                weights=None if weights is None else tuple(float(weight) for weight in weights),
                dropout=dropout,
                layer_norm=layer_norm,
                l2=l2,
            ),
            DIGEST: NodeDigest(),
        },
        shims=[DigestShim("mix of a biLM's layers")],
    )
    init(model)
    return model


def init(model: MixLayer, X: LayerBatch | None = None, Y: list[Floats2d] | None = None) -> None:
    """Set w to equal weights and gamma to 1."""
    if "w" in model.param_names:
        model.set_param("w", model.ops.alloc1f(settings_of(model).n_layers))
    if "gamma" in model.param_names:
        # of shape (1,): thinc's optimizer cannot handle a parameter of shape ()
        model.set_param("gamma", model.ops.alloc1f(1) + 1)


def forward(
    model: MixLayer, X: LayerBatch, is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], LayerBatch]]:
    xp, settings = model.ops.xp, settings_of(model)
    n_layers, n_tokens, width = X.layers.shape
    s, gamma = mix_weights(model)
    if not is_train:
        if settings.layer_norm:
            return split_docs(_mix_normalized(xp, X.layers, s, gamma), X.lengths), no_backprop
        return split_docs(mix_layers(X.layers, s, gamma), X.lengths), no_backprop
    layers: Any = X.layers
    deviation: Any = None
    if settings.layer_norm:
        layers, deviation = _normalize(xp, layers)
    mixed: Any = mix_layers(layers, s, gamma)
    mask: Any = None
    if settings.dropout:
        mask = model.ops.get_dropout_mask(mixed.shape, settings.dropout)
        mixed = mixed * mask

    def backprop(d_output: list[Floats2d]) -> LayerBatch:
        d_mixed = xp.concatenate(d_output) if d_output else xp.zeros((0, width), dtype="f")
        if mask is not None:
            d_mixed = d_mixed * mask
        # with a_k = <d_mixed, layer_k>: d gamma = sum_k s_k a_k,
        # d w_k = gamma s_k (a_k - sum_j s_j a_j), d layer_k = gamma s_k d_mixed
        a = layers.reshape(n_layers, n_tokens * width) @ d_mixed.ravel()
        mean = (s * a).sum()
        if "w" in model.param_names:
            w: Any = model.get_param("w")
            model.inc_grad("w", gamma * s * (a - mean) + 2 * settings.l2 * w)
        if "gamma" in model.param_names:
            model.inc_grad("gamma", mean.reshape(1))
        if X.d_layers is not None:
            d_layers: Any = X.d_layers
            for k in range(n_layers):
                d_layer = (gamma * s[k]) * d_mixed
                if deviation is not None:
                    d_layer = _normalize_backward(xp, d_layer, layers[k], deviation[k])
                d_layers[k] += d_layer
        return X

    return split_docs(mixed, X.lengths), backprop


def is_trained(model: MixLayer) -> bool:
    """RETURNS (bool): Whether any parameter differs from its initial value."""
    initial = {"w": 0.0, "gamma": 1.0}
    params: dict[str, Any] = {name: model.get_param(name) for name in model.param_names}
    return any(bool((value != initial[name]).any()) for name, value in params.items())


def mix_weights(model: MixLayer) -> tuple[Any, float]:
    """RETURNS (Tuple[Floats1d, float]): The weight of each layer after the softmax [n_layers], and
    gamma."""
    xp, settings = model.ops.xp, settings_of(model)
    gamma = 1.0
    if "gamma" in model.param_names:
        param: Any = model.get_param("gamma")
        gamma = float(param[0])
    if settings.weights is not None:
        return _softmax(xp, xp.asarray(settings.weights, dtype="f")), gamma
    if "w" in model.param_names:
        return _softmax(xp, model.get_param("w")), gamma
    return xp.eye(settings.n_layers, dtype="f")[-1], gamma


def fixed_mix(ops: Ops, n_layers: int, weights: Sequence[float] | None = None) -> Floats1d:
    """Return the softmax of fixed weights.

    ops (Ops): Ops of the array.
    n_layers (int): Number of layers.
    weights (Optional[Sequence[float]]): The weights before the softmax; equal weights if None.
    RETURNS (Floats1d): [n_layers].
    """
    found: Floats1d = _softmax(ops.xp, ops.asarray1f(weights or [0.0] * n_layers))
    return found


def mix_layers(layers: Floats3d, weights: Floats1d, gamma: float) -> Floats2d:
    """Return the weighted sum of layers.

    layers (Floats3d): [n_layers, n_tokens, width].
    weights (Floats1d): [n_layers].
    gamma (float): Scale of the sum.
    RETURNS (Floats2d): [n_tokens, width].
    """
    n_layers, n_tokens, width = layers.shape
    flat: Any = layers.reshape((n_layers, n_tokens * width))
    scaled: Any = gamma * weights
    mixed: Floats2d = (scaled @ flat).reshape((n_tokens, width))
    return mixed


def _softmax(xp: Any, w: Any) -> Any:
    exp = xp.exp(w - w.max())
    return exp / exp.sum()


def _mix_normalized(xp: Any, layers: Floats3d, weights: Floats1d, gamma: float) -> Floats2d:
    """Normalize and mix layers, in chunks of tokens to bound memory; see `mix_layers`."""
    mixed: Floats2d = xp.empty(layers.shape[1:], dtype="f")
    for rows in row_chunks(len(mixed)):
        normalized, _ = _normalize(xp, layers[:, rows])
        mixed[rows] = mix_layers(normalized, weights, gamma)
    return mixed


def _normalize(xp: Any, layers: Any) -> tuple[Any, Any]:
    """Normalize each layer of each token to mean 0 and variance 1.

    The original implementation computes one mean and variance over the whole batch, so that the
    vector of a token depends on the other tokens of its batch.

    layers (Floats3d): [n_layers, n_tokens, width].
    RETURNS (Tuple[Floats3d, Floats3d]): The normalized layers, and the standard deviations
        [n_layers, n_tokens, 1].
    """
    centred = layers - layers.mean(axis=2, keepdims=True)
    deviation = xp.sqrt((centred * centred).mean(axis=2, keepdims=True) + NORM_EPSILON)
    return centred / deviation, deviation


def _normalize_backward(xp: Any, d_y: Any, y: Any, deviation: Any) -> Any:
    """Backward pass of `_normalize` for one layer.

    d_y, y (Floats2d): Gradient of the normalized vectors, and the normalized vectors
        [n_tokens, width].
    deviation (Floats2d): Standard deviations [n_tokens, 1].
    RETURNS (Floats2d): Gradient of the vectors [n_tokens, width].
    """
    d_mean = d_y.mean(axis=1, keepdims=True)
    d_scale = (d_y * y).mean(axis=1, keepdims=True)
    d_x = (d_y - d_mean - y * d_scale) / deviation
    # zero vectors, e.g. of whitespace tokens, get no gradient: their deviation is close to 0
    return xp.where(deviation > 2 * NORM_EPSILON**0.5, d_x, 0.0)
