"""Pipelines with a tiny biLM, and the gradients that reach it."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import numpy as np
import spacy
import torch
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from spacy_elmo.bilm import BiLM
from spacy_elmo.pipeline.elmo import Elmo

from .samples import tiny_bilm

WIDTH = 12
LISTENER: dict[str, Any] = {
    "@architectures": "spacy-elmo.ElmoListener.v1",
    "width": WIDTH,
    "depth": 2,
}
TAGGED = [
    ("Ann saw Rome .", ["NAME", "VERB", "NAME", "PUNCT"]),
    ("Bob likes the old town .", ["NAME", "VERB", "DET", "ADJ", "NOUN", "PUNCT"]),
    ("Why did Ann leave ?", ["ADV", "VERB", "NAME", "VERB", "PUNCT"]),
    ("The town of Rome is old .", ["DET", "NOUN", "ADP", "NAME", "VERB", "ADJ", "PUNCT"]),
]
ENTITIES = [
    ["U-PER", "O", "U-LOC", "O"],
    ["U-PER", "O", "O", "O", "O", "O"],
    ["O", "O", "U-PER", "O", "O"],
    ["O", "O", "O", "U-LOC", "O", "O", "O"],
]


@spacy.registry.misc("spacy-elmo-tests.TinyBiLM.v1")
def make_tiny_loader(seed: int = 0) -> Any:
    return partial(tiny_bilm, seed)


def blank(*names: str, elmo: dict[str, Any] | None = None) -> Language:
    """Return a pipeline with `elmo` and the named listening components, not initialized.

    A name starts with the name of the factory: "tagger", "tagger_2", "ner", ...
    """
    nlp = spacy.blank("en")
    add_elmo(nlp, **(elmo or {}))
    for name in names:
        add_listener(nlp, name)
    return nlp


def pipeline(*names: str, elmo: dict[str, Any] | None = None) -> Language:
    """Return an initialized pipeline, see `blank`. Its weights are random instead of zeros, so that
    every listener sends a gradient from the first step on."""
    nlp = blank(*names, elmo=elmo)
    nlp.initialize(lambda: examples(nlp))
    randomize(nlp, names)
    return nlp


def add_elmo(
    nlp: Language, name: str = "elmo", seed: int = 0, first: bool | None = None, **settings: Any
) -> Elmo:
    model = {"width": WIDTH, "depth": 2, **settings.pop("model", {})}
    pipe = nlp.add_pipe("elmo", name=name, first=first, config={"model": model, **settings})
    loader = {"@misc": "spacy-elmo-tests.TinyBiLM.v1", "seed": seed}
    nlp.config["initialize"]["components"][name] = {"loader": loader}
    return pipe


def add_listener(nlp: Language, name: str, **settings: Any) -> Any:
    factory = name.split("_")[0]
    tok2vec = {**LISTENER, **settings}
    models: dict[str, dict[str, Any]] = {
        "tagger": {"@architectures": "spacy.Tagger.v2"},
        "ner": {
            "@architectures": "spacy.TransitionBasedParser.v2",
            "state_type": "ner",
            "extra_state_tokens": False,
            "hidden_width": 16,
            "maxout_pieces": 2,
            "use_upper": True,
        },
    }
    return nlp.add_pipe(
        factory, name=name, config={"model": {**models[factory], "tok2vec": tok2vec}}
    )


def examples(nlp: Language, *, entities: bool = True, tags: bool = True) -> list[Example]:
    found = []
    for (text, gold_tags), gold_entities in zip(TAGGED, ENTITIES):
        words = text.split()
        annotation: dict[str, Any] = {"words": words}
        annotation["entities"] = gold_entities if entities else ["-"] * len(words)
        if tags:
            annotation["tags"] = gold_tags
        found.append(Example.from_dict(Doc(nlp.vocab, words=words), annotation))
    return found


def randomize(nlp: Language, names: Iterable[str]) -> None:
    rng = np.random.default_rng(1)
    for name in names:
        for node in nlp.get_pipe(name).model.walk():
            for param in node.param_names:
                if node.has_param(param) and node.name != "scalar_mix":
                    shape = node.get_param(param).shape
                    node.set_param(param, rng.normal(0, 0.5, shape).astype("f"))


def bilm_of(pipe: Any) -> BiLM:
    """Return the biLM of an `elmo` component or of a model that contains one."""
    model = getattr(pipe, "model", pipe)
    return next(node.shims[0].module for node in model.walk() if node.name == "bilm")


def weights_of(pipe: Any) -> dict[str, torch.Tensor]:
    return {name: param.detach().clone() for name, param in bilm_of(pipe).named_parameters()}


def changed(before: dict[str, torch.Tensor], pipe: Any) -> list[str]:
    after = weights_of(pipe)
    return [name for name in before if not torch.equal(before[name], after[name])]


def gradients(nlp: Language, name: str = "elmo") -> dict[str, np.ndarray]:
    """Finish an update without changing weights, and return the gradients of the biLM's
    parameters."""
    found: dict[str, np.ndarray] = {}

    def record(key: Any, weights: Any, gradient: Any) -> Any:
        found[key[1]] = gradient.copy()
        return weights, gradient * 0

    nlp.get_pipe(name).finish_update(record)
    for other, pipe in nlp.pipeline:
        if other != name:
            pipe.finish_update(lambda key, weights, gradient: (weights, gradient * 0))
    return found


def assert_same_gradients(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert found.keys() == expected.keys() and found
    for name in found:
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5, rtol=1e-4, err_msg=name)


def add_up(*sets: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: sum(gradients[name] for gradients in sets) for name in sets[0]}
