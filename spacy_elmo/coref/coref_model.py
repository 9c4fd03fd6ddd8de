"""`spacy-elmo.Coref.v1`, the model of `coref`: a tok2vec and a torch module, the head."""

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
from ..models.token_reader import DocChunkReader
from ..runtime.torch_scope import (
    own_torch_settings,
    own_training_settings,
    warn_of_reduced_float32,
)
from .chunks import DocumentChunk
from .clusters import Clusters
from .document import Document
from .head import CorefHead, build_head
from .head_settings import HeadSettings
from .linking import Links

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
) -> CorefModel:
    """Construct `spacy-elmo.Coref.v1`: a model that scores spans as mentions, and pairs of mentions
    as coreferent. The first hidden layers are computed per token and per mention instead of per
    span and per pair, and the loss has a term for mentions.

    tok2vec (Model[List[Doc], List[Floats2d]]): Vectors of tokens, for example a listener.
    distance_embedding_size (int): Width of the embeddings of distances between mentions and of
        widths of mentions.
    hidden_size (int): Width of the hidden layers.
    depth (int): Number of hidden layers.
    dropout (float): Dropout rate in the head.
    antecedent_limit (int): Number of antecedents of each mention that get a fine score.
    max_span_width (int): Maximum number of words of a mention, not counting whitespace tokens.
    spans_per_token (float): Number of top spans per word, at least 50 in total. Only top spans can
        be mentions.
    lstm_size (int): Width in each direction of the bidirectional LSTM over sentences; 0 for no
        LSTM. Without sentence boundaries, and in longer sentences, it reads sequences of 200 words.
    mention_weight (float): Weight of the loss of mentions. The loss of links has weight 1. Use a
        lower weight if singletons are not annotated.
    window (int): Number of preceding mentions that a mention is compared with.
    max_entities (int): Maximum number of entities before the window that a mention is compared
        with.
    use_speakers (bool): Whether to use `doc.spans["speakers"]`.
    use_genres (bool): Whether to use `doc.user_data["genre"]`.
    CREATES (Model[List[Doc], List[Floats2d]]): The model. Called as a function, it returns the
        vectors of the tokens.

    REFERENCE: Lee et al. (2018), "Higher-order Coreference Resolution with Coarse-to-fine
        Inference".
    """
    settings = HeadSettings(
        distance_embedding_size=distance_embedding_size,
        hidden_size=hidden_size,
        depth=depth,
        dropout=dropout,
        antecedent_limit=antecedent_limit,
        max_span_width=max_span_width,
        spans_per_token=spans_per_token,
        lstm_size=lstm_size,
        mention_weight=mention_weight,
        window=window,
        max_entities=max_entities,
        use_speakers=use_speakers,
        use_genres=use_genres,
    )
    return Model(
        "coref",
        forward,
        init=init,
        layers=[tok2vec],
        shims=[ModuleShim("model of 'coref'", partial(build_head, settings))],
        refs={"tok2vec": tok2vec},
    )


def forward(
    model: CorefModel, docs: list[Doc], is_train: bool
) -> tuple[list[Floats2d], Callable[[list[Floats2d]], list[Doc]]]:
    """Run the tok2vec.

    model (Model): The model.
    docs (List[Doc]): The Docs.
    is_train (bool): Whether a backward pass follows.
    RETURNS (Tuple[List[Floats2d], Callable]): The token vectors of each Doc, and the backward pass.
    """
    return model.get_ref("tok2vec")(docs, is_train)


def init(model: CorefModel, X: Any = None, Y: Any = None) -> None:
    """Initialize the tok2vec."""
    model.get_ref("tok2vec").initialize(X)


def set_new_head(model: CorefModel, n_pronouns: int, genres: list[str]) -> None:
    """Replace the head by a new one with random weights. The tok2vec must be initialized.

    model (Model): The model.
    n_pronouns (int): Number of pronouns that are distinguished.
    genres (List[str]): The genres that are distinguished.
    """
    width = model.get_ref("tok2vec").get_dim("nO")
    _shim(model).build_module(model.ops, width=width, n_pronouns=n_pronouns, genres=genres)


def settings_of(model: CorefModel) -> HeadSettings:
    """RETURNS (HeadSettings): The settings of the head."""
    return _shim(model).module.settings


def n_pronouns_of(model: CorefModel) -> int | None:
    """RETURNS (Optional[int]): Number of pronouns that the head distinguishes; None if there is no
    head."""
    return _shim(model).build_args.get("n_pronouns")


@own_torch_settings()
def begin_update(
    model: CorefModel, docs: list[Doc], documents: list[Document], gold: list[Clusters]
) -> tuple[dict[str, float], Callable[[], None]]:
    """Compute the losses of Docs.

    model (Model): The model.
    docs (List[Doc]): The Docs.
    documents (List[Document]): The words of each Doc that the losses are computed for.
    gold (List[Clusters]): The gold clusters of each Doc.
    RETURNS (Tuple[Dict[str, float], Callable[[], None]]): The losses; and the backward pass, which
        adds the gradients of the weights and calls the backward pass of the tok2vec.
    """
    shim = _shim(model)
    warn_of_reduced_float32(shim.device)
    vectors, backprop_tok2vec = model.get_ref("tok2vec").begin_update(docs)
    shim.module.train()
    with own_training_settings():
        inputs = to_torch(vectors, shim.device, is_train=True)
        words = [take_rows(x, document.tokens) for x, document in zip(inputs, documents)]
        losses = shim.module.loss(torch.cat(words), documents, gold)

    def backprop() -> None:
        with own_training_settings():
            torch.stack(list(losses.values())).sum().backward()
        backprop_tok2vec(gradients(inputs, vectors, model.ops))

    return {name: float(loss.detach()) for name, loss in losses.items()}, backprop


@own_torch_settings()
def resolve(
    model: CorefModel, docs: list[Doc], documents: list[Document], chunk_words: int
) -> list[Links]:
    """Find the mentions of Docs and their antecedents.

    model (Model): The model.
    docs (List[Doc]): The Docs.
    documents (List[Document]): The words of each Doc.
    chunk_words (int): Maximum number of words that are processed together.
    RETURNS (List[Links]): The mentions and antecedents of each Doc.
    """
    shim = _shim(model)
    warn_of_reduced_float32(shim.device)
    read_chunks = DocChunkReader(model.get_ref("tok2vec"), docs)

    def vectors_of(chunks: list[DocumentChunk]) -> torch.Tensor:
        token_chunks: list[tuple[int, int, int]] = []
        word_rows: list[np.ndarray] = []
        for chunk in chunks:
            n_tokens = len(docs[chunk.document])
            start, end = _token_range(documents[chunk.document], n_tokens, chunk)
            token_chunks.append((chunk.document, start, end))
            words = documents[chunk.document].tokens[chunk.begin : chunk.end]
            word_rows.append(words - start)
        vectors = to_torch(read_chunks(token_chunks), shim.device, is_train=False)
        return torch.cat([take_rows(x, rows) for x, rows in zip(vectors, word_rows)])

    shim.module.eval()
    return shim.module.resolve(vectors_of, documents, chunk_words)


def _token_range(document: Document, n_tokens: int, chunk: DocumentChunk) -> tuple[int, int]:
    """Return the tokens of a chunk. The chunks of a Doc together cover all of its tokens.

    document (Document): The whole document.
    n_tokens (int): Tokens of the Doc.
    chunk (DocumentChunk): A chunk of the document.
    RETURNS (Tuple[int, int]): First token, and the token after the last one.
    """
    start = int(document.tokens[chunk.begin]) if chunk.begin else 0
    end = int(document.tokens[chunk.end]) if chunk.end < len(document) else n_tokens
    return start, end


def _shim(model: CorefModel) -> ModuleShim[CorefHead]:
    return cast(ModuleShim[CorefHead], model.shims[0])
