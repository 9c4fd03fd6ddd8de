"""The encoder: a thinc model that runs the biLM over Docs and returns all its layers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from spacy.tokens import Doc
from thinc.api import CupyOps, Model, Ops, torch2xp, xp2torch
from thinc.types import Floats3d

from ..bilm.bilm import BiLM
from ..runtime.torch_scope import gradients_enabled, own_training_settings
from ..text.segments import SegmentedDocs, Segmenter, segment_docs
from ..weights import load_bilm
from .bilm_shim import BiLMShim
from .layer_batch import BiLMLoader, LayerBatch
from .node_digest import DIGEST, DigestShim, NodeDigest

Encoder = Model[list[Doc], LayerBatch]


@dataclass(frozen=True)
class EncoderSettings:
    """Settings of the biLM's forward pass. They are read from the config and not saved with the
    weights.

    segmenter (Callable[[Doc], Ints1d]): Returns the tokens at which the biLM's segments start.
    start_state (str): State at the start of each segment, "warm" or "zero".
    precision (str): "float32", "bfloat16" or "int8".
    batch_tokens (int): Maximum number of tokens in a batch of the biLM.
    """

    segmenter: Segmenter
    start_state: str
    precision: str
    batch_tokens: int


def BiLMEncoder(
    width: int, depth: int, settings: EncoderSettings, device: str | None = None
) -> Encoder:
    """Construct an encoder without weights, which are loaded later.

    width (int): Width of the layers.
    depth (int): Number of LSTM layers. The encoder also returns the token layer.
    settings (EncoderSettings): Settings of the forward pass.
    device (Optional[str]): Device of the biLM, e.g. "cuda:0". None: the device of the pipeline.
    RETURNS (Model[List[Doc], LayerBatch]): The encoder.
    """
    return Model(
        "bilm",
        forward,
        dims={"nO": width},
        shims=[BiLMShim(device), DigestShim("settings of the biLM")],
        attrs={"depth": depth, "settings": settings, DIGEST: NodeDigest()},
    )


def shim_of(model: Encoder) -> BiLMShim:
    """RETURNS (BiLMShim): The shim that holds the biLM."""
    return cast(BiLMShim, model.shims[0])


def settings_of(model: Encoder) -> EncoderSettings:
    """RETURNS (EncoderSettings): The settings of the forward pass."""
    return cast(EncoderSettings, model.attrs["settings"])


def n_layers_of(model: Encoder) -> int:
    """RETURNS (int): Number of layers that the encoder returns, the token layer included."""
    return int(model.attrs["depth"]) + 1


def check_trainable(model: Encoder, frozen: bool, name: str) -> None:
    """Check that the weights can be trained if they are not frozen.

    model (Model[List[Doc], LayerBatch]): The encoder.
    frozen (bool): Whether the weights stay fixed in training.
    name (str): Name of the component or architecture, for the error message.
    RAISES (ValueError): If the weights are not frozen and the precision is int8.
    """
    if not frozen and settings_of(model).precision == "int8":
        raise ValueError(
            f'{name} has frozen = false and precision = "int8", for which gradients cannot be '
            f'computed. Set frozen = true, or set precision to "float32" or "bfloat16".'
        )


def load_from(model: Encoder, loader: BiLMLoader | None) -> None:
    """Load the weights of an encoder.

    model (Model[List[Doc], LayerBatch]): The encoder.
    loader (Optional[Callable[[], BiLM]]): Returns the biLM; the packaged biLM if None.
    RAISES (ValueError): If the biLM has other sizes than the config of the encoder.
    """
    if loader is None:
        load_weights(model, load_bilm(), "The packaged biLM")
        return
    with own_training_settings():
        bilm = loader()
    load_weights(model, bilm, str(loader))


def load_weights(model: Encoder, bilm: BiLM, source: str) -> None:
    """Set the biLM of an encoder.

    model (Model[List[Doc], LayerBatch]): The encoder.
    bilm (BiLM): The biLM.
    source (str): Where the biLM comes from, for the error message.
    RAISES (ValueError): If the biLM has other sizes than the config of the encoder.
    """
    width, depth = model.get_dim("nO"), model.attrs["depth"]
    found = bilm.options
    if (found.width, found.n_layers) != (width, depth):
        raise ValueError(
            f"{source} has width {found.width} and depth {found.n_layers}, but the config of the "
            f"biLM says width = {width} and depth = {depth}. Set width = {found.width} and "
            f"depth = {found.n_layers} in the block of spacy-elmo.BiLM.v1."
        )
    shim_of(model).set_module(bilm, model.ops)


def forward(
    model: Encoder, docs: Sequence[Doc], is_train: bool
) -> tuple[LayerBatch, Callable[[LayerBatch], list[Doc]]]:
    shim, settings = shim_of(model), settings_of(model)
    shim.apply_frozen()
    if docs:
        shim.check_language(docs[0].vocab.lang)
    needs_gradient = is_train and not shim.frozen
    segmented = segment_docs(docs, settings.segmenter)
    with gradients_enabled(needs_gradient):
        words = shim.module(
            segmented.batch,
            start_state=settings.start_state,
            precision=settings.precision,
            max_tokens=settings.batch_tokens,
        )
    layers = _to_tokens(model.ops, words, segmented)
    batch = LayerBatch(layers, segmented.lengths)
    if not needs_gradient:
        return batch, _no_backprop
    batch.d_layers = model.ops.alloc3f(*layers.shape)

    def backprop(output: LayerBatch) -> list[Doc]:
        assert output.d_layers is not None
        if words.requires_grad:
            d_layers: Any = output.d_layers
            d_words = d_layers[:, segmented.rows]
            with own_training_settings():
                torch.autograd.backward(words, xp2torch(d_words, device=words.device))
        return []

    return batch, backprop


def _to_tokens(ops: Ops, words: torch.Tensor, segmented: SegmentedDocs) -> Floats3d:
    """Convert the biLM's output to an array, with zeros for whitespace tokens.

    ops (Ops): Ops of the array.
    words (Tensor): Layers of the words [n_layers, n_words, width].
    segmented (SegmentedDocs): The positions of the words among all tokens.
    RETURNS (Floats3d): [n_layers, n_tokens, width].
    """
    on_gpu = isinstance(ops, CupyOps) and words.is_cuda
    array: Any = torch2xp(words.detach() if on_gpu else words.detach().cpu())
    values = ops.asarray3f(array)
    n_tokens = sum(segmented.lengths)
    if len(segmented.rows) == n_tokens:
        return values
    n_layers, _, width = words.shape
    layers: Any = ops.alloc3f(n_layers, n_tokens, width)
    layers[:, segmented.rows] = values
    return cast(Floats3d, layers)


def _no_backprop(output: LayerBatch) -> list[Doc]:
    return []
