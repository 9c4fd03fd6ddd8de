"""The component in a pipeline: learning, prediction, saving, and unusual input."""

import pickle
import re
import warnings

import numpy as np
import pytest
import spacy
from spacy.tokens import Doc, DocBin, Span, Token
from spacy.training import Example
from thinc.api import Adam

from spacy_elmo.senses.component import Senses
from spacy_elmo.senses.sense_model import memory_of

from .toys import USES, bare, doc_of, examples

pytestmark = pytest.mark.slow

TOK2VEC = {
    "@architectures": "spacy.MultiHashEmbed.v2",
    "width": 64,
    "attrs": ["LOWER"],
    "rows": [2000],
    "include_static_vectors": False,
}
TEXT = "The bank of the stream was muddy . The bank lends money ."


def pipeline(**config):
    nlp = spacy.blank("en")
    model = {"@architectures": "spacy-elmo.SenseVectors.v1", "tok2vec": TOK2VEC}
    nlp.add_pipe("senses", config={"model": {**model, **config.pop("model", {})}, **config})
    return nlp


def initialized(given=True, **config):
    spacy.util.fix_random_seed(0)
    nlp = pipeline(**config)
    nlp.initialize((lambda: examples(nlp)) if given else None)
    return nlp


@pytest.fixture(scope="module")
def trained():
    return initialized()


def found(doc, key="senses"):
    return [(span.start, span.end, span.label_) for span in doc.spans[key]]


def run(nlp, text=TEXT):
    return nlp(Doc(nlp.vocab, words=text.split()))


def test_senses_are_learned_and_annotated(trained):
    doc = run(trained)
    assert found(doc) == [(1, 2, "bank%river"), (9, 10, "bank%money")]
    assert [token._.sense for token in doc[:3]] == [None, "bank%river", None]
    scores = doc.spans["senses"].attrs["scores"]
    assert scores.dtype == np.float32 and (scores > 0.3).all() and (scores <= 1).all()
    assert doc[9]._.sense_score == pytest.approx(scores[1])
    assert [span.id_ for span in doc.spans["senses"]] == [
        span.label_ for span in doc.spans["senses"]
    ]
    assert trained.get_pipe("senses").labels == tuple(USES)
    assert trained.get_pipe("senses").counts == {label: len(uses) for label, uses in USES.items()}


def test_the_examples_are_scored(trained):
    scores = trained.evaluate(examples(trained))
    assert scores["senses_acc"] == scores["senses_coverage"] == scores["senses_macro_f"] == 1.0
    assert scores["senses_mfs_acc"] == 0.5


@pytest.mark.parametrize("how", ["disk", "bytes", "pickle"])
def test_a_saved_pipeline_predicts_the_same(trained, how, tmp_path):
    if how == "disk":
        trained.to_disk(tmp_path)
        again = spacy.load(tmp_path)
    elif how == "bytes":
        again = pipeline().from_bytes(trained.to_bytes())
    else:
        again = pickle.loads(pickle.dumps(trained))
    doc, expected = run(again), run(trained)
    assert found(doc) == found(expected)
    # the sums are saved bitwise
    assert [t._.sense_score for t in doc] == [t._.sense_score for t in expected]
    before, after = (nlp.get_pipe("senses") for nlp in (trained, again))
    assert before.counts == after.counts and before.model.to_bytes() == after.model.to_bytes()


def test_senses_can_be_added_to_a_loaded_pipeline(trained, tmp_path):
    trained.to_disk(tmp_path)
    again = spacy.load(tmp_path)
    again.get_pipe("senses").add_sense("bark", "tree", ["The bark of the tree is brown ."])
    assert found(run(again, "Brown bark")) == [(1, 2, "bark%tree")]


def test_a_component_can_be_saved_before_it_learns(tmp_path):
    nlp = pipeline()
    nlp.to_disk(tmp_path)
    assert spacy.load(tmp_path).get_pipe("senses").labels == ()
    nlp = initialized(given=False)
    assert pipeline().from_bytes(nlp.to_bytes()).get_pipe("senses").labels == ()


@pytest.mark.parametrize("place", [40, -40, 0.5])
def test_damaged_bytes_are_an_error_and_change_nothing(trained, place):
    senses = trained.get_pipe("senses")
    data = bytearray(senses.to_bytes(exclude=["vocab"]))
    other = initialized().get_pipe("senses")
    before = other.to_bytes()
    shim = senses.model.shims[0].to_bytes()
    start = bytes(data).index(shim)
    data[start + (int(len(shim) * place) if place == 0.5 else place % len(shim))] ^= 1
    with pytest.raises(ValueError, match="cannot be read"):
        other.from_bytes(bytes(data))
    assert other.to_bytes() == before


def test_predictions_do_not_depend_on_batches_processes_or_chunks(trained, monkeypatch):
    texts = [text for uses in USES.values() for text in uses] + ["", TEXT * 3, "bank"]
    docs = [Doc(trained.vocab, words=text.split()) for text in texts]
    expected = [found(trained(bare(doc))) for doc in docs]
    for settings in ({"batch_size": 4}, {"n_process": 2, "batch_size": 5}):
        piped = list(trained.pipe([bare(doc) for doc in docs], **settings))
        assert [found(doc) for doc in piped] == expected
        senses = [[t._.sense for t in doc if t._.sense] for doc in piped]
        assert senses == [[label for *_, label in one] for one in expected]
    monkeypatch.setattr("spacy_elmo.senses.sense_model.CHUNK_TOKENS", 10)
    assert [found(trained(bare(doc))) for doc in docs] == expected


@pytest.mark.parametrize("words", [[], ["bank"], [" "], ["\n", "\n"], ["bank"] * 300])
def test_docs_of_any_length_are_predicted(trained, words):
    doc = trained(Doc(trained.vocab, words))
    assert len(doc.spans["senses"]) == words.count("bank")


def test_whitespace_changes_nothing(trained):
    words = TEXT.split()
    spaced = [w for word in words for w in (word, "\n ")]
    doc = trained(Doc(trained.vocab, words=[" ", *spaced]))
    assert [doc[start].text for start, *_ in found(doc)] == ["bank", "bank"]
    plain = run(trained)
    assert [label for *_, label in found(doc)] == [label for *_, label in found(plain)]
    np.testing.assert_allclose(
        doc.spans["senses"].attrs["scores"], plain.spans["senses"].attrs["scores"], atol=1e-5
    )
    assert doc[1]._.sense is None and doc[0]._.sense is None


def test_a_doc_can_be_processed_twice(trained):
    doc = run(trained)
    doc[0]._.sense = "stale"
    expected = found(doc)
    assert found(trained(doc)) == expected and doc[0]._.sense is None


def test_annotations_survive_serialization(trained):
    doc = run(trained)
    again = Doc(trained.vocab).from_bytes(doc.to_bytes())
    assert found(again) == found(doc) and again[1]._.sense == "bank%river"
    (stored,) = DocBin(docs=[doc]).get_docs(trained.vocab)
    assert found(stored) == found(doc)


def test_add_sense_needs_no_training():
    nlp = initialized(given=False)
    senses = nlp.get_pipe("senses")
    for label, texts in USES.items():
        assert senses.add_sense(*label.split("%"), texts) == label
    assert found(run(nlp)) == [(1, 2, "bank%river"), (9, 10, "bank%money")]
    before = senses.counts["bank%river"]
    # the same label again adds examples
    senses.add_sense("bank", "river", ["A river has a bank and another bank ."])
    assert senses.counts["bank%river"] == before + 2 and len(senses.labels) == len(USES)


def test_learning_at_once_equals_learning_in_steps(trained):
    nlp = initialized()
    senses = nlp.get_pipe("senses")
    given = examples(nlp)
    memory = memory_of(senses.model)
    weights = memory.word_weights
    memory.clear()
    memory.word_weights = weights
    for example in given:
        senses.learn([example])
    expected = memory_of(trained.get_pipe("senses").model).prototypes
    assert senses.counts == trained.get_pipe("senses").counts
    np.testing.assert_allclose(memory.prototypes.all_sums(), expected.all_sums(), atol=1e-5)


def test_a_use_can_be_given_as_a_span():
    nlp = initialized(given=False)
    senses = nlp.get_pipe("senses")
    senses.add_sense("mouse", "animal", [nlp.make_doc("Two mice ate cheese")[1:2]])
    senses.add_sense("mouse", "device", ["Click with the mouse"])
    assert found(run(nlp, "Mice ate cheese")) == [(0, 1, "mouse%animal")]
    # a form of the word, seen with one sense, has all senses of the word
    assert senses.inventory.candidates("mice") == (0, 1)


def test_words_without_examples_get_the_first_sense():
    nlp = initialized(given=False)
    senses = nlp.get_pipe("senses")
    senses.add_sense("crane", "bird")
    senses.add_label("crane%machine")
    doc = run(nlp, "A crane")
    assert found(doc) == [(1, 2, "crane%bird")] and doc[1]._.sense_score == 0.0
    senses.add_sense("crane", "machine", ["The crane lifts a beam"])
    doc = run(nlp, "A crane")
    assert found(doc) == [(1, 2, "crane%machine")] and doc[1]._.sense_score > 0
    assert senses.most_frequent() == {"crane": "crane%machine"}


def test_unknown_words_get_no_sense(trained):
    assert found(run(trained, "Nothing known here")) == []


def test_a_component_without_senses_warns_once():
    nlp = initialized(given=False)
    with pytest.warns(UserWarning, match="'senses' knows no senses"):
        assert found(run(nlp)) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(nlp)


def test_a_sense_can_be_removed():
    nlp = initialized()
    senses = nlp.get_pipe("senses")
    senses.remove_sense("bank%river")
    assert senses.labels == ("bank%money", "bass%fish", "bass%music")
    assert found(run(nlp)) == [(1, 2, "bank%money"), (9, 10, "bank%money")]
    assert found(run(nlp, "She plays bass in a band")) == [(2, 3, "bass%music")]
    again = pipeline().from_bytes(nlp.to_bytes()).get_pipe("senses")
    assert again.labels == senses.labels and again.counts == senses.counts
    senses.remove_sense("bank%money")
    assert found(run(nlp)) == []
    with pytest.raises(ValueError, match="no sense 'bass%voice'. Known .*: bass%fish, bass%music"):
        senses.remove_sense("bass%voice")


def test_the_threshold_is_a_margin(trained):
    senses = trained.get_pipe("senses")
    senses.threshold = 2.0
    try:
        assert found(run(trained)) == []
        senses.threshold = 0.05
        assert len(found(run(trained))) == 2
    finally:
        senses.threshold = 0.0


def test_the_prior_favours_frequent_senses():
    nlp = initialized(prior_weight=10.0)
    senses = nlp.get_pipe("senses")
    senses.learn(examples(nlp)[4:5])  # one more example of money
    assert {label for *_, label in found(run(nlp))} == {"bank%money"}


def test_multi_word_expressions_and_overlaps():
    nlp = initialized(given=False)
    senses = nlp.get_pipe("senses")
    senses.add_sense("bank holiday", "day", ["The bank holiday is on Monday"])
    senses.add_sense("bank", "money", ["A bank lends money"])
    senses.add_sense("take_place", "happen", ["It will take place on Monday"])
    doc = run(nlp, "On a Bank holiday the bank will take place")
    labels = [(2, 4, "bank holiday%day"), (5, 6, "bank%money"), (7, 9, "take_place%happen")]
    assert found(doc) == labels
    assert doc[2]._.sense == doc[3]._.sense == "bank holiday%day"
    spaced = Doc(nlp.vocab, words=["bank", "\n", "holiday"])
    assert found(nlp(spaced)) == [(0, 3, "bank holiday%day")] and spaced[1]._.sense is None


def test_a_word_of_several_tokens():
    nlp = initialized(given=False)
    senses = nlp.get_pipe("senses")
    senses.add_sense("mother-in-law", "person", ["His mother-in-law sings."])
    senses.add_sense("o'clock", "time")
    doc = nlp("A Mother-in-law came at 5 o'clock.")
    labels = ["mother-in-law%person", "o'clock%time"]
    assert [span.label_ for span in doc.spans["senses"]] == labels
    assert doc.spans["senses"][0].text == "Mother-in-law"


def test_a_large_inventory_is_looked_up_by_word(tmp_path):
    nlp = initialized()
    senses = nlp.get_pipe("senses")
    expected = found(run(nlp))
    for n in range(20_000):
        senses.inventory.add(f"word{n // 4}%{n}")
    memory_of(senses.model).prototypes.resize(len(senses.labels))
    assert found(run(nlp)) == expected
    assert found(run(nlp, "A word7 here")) == [(1, 2, "word7%28")]
    # senses without examples take no row
    assert len(memory_of(senses.model).prototypes.all_sums()) == len(USES)
    nlp.to_disk(tmp_path)
    assert spacy.load(tmp_path).get_pipe("senses").labels == senses.labels


def test_a_frozen_component_keeps_its_senses():
    nlp = initialized()
    senses = nlp.get_pipe("senses")
    before = senses.to_bytes(exclude=["vocab"])
    other = doc_of(nlp, "A bark .", "bark%tree")
    given = [Example(bare(other), other)]
    with nlp.select_pipes(disable=["senses"]):
        nlp.initialize(lambda: given)
    assert nlp.update(given, exclude=["senses"]) == {}
    assert senses.to_bytes(exclude=["vocab"]) == before


def test_overlapping_gold_spans_are_learned():
    nlp = pipeline()
    doc = Doc(nlp.vocab, words="The bank holiday bank".split())
    doc.spans["senses"] = [
        Span(doc, 1, 3, "bank holiday%day"),
        Span(doc, 1, 2, "bank%money"),
        Span(doc, 1, 2, "bank%institution"),
    ]
    nlp.initialize(lambda: [Example(bare(doc), doc)])
    assert set(nlp.get_pipe("senses").counts.values()) == {1}
    assert found(nlp(bare(doc)))[0] == (1, 3, "bank holiday%day")


@pytest.mark.parametrize(
    "lang, word, sentences",
    [("ru", "Ключ", ["Он потерял ключ от двери"]), ("hi", "फल", ["वह फल खाता है"]),
     ("he", "ספר", ["הוא קורא ספר"]), ("xx", "銀行", ["彼 は 銀行 で 働く"])],
)  # fmt: skip
def test_other_scripts(lang, word, sentences):
    nlp = spacy.blank(lang)
    model = {"@architectures": "spacy-elmo.SenseVectors.v1", "tok2vec": TOK2VEC}
    senses = nlp.add_pipe("senses", config={"model": model})
    nlp.initialize()
    label = senses.add_sense(word, "λ", sentences)
    doc = nlp(sentences[0])
    assert [span.label_ for span in doc.spans["senses"]] == [label] == [f"{word}%λ"]
    assert senses.inventory.senses_of.keys() == {word.lower()}


def test_lemmas_and_parts_of_speech():
    nlp = initialized(given=False)
    senses = nlp.get_pipe("senses")

    def doc(words, pos, lemmas=None):
        return Doc(nlp.vocab, words=words, pos=pos, lemmas=lemmas)

    senses.add_sense("saw", "tool", [doc(["A", "saw"], ["DET", "NOUN"])[1:2]])
    senses.add_sense("see", "look", [doc(["I", "saw"], ["PRON", "VERB"], ["I", "see"])[1:2]])
    find = senses.inventory.candidates
    assert find("saw") == (0, 1) and find("saw", "", "NOUN") == find("saw", "", "PROPN") == (0,)
    assert find("saw", "", "VERB") == find("seen", "see") == find("saw", "see") == (1,)
    assert find("saw", "", "ADJ") == find("seen") == ()
    found_doc = nlp(doc(["They", "saw"], ["PRON", "VERB"]))
    assert found(found_doc) == [(1, 2, "see%look")]


def test_a_sentence_without_the_word_is_an_error_and_changes_nothing():
    nlp = initialized()
    senses = nlp.get_pipe("senses")
    before = senses.to_bytes(exclude=["vocab"])
    with pytest.raises(ValueError, match="'Two mice' does not contain the word 'mouse'.*Span"):
        senses.add_sense("mouse", "animal", ["A mouse", "Two mice"])
    for word, sense in (("", "a"), ("bank", " "), ("bank", "a%b")):
        with pytest.raises(ValueError, match="no valid label"):
            senses.add_sense(word, sense, ["bank"])
    with pytest.raises(ValueError, match="give a list"):
        senses.add_sense("bank", "river", "The bank")
    with pytest.raises(ValueError, match="holds 3; give strings, or Spans"):
        senses.add_sense("bank", "river", [3])
    assert senses.to_bytes(exclude=["vocab"]) == before


@pytest.mark.parametrize("label", ["RIVER", "%river", "bank%", "%"])
def test_a_label_of_another_form_is_an_error_and_changes_nothing(label):
    nlp = initialized()
    senses = nlp.get_pipe("senses")
    before = senses.to_bytes(exclude=["vocab"])
    doc = doc_of(nlp, USES["bank%river"][0], "bank%river")
    doc.spans["senses"] = [*doc.spans["senses"], Span(doc, 4, 5, label)]
    with pytest.raises(ValueError, match=f"'{label}' is not the label of a sense"):
        senses.learn([Example(bare(doc), doc)])
    assert senses.to_bytes(exclude=["vocab"]) == before


def test_updates_change_nothing_and_report_unknown_senses():
    nlp = initialized()
    senses = nlp.get_pipe("senses")
    before = senses.to_bytes(exclude=["vocab"])
    given = examples(nlp)
    optimizer = Adam(0.01)
    assert nlp.update(given, sgd=optimizer) == {"senses": 0.0}
    empty = Doc(nlp.vocab, [])
    assert nlp.update([Example(empty, empty.copy())], sgd=optimizer) == {"senses": 0.0}
    assert senses.update([]) == {"senses": 0.0} and senses.get_loss(given) == (0.0, None)
    assert senses.to_bytes(exclude=["vocab"]) == before
    other = doc_of(nlp, "A bark .", "bark%tree")
    with pytest.raises(ValueError, match=re.escape("senses.learn(examples)")):
        nlp.update([Example(bare(other), other)], sgd=optimizer)
    senses.learn([Example(bare(other), other)])
    assert nlp.update([Example(bare(other), other)], sgd=optimizer) == {"senses": 0.0}


def test_initialization_forgets_what_was_learned():
    nlp = initialized()
    senses = nlp.get_pipe("senses")
    senses.add_sense("bark", "tree", ["The bark of the tree ."])
    before = senses.labels
    nlp.initialize(lambda: examples(nlp))
    assert senses.labels == before[:-1]
    assert senses.counts == {label: len(uses) for label, uses in USES.items()}


def test_misaligned_gold_spans_are_counted_with_one_warning():
    nlp = pipeline()
    doc = doc_of(nlp, "The bank .", "bank%river")
    other = Doc(nlp.vocab, words=["Thebank", "."], spaces=[True, False])
    reference = Doc(nlp.vocab, words=["The", "bank", "."], spaces=[False, True, False])
    reference.spans["senses"] = [Span(reference, 1, 2, "bank%river")]
    given = [Example(other, reference), Example(bare(doc), doc)]
    with pytest.warns(UserWarning, match="1 gold spans .* do not fit") as caught:
        nlp.initialize(lambda: given)
    assert len(caught) == 1 and nlp.get_pipe("senses").n_misaligned == 1
    assert nlp.get_pipe("senses").counts == {"bank%river": 1}


def test_another_key():
    nlp = pipeline(spans_key="wn")
    docs = [doc_of(nlp, USES[label][0], label, key="wn") for label in USES]
    nlp.initialize(lambda: [Example(bare(doc), doc) for doc in docs])
    assert found(run(nlp), "wn") == [(1, 2, "bank%river"), (9, 10, "bank%money")]
    assert nlp.evaluate([Example(bare(doc), doc) for doc in docs])["wn_acc"] == 1.0


@pytest.mark.parametrize("setting", ["threshold", "prior_weight"])
@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_settings_out_of_range_are_errors(setting, value):
    with pytest.raises(ValueError, match=f"{setting} of senses is"):
        Senses(spacy.blank("en").vocab, pipeline().get_pipe("senses").model, **{setting: value})
    with pytest.raises(ValueError, match="context_weight is -1.0"):
        pipeline(model={"context_weight": -1.0})


def test_the_component_can_be_sourced(trained):
    nlp = spacy.blank("en")
    nlp.add_pipe("senses", source=trained, name="word_senses")
    try:
        assert found(run(nlp)) == found(run(trained))
    finally:
        trained.get_pipe("senses").name = "senses"


def test_a_component_out_of_its_pipeline_takes_spans():
    nlp = initialized()
    senses = nlp.get_pipe("senses")
    doc = bare(doc_of(nlp, USES["bank%river"][0]))
    nlp.remove_pipe("senses")
    with pytest.raises(ValueError, match="Give the uses of the word as Spans"):
        senses.add_sense("bank", "river", ["The bank"])
    senses.add_sense("bank", "river", [doc[4:5]])
    assert senses.counts["bank%river"] == 5


def test_the_error_handler_is_called(trained):
    senses = trained.get_pipe("senses")
    failed = []
    doc = run(trained)
    senses.set_error_handler(lambda name, proc, docs, error: failed.append(name))
    tok2vec = senses.model.get_ref("tok2vec")
    forward = tok2vec._func
    tok2vec._func = lambda *args: 1 / 0
    try:
        assert list(senses.pipe([doc])) == [] and failed == ["senses"]
    finally:
        tok2vec._func = forward
        senses.set_error_handler(spacy.util.raise_error)


def test_an_extension_of_the_user_is_kept():
    assert Token.has_extension("sense")
    before = Token.get_extension("sense")
    pipeline()
    assert Token.get_extension("sense") == before


def test_spacy_finds_no_problems():
    nlp = pipeline()
    assert not any(nlp.analyze_pipes()["problems"].values())
    assert isinstance(nlp.get_pipe("senses"), Senses)
