"""An encoder and a mix as one model, which needs no `elmo` component.

One function builds the model, both for a config that names the architecture and for a replaced
listener. The two models therefore have the same layers, and a pipeline with a replaced listener can
be loaded.
"""

from typing import Any, cast

from spacy.tokens import Doc
from thinc.api import Model, chain

from .encoder import Encoder, check_trainable, load_from, n_layers_of, shim_of
from .layer_batch import BiLMLoader
from .scalar_mix import MixLayer, ScalarMix
from .token_reader import Tok2Vec

MIX_SETTINGS = ("top_only", "weights", "dropout", "layer_norm", "l2")
ELMO_LISTENER = "spacy-elmo.ElmoListener.v1"
TOK2VEC_ELMO = "spacy-elmo.Tok2VecElmo.v1"


def Tok2VecElmo(
    encoder: Encoder, mix: MixLayer, frozen: bool, loader: BiLMLoader | None = None
) -> Tok2Vec:
    """Chain an encoder and a mix.

    encoder (Model[List[Doc], LayerBatch]): The encoder.
    mix (Model[LayerBatch, List[Floats2d]]): The mix.
    frozen (bool): Whether the weights of the biLM stay fixed in training.
    loader (Optional[Callable[[], BiLM]]): Returns the biLM when the model is initialized; the
        packaged biLM if None.
    RETURNS (Model[List[Doc], List[Floats2d]]): The model.
    RAISES (ValueError): If the biLM is not frozen and runs in int8.
    """
    check_trainable(encoder, frozen, f"A biLM in {TOK2VEC_ELMO}")
    shim_of(encoder).frozen = frozen
    encoder.attrs["loader"] = loader
    encoder.init = init_encoder
    model: Tok2Vec = chain(encoder, mix)
    model.set_dim("nO", encoder.get_dim("nO"))
    return model


def init_encoder(model: Encoder, X: list[Doc] | None = None, Y: Any = None) -> None:
    """Load the weights with the loader of the config. Without a loader, load the packaged weights
    unless the encoder already has weights."""
    loader = model.attrs.get("loader")
    if loader is not None or not shim_of(model).loaded:
        load_from(model, loader)


def make_mix(encoder: Encoder, **settings: Any) -> MixLayer:
    """Construct a mix with the sizes of an encoder.

    encoder (Model[List[Doc], LayerBatch]): The encoder.
    **settings: Settings of `ScalarMix`.
    RETURNS (Model[LayerBatch, List[Floats2d]]): The mix.
    """
    return ScalarMix(encoder.get_dim("nO"), n_layers_of(encoder), **settings)


def replace_listener(encoder: Encoder, listener: Any, component: Any) -> Model[Any, Any]:
    """Build the model that replaces a listener, with the listener's mix. spaCy calls this in
    `nlp.replace_listeners`.

    encoder (Model[List[Doc], LayerBatch]): A copy of the upstream component's model.
    listener (ElmoListener): The listener.
    component (Elmo): The upstream component.
    RETURNS (Model[List[Doc], List[Floats2d]]): The model.
    """
    return Tok2VecElmo(encoder, listener.mix.copy(), component.frozen)


def replace_listener_cfg(
    encoder_cfg: dict[str, Any], listener_cfg: dict[str, Any], *, frozen: bool = True
) -> dict[str, Any]:
    """Return the config block of the model that `replace_listener` builds. spaCy calls this in
    `nlp.replace_listeners`.

    encoder_cfg (Dict[str, Any]): The model block of the upstream component.
    listener_cfg (Dict[str, Any]): The `model.tok2vec` block of the listening component: the block
        of the listener, or a block that contains it at any depth.
    frozen (bool): Whether the upstream component is frozen. The component sets this argument.
    RETURNS (Dict[str, Any]): The block.
    """
    found = _find_listener(listener_cfg) or {}
    settings = {name: found[name] for name in MIX_SETTINGS if name in found}
    block = {"@architectures": TOK2VEC_ELMO, "elmo": dict(encoder_cfg), "frozen": frozen}
    return {**block, **settings}


def _find_listener(block: Any) -> dict[str, Any] | None:
    if not isinstance(block, dict):
        return None
    if block.get("@architectures") == ELMO_LISTENER:
        return cast(dict[str, Any], block)
    return next(filter(None, map(_find_listener, block.values())), None)
