"""The shipped configs are complete and consistent, and can be trained with tiny sizes."""

import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import spacy
import srsly
from spacy.cli.init_config import fill_config
from spacy.tokens import Doc, DocBin, Span
from spacy.training import Example
from spacy.training.initialize import init_nlp
from spacy.training.loop import train
from spacy.util import load_config
from thinc.api import Adam, Config

from .tiny_configs import CONFIGS, N_STEPS, load_tiny_config

pytestmark = pytest.mark.slow

# pretraining configs are not pipeline configs
FULL = sorted(set(CONFIGS.glob("*.cfg")) - set(CONFIGS.glob("pretrain_*.cfg")))
WITH_ELMO = [path for path in FULL if "elmo" in path.stem]
# all senses are learned when a pipeline is initialized
TRAINED = [path for path in WITH_ELMO if "senses" not in path.stem]

each_config = pytest.mark.parametrize("path", FULL, ids=lambda path: path.stem)
each_trained = pytest.mark.parametrize("path", TRAINED, ids=lambda path: path.stem)

SENTENCES = (
    "Anna B-PER of_ O Rome B-GPE saw_ O Mr B-PER Knightley I-PER . O",
    "The B-FAC house I-FAC of I-FAC Emma I-FAC is O old O . O",
    "He O went O to O Paris B-GPE with O Anna B-PER , O she O said O . O",
)
TEXTS = ["Anna of Rome saw Mr Knightley.", "", "The house of Emma is old."]
PREDICT_IN_PROCESS = """
import sys, numpy, spacy, torch
torch.set_num_threads(1)  # as in this process: the order of sums affects rounding
sys.path.insert(0, sys.argv[1])
from tests.test_configs import predict
for path in sys.argv[2:]:
    numpy.savez(path + "/other_process.npz", **predict(path))
"""


def predict(path):
    """Return the annotations and the vectors that a saved pipeline predicts."""
    nlp = spacy.load(path)
    docs = list(nlp.pipe(TEXTS))
    vectors = nlp.get_pipe(nlp.pipe_names[-1]).model.get_ref("tok2vec").predict(docs)
    spans = [span for doc in docs for span in (*doc.ents, *doc.spans.get("sc", ()))]
    return {
        "spans": np.array([f"{span.start} {span.end} {span.label_}" for span in spans]),
        "tags": np.array([token.tag_ for doc in docs for token in doc]),
        "vectors": np.vstack(vectors),
    }


def make_corpus(path):
    """Write Docs with entities, nested spans, clusters and tags."""
    vocab = spacy.blank("en").vocab
    doc_bin = DocBin()
    for text in SENTENCES * 4:
        cells = text.split()
        words, iob = [word.rstrip("_") for word in cells[::2]], cells[1::2]
        tags = ["NNP" if word[0].isupper() else "X" for word in words]
        doc = Doc(
            vocab, words=words, ents=iob, tags=tags, sent_starts=[True] + [False] * (len(words) - 1)
        )
        inner = [Span(doc, 3, 4, "PER")] if words[0] == "The" else []
        doc.spans["sc"] = [Span(doc, e.start, e.end, e.label_) for e in doc.ents] + inner
        doc.spans["coref_clusters_1"] = [doc[0:1], doc[3:5]]
        doc.spans["senses"] = [Span(doc, 1, 2, f"{words[1]}%1")]
        doc_bin.add(doc)
    doc_bin.to_disk(path)
    return str(path)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a function that trains a tiny config with spaCy's training loop. The result for each
    config is cached."""
    folder = tmp_path_factory.mktemp("configs")
    corpus = make_corpus(folder / "toy.spacy")
    results = {}

    def train_tiny(path):
        if path not in results:
            config = load_tiny_config(
                path,
                paths__train=corpus,
                paths__dev=corpus,
                training__logger__output_file=str(folder / f"{path.stem}.jsonl"),
                training__logger__console_output=False,
            )
            nlp = init_nlp(config)
            before = nlp.get_pipe("elmo").to_bytes() if "elmo" in nlp.pipe_names else b""
            (folder / path.stem).mkdir()
            with (folder / "out.txt").open("w") as out:
                _, saved = train(nlp, folder / path.stem, stdout=out, stderr=out)
            results[path] = nlp, before, saved, folder / f"{path.stem}.jsonl"
        return results[path]

    return train_tiny


def mixes(nlp):
    """Return the parameters of all mixes of a pipeline."""
    listeners = nlp.get_pipe("elmo").listeners
    assert listeners
    return [(one.mix.get_param("w"), one.mix.get_param("gamma")) for one in listeners]


@each_config
def test_the_config_is_complete(path, tmp_path):
    """The settings are compared, because filling removes comments and sorts the sections."""
    fill_config(tmp_path / "filled.cfg", path)
    filled = load_config(tmp_path / "filled.cfg", interpolate=False)
    assert filled == load_config(path, interpolate=False)
    fill_config(tmp_path / "again.cfg", tmp_path / "filled.cfg")
    assert (tmp_path / "again.cfg").read_text("utf8") == filled.to_str()


@each_config
def test_weight_decay_is_off(path):
    """thinc would apply it to all parameters, including the mix."""
    assert load_config(path)["training"]["optimizer"]["L2"] == 0.0


@each_config
def test_the_learning_rate_schedule_ends_with_the_training(path):
    """Both settings are numbers and not references, because spaCy resolves the optimizer block of a
    loaded pipeline separately."""
    training = load_config(path, interpolate=False)["training"]
    assert training["optimizer"]["learn_rate"]["total_steps"] == training["max_steps"]


@each_config
def test_averages_work_for_all_layers(path):
    """Averages are applied to native thinc layers and to the shims of the biLM, the span scorer and
    coref. For other PyTorch layers, thinc silently uses the last weights."""
    config = load_config(path)
    names = re.findall(r'^@architectures = "(.+)"', path.read_text("utf8"), re.MULTILINE)
    torch_layers = [name for name in names if "Torch" in name]
    assert config["training"]["optimizer"]["use_averages"] == (not torch_layers)


@pytest.mark.parametrize("path", [path for path in FULL if "elmo" in path.stem])
def test_sizes_of_the_bilm_are_references(path):
    """A config is changed to another biLM in only one place."""
    text = path.read_text("utf8")
    assert "\nwidth = ${components.elmo.model.width}\n" in text
    assert "\ndepth = ${components.elmo.model.depth}\n" in text
    assert load_config(path)["components"]["elmo"]["frozen"] == ("finetune" not in path.stem)


def without_elmo(block):
    """Return a config block with the word features alone instead of ELMo and word features."""
    if not isinstance(block, dict):
        return block
    if block.get("@architectures") == "spacy-elmo.ConcatEmbed.v1":
        return block["embed"]
    return {key: without_elmo(value) for key, value in block.items() if key != "elmo"}


@pytest.mark.parametrize("task", ["ner", "spancat", "coref"])
def test_the_baseline_differs_only_by_elmo(task):
    elmo, baseline = (load_config(CONFIGS / f"{task}_{kind}.cfg") for kind in ("elmo", "baseline"))
    expected = without_elmo(elmo)
    expected["nlp"]["pipeline"].remove("elmo")
    del expected["paths"]["bilm"]
    assert baseline == expected


@pytest.mark.parametrize("path", [path for path in FULL if "spancat" in path.stem])
def test_max_span_width_is_the_largest_span_size(path):
    spancat = load_config(path)["components"]["spancat"]
    sizes, width = spancat["suggester"]["sizes"], spancat["model"]["max_span_width"]
    assert sizes == list(range(1, width + 1))


@pytest.mark.parametrize("path", [path for path in FULL if "ner_coref" in path.stem])
def test_sentence_boundaries_are_set_between_ner_and_coref(path):
    config = load_config(path)
    order = config["nlp"]["pipeline"]
    assert order.index("ner") < order.index("punct_sentencizer") < order.index("coref")
    assert config["training"]["annotating_components"] == ["punct_sentencizer"]


def test_an_entity_that_contains_a_full_stop_is_learned_together_with_coref(tmp_path):
    """punct_sentencizer ends a sentence at the full stop, and ner predicts no entities that cross
    sentence boundaries."""
    corpus = make_corpus(tmp_path / "toy.spacy")
    path = CONFIGS / "ner_coref_elmo.cfg"
    nlp = init_nlp(load_tiny_config(path, paths__train=corpus, paths__dev=corpus))
    words = "Anna saw Mr . Darcy .".split()
    gold = Doc(nlp.vocab, words, ents=["B-PER", "O", "B-PER", "I-PER", "I-PER", "O"])
    gold.spans["coref_clusters_1"] = [gold[0:1]]
    optimizer = Adam(0.02)
    for _ in range(60):
        given = [Example(Doc(nlp.vocab, words), gold)]
        nlp.update(given, sgd=optimizer, annotates=["punct_sentencizer"])
    doc = nlp(Doc(nlp.vocab, words))
    assert [ent.text for ent in doc.ents] == ["Anna", "Mr . Darcy"]
    assert doc[4].is_sent_start


@each_config
def test_a_tiny_config_can_be_trained(path, trained):
    log = trained(path)[3]
    rows = list(srsly.read_jsonl(log))
    assert [row["step"] for row in rows] == list(range(N_STEPS + 1))
    assert all(math.isfinite(loss) for row in rows for loss in row["losses"].values())


@each_trained
def test_training_changes_the_mix_but_not_a_frozen_bilm(path, trained):
    nlp, before, _, _ = trained(path)
    for w, gamma in mixes(nlp):
        assert abs(w).max() > 0 and gamma[0] != 1
    assert (nlp.get_pipe("elmo").to_bytes() == before) == ("finetune" not in path.stem)


@each_trained
def test_a_frozen_bilm_runs_once_per_doc(path, trained):
    nlp = trained(path)[0]
    cache = nlp.get_pipe("elmo").output_cache
    assert len(cache) == (0 if "finetune" in path.stem else len(SENTENCES))


def test_training_of_a_saved_pipeline_can_be_resumed(trained):
    _, _, saved, _ = trained(FULL[1])
    assert spacy.load(saved).resume_training() is not None


def test_saved_pipelines_predict_the_same_in_another_process(trained):
    """The weight file that the training started from is not needed."""
    saved = [trained(path)[2] for path in FULL]
    for path in saved:
        config = Config().from_disk(path / "config.cfg", interpolate=False)
        if "bilm" in config["paths"]:
            config["paths"]["bilm"] = "no/such/file"
            config.to_disk(path / "config.cfg")
    folder = str(Path(__file__).parent.parent)
    subprocess.run([sys.executable, "-c", PREDICT_IN_PROCESS, folder, *map(str, saved)], check=True)
    for path in saved:
        with np.load(path / "other_process.npz") as found:
            for name, values in predict(path).items():
                np.testing.assert_array_equal(found[name], values, err_msg=f"{path}: {name}")
            assert np.ptp(found["vectors"]) > 0
