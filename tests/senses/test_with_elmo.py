"""Senses on the layers of an `elmo` component."""

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam

from ..pipelines import LISTENER, WIDTH, add_elmo, add_listener, weights_of
from ..pipelines import examples as tagged
from .toys import USES, bare, examples

pytestmark = pytest.mark.slow

MODEL = {"@architectures": "spacy-elmo.SenseVectors.v1", "tok2vec": LISTENER}
NARROW = {
    "@architectures": "spacy.MultiHashEmbed.v2",
    "width": 8,
    "attrs": ["LOWER"],
    "rows": [10],
    "include_static_vectors": False,
}
TEXT = "The bank of the stream was muddy . The bank lends money . She plays bass ."


def pipeline(**elmo):
    nlp = spacy.blank("en")
    add_elmo(nlp, **elmo)
    nlp.add_pipe("senses", config={"model": MODEL})
    return nlp


@pytest.fixture
def trained():
    nlp = pipeline()
    nlp.initialize(lambda: examples(nlp))
    return nlp


def run(nlp, text=TEXT):
    doc = nlp(Doc(nlp.vocab, words=text.split()))
    return [span.label_ for span in doc.spans["senses"]], doc.spans["senses"].attrs["scores"]


def assert_same(found, expected):
    assert found[0] == expected[0] and len(found[0]) == 3
    np.testing.assert_allclose(found[1], expected[1], atol=1e-5)


def test_the_listener_is_found_and_gives_the_vectors(trained):
    elmo, senses = trained.get_pipe("elmo"), trained.get_pipe("senses")
    assert elmo.listening_components == ["senses"]
    assert senses.model.get_ref("tok2vec").get_dim("nO") == WIDTH
    assert trained.evaluate(examples(trained))["senses_acc"] > 0.8
    assert len(run(trained)[0]) == 3


def test_a_saved_pipeline_predicts_the_same(trained, tmp_path):
    trained.to_disk(tmp_path)
    assert_same(run(spacy.load(tmp_path)), run(trained))


def test_two_processes_predict_the_same(trained):
    docs = list(trained.pipe([TEXT] * 4, n_process=2, batch_size=2))
    expected = run(trained)
    for doc in docs:
        assert [span.label_ for span in doc.spans["senses"]] == expected[0]


def test_replaced_listeners_predict_the_same(trained, tmp_path):
    expected = run(trained)
    trained.replace_listeners("elmo", "senses", ["model.tok2vec"])
    assert trained.get_pipe("elmo").listening_components == []
    assert_same(run(trained), expected)
    trained.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    assert_same(run(again), expected)
    again.remove_pipe("elmo")
    assert_same(run(again), expected)
    again.get_pipe("senses").add_sense("bark", "tree", ["The bark of the tree"])
    assert run(again, "bark")[0] == ["bark%tree"]


def test_both_can_be_sourced(trained):
    expected = run(trained)
    nlp = spacy.blank("en")
    for name in ("elmo", "senses"):
        nlp.add_pipe(name, source=trained)
    assert_same(run(nlp), expected)


def test_senses_are_learned_next_to_a_component_that_is_trained():
    nlp = pipeline()
    add_listener(nlp, "tagger")

    def get_examples():
        return [*examples(nlp), *tagged(nlp)]

    nlp.initialize(get_examples)
    senses = nlp.get_pipe("senses")
    before, expected = senses.to_bytes(exclude=["vocab"]), run(nlp)
    optimizer = Adam(0.01)
    for _ in range(3):
        losses = nlp.update(get_examples(), sgd=optimizer)
    assert losses["senses"] == 0.0 and losses["tagger"] > 0
    assert senses.to_bytes(exclude=["vocab"]) == before
    assert_same(run(nlp), expected)


def test_a_silent_listener_costs_no_gradient():
    """`senses` takes no gradient, and comes last."""
    nlp = spacy.blank("en")
    elmo = add_elmo(nlp, frozen=False)
    add_listener(nlp, "tagger")
    nlp.add_pipe("senses", config={"model": MODEL})
    nlp.initialize(lambda: [*examples(nlp), *tagged(nlp)])
    before, optimizer = weights_of(elmo), Adam(0.01)
    for _ in range(3):
        nlp.update(tagged(nlp), sgd=False)
        for _, pipe in nlp.pipeline:
            pipe.finish_update(optimizer)
    after = weights_of(elmo)
    assert any((before[name] != after[name]).any() for name in before)


def test_vectors_of_zeros_are_an_error():
    nlp = spacy.blank("en")
    nlp.add_pipe("senses", config={"model": MODEL})
    with pytest.raises(ValueError, match="vectors of all words are zero"):
        nlp.initialize(lambda: examples(nlp))
    nlp.initialize()
    with pytest.raises(ValueError, match="vectors of all words are zero"):
        nlp.get_pipe("senses").add_sense("bank", "river", ["The bank"])
    assert nlp.get_pipe("senses").labels == ()


def test_another_width_is_an_error(trained):
    senses = trained.get_pipe("senses")
    nlp = spacy.blank("en")
    other = nlp.add_pipe("senses", config={"model": {**MODEL, "tok2vec": NARROW}})
    nlp.initialize()
    other.model.shims[0].from_bytes(senses.model.shims[0].to_bytes())
    with pytest.raises(ValueError, match="have the width 16, but .* prototypes of width 24"):
        other.add_sense("bark", "tree", ["The bark"])
    assert other.labels == senses.labels


def test_a_long_doc_is_read_in_chunks(trained, monkeypatch):
    words = TEXT.split() * 20
    expected = run(trained, " ".join(words))
    monkeypatch.setattr("spacy_elmo.senses.sense_model.CHUNK_TOKENS", 20)
    mix, seen = trained.get_pipe("elmo").listeners[0].mix, []
    forward = mix._func

    def watch(mix, batch, is_train):
        seen.append(sum(batch.lengths))
        return forward(mix, batch, is_train)

    monkeypatch.setattr(mix, "_func", watch)
    found = run(trained, " ".join(words))
    assert found[0] == expected[0] and max(seen) <= 20 and sum(seen) == len(words)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-5)


def test_annotated_docs_are_found_among_others(trained):
    """Docs of a corpus that is annotated for another component are ignored."""
    expected = trained.get_pipe("senses").to_bytes(exclude=["vocab"])
    others = [Example(bare(one.reference), bare(one.reference)) for one in examples(trained)]
    trained.initialize(lambda: [*others, *examples(trained)])
    assert trained.get_pipe("senses").to_bytes(exclude=["vocab"]) == expected
    assert set(trained.get_pipe("senses").labels) == set(USES)


def test_add_pipe_teaches_a_word_with_the_packaged_bilm():
    nlp = spacy.blank("en")
    nlp.add_pipe("elmo")
    senses = nlp.add_pipe("senses")
    nlp.initialize()
    for label, texts in USES.items():
        senses.add_sense(*label.split("%"), texts)
    assert run(nlp)[0] == ["bank%river", "bank%money", "bass%music"]
