"""Memory of a process that annotates a stream of Docs with different lengths.

    python benchmarks/memory.py [--docs 20000] [--level 2000] [--longest 3000] [--new-words]
        [--components elmo spancat coref] [--minutes 15] [--json FILE]

A tiny random biLM, a span categorizer and `coref` annotate Docs of 0 to `--longest` random words
with `nlp.pipe`. Each Doc is then freed. The script prints the resident memory after `--level` Docs,
when the caches are full, and the maximum after that (Linux only). The words come from a vocabulary
of 20,000. With `--new-words`, a tenth of the words are new. Outside `nlp.memory_zone()`, spaCy
stores the strings of all words. Without components, the script only creates Docs, which shows the
memory of spaCy alone.
"""

import argparse
import json
import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import spacy
import torch
from common import machine, make_words
from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example

from spacy_elmo.bilm import BiLM, BiLMOptions
from spacy_elmo.pipeline.elmo import Elmo

COMPONENTS = ("elmo", "spancat", "coref")
FILTERS = ((1, 8), (2, 8), (3, 16))
NEW = 0.1  # the fraction of new words


def make_pipeline(components: list[str]) -> Language:
    """Create a pipeline of untrained components that listen to a tiny biLM."""
    torch.manual_seed(0)
    options = BiLMOptions(hidden_dim=32, projection_dim=8, n_layers=2, filters=FILTERS, char_dim=4)
    bilm = BiLM(options).requires_grad_(False).warm_up()
    sizes = {"width": options.width, "depth": options.n_layers}
    tok2vec = {"@architectures": "spacy-elmo.ElmoListener.v1", **sizes}
    nlp = spacy.blank("en")
    if "elmo" in components:
        nlp.add_pipe("elmo", config={"model": sizes})
    if "spancat" in components:
        suggester = {"@misc": "spacy.ngram_suggester.v1", "sizes": [1, 2, 3]}
        model = {"@architectures": "spacy-elmo.SpanScorer.v1", "tok2vec": tok2vec}
        nlp.add_pipe("spancat_singlelabel", config={"model": model, "suggester": suggester})
    if "coref" in components:
        model = {"@architectures": "spacy-elmo.Coref.v1", "tok2vec": tok2vec}
        nlp.add_pipe("coref", config={"model": model})
    example = Example(nlp.make_doc("Ann saw Rome ."), nlp.make_doc("Ann saw Rome ."))
    example.reference.spans["sc"] = [example.reference.char_span(0, 3, "PERSON")]
    example.reference.spans["coref_clusters_1"] = [example.reference[0:1]]
    for _, pipe in nlp.pipeline:
        settings: Any = {"loader": lambda: bilm} if isinstance(pipe, Elmo) else {}
        pipe.initialize(lambda: [example], nlp=nlp, **settings)  # type: ignore[attr-defined]
    return nlp


def make_docs(nlp: Language, longest: int, new_words: bool) -> Iterator[Doc]:
    """Generate an endless stream of Docs of 0 to `longest` words. Short Docs are more frequent.

    nlp (Language): The pipeline whose vocab is used.
    longest (int): Number of words of the longest Docs.
    new_words (bool): Whether a tenth of the words are new.
    YIELDS (Doc): The Docs.
    """
    rng = np.random.default_rng(0)
    words, chance = make_words(rng)
    numbers = count()
    while True:
        length = int((longest + 1) ** rng.random() ** 2) - 1
        text = [words[n] for n in rng.choice(len(words), length, p=chance)]
        text[::15] = ["."] * len(text[::15])
        if new_words:
            for index in np.flatnonzero(rng.random(length) < NEW).tolist():
                text[index] = f"w{next(numbers)}"
        yield Doc(nlp.vocab, text)


def resident_mb() -> float:
    """Return the resident memory of the process in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Annotate the Docs, and print and return the memory of the process."""
    nlp = make_pipeline(args.components)
    docs = islice(make_docs(nlp, args.longest, args.new_words), args.docs)
    start = time.perf_counter()
    at: dict[int, float] = {}
    level = highest = 0.0
    n_docs = n_tokens = 0
    for doc in nlp.pipe(docs, batch_size=args.batch_size):
        n_docs, n_tokens = n_docs + 1, n_tokens + len(doc)
        mb = resident_mb()
        if n_docs == args.level:
            level = highest = mb
        highest = max(highest, mb)
        seconds = time.perf_counter() - start
        if n_docs % (args.docs // 20) == 0:
            at[n_docs] = mb
            print(f"{n_docs:>7,} Docs {n_tokens:>11,} words {mb:6.0f} MB {seconds:5.0f} s")
        if args.minutes and seconds > args.minutes * 60:
            break
    found = {"docs": n_docs, "words": n_tokens, "seconds": seconds, "level": level}
    return {**found, "highest": highest, "at": at}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--docs", type=int, default=20_000)
    parser.add_argument(
        "--level", type=int, default=2_000, help="number of Docs before the maximum is measured"
    )
    parser.add_argument("--longest", type=int, default=3_000, help="words in the longest Doc")
    parser.add_argument("--batch-size", type=int, default=32, help="Docs per batch of nlp.pipe")
    parser.add_argument("--new-words", action="store_true")
    parser.add_argument("--components", nargs="*", choices=COMPONENTS, default=COMPONENTS)
    parser.add_argument("--minutes", type=float, help="stop after this time")
    parser.add_argument("--json", type=Path, help="JSON file to write the results to")
    args = parser.parse_args()
    print(f"{machine()}, {', '.join(args.components) or 'no components'}")
    found = measure(args)
    print(
        f"{found['docs']:,} Docs: {found['level']:.0f} MB after {args.level:,} Docs, at most "
        f"{found['highest']:.0f} MB after that"
    )
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
