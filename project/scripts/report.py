"""Write the report of a corpus: scores with and without ELMo, in tables and plots.

All numbers are read from files that the other commands of the project have written.
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
from verdict import gains_section, unigram_perplexity
from wasabi import msg

from spacy_elmo.coref.clusters import cut_doc
from spacy_elmo.coref.page import render_page
from spacy_elmo.files.atomic import atomic_file

EXAMPLE_TOKENS = 220
SPANS_KEY = "sc"  # as in the configs for spancat


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Format a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def scores_section(runs: Runs) -> Iterator[str]:
    """Yield the paragraphs of the section with the scores of all tasks."""
    yield "## Scores"
    yield (
        "Scores are percentages: mean and standard deviation over seeds, from the best dev "
        "evaluation of each run. Both models have the same head, word features and training. The "
        "model with ELMo also reads the vectors of a frozen ELMo. The error reduction is the "
        "percentage of the error (100 minus the score without ELMo) that ELMo removes."
    )
    for task in runs.where(share=100).tasks():
        yield f"### {TASKS[task]}"
        yield table(*score_table(runs, task))


def shares_section(runs: Runs, folder: Path) -> Iterator[str]:
    """Yield the paragraphs of the section with the learning curves, and write their plot to a
    folder. There are none if no task was trained on several percentages of the books."""
    tasks = [task for task in runs.tasks() if len(runs.where(task=task).shares()) > 1]
    if not tasks:
        return
    plot_shares(runs, tasks, folder / "shares.png")
    yield "## Learning curves"
    yield "![Learning curves](shares.png)"
    yield (
        "Each percentage of the training books includes the books of the smaller percentages. The "
        "books are the same for all seeds. All runs have the same number of training steps."
    )
    for task in tasks:
        yield f"### {TASKS[task]} by percentage of the training books"
        yield table(*share_table(runs, task))


def mixes_section(runs: Runs, folder: Path) -> Iterator[str]:
    """Yield the paragraphs of the section with the layer weights, and write their plot to a folder.
    There are none if no run has a mix."""
    found = {task: runs.where(task=task, model="elmo", share=100).mix() for task in runs.tasks()}
    mixes = {task: mix for task, mix in found.items() if mix is not None}
    if not mixes:
        return
    plot_mixes(mixes, folder / "mixes.png")
    yield "## Layer weights"
    yield "![Layer weights](mixes.png)"
    n_layers = max(map(len, mixes.values()))
    header = ["", "tokens", *(f"LSTM {n}" for n in range(1, n_layers))]
    yield table(header, [[TASKS[t], *(f"{w:.2f}" for w in mix)] for t, mix in mixes.items()])


def read_evaluations(pretrained: Path | None) -> list[dict[str, Any]]:
    """Read the evaluations of a pretraining from its log.

    pretrained (Optional[Path]): Output directory of the pretraining.
    RETURNS (List[Dict[str, Any]]): The evaluations in order; empty without a log.
    """
    log = pretrained / "log.jsonl" if pretrained else None
    if log is None or not log.is_file():
        return []
    entries = [json.loads(line) for line in log.read_text(encoding="utf8").splitlines()]
    return [entry for entry in entries if "forward" in entry]


def pretraining_section(
    pretrained: Path, evaluations: list[dict[str, Any]], folder: Path
) -> Iterator[str]:
    """Yield the paragraphs of the section with the evaluations of the pretraining.

    pretrained (Path): Output directory of the pretraining, with its curves.
    evaluations (List[Dict[str, Any]]): The evaluations, in order.
    folder (Path): Folder to copy the plot of the curves to.
    YIELDS (str): Paragraphs in Markdown; none without evaluations.
    """
    if not evaluations:
        return
    yield "## The language model"
    if (pretrained / "curves.png").is_file():
        shutil.copy(pretrained / "curves.png", folder / "pretraining.png")
        yield "![Pretraining](pretraining.png)"
    header = ["step", "words", "minutes", "perplexity forward", "backward"]
    step = max(1, len(evaluations) // 8)
    chosen = [*evaluations[:-1:step], evaluations[-1]]
    rows = [
        [
            f"{entry['step']:,}",
            f"{entry['words']:,}",
            f"{entry['seconds'] / 60:.1f}",
            f"{entry['forward']:.1f}",
            f"{entry['backward']:.1f}",
        ]
        for entry in chosen
    ]
    yield "Evaluations on held-out text, with the full softmax:"
    yield table(header, rows)


def costs_section(runs: Runs) -> Iterator[str]:
    """Yield the paragraphs of the section with the time and memory of the runs."""
    yield "## Time and memory"
    machines = ", ".join(sorted({result["machine"] for result in runs.results}))
    yield (
        f"The table shows the mean time of a run, including its evaluations and the biLM, and the "
        f"peak memory, on {machines}. Runs with fewer threads than cores were executed in parallel."
    )
    yield table(*cost_table(runs))


def neighbours_section(bilm: str, sentences: list[Sentence], words: list[str]) -> Iterator[str]:
    """Yield the paragraphs of the section with the nearest neighbours of words.

    bilm (str): The biLM.
    sentences (List[Sentence]): The sentences in which the words are found.
    words (List[str]): The words. A word with fewer than two occurrences is skipped.
    YIELDS (str): Paragraphs in Markdown; none if all words are skipped.
    """
    paragraphs: list[str] = []
    for word in words:
        occurrences = find(word, sentences)
        if len(occurrences) > 1:
            rows = [
                [occurrence.snippet() if n == 0 else "", f"{cosine:.2f}", other.snippet()]
                for occurrence, others in nearest(bilm, occurrences)
                for n, (cosine, other) in enumerate(others)
            ]
            paragraphs += [f"### {word}", table(["in context", "cosine", "nearest"], rows)]
    if paragraphs:
        yield "## Words in context"
        yield (
            "For each word, the table shows an occurrence and the occurrence with the least "
            "similar vector. Next to both are the occurrences with the most similar vectors. "
            "Contexts with a content word in common are left out."
        )
        yield from paragraphs


def find_pipeline(training: Path, task: str) -> Path | None:
    """Return a pipeline with ELMo that was trained on all books, or None if there is none."""
    return next(iter(sorted(training.glob(f"{task}_elmo_100_*/model-best"))), None)


def example(corpus: Path, vocab: Vocab) -> Doc | None:
    """Return the beginning of the first test Doc, without annotations; None if there is no Doc."""
    doc = next(DocBin().from_disk(corpus / "test.spacy").get_docs(vocab), None)
    if doc is None:
        return None
    cut = cut_doc(doc, 0, min(len(doc), EXAMPLE_TOKENS))
    spaces = [bool(token.whitespace_) for token in cut]
    return Doc(doc.vocab, words=[token.text for token in cut], spaces=spaces)


def drawings(training: Path, corpora: Sequence[tuple[str, Path]]) -> Iterator[Drawing]:
    """Visualize the predictions of trained pipelines for an example.

    training (Path): Folder of trained pipelines.
    corpora (Sequence[Tuple[str, Path]]): Tasks, and the folder of the corpus of each.
    YIELDS (Drawing): The visualization of each task that has a pipeline.
    """
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
    output: Annotated[Path, Arg(help="Folder to write report.md, report.html and plots to")],
    title: Annotated[str, Opt(help="Title of the report")],
    pretrained: Annotated[Path | None, Opt(help="Output directory of the pretraining")] = None,
    texts: Annotated[Path | None, Opt(help="Folder of the texts to find the words in")] = None,
    words: Annotated[str, Opt(help="Comma-separated words to show in context")] = "",
    ner: Annotated[Path | None, Opt(help="Corpus of the named entities")] = None,
    spancat: Annotated[Path | None, Opt(help="Corpus of the nested entities")] = None,
    coref: Annotated[Path | None, Opt(help="Corpus of the coreference")] = None,
) -> None:
    """Write the report from the output of fine_tune.py and of the pretraining."""
    try:
        runs = Runs.read(metrics)
    except ValueError as error:
        msg.fail(str(error), exits=1)
    output.mkdir(parents=True, exist_ok=True)
    evaluations = read_evaluations(pretrained)
    sentences = read_sentences(texts) if texts is not None else []
    unigram = unigram_perplexity(sentences) if sentences else None
    sections = [f"# {title}", *gains_section(runs, evaluations, unigram), *scores_section(runs)]
    sections += [*shares_section(runs, output), *mixes_section(runs, output)]
    if pretrained is not None:
        sections += pretraining_section(pretrained, evaluations, output)
        sections += neighbours_section(str(pretrained / "model-best"), sentences, words.split(","))
    sections += costs_section(runs)
    text = "\n\n".join(sections) + "\n"
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
