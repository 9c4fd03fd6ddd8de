"""The extensions `token._.elmo` and `span._.elmo`, which cut `doc._.elmo`."""

from spacy.tokens import Span, Token

from ..models.layer_batch import Floats2d, Floats3d

EXTENSION = "elmo"


def install_getters() -> None:
    """Register both extensions, unless something is registered by the name."""
    if not Token.has_extension(EXTENSION):
        Token.set_extension(EXTENSION, getter=token_layers)
    if not Span.has_extension(EXTENSION):
        Span.set_extension(EXTENSION, getter=span_layers)


def token_layers(token: Token) -> Floats2d | None:
    """RETURNS (Optional[Floats2d]): All layers of a token [n_layers, width], a view; None where
    `doc._.elmo` is None."""
    layers = token.doc._.get(EXTENSION)
    return None if layers is None else layers[:, token.i]


def span_layers(span: Span) -> Floats3d | None:
    """RETURNS (Optional[Floats3d]): All layers of a span [n_layers, n_tokens, width], a view; None
    where `doc._.elmo` is None."""
    layers = span.doc._.get(EXTENSION)
    return None if layers is None else layers[:, span.start : span.end]
