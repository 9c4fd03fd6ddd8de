"""Small random biLMs and texts for the tests."""

from typing import Any

import torch

from spacy_elmo.bilm import BiLM, BiLMOptions

SENTENCES: list[list[str]] = [
    "The bank of the river was green .".split(),
    "He went to the bank to borrow money , and the clerk said no !".split(),
    "Why ?".split(),
    ["Übermut", "naïve", "日本語", "🙂", "e\u0301", "x" * 200],
    ["One"],
]


def tiny_options(**changes: Any) -> BiLMOptions:
    values: Any = {
        "hidden_dim": 12,
        "projection_dim": 6,
        "n_layers": 2,
        "filters": ((1, 4), (2, 6), (3, 8)),
        "char_dim": 5,
        "n_highway": 2,
    }
    values.update(changes)
    return BiLMOptions(**values)


# options of `tiny_bilm` for which the LSTM uses different matmul code
VARIANTS = {
    "usual": {},
    "clip-heavy": {"scale": 4.0, "cell_clip": 0.4, "proj_clip": 0.2},
    "no projection": {"hidden_dim": 6, "state_projection": False},
    "one direction": {"bidirectional": False},
    "one layer": {"n_layers": 1},
}


def tiny_bilm(seed: int = 0, scale: float = 1.5, **changes: Any) -> BiLM:
    """Return a frozen random biLM. With `scale` above 1, some values reach the clipping bounds."""
    torch.manual_seed(seed)
    bilm = BiLM(tiny_options(**changes))
    with torch.no_grad():
        for param in bilm.parameters():
            param.mul_(scale)
            param.add_(0.05 * torch.randn_like(param))
    return bilm.requires_grad_(False).warm_up()


# a document of OntoNotes in the format of CoNLL-2012
ONTONOTES = """#begin document (bn/toy/00/toy_0001); part 000
bn/toy/00/toy_0001 0 0 Anna NNP * - - - A * (0)
bn/toy/00/toy_0001 0 1 bought VBD * buy - - A * -
bn/toy/00/toy_0001 0 2 the DT * - - - A * (1
bn/toy/00/toy_0001 0 3 boat NN * - - - A * 1)
bn/toy/00/toy_0001 0 4 . . * - - - A * -

bn/toy/00/toy_0001 0 0 Then RB * - - - A * -
bn/toy/00/toy_0001 0 1 she PRP * - - - A * (0)
bn/toy/00/toy_0001 0 2 sold VBD * sell - - A * -
bn/toy/00/toy_0001 0 3 it PRP * - - - A * (1)
bn/toy/00/toy_0001 0 4 . . * - - - A * -

#end document
"""
