"""The factory of the `senses` component and its default config."""

from collections.abc import Callable
from typing import Any

from spacy.language import Language
from thinc.api import Config

from ..models.token_reader import Tok2Vec
from .component import Senses

DEFAULT_CONFIG = """
[senses]
spans_key = "senses"
threshold = 0.0
prior_weight = 0.02

[senses.model]
@architectures = "spacy-elmo.SenseVectors.v1"
context_weight = 1.0

[senses.model.tok2vec]
@architectures = "spacy-elmo.ElmoListener.v1"
width = 512
depth = 2
upstream = "*"

[senses.scorer]
@scorers = "spacy-elmo.sense_scorer.v1"
"""


@Language.factory(
    "senses",
    assigns=["doc.spans", "token._.sense", "token._.sense_score"],
    default_config=Config().from_str(DEFAULT_CONFIG)["senses"],
    default_score_weights={
        "senses_acc": 1.0,
        "senses_macro_f": None,
        "senses_coverage": None,
        "senses_mfs_acc": None,
    },
)
def make_senses(
    nlp: Language,
    name: str,
    model: Tok2Vec,
    spans_key: str,
    threshold: float,
    prior_weight: float,
    scorer: Callable[..., dict[str, Any]] | None,
) -> Senses:
    """Construct the `senses` component.

    nlp (Language): The pipeline.
    name (str): Name of the component.
    model (Model[List[Doc], List[Floats2d]]): The model, spacy-elmo.SenseVectors.v1.
    spans_key (str): Key of the senses in `doc.spans`.
    threshold (float): Minimum difference between the best and the second-best sense, each the sum
        of its cosine and its prior. Uses with a smaller difference get no sense.
    prior_weight (float): Weight of the frequency of senses: this number, multiplied by the
        logarithm of the fraction of the word's examples that have the sense, is added to the
        cosine. 0 ignores how many examples a sense has.
    scorer (Optional[Callable]): The scorer, for example spacy-elmo.sense_scorer.v1.
    RETURNS (Senses): The component.
    RAISES (ValueError): If `threshold` or `prior_weight` is negative.
    """
    return Senses(
        nlp.vocab,
        model,
        name,
        nlp=nlp,
        spans_key=spans_key,
        threshold=threshold,
        prior_weight=prior_weight,
        scorer=scorer,
    )
