"""The ELMo network in PyTorch. It needs neither spaCy nor thinc."""

from .batch import WordBatch
from .bilm import BiLM
from .layers import State
from .options import BiLMOptions

__all__ = ["BiLM", "BiLMOptions", "State", "WordBatch"]
