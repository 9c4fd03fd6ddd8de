"""Storing ELMo's layers and vectors on Docs, and reading them.

The layers are stored together with a digest of their tokens. The digest reveals that tokens were
merged or split after `elmo` ran, or that a Doc was given the user data of another Doc. `doc._.elmo`
is then None, and `read_layers` raises an error.
"""

from typing import Any, TypeGuard, cast

from spacy.tokens import Doc
from thinc.types import Floats2d, Floats3d

from ..text.tokens import digest_of
from .underscore import install_getters

EXTENSION = "elmo"
# key of an extension of the whole Doc. spaCy drops its value when it creates a Doc with other
# tokens, in `Span.as_doc` and `Doc.from_docs`
KEY: Any = ("._.", EXTENSION, None, None)
LAYERS, TOKENS = "layers", "tokens"


def install_extension() -> None:
    """Register `doc._.elmo`, `token._.elmo` and `span._.elmo`, unless they are registered."""
    if not Doc.has_extension(EXTENSION):
        Doc.set_extension(EXTENSION, getter=layers_of, setter=store_layers)
    install_getters()


def layers_of(doc: Doc) -> Floats3d | None:
    """Return the layers of a Doc.

    doc (Doc): The Doc.
    RETURNS (Optional[Floats3d]): All layers [n_layers, n_tokens, width]; None if there are none, or
        if they belong to other tokens than the current ones.
    """
    stored = doc.user_data.get(KEY)
    if not _is_entry(stored) or stored[TOKENS] != digest_of(doc):
        return None
    layers: Floats3d = stored[LAYERS]
    return layers


def store_layers(doc: Doc, layers: Floats3d | None) -> None:
    """Set `doc._.elmo`.

    doc (Doc): The Doc.
    layers (Optional[Floats3d]): All layers [n_layers, n_tokens, width]; None to remove them.
    """
    if layers is None:
        doc.user_data.pop(KEY, None)
    else:
        # a copy, because a view would keep the arrays of the whole batch alive; `_check` reports
        # values that are not arrays
        copied = layers.copy() if hasattr(layers, "copy") else layers
        doc.user_data[KEY] = {LAYERS: copied, TOKENS: digest_of(doc)}


def store_tensor(doc: Doc, vectors: Floats2d) -> None:
    """Set `doc.tensor`.

    doc (Doc): The Doc.
    vectors (Floats2d): One vector for each token [n_tokens, width].
    """
    untyped: Any = doc  # spaCy's types exclude arrays of thinc, and None for a vector
    untyped.tensor = cast(Any, vectors).copy()
    if not doc.vocab.vectors.size:
        # spaCy caches the mean of the previous tensor; None clears the cache
        untyped.vector = untyped.vector_norm = None


def read_layers(doc: Doc, n_layers: int, width: int) -> Floats3d | None:
    """Return the layers of a Doc after checking that they fit its tokens and the expected shape.

    doc (Doc): The Doc.
    n_layers (int): Expected number of layers.
    width (int): Expected width of the layers.
    RETURNS (Optional[Floats3d]): All layers [n_layers, n_tokens, width]; None if there are none.
    RAISES (ValueError): If the layers belong to other tokens, or have another shape.
    """
    stored = doc.user_data.get(KEY)
    if stored is None:
        return None
    layers: Floats3d = stored[LAYERS] if _is_entry(stored) else stored
    _check(doc, layers, n_layers, width)
    if not _is_entry(stored) or stored[TOKENS] != digest_of(doc):
        raise ValueError(
            "doc._.elmo holds layers of other tokens than the Doc has now: tokens were merged or "
            "split after 'elmo' ran, or the Doc was given the user data of another Doc. Put "
            "'elmo' after the component that does so, or remove the layers: doc._.elmo = None."
        )
    return layers


def _is_entry(stored: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(stored, dict) and stored.keys() == {LAYERS, TOKENS}


def _check(doc: Doc, layers: Any, n_layers: int, width: int) -> None:
    shape = getattr(layers, "shape", None)
    if shape is None or len(shape) != 3:
        raise ValueError(
            f"doc._.elmo holds a {type(layers).__name__}, not an array of 3 dimensions as 'elmo' "
            f"stores it. Another component or your own code has overwritten it: store the "
            f"value in another extension."
        )
    if shape[1] != len(doc):
        raise ValueError(
            f"A Doc has {len(doc)} tokens, but doc._.elmo has rows for {shape[1]}: tokens were "
            f"merged or split after 'elmo' ran. Put 'elmo' after the component that does so."
        )
    if (shape[0], shape[2]) != (n_layers, width):
        raise ValueError(
            f"doc._.elmo holds {shape[0]} layers of width {shape[2]}, but the listener expects "
            f"{n_layers} of width {width}. Set the width of the listener to "
            f"${{components.elmo.model.width}} and its depth to ${{components.elmo.model.depth}}."
        )
