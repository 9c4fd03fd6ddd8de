"""Write the report of a corpus: what ELMo brings, in tables and pictures.

Owns the order and the words. All numbers come from files that the other commands wrote.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import spacy
import typer
from neighbours import Sentence, find, nearest, read_sentences
from page import Drawing, to_html
from plots import plot_mixes, plot_shares
from spacy import displacy
from spacy.cli._util import Arg, Opt
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab
from tables import TASKS, Runs, cost_table, score_table, share_table
from verdict import on_gains, unigram_perplexity
from wasabi import msg

from spacy_elmo.coref.clusters import cut_doc
from spacy_elmo.coref.page import render_page
from spacy_elmo.files.atomic import atomic_file

EXAMPLE_TOKENS = 220
SPANS_KEY = "sc"  # of the configs for spancat


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """RETURNS (str): A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def on_scores(runs: Runs) -> Iterator[str]:
    yield "## Scores"
    yield (
        "In per cent, mean and standard deviation over seeds, best dev evaluation of each run. "
        "Both models have the same head, word features and training; one has the vectors of a "
        "frozen ELMo beside the word features. “Error less by”: what ELMo takes off of what the "
        "score without it lacks to 100."
    )
    for task in runs.of(share=100).tasks():
        yield f"### {TASKS[task]}"
        yield table(*score_table(runs, task))


def on_shares(runs: Runs, folder: Path) -> Iterator[str]:
    tasks = [task for task in runs.tasks() if len(runs.of(task=task).shares()) > 1]
    if not tasks:
        return
    plot_shares(runs, tasks, folder / "shares.png")
    yield "## How many books it takes"
    yield "![Learning curves](shares.png)"
    yield (
        "Smaller shares are parts of larger ones, the same books for all seeds. Trainings on a "
        "share have as many steps as those on all books."
    )
    for task in tasks:
        yield f"### {TASKS[task]} by share of the training books"
        yield table(*share_table(runs, task))


def on_mixes(runs: Runs, folder: Path) -> Iterator[str]:
    found = {task: runs.of(task=task, model="elmo", share=100).mix() for task in runs.tasks()}
    mixes = {task: mix for task, mix in found.items() if mix is not None}
    if not mixes:
        return
    plot_mixes(mixes, folder / "mixes.png")
    yield "## Which layers each task uses"
    yield "![Layer weights](mixes.png)"
    n_layers = max(map(len, mixes.values()))
    header = ["", "tokens", *(f"LSTM {n}" for n in range(1, n_layers))]
    yield table(header, [[TASKS[t], *(f"{w:.2f}" for w in mix)] for t, mix in mixes.items()])


def read_looks(pretrained: Path | None) -> list[dict[str, Any]]:
    """RETURNS (List[Dict[str, Any]]): The evaluations of a pretraining; none of a model that was
    pretrained elsewhere."""
    log = pretrained / "log.jsonl" if pretrained else None
    if log is None or not log.is_file():
        return []
    entries = [json.loads(line) for line in log.read_text(encoding="utf8").splitlines()]
    return [entry for entry in entries if "forward" in entry]


def on_pretraining(pretrained: Path, looks: list[dict[str, Any]], folder: Path) -> Iterator[str]:
    if not looks:
        return
    yield "## The language model"
    if (pretrained / "curves.png").is_file():
        shutil.copy(pretrained / "curves.png", folder / "pretraining.png")
        yield "![Pretraining](pretraining.png)"
    header = ["step", "words", "minutes", "perplexity forward", "backward"]
    step = max(1, len(looks) // 8)
    chosen = [*looks[:-1:step], looks[-1]]
    rows = [
        [
            f"{look['step']:,}",
            f"{look['words']:,}",
            f"{look['seconds'] / 60:.1f}",
            f"{look['forward']:.1f}",
            f"{look['backward']:.1f}",
        ]
        for look in chosen
    ]
    yield "On held-out text, by the exact softmax:"
    yield table(header, rows)


def on_costs(runs: Runs) -> Iterator[str]:
    yield "## Time and memory"
    machines = ", ".join(sorted({result["machine"] for result in runs.results}))
    yield (
        f"Mean time of a training with its evaluations and the biLM's run, and most memory, on "
        f"{machines}. Runs with fewer threads than cores had others beside them."
    )
    yield table(*cost_table(runs))


def on_neighbours(bilm: str, sentences: list[Sentence], words: list[str]) -> Iterator[str]:
    parts: list[str] = []
    for word in words:
        occurrences = find(word, sentences)
        if len(occurrences) > 1:
            rows = [
                [occurrence.snippet() if n == 0 else "", f"{cosine:.2f}", other.snippet()]
                for occurrence, others in nearest(bilm, occurrences)
                for n, (cosine, other) in enumerate(others)
            ]
            parts += [f"### {word}", table(["in context", "cosine", "nearest"], rows)]
    if parts:
        yield "## Words in context"
        yield (
            "Two uses of a word whose vectors are least alike, and for each the uses with the most "
            "similar vectors, among sentences that share no content word near it."
        )
        yield from parts


def find_pipeline(training: Path, task: str) -> Path | None:
    """RETURNS (Optional[Path]): A pipeline with ELMo that was trained on all books."""
    return next(iter(sorted(training.glob(f"{task}_elmo_100_*/model-best"))), None)


def example(corpus: Path, vocab: Vocab) -> Doc | None:
    """RETURNS (Optional[Doc]): The beginning of the first text to test on."""
    doc = next(DocBin().from_disk(corpus / "test.spacy").get_docs(vocab), None)
    if doc is None:
        return None
    cut = cut_doc(doc, 0, min(len(doc), EXAMPLE_TOKENS))
    spaces = [bool(token.whitespace_) for token in cut]
    return Doc(doc.vocab, words=[token.text for token in cut], spaces=spaces)


def drawings(training: Path, corpora: Sequence[tuple[str, Path]]) -> Iterator[Drawing]:
    """YIELDS (Drawing): What trained pipelines find in an example."""
    for task, corpus in corpora:
        pipeline = find_pipeline(training, task)
        if pipeline is None:
            continue
        nlp = spacy.load(pipeline)
        doc = example(corpus, nlp.vocab)
        if doc is None:
            continue
        found = nlp(doc)
        if task == "coref":
            page = render_page([found], title=TASKS[task])
        elif task == "spancat":
            page = displacy.render(
                found, "span", page=False, jupyter=False, options={"spans_key": SPANS_KEY}
            )
        else:
            page = displacy.render(found, "ent", page=False, jupyter=False)
        yield Drawing(TASKS[task], page, is_page=task == "coref")


def report_cli(
    metrics: Annotated[Path, Arg(help="Folder of scores")],
    training: Annotated[Path, Arg(help="Folder of trained pipelines")],
    output: Annotated[Path, Arg(help="Folder to write report.md, report.html and pictures to")],
    title: Annotated[str, Opt(help="Title of the report")],
    pretrained: Annotated[Path | None, Opt(help="Output of the pretraining")] = None,
    texts: Annotated[Path | None, Opt(help="Folder of texts to look words up in")] = None,
    words: Annotated[str, Opt(help="Words to look up, with commas between them")] = "",
    ner: Annotated[Path | None, Opt(help="Corpus of the named entities")] = None,
    spancat: Annotated[Path | None, Opt(help="Corpus of the nested entities")] = None,
    coref: Annotated[Path | None, Opt(help="Corpus of the coreference")] = None,
) -> None:
    """Write the report of what fine_tune.py and the pretraining have written."""
    try:
        runs = Runs.read(metrics)
    except ValueError as error:
        msg.fail(str(error), exits=1)
    output.mkdir(parents=True, exist_ok=True)
    looks = read_looks(pretrained)
    sentences = read_sentences(texts) if texts is not None else []
    unigram = unigram_perplexity(sentences) if sentences else None
    parts = [f"# {title}", *on_gains(runs, looks, unigram), *on_scores(runs)]
    parts += [*on_shares(runs, output), *on_mixes(runs, output)]
    if pretrained is not None:
        parts += on_pretraining(pretrained, looks, output)
        parts += on_neighbours(str(pretrained / "model-best"), sentences, words.split(","))
    parts += on_costs(runs)
    text = "\n\n".join(parts) + "\n"
    corpora = [
        (task, path)
        for task, path in (("ner", ner), ("spancat", spancat), ("coref", coref))
        if path
    ]
    page = to_html(text, output, title, list(drawings(training, corpora)))
    for name, content in (("report.md", text), ("report.html", page)):
        with atomic_file(output / name) as temporary:
            temporary.write_text(content, encoding="utf8")
    msg.good(f"Wrote the report to {output / 'report.html'}")


if __name__ == "__main__":
    typer.run(report_cli)
