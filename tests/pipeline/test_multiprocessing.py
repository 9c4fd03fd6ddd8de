"""Several processes, with each start method, and several threads."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import spacy
from numpy.testing import assert_allclose
from spacy.tokens import Doc
from spacy.training import Example

from spacy_elmo.coref.clusters import set_clusters

from ..pipelines import bilm_of, examples, pipeline

pytestmark = pytest.mark.slow

CODE = """
import multiprocessing, sys
import numpy, spacy, torch

def main(method, path):
    multiprocessing.set_start_method(method)
    torch.set_num_threads(2)
    nlp = spacy.load(path)
    texts = ["The bank of the river.", "", "Why? Because it was late.", " ", "word " * 300] * 4
    # torch has started threads, which do not exist in a forked process
    expected = list(nlp.pipe(texts))
    found = list(nlp.pipe(texts, n_process=2, batch_size=3))
    assert [doc.text for doc in found] == texts
    for doc, other in zip(found, expected):
        if "elmo" in nlp.pipe_names:
            assert numpy.allclose(doc._.elmo, other._.elmo, atol=1e-5)
        assert numpy.allclose(doc.tensor, other.tensor, atol=1e-5)
        assert spans_of(doc) == spans_of(other)
        assert [token.tag_ for token in doc] == [token.tag_ for token in other]
        assert torch.get_num_threads() == 2
    assert "elmo" in nlp.pipe_names or any(spans_of(doc) for doc in found)
    print("equal")

def spans_of(doc):
    return {
        key: [(span.start, span.end, span.label_) for span in spans]
        for key, spans in doc.spans.items()
    }

if __name__ == "__main__":
    main(*sys.argv[1:])
"""


EMBED = {
    "@architectures": "spacy.MultiHashEmbed.v2",
    "width": 32,
    "attrs": ["LOWER"],
    "rows": [200],
    "include_static_vectors": False,
}


def with_head_in_torch(factory, architecture, **settings):
    """Return a pipeline in which only one component has a torch module."""
    nlp = spacy.blank("en")
    model = {"@architectures": architecture, "tok2vec": EMBED}
    nlp.add_pipe(factory, config={"model": model, **settings})
    doc = Doc(nlp.vocab, "Anna saw her".split())
    set_clusters(doc, [[(0, 1), (2, 3)]])
    doc.spans["sc"] = [doc.char_span(0, 4, label="PER")]
    spacy.util.fix_random_seed(0)
    nlp.initialize(lambda: [Example(nlp.make_doc("Anna saw her"), doc)])
    return nlp


@pytest.fixture(scope="module", params=["elmo", "coref", "spancat"])
def saved(request, tmp_path_factory):
    if request.param == "elmo":
        nlp = pipeline("tagger")
    elif request.param == "coref":
        nlp = with_head_in_torch("coref", "spacy-elmo.Coref.v1", keep_singletons=True)
        # a positive bias, so that spans are mentions without training
        nlp.get_pipe("coref").model.shims[0].module.mentions.score.output.bias.data.fill_(1.0)
    else:
        suggester = {"@misc": "spacy.ngram_suggester.v1", "sizes": [1, 2, 3]}
        nlp = with_head_in_torch(
            "spancat_singlelabel", "spacy-elmo.SpanScorer.v1", suggester=suggester
        )
    path = tmp_path_factory.mktemp("saved")
    nlp.to_disk(path)
    return path


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_two_processes_give_the_same_result_as_one(tmp_path, saved, method):
    (tmp_path / "run.py").write_text(CODE)
    command = [sys.executable, str(tmp_path / "run.py"), method, str(saved)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "equal"


FORKED = """
import multiprocessing, sys
import numpy, torch
from spacy_elmo import ElmoEmbedder, load_bilm, save_bilm

WORDS = [f"word{n}" for n in range(300)]

def embed():
    found = embedder or ElmoEmbedder(weight_file=weights)
    return found.embed_sentence(WORDS), torch.get_num_threads()

torch.set_num_threads(2)
weights = sys.argv[1]
save_bilm(load_bilm(), weights)  # writing the original format transposes tensors
embedder = ElmoEmbedder(weight_file=weights)
expected, n_threads = embed()
assert n_threads == 2
for embedder in (embedder, None):
    with multiprocessing.get_context("fork").Pool(1) as pool:
        found, n_threads = pool.apply_async(embed).get(timeout=60)
    assert n_threads == 1
    assert numpy.allclose(found, expected, atol=1e-4)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forked processes here")
def test_an_embedder_in_a_forked_process(tmp_path):
    command = [sys.executable, "-c", FORKED, str(tmp_path / "weights.hdf5")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


def test_several_processes_after_training():
    nlp = pipeline("tagger")
    nlp.update(examples(nlp), sgd=False)
    docs = list(nlp.pipe(["Ann saw Rome ."] * 4, n_process=2, batch_size=2))
    assert [doc._.elmo.shape for doc in docs] == [(3, 4, 12)] * 4


def test_workers_send_no_layers_that_were_cleaned_up():
    nlp = pipeline("tagger")
    expected = [[token.tag_ for token in doc] for doc in nlp.pipe(["Ann saw Rome ."] * 4)]
    nlp.add_pipe("doc_cleaner", config={"attrs": {"_.elmo": None}})
    docs = list(nlp.pipe(["Ann saw Rome ."] * 4, n_process=2, batch_size=2))
    assert [[token.tag_ for token in doc] for doc in docs] == expected
    assert all(doc._.elmo is None and not doc.user_data for doc in docs)
    assert all(doc.tensor is None for doc in docs)  # doc_cleaner's default


def test_several_threads_give_the_same_result_as_one():
    nlp = pipeline()
    texts = [" ".join(f"word{i * j % 211}" for j in range(30)) for i in range(60)]
    expected = [nlp(text)._.elmo for text in texts]
    bilm = bilm_of(nlp.get_pipe("elmo"))
    bilm.drop_caches()
    bilm.tokens.cache.capacity = 70
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: nlp(text)._.elmo, texts))
    for one, other in zip(found, expected):
        assert_allclose(one, other, atol=1e-5)
