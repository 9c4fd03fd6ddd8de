"""Saved pipelines and components. A damaged component of spacy-elmo must raise an error, or have
the weights and the output that were saved.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import spacy
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_elmo.models.torch_shim import TorchShim

from ..coref.toys import bare, story_doc
from ..pipelines import LISTENER, add_elmo, add_listener, bilm_of
from .target import Result, Target, digest, digest_of_module

SIZES: dict[str, Any] = {"hidden_size": 8, "lstm_size": 4, "max_span_width": 3}
TOK2VEC: dict[str, Any] = {
    "@architectures": "spacy-elmo.ConcatEmbed.v1",
    "width": None,
    "elmo": {"@architectures": "spacy-elmo.PoolWords.v1", "tok2vec": LISTENER},
    "embed": {
        "@architectures": "spacy-elmo.WordFeatures.v1",
        "attrs": ["NORM", "SHAPE"],
        "widths": [3, 2],
        "rows": [30, 10],
    },
}
SPANCAT: dict[str, Any] = {
    "model": {"@architectures": "spacy-elmo.SpanScorer.v1", "tok2vec": TOK2VEC, **SIZES},
    "suggester": {"@misc": "spacy.ngram_suggester.v1", "sizes": [1, 2]},
}
COREF: dict[str, Any] = {"@architectures": "spacy-elmo.Coref.v1", "tok2vec": TOK2VEC, **SIZES}
OURS = ("elmo/*", "coref/*")
# spaCy and thinc may raise any error for damage to their own files
FOREIGN = (Exception,)


def blank() -> Language:
    nlp = spacy.blank("en")
    add_elmo(nlp)
    nlp.add_pipe("coref", config={"model": COREF})
    nlp.add_pipe("spancat_singlelabel", name="spancat", config=SPANCAT)
    add_listener(nlp, "tagger")
    return nlp


@lru_cache(maxsize=1)
def trained() -> Language:
    nlp = blank()
    given = []
    for seed in range(3):
        doc = story_doc(nlp, seed, 4)
        doc.spans["sc"] = [Span(doc, 0, 1, label="NAME"), Span(doc, 2, 4, label="JOB")]
        for token in doc:
            token.tag_ = token.text[:1]
        given.append(Example(bare(doc), doc))
    spacy.util.fix_random_seed(0)
    optimizer = nlp.initialize(lambda: given)
    for _ in range(2):
        nlp.update(given, sgd=optimizer)
    return nlp


def words_of(nlp: Language) -> Doc:
    return Doc(nlp.vocab, ["Anna", "sees", "the", "miller", "and", "she", "smiles", "."])


def result_of(nlp: Language, use: tuple[str, ...]) -> Result:
    """Return digests of the weights of our layers, and of the output of the components in `use`."""
    found: Result = {}
    for name, pipe in nlp.pipeline:
        if name not in ("elmo", "coref", "spancat", "tagger"):
            continue
        nodes = list(pipe.model.walk())
        if not all(node.has_param(param) for node in nodes for param in node.param_names):
            continue  # spaCy loads a component without its model, which is then not initialized
        for number, node in enumerate(nodes):
            key = f"{name}.{node.name}.{number}"
            for shim in node.shims:
                if isinstance(shim, TorchShim):
                    found[key] = digest_of_module(shim.module)
            if node.name in ("scalar_mix", "word_features"):
                params = [x for param in node.param_names for x in (param, node.get_param(param))]
                known = node.attrs.get("known", [])
                found[key] = digest(*params, *((k.n_rows, list(k.rows.items())) for k in known))
    if use:
        # cached vectors of words from other batches can differ in the last bit
        bilm_of(nlp.get_pipe("elmo")).drop_caches()
        doc = words_of(nlp)
        for name in use:
            doc = nlp.get_pipe(name)(doc)
        if not np.isfinite(doc._.elmo).all():
            raise AssertionError("The pipeline was loaded, and its output is not finite.")
        clusters = {key: [(s.start, s.end) for s in spans] for key, spans in doc.spans.items()}
        found["layers"], found["clusters"] = digest(doc._.elmo), digest(clusters)
        found["cfg"] = digest(nlp.get_pipe("coref").cfg)
    return found


def make_disk(folder: Path) -> None:
    trained().to_disk(folder / "nlp")


def read_disk(*use: str) -> Callable[[Path], Result]:
    return lambda folder: result_of(spacy.load(folder / "nlp"), use)


def make_bytes(folder: Path) -> None:
    (folder / "bytes").write_bytes(trained().to_bytes())


def read_bytes(folder: Path) -> Result:
    return result_of(blank().from_bytes((folder / "bytes").read_bytes()), ())


@lru_cache(maxsize=1)
def loaded() -> tuple[Language, Result]:
    """Return a pipeline into which single components are loaded, and its result."""
    nlp = blank().from_bytes(trained().to_bytes())
    return nlp, result_of(nlp, ("elmo", "coref"))


def make_component(name: str, disk: bool) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        pipe = trained().get_pipe(name)
        if disk:
            pipe.to_disk(folder / name, exclude=["vocab"])
        else:
            (folder / "bytes").write_bytes(pipe.to_bytes(exclude=["vocab"]))

    return make


def read_component(name: str, disk: bool) -> Callable[[Path], Result]:
    """Return a function that loads a component. A failed load must not change the component."""

    def read(folder: Path) -> Result:
        nlp, before = loaded()
        after: Result = {}
        try:
            load(nlp.get_pipe(name), folder)
        except Exception:
            after = result_of(nlp, ("elmo", "coref"))
            if after != before:
                raise AssertionError("A load that failed has changed the component.") from None
            raise
        else:
            after = result_of(nlp, ("elmo", "coref"))
            return after
        finally:
            if after != before:
                loaded.cache_clear()

    def load(pipe: Any, folder: Path) -> None:
        if disk:
            pipe.from_disk(folder / name, exclude=["vocab"])
        else:
            pipe.from_bytes((folder / "bytes").read_bytes(), exclude=["vocab"])

    return read


TARGETS = [
    Target("pipeline", make_disk, read_disk("elmo", "coref"),
           tuple(f"nlp/{name}" for name in OURS), has_digest=True, weight=1),
    Target("pipeline-spacy", make_disk, read_disk(),
           ("nlp/spancat/*", "nlp/tagger/*", "nlp/vocab/*", "nlp/tokenizer", "nlp/*.json",
            "nlp/config.cfg"), has_digest=True, foreign=FOREIGN, weight=1),
    Target("pipeline-bytes", make_bytes, read_bytes, has_digest=True, foreign=FOREIGN, weight=1),
    *(Target(f"{name}-{'disk' if disk else 'bytes'}", make_component(name, disk),
             read_component(name, disk), has_digest=True)
      for name in ("elmo", "coref") for disk in (True, False)),
]  # fmt: skip
