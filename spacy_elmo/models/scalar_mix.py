"""The learnable mix of a biLM's layers, as a native thinc layer.

Native, because its parameters then take part in averages, have keys of their own in
the optimizer and need no round trip through torch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from thinc.api import Model, Ops, get_array_module

from .chunked import blocks, no_backprop
from .layer_batch import Floats1d, Floats2d, Floats3d, LayerBatch, split_rows
from .node_digest import DIGEST, DigestShim, NodeDigest

NORM_EPSILON = 1e-12


@dataclass(frozen=True)
class MixSettings:
    """The settings of a mix. An object that thinc cannot save, so that the config and not
    the saved model decides; and not in the attribute `dropout_rate`, which the
    training's own dropout would overwrite."""

    n_layers: int
    weights: tuple[float, ...] | None
    dropout: float
    layer_norm: bool
    l2: float


def settings_of(model: Model[LayerBatch, list[Floats2d]]) -> MixSettings:
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
) -> Model[LayerBatch, list[Floats2d]]:
    """Mix layers: gamma * sum_k softmax(w)_k * layer_k (Peters et al. 2018, eq. 1).

    width (int): Width of the layers.
    n_layers (int): Number of layers, the token layer included.
    top_only (bool): Use gamma * top layer; there is no w then.
    weights (Optional[Sequence[float]]): Fixed w, before the softmax; neither w nor
        gamma is learned then. A very low value such as -9e10 switches a layer off.
    dropout (float): Rate of the dropout on the mixed vectors, in training. It is not
        changed by the training's own dropout setting.
    layer_norm (bool): Bring each layer of each token to mean 0 and variance 1 first.
    l2 (float): Strength of l2 * sum(w ** 2), the pull of w towards an equal mix.
    RETURNS (Model[LayerBatch, List[Floats2d]]): The layer; it adds the gradients of
        its input to `LayerBatch.d_layers` if that is there.
    """
    if weights is not None and len(weights) != n_layers:
        raise ValueError(
            f"'weights' holds {len(weights)} numbers, but the biLM reports {n_layers} layers, the "
            f"token layer included. Give one number for each."
        )
    if not 0.0 <= dropout < 1.0:
        raise ValueError(
            f"'dropout' of a listener is {dropout}; it must be at least 0 and below 1."
        )
    if weights is not None and top_only:
        raise ValueError("'weights' and 'top_only' exclude each other: give one of them.")
    params: dict[str, Floats1d | None] = {}
    if weights is None:
        params = {"gamma": None} if top_only else {"w": None, "gamma": None}
    model: Model[LayerBatch, list[Floats2d]] = Model(
        "scalar_mix",
        forward,
        init=init,
        params=params,
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


def init(
    model: Model[LayerBatch, list[Floats2d]],
    X: LayerBatch | None = None,
    Y: list[Floats2d] | None = None,
) -> None:
    """Start from an equal mix."""
    if "w" in model.param_names:
        model.set_param("w", model.ops.alloc1f(settings_of(model).n_layers))
    if "gamma" in model.param_names:
        # of shape (1,): the optimizer cannot handle parameters without a dimension
        model.set_param("gamma", model.ops.alloc1f(1) + 1)


def is_trained(model: Model[LayerBatch, list[Floats2d]]) -> bool:
    """RETURNS (bool): Whether the parameters, if any, are no longer those of `init`."""
    initial = {"w": 0.0, "gamma": 1.0}
    return any(bool((model.get_param(p) != initial[p]).any()) for p in model.param_names)


def mix_weights(model: Model[LayerBatch, list[Floats2d]]) -> tuple[Floats1d, float]:
    """RETURNS (Tuple[Floats1d, float]): The weight of each layer, summing to 1, and gamma."""
    xp, settings = model.ops.xp, settings_of(model)
    gamma = float(model.get_param("gamma")[0]) if "gamma" in model.param_names else 1.0
    if settings.weights is not None:
        return _softmax(xp, xp.asarray(settings.weights, dtype="f")), gamma
    if "w" in model.param_names:
        return _softmax(xp, model.get_param("w")), gamma
    return xp.eye(settings.n_layers, dtype="f")[-1], gamma


def mix_layers(layers: Floats3d, weights: Floats1d, gamma: float) -> Floats2d:
    """The weighted sum alone.

    layers (Floats3d): [n_layers, n_tokens, width].
    weights (Floats1d): [n_layers].
    gamma (float): The scale.
    RETURNS (Floats2d): [n_tokens, width].
    """
    n_layers, n_tokens, width = layers.shape
    flat = layers.reshape(n_layers, n_tokens * width)
    mixed: Floats2d = (gamma * weights @ flat).reshape(n_tokens, width)
    return mixed


def forward(
    model: Model[LayerBatch, list[Floats2d]], X: LayerBatch, is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], LayerBatch]]:
    xp, settings = model.ops.xp, settings_of(model)
    n_layers, n_tokens, width = X.layers.shape
    s, gamma = mix_weights(model)
    if not is_train:
        mix = _mix_normalized if settings.layer_norm else mix_layers
        return split_rows(mix(X.layers, s, gamma), X.lengths), no_backprop
    layers, deviation = X.layers, None
    if settings.layer_norm:
        layers, deviation = _normalize(xp, layers)
    mixed = mix_layers(layers, s, gamma)
    mask: Floats2d | None = None
    if settings.dropout:
        mask = model.ops.get_dropout_mask(mixed.shape, settings.dropout)
        mixed = mixed * mask

    def backprop(d_parts: list[Floats2d]) -> LayerBatch:
        d_mixed = xp.concatenate(d_parts) if d_parts else xp.zeros((0, width), dtype="f")
        if mask is not None:
            d_mixed = d_mixed * mask
        # with a_k = <d_mixed, layer_k>: d gamma = sum_k s_k a_k,
        # d w_k = gamma s_k (a_k - sum_j s_j a_j), d layer_k = gamma s_k d_mixed
        a = layers.reshape(n_layers, n_tokens * width) @ d_mixed.ravel()
        mean = (s * a).sum()
        if "w" in model.param_names:
            w = model.get_param("w")
            model.inc_grad("w", gamma * s * (a - mean) + 2 * settings.l2 * w)
        if "gamma" in model.param_names:
            model.inc_grad("gamma", mean.reshape(1))
        if X.d_layers is not None:
            for k in range(n_layers):
                d_layer = (gamma * s[k]) * d_mixed
                if deviation is not None:
                    d_layer = _normalize_backward(xp, d_layer, layers[k], deviation[k])
                X.d_layers[k] += d_layer
        return X

    return split_rows(mixed, X.lengths), backprop


def _softmax(xp, w: Floats1d) -> Floats1d:  # type: ignore[no-untyped-def]
    exp = xp.exp(w - w.max())
    return exp / exp.sum()


def _mix_normalized(layers: Floats3d, weights: Floats1d, gamma: float) -> Floats2d:
    """As `mix_layers`, of normalized layers, which are never there for all tokens."""
    xp = get_array_module(layers)
    mixed: Floats2d = xp.empty(layers.shape[1:], dtype="f")
    for rows in blocks(len(mixed)):
        normalized, _ = _normalize(xp, layers[:, rows])
        mixed[rows] = mix_layers(normalized, weights, gamma)
    return mixed


def _normalize(xp, layers: Floats3d) -> tuple[Floats3d, Floats3d]:  # type: ignore[no-untyped-def]
    """Each token's vector to mean 0 and variance 1, and the deviations it had.

    The original takes one mean and variance over the whole batch; a token's vector
    would then depend on the other tokens of its batch.
    """
    centred = layers - layers.mean(axis=2, keepdims=True)
    deviation = xp.sqrt((centred * centred).mean(axis=2, keepdims=True) + NORM_EPSILON)
    return centred / deviation, deviation


def _normalize_backward(  # type: ignore[no-untyped-def]
    xp, d_y: Floats2d, y: Floats2d, deviation: Floats2d
) -> Floats2d:
    d_mean = d_y.mean(axis=1, keepdims=True)
    d_scale = (d_y * y).mean(axis=1, keepdims=True)
    d_x = (d_y - d_mean - y * d_scale) / deviation
    # rows of zeros, as of whitespace tokens, are not vectors that could be scaled
    return xp.where(deviation > 2 * NORM_EPSILON**0.5, d_x, 0.0)


def fixed_mix(ops: Ops, n_layers: int, weights: Sequence[float] | None = None) -> Floats1d:
    """RETURNS (Floats1d): The softmax of fixed weights, of equal ones if None."""
    return _softmax(ops.xp, ops.asarray1f(weights or [0.0] * n_layers))
