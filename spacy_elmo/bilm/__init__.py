"""The bidirectional language model in plain torch: no spaCy, no thinc."""

from .batch import WordBatch
from .bilm import BiLM, State
from .options import BiLMOptions

__all__ = ["BiLM", "BiLMOptions", "State", "WordBatch"]
