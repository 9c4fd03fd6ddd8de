"""The extensions `token._.elmo` and `span._.elmo`: views of `doc._.elmo`."""

from spacy.tokens import Span, Token
from thinc.types import Floats2d, Floats3d

EXTENSION = "elmo"


def install_getters() -> None:
    """Register both extensions, unless extensions with this name are registered."""
    if not Token.has_extension(EXTENSION):
        Token.set_extension(EXTENSION, getter=token_layers)
    if not Span.has_extension(EXTENSION):
        Span.set_extension(EXTENSION, getter=span_layers)


def token_layers(token: Token) -> Floats2d | None:
    """Return all layers of a token.

    token (Token): The token.
    RETURNS (Optional[Floats2d]): A view [n_layers, width]; None if `doc._.elmo` is None.
    """
    layers = token.doc._.get(EXTENSION)
    return None if layers is None else layers[:, token.i]


def span_layers(span: Span) -> Floats3d | None:
    """Return all layers of a span.

    span (Span): The span.
    RETURNS (Optional[Floats3d]): A view [n_layers, n_tokens, width]; None if `doc._.elmo` is None.
    """
    layers = span.doc._.get(EXTENSION)
    return None if layers is None else layers[:, span.start : span.end]
