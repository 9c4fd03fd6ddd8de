"""Encoder and mix in one model, without an upstream component.

One builder serves a config that asks for it and the replacement of a listener, so
that both have the same nodes and a replaced listener can be saved and loaded.
"""

from typing import Any, cast

from spacy.tokens import Doc
from thinc.api import Model, chain

from .encoder import Encoder, check_trainable, load_from, n_layers_of, shim_of
from .layer_batch import BiLMLoader, Floats2d, LayerBatch
from .scalar_mix import ScalarMix

Mix = Model[LayerBatch, list[Floats2d]]
MIX_SETTINGS = ("top_only", "weights", "dropout", "layer_norm", "l2")
LISTENER = "spacy-elmo.ElmoListener.v1"
STANDALONE = "spacy-elmo.Tok2VecElmo.v1"


def Standalone(
    encoder: Encoder, mix: Mix, frozen: bool, loader: BiLMLoader | None = None
) -> Model[list[Doc], list[Floats2d]]:
    """Chain an encoder and a mix.

    encoder (Model[List[Doc], LayerBatch]): The encoder.
    mix (Model[LayerBatch, List[Floats2d]]): The mix.
    frozen (bool): Whether the biLM keeps its weights.
    loader (Optional[Callable[[], BiLM]]): Where the weights come from when the model
        is initialized; the packaged model if None.
    RETURNS (Model[List[Doc], List[Floats2d]]): The model.
    """
    check_trainable(encoder, frozen, f"A biLM in {STANDALONE}")
    shim_of(encoder).frozen = frozen
    encoder.attrs["loader"] = loader
    encoder.init = init_encoder
    model: Model[list[Doc], list[Floats2d]] = chain(encoder, mix)
    model.set_dim("nO", encoder.get_dim("nO"))
    return model


def init_encoder(model: Encoder, X: list[Doc] | None = None, Y: Any = None) -> None:
    """Load the weights, unless there are some and no loader was named."""
    loader = model.attrs.get("loader")
    if loader is not None or not shim_of(model).loaded:
        load_from(model, loader)


def replace_listener(encoder: Encoder, listener: Any, component: Any) -> Model:
    """spaCy's hook: what stands in a listener's place, with the listener's own mix.

    encoder (Model[List[Doc], LayerBatch]): A copy of the upstream model.
    listener (ElmoListener): The listener that goes.
    component (Elmo): The upstream component.
    RETURNS (Model[List[Doc], List[Floats2d]]): The model.
    """
    return Standalone(encoder, listener.mix.copy(), component.frozen)


def replace_listener_cfg(
    encoder_cfg: dict[str, Any], listener_cfg: dict[str, Any], *, frozen: bool = True
) -> dict[str, Any]:
    """spaCy's hook: the config block of what `replace_listener` makes.

    encoder_cfg (Dict[str, Any]): The upstream component's model block.
    listener_cfg (Dict[str, Any]): The `model.tok2vec` block of the component that
        listens: the listener's own, or one that holds it at some depth.
    frozen (bool): Whether the upstream component is frozen, which it binds itself.
    RETURNS (Dict[str, Any]): The block.
    """
    found = _find_listener(listener_cfg) or {}
    settings = {name: found[name] for name in MIX_SETTINGS if name in found}
    block = {"@architectures": STANDALONE, "elmo": dict(encoder_cfg), "frozen": frozen}
    return {**block, **settings}


def _find_listener(block: Any) -> dict[str, Any] | None:
    if not isinstance(block, dict):
        return None
    if block.get("@architectures") == LISTENER:
        return cast(dict[str, Any], block)
    return next(filter(None, map(_find_listener, block.values())), None)


def mix_for(encoder: Encoder, **settings: Any) -> Mix:
    """RETURNS (Model[LayerBatch, List[Floats2d]]): A mix that fits an encoder."""
    return ScalarMix(encoder.get_dim("nO"), n_layers_of(encoder), **settings)
