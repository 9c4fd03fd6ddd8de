"""What ELMo leaves on Docs, and how it is read back.

Owns the extension `doc._.elmo`, the rules for writing it and `doc.tensor`, and the
checks before a listener uses what is there. It knows nothing of models.
"""

import warnings
from functools import cache
from multiprocessing import parent_process
from typing import Any, List, Optional, Sequence, Union

from spacy.tokens import Doc, Span, Token

from .models.types import Floats2d, Floats3d, LayerBatch, join
from .underscore import install_getters

EXTENSION = "elmo"


def install_extension() -> None:
    """Make `doc._.elmo` known, None by default; harmless if it is already."""
    if not Doc.has_extension(EXTENSION):
        Doc.set_extension(EXTENSION, default=None)
    install_getters()


def store_layers(doc: Doc, layers: Floats3d) -> None:
    """Set `doc._.elmo`.

    doc (Doc): The Doc.
    layers (Floats3d): All layers [n_layers, n_tokens, width].
    """
    # a copy: a view would keep the arrays of the whole batch alive
    doc._.set(EXTENSION, layers.copy())


def store_tensor(doc: Doc, vectors: Floats2d) -> None:
    """Set `doc.tensor`, and let similarity follow from it.

    doc (Doc): The Doc.
    vectors (Floats2d): One vector for each token [n_tokens, width].
    """
    doc.tensor = vectors.copy()
    if not doc.vocab.vectors.size:
        # what spaCy has kept of a former tensor, or of none: `Span.as_doc` asks for it at once
        untyped: Any = doc  # spaCy's types leave out that None is nothing kept
        untyped.vector = untyped.vector_norm = None
    # spaCy calls equally spelled words alike without a look at their vectors; new dicts, since a
    # Doc that was cut out of another one shares those of that one
    doc.user_hooks = {"similarity": cosine, **doc.user_hooks}
    doc.user_span_hooks = {"similarity": cosine, **doc.user_span_hooks}
    doc.user_token_hooks = {"similarity": cosine, **doc.user_token_hooks}
    if parent_process() is not None:
        _silence_hook_warning()


@cache
def _silence_hook_warning() -> None:
    """A worker of `nlp.pipe` sends Docs back as bytes, for each of which spaCy would warn
    that hooks do not travel."""
    warnings.filterwarnings("ignore", message=r"\[W109\]")


def cosine(one: Union[Doc, Span, Token], other: Any) -> float:
    """Similarity of two spaCy objects by their vectors alone.

    one (Union[Doc, Span, Token]): A Doc, span or token.
    other (Union[Doc, Span, Token, Lexeme]): What to compare it with.
    RETURNS (float): The cosine; 0 if a vector is zero.
    """
    norms = float(one.vector_norm) * float(other.vector_norm)
    return float(one.vector @ other.vector) / norms if norms else 0.0


def read(ops: Any, docs: Sequence[Doc], n_layers: int, width: int) -> Optional[LayerBatch]:
    """Collect the layers that `store` left.

    ops (Ops): The ops of the reader, for the kind of array.
    docs (Sequence[Doc]): The Docs.
    n_layers, width (int): The shape that the reader needs.
    RETURNS (Optional[LayerBatch]): The layers, or None if no Doc has any; an error if
        they do not fit the Docs or the reader, or if only some Docs have them.
    """
    install_extension()
    found: List[Floats3d] = []
    for doc in docs:
        layers = doc._.get(EXTENSION)
        if layers is None:
            if len(doc):
                continue
            layers = ops.alloc3f(n_layers, 0, width)
        _check(doc, layers, n_layers, width)
        found.append(ops.asarray3f(layers))
    if len(found) < len(docs):
        if any(layers.shape[1] for layers in found):
            raise ValueError(
                f"Only {len(found)} of {len(docs)} Docs have ELMo layers. Run 'elmo' over all of "
                f"them, with store_layers = true."
            )
        return None
    lengths = [len(doc) for doc in docs]
    joined = join(ops.xp, found, axis=1) if found else ops.alloc3f(n_layers, 0, width)
    return LayerBatch(joined, lengths)


def _check(doc: Doc, layers: Any, n_layers: int, width: int) -> None:
    shape = getattr(layers, "shape", None)
    if shape is None or len(shape) != 3:
        raise ValueError(
            f"doc._.elmo holds a {type(layers).__name__}, not an array of 3 dimensions as 'elmo' "
            f"stores it. Another component or your own code has overwritten it."
        )
    if shape[1] != len(doc):
        raise ValueError(
            f"A Doc has {len(doc)} tokens, but doc._.elmo has rows for {shape[1]}: tokens were "
            f"merged or split after 'elmo' ran. Put 'elmo' after the component that does so."
        )
    if (shape[0], shape[2]) != (n_layers, width):
        raise ValueError(
            f"doc._.elmo holds {shape[0]} layers of width {shape[2]}, but the listener expects "
            f"{n_layers} of width {width}. Set its width and depth to those of the 'elmo' "
            f"component: ${{components.elmo.model.width}} and ${{components.elmo.model.depth}}."
        )
