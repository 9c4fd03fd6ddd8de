"""The factory of the `coref` component and its default config."""

from collections.abc import Callable
from typing import Any

from spacy.language import Language
from thinc.api import Config

from .component import Coref
from .coref_model import CorefModel

DEFAULT_CONFIG = """
[coref]
span_cluster_prefix = "coref_clusters"
overwrite = true
keep_singletons = null
max_train_tokens = 3000
chunk_tokens = 4096

[coref.model]
@architectures = "spacy-elmo.Coref.v1"

[coref.model.tok2vec]
@architectures = "spacy.HashEmbedCNN.v2"
pretrained_vectors = null
width = 96
depth = 4
embed_size = 2000
window_size = 1
maxout_pieces = 3
subword_features = true

[coref.scorer]
@scorers = "spacy-elmo.coref_scorer.v1"
"""


@Language.factory(
    "coref",
    assigns=["doc.spans"],
    default_config=Config().from_str(DEFAULT_CONFIG)["coref"],
    default_score_weights={
        "coref_conll_f": 1.0,
        "coref_f": None,
        "coref_p": None,
        "coref_r": None,
        "coref_mention_f": None,
        "coref_conll_ns_f": None,
    },
)
def make_coref(
    nlp: Language,
    name: str,
    model: CorefModel,
    span_cluster_prefix: str,
    overwrite: bool,
    keep_singletons: bool | None,
    max_train_tokens: int,
    chunk_tokens: int,
    scorer: Callable[..., dict[str, Any]] | None,
) -> Coref:
    """Construct the `coref` component.

    nlp (Language): The pipeline.
    name (str): Name of the component.
    model (Model[List[Doc], List[Floats2d]]): The model, spacy-elmo.Coref.v1.
    span_cluster_prefix (str): Prefix of the keys of clusters in `doc.spans`: "<prefix>_1", ...
    overwrite (bool): Whether to replace the clusters of Docs that are already annotated, including
        Docs that are marked as having no clusters.
    keep_singletons (Optional[bool]): Whether to keep singleton clusters. None: keep them if the
        training data contains any.
    max_train_tokens (int): In each training step, Docs with more words are cropped to a random
        window of this number of words.
    chunk_tokens (int): Maximum number of words that are processed together at inference.
    scorer (Optional[Callable]): The scorer, for example spacy-elmo.coref_scorer.v1.
    RETURNS (Coref): The component.
    RAISES (ValueError): If `max_train_tokens` or `chunk_tokens` is less than 1.
    """
    return Coref(
        nlp.vocab,
        model,
        name,
        span_cluster_prefix=span_cluster_prefix,
        overwrite=overwrite,
        keep_singletons=keep_singletons,
        max_train_tokens=max_train_tokens,
        chunk_tokens=chunk_tokens,
        scorer=scorer,
    )
