"""Docs in, all layers out: the thinc model around the biLM.

Owns the way from Docs to the biLM and its output back to arrays of the right kind.
It does not mix layers and does not write to Docs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from spacy.tokens import Doc
from thinc.api import CupyOps, Model, Ops, torch2xp, xp2torch

from ..bilm.bilm import BiLM
from ..runtime.torch_scope import gradients_enabled, own_training_settings
from ..text.segments import SegmentedDocs, Segmenter, segment_docs
from ..weights import load_bilm
from .bilm_shim import BiLMShim
from .layer_batch import BiLMLoader, Floats3d, LayerBatch
from .node_digest import DIGEST, DigestShim, NodeDigest

Encoder = Model[list[Doc], LayerBatch]


@dataclass(frozen=True)
class Settings:
    """How the biLM is run. Not a part of its weights: the config always decides."""

    segmenter: Segmenter
    start_state: str
    precision: str
    batch_tokens: int


def BiLMEncoder(width: int, depth: int, settings: Settings, device: str | None = None) -> Encoder:
    """A thinc model without weights, which are loaded later.

    width (int): Width of the layers.
    depth (int): LSTM layers; one more is reported, the token layer.
    settings (Settings): How to run the biLM.
    device (Optional[str]): Where, e.g. "cuda:0"; None for where the rest runs.
    RETURNS (Model[List[Doc], LayerBatch]): The model.
    """
    return Model(
        "bilm",
        forward,
        dims={"nO": width},
        shims=[BiLMShim(device), DigestShim("settings of the biLM")],
        attrs={"depth": depth, "settings": settings, DIGEST: NodeDigest()},
    )


def shim_of(model: Encoder) -> BiLMShim:
    return cast(BiLMShim, model.shims[0])


def n_layers_of(model: Encoder) -> int:
    """RETURNS (int): Layers that the encoder reports."""
    return int(model.attrs["depth"]) + 1


def check_trainable(model: Encoder, frozen: bool, name: str) -> None:
    """Raise an error if weights that are to be trained are run in int8."""
    settings: Settings = model.attrs["settings"]
    if not frozen and settings.precision == "int8":
        raise ValueError(
            f'{name} has frozen = false and precision = "int8", in which there are no gradients. '
            f"Set frozen = true, or precision to float32 or bfloat16."
        )


def load_from(model: Encoder, loader: BiLMLoader | None) -> None:
    """Put the biLM into the encoder that a loader gives, or the packaged one if None."""
    if loader is None:
        load_weights(model, load_bilm(), "The packaged biLM")
    else:
        load_weights(model, loader(), str(loader))


def load_weights(model: Encoder, bilm: BiLM, source: str) -> None:
    """Put a biLM into the encoder if it has the sizes that the config states.

    model (Model[List[Doc], LayerBatch]): The encoder.
    bilm (BiLM): The biLM.
    source (str): Where it comes from, for the error message.
    """
    width, depth = model.get_dim("nO"), model.attrs["depth"]
    found = bilm.options
    if (found.width, found.n_layers) != (width, depth):
        raise ValueError(
            f"{source} has width {found.width} and depth {found.n_layers}, but the config of the "
            f"biLM says width = {width} and depth = {depth}. Set width = {found.width} and "
            f"depth = {found.n_layers} in the block of spacy-elmo.BiLM.v1."
        )
    shim_of(model).set_bilm(bilm, model.ops)


def forward(
    model: Encoder, docs: Sequence[Doc], is_train: bool
) -> tuple[LayerBatch, Callable[[LayerBatch], list[Doc]]]:
    shim, settings = shim_of(model), cast(Settings, model.attrs["settings"])
    shim.apply_frozen()
    if docs:
        shim.check_language(docs[0].vocab.lang)
    wants_gradient = is_train and not shim.frozen
    segmented = segment_docs(docs, settings.segmenter)
    with gradients_enabled(wants_gradient):
        words = shim.bilm(
            segmented.batch,
            start_state=settings.start_state,
            precision=settings.precision,
            max_tokens=settings.batch_tokens,
        )
    layers = _to_tokens(model.ops, words, segmented)
    batch = LayerBatch(layers, segmented.lengths)
    if not wants_gradient:
        return batch, _no_backprop
    batch.d_layers = model.ops.alloc3f(*layers.shape)

    def backprop(output: LayerBatch) -> list[Doc]:
        assert output.d_layers is not None
        if words.requires_grad:
            d_words = output.d_layers[:, segmented.rows]
            with own_training_settings():
                torch.autograd.backward(words, xp2torch(d_words, device=words.device))
        return []

    return batch, backprop


def _to_tokens(ops: Ops, words: torch.Tensor, segmented: SegmentedDocs) -> Floats3d:
    """Rows of words to rows of tokens: zeros where a token is whitespace."""
    on_gpu = isinstance(ops, CupyOps) and words.is_cuda
    values: Floats3d = torch2xp(words.detach() if on_gpu else words.detach().cpu())
    values = ops.asarray3f(values)
    n_tokens = sum(segmented.lengths)
    if len(segmented.rows) == n_tokens:
        return values
    layers: Floats3d = ops.alloc3f(words.shape[0], n_tokens, words.shape[2])
    layers[:, segmented.rows] = values
    return layers


def _no_backprop(output: LayerBatch) -> list[Doc]:
    return []
