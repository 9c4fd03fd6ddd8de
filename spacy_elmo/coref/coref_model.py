"""The thinc model: any tok2vec, and the head in torch behind it.

Owns how vectors reach the head and how its gradient goes back. What a training step asks
of it is the component's business.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, cast

import numpy as np
import torch
from spacy.tokens import Doc
from thinc.api import Model
from thinc.types import Floats2d

from ..models.module_shim import ModuleShim
from ..models.tensors import gradients, take_rows, to_torch
from ..models.token_reader import PartsOfDocs
from ..runtime.torch_scope import gradients_enabled, own_torch_settings, warn_of_reduced_float32
from .document import Document
from .head import CorefHead, Links, Part, Sizes, make_head

CorefModel = Model[list[Doc], list[Floats2d]]


def build_coref_v1(
    tok2vec: Model[list[Doc], list[Floats2d]],
    distance_embedding_size: int = 20,
    hidden_size: int = 150,
    depth: int = 1,
    dropout: float = 0.3,
    antecedent_limit: int = 50,
    max_span_width: int = 20,
    spans_per_token: float = 0.3,
    lstm_size: int = 200,
    mention_weight: float = 1.0,
    window: int = 2048,
    max_entities: int = 1000,
    use_speakers: bool = False,
    use_genres: bool = False,
) -> Model[list[Doc], list[Floats2d]]:
    """`spacy-elmo.Coref.v1`: spans scored as mentions, and mentions as each other's
    antecedents (after Lee et al. 2018, with factored first layers and a loss of mentions).

    tok2vec (Model[List[Doc], List[Floats2d]]): Vectors of tokens, e.g. a listener.
    distance_embedding_size (int): Of distances between mentions and of their widths.
    hidden_size (int): Width of the hidden layers.
    depth (int): Hidden layers.
    dropout (float): On the head's layers.
    antecedent_limit (int): Antecedents of a mention that are looked at closely.
    max_span_width (int): Words of a mention at the most. Whitespace tokens are no words.
    spans_per_token (float): Spans that are kept, for each word of the text.
    lstm_size (int): Of a bidirectional LSTM over each sentence before all else, or over 200
        words at a time where none are marked, in each direction; 0 for none.
    mention_weight (float): Of the loss of mentions beside that of links. Less where mentions
        that stand alone are not annotated.
    window (int): Mentions before a mention that it is compared with in long texts.
    max_entities (int): Entities from before the window that are remembered.
    use_speakers (bool): Whether `doc.spans["speakers"]` says who speaks.
    use_genres (bool): Whether `doc.user_data["genre"]` matters.
    RETURNS (Model): The model; as a function it gives the vectors of the tokens.
    """
    sizes = Sizes(
        distance_embedding_size,
        hidden_size,
        depth,
        dropout,
        antecedent_limit,
        max_span_width,
        spans_per_token,
        lstm_size,
        mention_weight,
        window,
        max_entities,
        use_speakers,
        use_genres,
    )
    return Model(
        "coref",
        forward,
        init=init,
        layers=[tok2vec],
        shims=[ModuleShim("model of 'coref'", partial(make_head, sizes))],
        refs={"tok2vec": tok2vec},
    )


def forward(
    model: CorefModel, docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], list[Doc]]]:
    return model.get_ref("tok2vec")(docs, is_train)


def init(model: CorefModel, X: Any = None, Y: Any = None) -> None:
    model.get_ref("tok2vec").initialize(X)


def set_new_head(model: CorefModel, n_pronouns: int, genres: list[str]) -> None:
    """Make a head of random weights; the tok2vec must have been initialized."""
    width = model.get_ref("tok2vec").get_dim("nO")
    _shim(model).set_new(model.ops, width=width, n_pronouns=n_pronouns, genres=genres)


def sizes_of(model: CorefModel) -> Sizes:
    """RETURNS (Sizes): The settings of the head."""
    return _shim(model).module.sizes


def n_pronouns_of(model: CorefModel) -> int | None:
    """RETURNS (Optional[int]): Pronouns that the head distinguishes; None if there is no head."""
    return _shim(model).made_of.get("n_pronouns")


@own_torch_settings()
def begin_update(
    model: CorefModel,
    docs: list[Doc],
    documents: list[Document],
    gold: list[Any],
) -> tuple[dict[str, float], Callable[[], None]]:
    """Losses of Docs, and how their gradient goes back.

    docs (List[Doc]): The Docs.
    documents (List[Document]): What the head reads of each; words that are not trained on are
        cut off.
    gold (List[Clusters]): Of each, the mentions of each entity.
    RETURNS (Tuple[Dict[str, float], Callable[[], None]]): The losses, and a function that
        adds their gradient to the weights' and gives it to the tok2vec.
    """
    shim = _shim(model)
    warn_of_reduced_float32(shim.device)
    vectors, backprop_tok2vec = model.get_ref("tok2vec").begin_update(docs)
    shim.module.train()
    with gradients_enabled():
        inputs = to_torch(vectors, shim.device, is_train=True)
        words = [take_rows(x, document.tokens) for x, document in zip(inputs, documents)]
        losses = shim.module.loss(torch.cat(words), documents, gold)

    def backprop() -> None:
        with gradients_enabled():
            torch.stack(list(losses.values())).sum().backward()
        backprop_tok2vec(gradients(inputs, vectors, model.ops))

    return {name: float(loss.detach()) for name, loss in losses.items()}, backprop


@own_torch_settings()
def resolve(
    model: CorefModel, docs: list[Doc], documents: list[Document], chunk_tokens: int
) -> list[Links]:
    """RETURNS (List[Links]): Mentions of each Doc and what they go back to."""
    shim = _shim(model)
    warn_of_reduced_float32(shim.device)
    parts_of = PartsOfDocs(model.get_ref("tok2vec"), docs)

    def vectors_of(parts: list[Part]) -> torch.Tensor:
        found = [_tokens_of(documents[n], len(docs[n]), begin, end) for n, begin, end in parts]
        read = parts_of([(n, start, end) for (n, *_), (start, end, _) in zip(parts, found)])
        vectors = to_torch(read, shim.device, is_train=False)
        return torch.cat([take_rows(x, rows) for x, (*_, rows) in zip(vectors, found)])

    shim.module.eval()
    return shim.module.resolve(vectors_of, documents, chunk_tokens)


def _tokens_of(
    document: Document, n_tokens: int, begin: int, end: int
) -> tuple[int, int, np.ndarray]:
    """Tokens with the words of a part. All parts of a Doc together have all of its tokens.

    document (Document): Of the whole Doc.
    n_tokens (int): Tokens of the Doc.
    begin, end (int): First word and the one after the last.
    RETURNS (Tuple[int, int, ndarray]): First token, the one after the last, and the place of
        each word among them, int64 [end - begin].
    """
    start = int(document.tokens[begin]) if begin else 0
    stop = int(document.tokens[end]) if end < len(document) else n_tokens
    return start, stop, document.tokens[begin:end] - start


def _shim(model: CorefModel) -> ModuleShim[CorefHead]:
    return cast(ModuleShim[CorefHead], model.shims[0])
