"""The results of the main code paths as arrays, to compare runs with different torch settings.

As a script, it applies the settings named by its arguments before spacy_elmo is imported:

    python -m tests.torch_paths OUTPUT.npz [SETTING...]
"""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

ENTITIES = [(0, 1, "PER"), (2, 3, "LOC")]
WORDS = "Ann saw Rome . Ann likes it .".split()


class Permanent(AbstractContextManager):
    """A setting that applies until the process ends."""

    def __init__(self, change: Callable[..., Any], *values: Any) -> None:
        change(*values)

    def __exit__(self, *error: Any) -> None:
        pass


SETTINGS: dict[str, Callable[[], Any]] = {
    "float64": lambda: Permanent(torch.set_default_dtype, torch.float64),
    "bfloat16": lambda: Permanent(torch.set_default_dtype, torch.bfloat16),
    "float16": lambda: Permanent(torch.set_default_dtype, torch.float16),
    "meta device": lambda: Permanent(torch.set_default_device, "meta"),
    "meta context": lambda: torch.device("meta"),
    "no gradients": lambda: Permanent(torch.set_grad_enabled, False),
    "inference mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "deterministic": lambda: Permanent(torch.use_deterministic_algorithms, True),
    "no mkldnn": lambda: torch.backends.mkldnn.flags(enabled=False),
    "flush denormals": lambda: Permanent(torch.set_flush_denormal, True),
}


def run(folder: Path) -> dict[str, np.ndarray]:
    """Run the main code paths, which write their files to a folder."""
    import spacy

    spacy.util.fix_random_seed(0)
    return {**run_pretraining(folder), **run_pipeline(folder / "training" / "model-last")}


def run_pretraining(folder: Path) -> dict[str, np.ndarray]:
    from spacy_elmo import ElmoEmbedder, LanguageScorer

    from .pretrain.toys import config, pretraining, write_text

    write_text(folder)
    perplexity = pretraining(config(folder), folder / "training").run()
    assert perplexity is not None
    found = {"perplexity": np.array([perplexity.forward, perplexity.backward])}
    path = folder / "training" / "model-last"
    scorer = LanguageScorer(path)
    (score,) = scorer.score([WORDS])
    substitutes = scorer.substitutes(WORDS, 2)
    assert score.backward is not None
    found.update(forward=score.forward, backward=score.backward)
    found["substitutes"] = np.array([substitute.probability for substitute in substitutes])
    for precision in ("float32", "int8"):
        embedder = ElmoEmbedder(weight_file=path, precision=precision)
        found[f"layers {precision}"] = embedder.embed_sentence(WORDS)
    return found


def run_pipeline(path: Path) -> dict[str, np.ndarray]:
    import spacy
    from spacy.tokens import Doc, Span
    from spacy.training import Example

    nlp = spacy.blank("en")
    sizes = {"width": 16, "depth": 2}
    nlp.add_pipe("elmo", config={"model": sizes, "frozen": False})
    tok2vec = {"@architectures": "spacy-elmo.ElmoListener.v1", **sizes}
    span_model = {"@architectures": "spacy-elmo.SpanScorer.v1", "dropout": 0.0, "tok2vec": tok2vec}
    nlp.add_pipe("spancat_singlelabel", config={"model": span_model})
    coref_model = {"@architectures": "spacy-elmo.Coref.v1", "dropout": 0.0, "tok2vec": tok2vec}
    nlp.add_pipe("coref", config={"model": coref_model})
    loader = {"@misc": "spacy-elmo.PretrainedLoader.v1", "path": str(path)}
    nlp.config["initialize"]["components"]["elmo"] = {"loader": loader}
    gold = Doc(nlp.vocab, WORDS)
    gold.spans["sc"] = [Span(gold, *span) for span in ENTITIES]
    gold.spans["coref_clusters_1"] = [gold[2:3], gold[6:7]]
    given = [Example(Doc(nlp.vocab, WORDS), gold)]
    optimizer = nlp.initialize(lambda: given)
    losses = [nlp.update(given, sgd=optimizer) for _ in range(3)]
    found = {"losses": np.array([list(step.values()) for step in losses])}
    assert all(step["elmo"] > 0 for step in losses), "no gradient reached the biLM"
    loaded = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    for name, pipeline in (("trained", nlp), ("loaded", loaded)):
        doc = pipeline(Doc(pipeline.vocab, WORDS))
        found[f"vectors {name}"] = doc.tensor
        found[f"layers {name}"] = doc._.elmo
        found[f"spans {name}"] = np.array(doc.spans["sc"].attrs["scores"])
    return found


def main() -> None:
    output, *names = sys.argv[1:]
    with ExitStack() as stack, TemporaryDirectory() as folder:
        for name in names:
            stack.enter_context(SETTINGS[name]())
        np.savez(output, **run(Path(folder)))


if __name__ == "__main__":
    main()
