"""Accuracy and macro F1 of word senses, and the time that they take.

    python benchmarks/senses.py TRAIN TEST... [--bilm en_small] [--examples 1 3 10 30] \
        [--draws 3] [--json FILE]
    python benchmarks/senses.py --speed [--bilm en_small]

TRAIN and TEST are JSON lines (also .xz) with the keys "tokens" and "targets": lists of the first
token, the token after the last one, the lemma, the Penn tag and the WordNet sense keys of which any
is right. The senses of all layers are learned from TRAIN, then from at most N examples of each
sense. A word that TRAIN does not contain gets no sense, which counts as wrong. `--dev-documents N`
adds every N-th document of TRAIN, which is then not learned from, as a test set.
"""

import argparse
import json
import lzma
import random
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import spacy
from common import best_times, machine
from spacy.language import Language
from spacy.tokens import Doc, Span
from spacy.training import Example

from spacy_elmo.senses.component import Senses
from spacy_elmo.senses.scorer import score_senses
from spacy_elmo.senses.targets import Target

# the first letter of a Penn tag, or the letter of a coarse tag set
POS = {"N": "NOUN", "V": "VERB", "M": "VERB", "G": "VERB", "J": "ADJ", "A": "ADJ", "R": "ADV"}
OFF = -9e10
VECTORS: dict[str, dict[str, Any]] = {
    "token layer": {"weights": [0.0, OFF, OFF], "context": 0.0},
    "LSTM layer 1": {"weights": [OFF, 0.0, OFF], "context": 0.0},
    "LSTM layer 2": {"weights": [OFF, OFF, 0.0], "context": 0.0},
    "mix": {"weights": None, "context": 0.0},
    "mix and context": {"weights": None, "context": 1.0},
    "mix, context and prior": {"weights": None, "context": 1.0, "prior": 0.02},
}
MOST_FREQUENT = "most frequent sense"
METRICS = ("senses_acc", "senses_macro_f", "senses_coverage")
N_TOKENS, REPEATS = 100_000, 3


def read_records(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a file."""
    data = path.read_bytes()
    text = (lzma.decompress(data) if path.suffix == ".xz" else data).decode("utf8")
    records = [json.loads(line) for line in text.splitlines()]
    for record in records:
        # "U" marks words to which the annotators could not assign a sense
        record["targets"] = [
            target for target in record["targets"] if all("%" in key for key in target[4])
        ]
    return records


def make_doc(nlp: Language, record: dict[str, Any]) -> Doc:
    """Return a sentence with its senses, and with the lemmas and parts of speech of its targets."""
    words = record["tokens"]
    lemmas, pos, spans = list(words), ["X"] * len(words), []
    for start, end, lemma, tag, keys in record["targets"]:
        if end - start == 1:
            lemmas[start], pos[start] = lemma, POS.get(tag[0], "VERB")
        else:
            # the lemma of an expression is looked up word by word
            lemmas[start:end] = (lemma.split("_") + [""] * (end - start))[: end - start]
        spans += [(start, end, key) for key in keys]
    doc = Doc(nlp.vocab, words=words, lemmas=lemmas, pos=pos)
    doc.spans["senses"] = [Span(doc, start, end, label=key) for start, end, key in spans]
    return doc


def make_pipeline(bilm: str, vectors: dict[str, Any]) -> tuple[Language, Senses]:
    """Return a pipeline with the biLM and `senses`."""
    nlp = spacy.blank("en")
    loader = {"@misc": "spacy-elmo.PretrainedLoader.v1", "path": bilm}
    elmo = nlp.add_pipe("elmo", config={"loader": loader})
    elmo.initialize(nlp=nlp)
    listener = {"weights": vectors["weights"]}
    config = {
        "prior_weight": vectors.get("prior", 0.0),
        "model": {
            "context_weight": vectors["context"],
            "tok2vec": {"@architectures": "spacy-elmo.ElmoListener.v1", "width": 512, **listener},
        },
    }
    senses = nlp.add_pipe("senses", config=config)
    assert isinstance(senses, Senses)
    return nlp, senses


def limit(
    records: Sequence[dict[str, Any]], n: int, draw: random.Random
) -> Iterator[dict[str, Any]]:
    """Yield the sentences with at most `n` random examples of each sense."""
    places = defaultdict(list)
    for i, record in enumerate(records):
        for j, target in enumerate(record["targets"]):
            for key in target[4]:
                places[key].append((i, j))
    chosen: defaultdict[int, list[tuple[int, str]]] = defaultdict(list)
    for key, found in places.items():
        for i, j in draw.sample(found, min(n, len(found))):
            chosen[i].append((j, key))
    for i, found in sorted(chosen.items()):
        targets = [[*records[i]["targets"][j][:4], [key]] for j, key in found]
        yield {"index": i, "tokens": records[i]["tokens"], "targets": targets}


def most_frequent(records: Iterable[dict[str, Any]]) -> dict[str, str]:
    """Return the most frequent sense of each lemma and part of speech."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        for *_, lemma, tag, keys in record["targets"]:
            counts[lemma_pos(lemma, tag)].update(keys)
    return {word: found.most_common(1)[0][0] for word, found in counts.items()}


def lemma_pos(lemma: str, tag: str) -> str:
    return f"{lemma} {POS.get(tag[0], 'VERB')}"


def score_most_frequent(
    train: Iterable[dict[str, Any]], test: Sequence[dict[str, Any]], nlp: Language
) -> dict[str, float]:
    """Score the most frequent sense of each lemma and part of speech."""
    senses = most_frequent(train)
    examples = []
    for record in test:
        gold = make_doc(nlp, record)
        predicted = Doc(nlp.vocab, words=record["tokens"])
        found = [
            (start, end, senses.get(lemma_pos(lemma, tag)))
            for start, end, lemma, tag, _ in record["targets"]
        ]
        predicted.spans["senses"] = [Span(predicted, s, e, key) for s, e, key in found if key]
        examples.append(Example(predicted, gold))
    return score_senses(examples)


class Sentences:
    """Sentences with the layers of the biLM, which is run once over all of them."""

    def __init__(self, nlp: Language, records: Sequence[dict[str, Any]]) -> None:
        self.docs = [make_doc(nlp, record) for record in records]
        elmo = nlp.get_pipe("elmo")
        # float16, which half the memory holds
        self.layers = [
            doc._.elmo.astype(np.float16)
            for doc in elmo.pipe(map(without_spans, self.docs), batch_size=256)
        ]

    def examples(
        self, nlp: Language, records: Sequence[dict[str, Any]] | None = None
    ) -> Iterator[Example]:
        """Yield the sentences with their layers; or some of them, with other targets."""
        if records is None:
            golds = enumerate(self.docs)
        else:
            golds = ((record["index"], make_doc(nlp, record)) for record in records)
        for index, gold in golds:
            predicted = without_spans(self.docs[index])
            predicted._.elmo = self.layers[index].astype(np.float32)
            yield Example(predicted, gold)


def annotate_targets(senses: Senses, examples: Sequence[Example]) -> None:
    """Annotate the senses of the gold targets, as is usual for these data. In running text, the
    component would also find expressions such as "look at" where only "look" is annotated."""
    for example in examples:
        gold, doc = example.reference, example.predicted
        spans = sorted({(span.start, span.end) for span in gold.spans["senses"]})
        targets = []
        for start, end in spans:
            lemma = " ".join(token.lemma_ for token in gold[start:end])
            pos = gold[start].pos_ if end - start == 1 else ""
            candidates = senses.inventory.candidates(gold[start:end].text, lemma, pos)
            if candidates:
                targets.append(Target(start, end, candidates))
        senses.set_annotations([doc], senses.predict_targets([doc], [targets]))


def without_spans(doc: Doc) -> Doc:
    copied = doc.copy()
    copied.spans.clear()
    return copied


def measure_quality(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the scores of each kind of vectors, number of examples and test set."""
    train = read_records(args.files[0])
    tests = {path.stem: read_records(path) for path in args.files[1:]}
    if args.dev_documents:
        names = list(dict.fromkeys(record["id"].split(":")[0] for record in train))
        held_out = set(names[:: args.dev_documents])
        tests["held-out documents"] = [r for r in train if r["id"].split(":")[0] in held_out]
        train = [r for r in train if r["id"].split(":")[0] not in held_out]
    nlp, _ = make_pipeline(args.bilm, VECTORS["mix"])
    sentences = Sentences(nlp, train)
    test_sentences = {name: Sentences(nlp, records) for name, records in tests.items()}
    rows = []
    for name, records in tests.items():
        scores = score_most_frequent(train, records, nlp)
        rows.append({"vectors": MOST_FREQUENT, "examples": "all", "test": name, **scores})
    for vectors in VECTORS if args.vectors is None else args.vectors:
        for n in [None, *(args.examples if args.limited in (None, vectors) else [])]:
            runs: defaultdict[str, list[dict[str, float]]] = defaultdict(list)
            for seed in range(1 if n is None else args.draws):
                _, senses = make_pipeline(args.bilm, VECTORS[vectors])
                golds = None if n is None else list(limit(train, n, random.Random(seed)))
                senses.initialize(partial(sentences.examples, nlp, golds))
                for name, found in test_sentences.items():
                    tested = list(found.examples(nlp))
                    annotate_targets(senses, tested)
                    runs[name].append(score_senses(tested))
            for name, scores in runs.items():
                means = {key: float(np.mean([run[key] for run in scores])) for key in METRICS}
                label = "all" if n is None else n
                rows.append({"vectors": vectors, "examples": label, "test": name, **means})
                print_row(rows[-1])
    return rows


def print_row(row: dict[str, Any]) -> None:
    values = [100 * row[name] for name in METRICS]
    cells = "".join(f"{value:8.1f}" for value in values)
    print(f"{row['vectors']:26}{row['examples']!s:>6}  {row['test']:24}{cells}", flush=True)


def measure_speed(bilm: str) -> dict[str, float]:
    """Measure the time to add a sense from five sentences, and to label a text of `N_TOKENS` tokens
    with 10,000 senses: two of every second word."""
    nlp, senses = make_pipeline(bilm, VECTORS["mix, context and prior"])
    rng = np.random.default_rng(0)
    words = [f"{a}{b}" for a in ("ba", "co", "di", "fu", "la") for b in map(str, range(2000))]
    chance = 1 / np.arange(3, len(words) + 3)
    tokens = rng.choice(words, N_TOKENS, p=chance / chance.sum()).tolist()
    docs = [Doc(nlp.vocab, words=tokens[i : i + 25]) for i in range(0, N_TOKENS, 25)]
    sentences = [
        "They sat on the bank of the river.",
        "The bank was muddy and steep.",
        "Trees grew along the bank of the stream.",
        "The boat reached the far bank.",
        "Fish swim near the bank.",
    ]
    senses.add_sense("shore", "river", ["The shore of the river."])
    numbers = count()
    add = best_times({"": lambda: senses.add_sense("bank", f"{next(numbers)}", sentences)}, REPEATS)
    found = {"add a sense from five sentences, ms": 1000 * add[""]}
    elmo = nlp.get_pipe("elmo")
    docs = list(elmo.pipe(docs, batch_size=256))
    # two senses of every second word
    labels = [f"{word}%{n}" for word in words[::2] for n in range(2)]
    chosen = set(words[::2])
    examples = []
    for doc in docs[: len(docs) // 2]:
        gold = Doc(nlp.vocab, words=[token.text for token in doc])
        gold.spans["senses"] = [
            Span(gold, token.i, token.i + 1, f"{token.text}%{rng.integers(2)}")
            for token in gold
            if token.text in chosen
        ]
        examples.append(Example(doc, gold))
    senses.initialize(lambda: examples)
    for label in labels:
        senses.add_label(label)
    found["senses"] = len(senses.labels)
    found["senses with examples"] = sum(n > 0 for n in senses.counts.values())
    bare = [Doc(nlp.vocab, words=[token.text for token in doc]) for doc in docs]
    seconds = best_times(
        {
            "biLM, s": lambda: deque(elmo.pipe(bare, batch_size=256), maxlen=0),
            "senses, s": lambda: deque(senses.pipe(docs, batch_size=256), maxlen=0),
        },
        REPEATS,
    )
    found.update(seconds)
    found["labelled words"] = sum(len(doc.spans["senses"]) for doc in docs)
    found["senses / biLM, %"] = 100 * found["senses, s"] / found["biLM, s"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="TRAIN and TEST files")
    parser.add_argument("--bilm", default="en_small", help="name or path of the biLM")
    parser.add_argument("--vectors", nargs="+", choices=list(VECTORS), help="rows of the table")
    parser.add_argument("--examples", nargs="*", type=int, default=[1, 3, 10, 30])
    parser.add_argument("--limited", choices=list(VECTORS), help="row to limit examples in; all")
    parser.add_argument("--draws", type=int, default=3, help="random draws of examples")
    parser.add_argument("--dev-documents", type=int, help="hold out every N-th document of TRAIN")
    parser.add_argument("--speed", action="store_true", help="measure the speed instead")
    parser.add_argument("--json", type=Path, help="JSON file to write the results to")
    args = parser.parse_args()
    print(machine(), flush=True)
    results: Any
    if args.speed:
        results = measure_speed(args.bilm)
        for name, value in results.items():
            print(f"{name:40}{value:,.1f}")
    else:
        if len(args.files) < 2 and not args.dev_documents:
            parser.error("give a TRAIN and a TEST file, or --dev-documents")
        results = measure_quality(args)
        print()
        for row in results:
            print_row(row)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
