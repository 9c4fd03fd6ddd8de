"""The project, run from end to end without a network."""

import importlib.util
import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import spacy
import srsly
from spacy.tokens import DocBin

from spacy_elmo.coref.clusters import get_clusters

from ..samples import ONTONOTES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PROJECT = ROOT / "project"
SETTINGS = {
    "story_epochs": "0.3",
    "story_steps": "30",
    "story_seeds": "0",
}
CONLL2003 = """-DOCSTART- -X- O O

Anna NNP B-NP I-PER
Berg NNP I-NP I-PER
slept VBD B-VP O
. . O O

Bremen NNP B-NP I-LOC
was VBD B-VP O
far RB B-ADVP O
. . O O

"""
# Python imports this first in each process of the project, which then has no network
NO_NETWORK = """
import socket

class Refused(socket.socket):
    def connect(self, address):
        if self.family != getattr(socket, "AF_UNIX", None):
            raise OSError(f"The project connected to {address}; it must run without a network.")
        return super().connect(address)

socket.socket = Refused
"""


def load(name):
    sys.path.insert(0, str(PROJECT / "scripts"))
    try:
        spec = importlib.util.spec_from_file_location(name, PROJECT / "scripts" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.pop(0)


def make_copy(root):
    """Copy the project and the configs as in a clone, and a module that disables the network."""
    shutil.copytree(ROOT / "configs", root / "configs")
    generated = (
        "assets",
        "corpus",
        "training",
        "metrics",
        "packages",
        "project.lock",
        "__pycache__",
    )
    shutil.copytree(PROJECT, root / "project", ignore=shutil.ignore_patterns(*generated))
    (root / "offline").mkdir()
    (root / "offline" / "sitecustomize.py").write_text(NO_NETWORK)
    return root / "project"


def run(project, name, **settings):
    command = [sys.executable, "-m", "spacy", "project", "run", name, str(project)]
    for setting, value in settings.items():
        command += [f"--vars.{setting}", value]
    offline = project.parent / "offline"
    path = os.pathsep.join([str(offline), str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Return a copy of the project after the workflow `all`."""
    copy = make_copy(tmp_path_factory.mktemp("clone"))
    run(copy, "all", **SETTINGS)
    return copy


def make_run(runs, **settings):
    """Create a `Run` with seed 0, on all books and on the CPU, unless settings say otherwise.

    runs (ModuleType): The module `runs`.
    """
    defaults = {"seed": 0, "share": 100, "gpu_id": -1, "overrides": {}}
    return runs.Run(**{**defaults, **settings})


def test_the_report_has_the_scores_of_the_runs(project):
    report = (project / "report" / "stories" / "report.md").read_text(encoding="utf8")
    for task, key in (("ner", "ents_f"), ("coref", "coref_conll_f")):
        for model in ("baseline", "elmo"):
            name = f"{task}_{model}_100_0.json"
            scores = json.loads((project / "metrics" / "stories" / name).read_text())
            assert 0 <= scores["test"][key] <= 1
            assert f"{100 * scores['test'][key]:.1f}" in report
    page = (project / "report" / "stories" / "report.html").read_text(encoding="utf8")
    assert "<iframe" in page and "data:image/png;base64" in page
    assert 'src="http' not in page


def test_the_bilm_learns_the_stories(project):
    log = list(srsly.read_jsonl(project / "training" / "stories" / "bilm" / "log.jsonl"))
    last = [entry for entry in log if "forward" in entry][-1]
    # of about 400 words, which are equally likely at first
    assert last["forward"] < 200 and last["backward"] < 200


def test_finished_runs_are_skipped(project, monkeypatch):
    runs, module = load("runs"), load("fine_tune")
    monkeypatch.chdir(project)
    config = Path("../configs/ner_elmo.cfg")
    found = json.loads((project / "metrics" / "stories" / "ner_elmo_100_0.json").read_text())
    overrides = found["settings"]["overrides"]
    run = make_run(
        runs,
        task="ner",
        model="elmo",
        config=str(config),
        corpus="corpus/stories/marked",
        training="training/stories",
        metrics="metrics/stories",
        overrides=overrides,
    )
    assert run.is_done()
    assert not replace(run, seed=1).is_done()
    assert not replace(run, overrides={**overrides, "training.dropout": 0.2}).is_done()
    assert runs.Run.from_json(run.to_json()) == run
    # another corpus in the same folder, and a missing pipeline
    monkeypatch.setattr(runs, "get_checksum", lambda path: "other")
    assert not run.is_done()
    monkeypatch.undo()
    monkeypatch.chdir(project)
    monkeypatch.setattr(runs.Run, "pipeline", Path("nowhere"))
    assert not run.is_done()
    assert "paths.bilm" not in module.settings_for(
        Path("../configs/ner_baseline.cfg"), {"components.elmo.model.width": 64}, "x"
    )


def test_a_failed_run_stops_the_others(tmp_path, monkeypatch):
    module, runs = load("fine_tune"), load("runs")
    config, folder = str(PROJECT / "nowhere.cfg"), str(tmp_path)
    many = [
        make_run(
            runs,
            task="ner",
            model="elmo",
            seed=seed,
            config=config,
            corpus=folder,
            training=folder,
            metrics=folder,
        )
        for seed in range(4)
    ]
    with pytest.raises(SystemExit):
        module.run_all(many, 1)


def fabricate(folder, **changes):
    """Write scores of three tasks with two seeds and two fractions of the books."""
    tables = load("tables")
    folder.mkdir()
    for task, metrics in tables.METRICS.items():
        for m, model in enumerate(("baseline", "elmo")):
            for share in (25, 100):
                for seed in (0, 1):
                    value = 0.4 + 0.2 * m + 0.1 * (share == 100) + 0.01 * seed
                    scores = {key: value for _, key in metrics}
                    result = {"task": task, "model": model, "seed": seed, "share": share}
                    result |= {"seconds": 10.0 + seed, "threads": 1, "machine": "a machine"}
                    mix = [{"component": task, "weights": [0.2, 0.3, 0.5]}] if m else []
                    result |= {"mix": mix, "peak_mb": 100.0, "dev": scores, "test": scores}
                    result["settings"] = {"corpus": task, "bilm": model}
                    path = folder / f"{task}_{model}_{share}_{seed}.json"
                    path.write_text(json.dumps({**result, **changes}))
                    changes = {}
    return folder


def test_the_report_of_several_seeds_shares_and_tasks(tmp_path):
    report = load("report")
    metrics = fabricate(tmp_path / "metrics")
    report.report_cli(metrics, tmp_path, tmp_path / "report", "A title")
    text = (tmp_path / "report" / "report.md").read_text(encoding="utf8")
    # 50.5 without and 70.5 with ELMo: the error falls from 49.5 by 20
    assert "| without ELMo | dev | 2 | 50.5 ± 0.7 |" in text
    assert "| with ELMo | test | 2 | 70.5 ± 0.7 |" in text
    assert "| error reduction | test |  | 40 % |" in text
    assert text.count("| 25 % | 40.5 ± 0.7 | 60.5 ± 0.7 | +20.0 |") == 3
    assert "| Nested entities | 0.20 | 0.30 | 0.50 |" in text
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf8")
    assert page.count("data:image/png;base64") == 2 and "<table>" in page


def test_a_command_is_run_with_one_thread(tmp_path):
    (tmp_path / "shown.py").write_text(
        "import torch, sys; print(torch.get_num_threads(), sys.argv[1:])"
    )
    script = str(PROJECT / "scripts" / "threads.py")
    command = [sys.executable, script, "1", "shown", "--option", "1"]
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1 ['--option', '1']"


def gains(baseline, elmo, evaluations=(), unigram=None):
    """Return the section on the gain for one task, from test scores in per cent by seed."""
    tables, verdict = load("tables"), load("verdict")
    results = [
        {"task": "ner", "model": model, "share": 100, "seed": seed, "test": {"ents_f": score / 100}}
        for model, scores in (("baseline", baseline), ("elmo", elmo))
        for seed, score in enumerate(scores)
    ]
    return "\n".join(verdict.gains_section(tables.Runs(results), evaluations, unigram))


def evaluation(perplexity):
    return {"step": 43, "words": 27_520, "forward": perplexity, "backward": perplexity}


def test_the_report_describes_a_gain():
    text = gains([91.5], [98.0], [evaluation(2.4)], 107.5)
    assert "**Named entities: ELMo helps.** F on test is 91.5 without and 98.0 with ELMo" in text
    assert "43 steps" in text and "frequencies alone reach 107.5" in text
    assert "undertrained" not in text and "no gain" not in text


@pytest.mark.parametrize(
    "baseline, elmo, verdict",
    [
        ([90.0], [90.4], "no gain"),  # less than the default difference of seeds
        ([90.0, 94.0], [93.0, 95.0], "no gain"),  # less than the deviation of these seeds
        ([90.0, 90.2], [91.0, 91.2], "ELMo helps"),  # more than the deviation of these seeds
        ([90.0], [85.0], "ELMo hurts"),
    ],
)
def test_a_gain_exceeds_the_deviation_of_the_seeds(baseline, elmo, verdict):
    assert verdict in gains(baseline, elmo)


@pytest.mark.parametrize(
    "baseline, evaluations, unigram, reason",
    [
        ([90.0, 90.0], [evaluation(95.0)], 107.5, "undertrained"),
        ([99.0, 99.0], [evaluation(2.4)], 107.5, "nearly perfect"),
        ([90.0], [evaluation(2.4)], 107.5, "trained once"),
        ([90.0, 90.0], [], None, "Neither"),
    ],
)
def test_the_report_explains_a_missing_gain(baseline, evaluations, unigram, reason):
    text = gains(baseline, baseline, evaluations, unigram)
    assert "no gain" in text and reason in text
    assert ("undertrained" in text) == (reason == "undertrained")


def test_the_unigram_perplexity():
    verdict = load("verdict")
    # "a", "b" and the sentence end have the same frequency
    assert verdict.unigram_perplexity([("a", "b"), ("b", "a")]) == pytest.approx(3.0)
    assert verdict.unigram_perplexity([]) == 1.0


def test_nearest_occurrences_have_different_contexts():
    module = load("neighbours")
    watch = [
        module.Occurrence(tuple(text.split()), text.split().index("watch"))
        for text in (
            "Anna owned an old watch .",
            "Bert owned a heavy watch .",
            "He lost the watch yesterday .",
            "They watch the sea .",
        )
    ]
    assert not module.differ(watch[0], watch[1]) and not module.differ(watch[0], watch[0])
    assert module.differ(watch[0], watch[2]) and module.differ(watch[2], watch[3])
    found = module.varied(0, np.array([1.0, 0.9, 0.5, 0.1]), watch)
    assert [occurrence for _, occurrence in found] == [watch[2], watch[3]]


HOSTILE = '"><script>alert(1)</script><img src="x.png" onerror=alert(1)>&amp;|`*'


def test_the_page_escapes_text_and_fits_small_screens(tmp_path):
    module = load("page")
    drawings = [module.Drawing(HOSTILE, "<p>safe</p>", is_page=page) for page in (True, False)]
    text = f"# {HOSTILE}\n\n{HOSTILE}\n\n| a | b |\n| --- | --- |\n| {HOSTILE} | c |\n"
    page = module.to_html(text, tmp_path, HOSTILE, drawings)
    assert page.count("<script") == 1 and "<img" not in page
    assert 'srcdoc="&lt;p&gt;safe&lt;/p&gt;"' in page and "<p>safe</p>" in page
    assert 'name="viewport"' in page and '<div class="wide"><table>' in page


def test_runs_of_different_corpora_are_refused(tmp_path):
    tables = load("tables")
    metrics = fabricate(tmp_path / "metrics", settings={"corpus": "older", "bilm": "baseline"})
    with pytest.raises(ValueError, match="another corpus"):
        tables.Runs.read(metrics)


def test_markdown_in_a_text_is_escaped():
    module = load("neighbours")
    words = ("a", "*b*", "<i>", "c|d", "watch", "_e_", "[f]")
    shown = module.Occurrence(words, 4).snippet()
    assert shown == r"a \*b\* \<i\> c\|d **watch** \_e\_ \[f\]"


def test_the_packaged_pipeline_combines_both_components(project):
    training = project / "training" / "stories"
    assert (project / "packages" / "en_stories-0.1.0" / "meta.json").is_file()
    nlp = spacy.load(training / "pipeline")
    assert nlp.pipe_names == ["elmo", "ner", "punct_sentencizer", "coref"]
    # the combined pipeline predicts the same as its sources
    docs = read_docs(project / "corpus" / "stories" / "marked" / "test.spacy")[:5]
    sources = [
        spacy.load(training / f"{task}_elmo_100_0" / "model-best") for task in ("ner", "coref")
    ]
    for text in (doc.text for doc in docs):
        ner, coref = (source(text) for source in sources)
        doc = nlp(text)
        assert [(e.text, e.label_) for e in doc.ents] == [(e.text, e.label_) for e in ner.ents]
        assert get_clusters(doc) == get_clusters(coref)


def test_licensed_corpora_are_converted(tmp_path):
    copy = make_copy(tmp_path)
    folder = copy / "assets" / "conll2003"
    folder.mkdir(parents=True)
    for part in ("train", "dev", "test"):
        (folder / f"{part}.txt").write_text(CONLL2003, encoding="utf8")
    run(copy, "conll2003-corpus")
    (doc,) = read_docs(copy / "corpus" / "conll2003" / "test.spacy")
    assert [(ent.text, ent.label_) for ent in doc.ents] == [("Anna Berg", "PER"), ("Bremen", "LOC")]
    assert len(list(doc.sents)) == 2
    for part in ("train", "development", "test"):
        folder = copy / "assets" / "ontonotes" / part
        folder.mkdir(parents=True)
        (folder / "story.v4_gold_conll").write_text(ONTONOTES, encoding="utf8")
    run(copy, "ontonotes-corpus")
    (doc,) = read_docs(copy / "corpus" / "ontonotes" / "dev.spacy")
    found = [[doc[start:end].text for start, end in mentions] for mentions in get_clusters(doc)]
    assert found == [["Anna", "she"], ["the boat", "it"]]


def read_docs(path):
    return list(DocBin().from_disk(path).get_docs(spacy.blank("en").vocab))


def test_a_larger_share_includes_the_books_of_a_smaller_one(tmp_path):
    stories, module = load("write_stories"), load("train_run")
    stories.write_stories(tmp_path / "text", tmp_path, 1, (20, 1, 1))
    vocab = spacy.blank("en").vocab
    books = {}
    for share in (10, 50):
        path = module.take_share(tmp_path / "train.spacy", share, tmp_path / f"{share}.spacy")
        docs = DocBin().from_disk(path).get_docs(vocab)
        books[share] = {doc.user_data["book"] for doc in docs}
    assert len(books[10]) == 2 and len(books[50]) == 10
    assert books[10] < books[50]
    assert module.take_share(tmp_path / "train.spacy", 100, tmp_path / "all.spacy").stem == "train"


def test_stories_are_reproducible_and_their_annotation_is_consistent():
    module = load("write_stories")
    stories = list(module.make_stories(3, 50))
    assert stories == list(module.make_stories(3, 50))
    vocab = spacy.blank("en").vocab
    for story in stories:
        doc = module.make_doc(story, vocab, 0)
        assert {ent.label_ for ent in doc.ents} <= set(module.LABELS.values())
        assert all(ent[0].is_title or ent[0].lower_ == "the" for ent in doc.ents)
        assert all(sent[0].text[0].isupper() or sent[0].text == '"' for sent in doc.sents)
        assert all(sent[-1].text in (".", '"') for sent in doc.sents)


def test_names_of_people_towns_and_ships_are_distinct():
    names = load("write_stories").make_names()
    together = [name for group in names.values() for name in group]
    assert len(set(together)) == len(together) == 3 * 80


def test_existing_files_are_verified_without_a_network(tmp_path, monkeypatch):
    module = load("fetch_litbank")
    monkeypatch.setattr(module.requests, "get", None)
    (tmp_path / "a.txt").write_bytes(b"hello\n")
    checksums = {"a.txt": "b1946ac92492d2347c6235b4d2611184"}
    assert module.fetch(tmp_path, checksums) == 0
    (tmp_path / "a.txt").write_bytes(b"hullo\n")
    with pytest.raises(ValueError, match="checksum"):
        module.fetch(tmp_path, checksums)
    assert (tmp_path / "a.txt").read_bytes() == b"hullo\n"


def test_missing_files_are_downloaded_and_verified(tmp_path, monkeypatch):
    module = load("fetch_litbank")

    class Answer:
        content = b"hello\n"

        def raise_for_status(self):
            pass

    monkeypatch.setattr(module.requests, "get", lambda address, timeout: Answer())
    assert module.fetch(tmp_path, {"b/a.txt": "b1946ac92492d2347c6235b4d2611184"}) == 1
    assert (tmp_path / "b" / "a.txt").read_bytes() == b"hello\n"
    with pytest.raises(ValueError, match="checksum"):
        module.fetch(tmp_path, {"c.txt": "0" * 32})
    assert not (tmp_path / "c.txt").exists()


def test_there_is_a_checksum_for_each_file():
    checksums = load("fetch_litbank").read_checksums(PROJECT / "litbank.md5")
    folders = [name.rpartition("/")[0] for name in checksums]
    assert {folder: folders.count(folder) for folder in folders} == {
        "original": 100,
        "entities/tsv": 100,
        "coref/conll": 100,
    }


def test_error_reduction_and_spread():
    module = load("tables")
    baseline, elmo = module.spread([60.0, 62.0]), module.spread([70.0, 72.0])
    assert (baseline.mean, baseline.n) == (61.0, 2)
    assert baseline.deviation == pytest.approx(2**0.5)
    assert module.error_reduction(baseline, elmo) == pytest.approx(100 * 10 / 39)
    assert str(module.spread([50.0])) == "50.0"
    assert math.isnan(module.error_reduction(module.spread([100.0]), elmo))


def test_assembled_components_keep_their_position(tmp_path):
    assemble = load("assemble")
    for name, factories in {
        "sentences": ["punct_sentencizer", "entity_ruler"],
        "plain": ["attribute_ruler"],
        "more": ["punct_sentencizer", "span_ruler"],
    }.items():
        nlp = spacy.blank("en")
        nlp.add_pipe("elmo")
        for factory in factories:
            nlp.add_pipe(factory)
        nlp.initialize()
        nlp.to_disk(tmp_path / name)
    found = assemble.assemble(tmp_path / "sentences", [tmp_path / "plain", tmp_path / "more"])
    assert found.pipe_names == [
        "elmo",
        "attribute_ruler",
        "punct_sentencizer",
        "span_ruler",
        "entity_ruler",
    ]
    with pytest.raises(ValueError, match="more sets sentence boundaries, by 'punct_sentencizer'"):
        assemble.assemble(tmp_path / "plain", [tmp_path / "more"])


def test_the_learning_rate_of_a_share_falls_to_zero_at_its_last_step(tmp_path):
    stories, module, runs = load("write_stories"), load("train_run"), load("runs")
    stories.write_stories(tmp_path / "text", tmp_path, 1, (20, 1, 1))
    config = str(ROOT / "configs" / "spancat_baseline.cfg")
    folder = str(tmp_path)
    for overrides, n_steps in (({}, 1000), ({"training.max_steps": 30}, 30)):
        run = make_run(
            runs,
            task="spancat",
            model="baseline",
            share=25,
            config=config,
            corpus=folder,
            training=folder,
            metrics=folder,
            overrides=overrides,
        )
        changed = module.overrides_of(run)
        training = spacy.util.load_config(config, overrides=changed)["training"]
        assert training["max_steps"] == n_steps
        assert training["optimizer"]["learn_rate"]["total_steps"] == n_steps
