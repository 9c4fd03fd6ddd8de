"""The component in a pipeline: training, prediction, saving, and unusual input."""

import pickle
import re
import warnings

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc
from spacy.training import Example
from thinc.api import Adam, get_current_ops

from spacy_elmo.coref.clusters import get_clusters, mark_annotated, set_clusters
from spacy_elmo.coref.component import Coref
from spacy_elmo.coref.gold import by_alignment, by_characters

from .toys import bare, examples, story_doc

PREFIX = "coref_clusters"
MODEL = {
    "@architectures": "spacy-elmo.Coref.v1",
    "hidden_size": 32,
    "lstm_size": 16,
    "dropout": 0.0,
    "max_span_width": 4,
    # the stories have more mentions per word than real texts
    "spans_per_token": 0.8,
    "tok2vec": {
        "@architectures": "spacy.MultiHashEmbed.v2",
        "width": 32,
        "attrs": ["LOWER", "SHAPE"],
        "rows": [200, 50],
        "include_static_vectors": False,
    },
}


def pipeline(**config):
    nlp = spacy.blank("en")
    model = {**MODEL, **config.pop("model", {})}
    nlp.add_pipe("coref", config={"model": model, **config})
    return nlp


def train(nlp, given, n_steps=60, rate=0.01):
    spacy.util.fix_random_seed(0)
    nlp.initialize(lambda: given)
    optimizer = Adam(rate)
    losses = []
    for _ in range(n_steps):
        found = nlp.update(given, sgd=optimizer)
        losses.append(found["coref"])
    return losses


@pytest.fixture(scope="module")
def trained():
    nlp = pipeline()
    losses = train(nlp, examples(nlp), 120)
    assert losses[-1] < 0.2 * losses[0]
    return nlp


def predicted(nlp, seed, n_sentences=8):
    return nlp(bare(story_doc(nlp, seed, n_sentences)))


@pytest.mark.slow
def test_training_stories_are_memorized(trained):
    for seed in range(6):
        gold = get_clusters(story_doc(trained, seed), PREFIX)
        assert get_clusters(predicted(trained, seed), PREFIX) == gold
    scores = trained.evaluate(examples(trained))
    assert scores["coref_conll_f"] == scores["coref_f"] == scores["coref_mention_f"] == 1.0


@pytest.mark.slow
def test_names_are_found_in_new_stories(trained):
    scores = trained.evaluate(
        [Example(bare(doc), doc) for doc in (story_doc(trained, seed) for seed in range(50, 54))]
    )
    assert scores["coref_mention_f"] > 0.9 and scores["coref_conll_f"] > 0.6


def test_entities_are_numbered_from_one_in_the_order_of_the_text(trained):
    doc = predicted(trained, 0)
    keys = [key for key in doc.spans if key.startswith(PREFIX)]
    assert keys == [f"{PREFIX}_{n}" for n in range(1, len(keys) + 1)]
    firsts = [min(span.start for span in doc.spans[key]) for key in keys]
    assert firsts == sorted(firsts)


@pytest.mark.parametrize("how", ["disk", "bytes", "pickle"])
def test_a_saved_pipeline_predicts_the_same(trained, how, tmp_path):
    if how == "disk":
        trained.to_disk(tmp_path)
        again = spacy.load(tmp_path)
    elif how == "bytes":
        again = pipeline().from_bytes(trained.to_bytes())
    else:
        again = pickle.loads(pickle.dumps(trained))
    for seed in (0, 50):
        expected = get_clusters(predicted(trained, seed), PREFIX)
        assert expected and get_clusters(predicted(again, seed), PREFIX) == expected
    assert again.get_pipe("coref").cfg == trained.get_pipe("coref").cfg


def test_weights_of_other_sizes_are_an_error(trained, tmp_path):
    trained.to_disk(tmp_path)
    with pytest.raises(ValueError, match="sizes"):
        spacy.load(tmp_path, config={"components.coref.model.hidden_size": 16})


def test_a_doc_can_be_processed_twice(trained):
    doc = predicted(trained, 0)
    expected = get_clusters(doc, PREFIX)
    assert get_clusters(trained(doc), PREFIX) == expected


def test_existing_clusters_can_be_preserved(trained):
    coref = trained.get_pipe("coref")
    doc = bare(story_doc(trained, 0))
    set_clusters(doc, [[(0, 1)]], PREFIX)
    coref.overwrite = False
    try:
        assert get_clusters(coref(doc), PREFIX) == [[(0, 1)]]
    finally:
        coref.overwrite = True
    assert len(get_clusters(coref(doc), PREFIX)) == 3


def test_existing_clusters_are_preserved_or_replaced_in_a_pipeline(trained):
    """Each Doc separately, also those marked as having none; other prefixes are ignored."""
    gold = get_clusters(story_doc(trained, 0), PREFIX)
    expected = {True: [gold] * 4, False: [[[(0, 1), (2, 4)], [(5, 6)]], gold, [], gold]}
    coref = trained.get_pipe("coref")
    for overwrite in (True, False):
        docs = [bare(story_doc(trained, 0)) for _ in range(4)]
        set_clusters(docs[0], expected[False][0], PREFIX)
        mark_annotated(docs[2], PREFIX)
        set_clusters(docs[3], [[(0, 1)]], "people")
        coref.overwrite = overwrite
        try:
            found = list(trained.pipe(docs, batch_size=3))
        finally:
            coref.overwrite = True
        assert [get_clusters(doc, PREFIX) for doc in found] == expected[overwrite]
        assert get_clusters(found[3], "people") == [[(0, 1)]]


def test_singletons_follow_the_data_or_the_setting(trained):
    assert trained.get_pipe("coref").cfg["singletons"] is False
    nlp = pipeline()
    given = examples(nlp, 2)
    set_clusters(given[0].reference, [[(0, 1)]], PREFIX)
    nlp.initialize(lambda: given)
    assert nlp.get_pipe("coref").cfg["singletons"] is True
    coref = trained.get_pipe("coref")
    doc = predicted(trained, 0, 1)
    assert not get_clusters(doc, PREFIX)
    coref.keep_singletons = True
    try:
        assert [len(entity) for entity in get_clusters(coref(doc), PREFIX)] == [1, 1]
    finally:
        coref.keep_singletons = None


def test_predictions_do_not_depend_on_batches_or_processes(trained):
    docs = [bare(story_doc(trained, seed)) for seed in range(6)]
    expected = [get_clusters(trained(bare(doc)), PREFIX) for doc in docs]
    for settings in ({"batch_size": 4}, {"n_process": 2, "batch_size": 2}):
        found = trained.pipe([bare(doc) for doc in docs], **settings)
        assert [get_clusters(doc, PREFIX) for doc in found] == expected


def test_predictions_do_not_depend_on_chunks(trained):
    coref = trained.get_pipe("coref")
    doc = story_doc(trained, 1, 30)
    expected = get_clusters(coref(bare(doc)), PREFIX)
    coref.chunk_tokens = 12
    try:
        found = get_clusters(coref(bare(doc)), PREFIX)
    finally:
        coref.chunk_tokens = 4096
    assert found == expected


@pytest.mark.parametrize("chunk_tokens", [1, 12, 40, 100])
def test_docs_in_the_same_batch_of_chunks_are_independent(trained, chunk_tokens):
    coref = trained.get_pipe("coref")
    docs = [story_doc(trained, seed, 1 + seed) for seed in range(6)]
    docs.insert(2, Doc(trained.vocab))
    expected = [get_clusters(coref(bare(doc)), PREFIX) for doc in docs]
    coref.chunk_tokens = chunk_tokens
    try:
        links = coref.predict([bare(doc) for doc in docs])
    finally:
        coref.chunk_tokens = 4096
    found = [bare(doc) for doc in docs]
    coref.set_annotations(found, links)
    assert [get_clusters(doc, PREFIX) for doc in found] == expected


@pytest.mark.parametrize("words", [[], ["Anna"], [" "], ["\n", "\n"], ["Anna"] * 300])
def test_docs_of_any_length_are_predicted(trained, words):
    doc = trained(Doc(trained.vocab, words))
    for entity in get_clusters(doc, PREFIX):
        assert all(0 <= start < end <= len(words) for start, end in entity)


def test_training_on_unusual_docs():
    nlp = pipeline(max_train_tokens=10)
    docs = [
        story_doc(nlp, 0),
        Doc(nlp.vocab, []),
        Doc(nlp.vocab, ["Anna"]),
        nlp.make_doc("No one."),
    ]
    nested = Doc(nlp.vocab, "the miller of the town sees her".split())
    # crossing, nested, and one mention in two entities
    set_clusters(nested, [[(0, 5), (6, 7)], [(3, 5)], [(1, 4), (6, 7)]], PREFIX)
    given = [Example(bare(doc), doc) for doc in [*docs, nested, story_doc(nlp, 3, 40)]]
    nlp.initialize(lambda: given)
    optimizer = Adam(0.01)
    for _ in range(3):
        losses = nlp.update(given, sgd=optimizer)
        assert np.isfinite(losses["coref"]) and isinstance(losses["coref"], float)
    empty = Doc(nlp.vocab, [])
    assert nlp.update([Example(empty, empty.copy())], sgd=optimizer) == {"coref": 0.0}
    assert nlp.get_pipe("coref").update([], sgd=optimizer) == {"coref": 0.0}


def test_docs_without_annotation_are_skipped():
    """For example, Docs of a corpus that is annotated for another component."""
    nlp = pipeline()
    given = examples(nlp, 3)
    other = Example(bare(given[0].reference), bare(given[0].reference))
    nlp.initialize(lambda: [*given, other])
    coref = nlp.get_pipe("coref")
    learned = coref.lexicon
    nlp.initialize(lambda: given)
    assert coref.lexicon == learned and learned.pronouns
    optimizer = Adam(0.01)
    for _ in range(3):
        nlp.update(given, sgd=optimizer)
    before = coref.model.shims[0].to_bytes()
    for _ in range(2):
        assert nlp.update([other], sgd=optimizer) == {"coref": 0.0}
    assert coref.get_loss([other]) == (0.0, None)
    assert coref.model.shims[0].to_bytes() == before
    alone, _ = coref.get_loss(given)
    assert coref.get_loss([given[0], other, *given[1:]])[0] == pytest.approx(alone)
    # a Doc that is marked as having no clusters is not skipped
    mark_annotated(other.reference)
    assert nlp.update([other], sgd=optimizer)["coref"] > 0
    assert coref.model.shims[0].to_bytes() != before


def test_training_data_without_clusters_is_one_warning():
    nlp = pipeline(span_cluster_prefix="people")
    given = examples(nlp, 3)
    with pytest.warns(UserWarning) as found:
        nlp.initialize(lambda: given)
    (warning,) = found
    assert re.search(
        r"no span group people_1 .* set span_cluster_prefix in \[components.coref\]",
        str(warning.message),
    )
    mark_annotated(given[2].reference, "people")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp.initialize(lambda: given)


def test_misaligned_gold_mentions_are_counted_with_one_warning():
    nlp = pipeline()
    reference = Doc(nlp.vocab, ["Anna", "Smith", "sees", "herself"], spaces=[True] * 3 + [False])
    set_clusters(reference, [[(0, 1), (3, 4)], [(1, 2)]], PREFIX)
    words = ["AnnaSmith", "sees", "herself"]
    given = [Example(Doc(nlp.vocab, words, spaces=[True, True, False]), reference)]
    nlp.initialize(lambda: given)
    with pytest.warns(UserWarning, match="gold mentions of a Doc do not fit"):
        nlp.update(given)
    coref = nlp.get_pipe("coref")
    first = coref.n_misaligned
    assert first > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nlp.update(given)
    assert coref.n_misaligned == 2 * first


def test_alignment_by_characters_equals_spacys_alignment():
    nlp = spacy.blank("en")
    gold = Doc(nlp.vocab, ["Mr.", "Berg", "can", "not", "see", "the", "boat-house", "."])
    set_clusters(gold, [[(0, 2), (5, 7)], [(1, 2), (3, 4), (0, 8)]])
    words = ["Mr", ".", "Berg", "can", "not", "see", "the", "boat", "-", "house", "."]
    spaces = [False, True, True, True, True, True, True, False, False, True, False]
    example = Example(Doc(nlp.vocab, words, spaces), gold)
    assert example.x.text == example.y.text.strip()
    clusters = get_clusters(gold)
    found = by_characters(example, clusters)
    assert found == [[(0, 3), (6, 10)], [(0, 11), (2, 3), (4, 5)]]
    assert found == by_alignment(example, clusters)
    # a predicted token that contains more than the mention does not match
    joined = Doc(nlp.vocab, ["Mr.", "Berg", "cannot", "see", "the", "boat-house", "."])
    split = Doc(nlp.vocab, ["Mr.", "Berg", "can", "not"], [True, True, False, False])
    set_clusters(split, [[(1, 2)], [(3, 4)]])
    assert by_characters(Example(joined, split), get_clusters(split)) == [[(1, 2)], []]


def test_averaged_weights_are_applied_to_the_head(trained):
    coref = trained.get_pipe("coref")
    shim = coref.model.shims[0]
    name, param = next(iter(shim.module.named_parameters()))
    other = torch.full_like(param, 7.0)
    before = param.detach().clone()
    with trained.use_params({(shim.id, name): other.numpy()}):
        assert torch.equal(param.detach(), other)
    assert torch.equal(param.detach(), before)


def test_gradients_equal_numerical_gradients_of_the_loss():
    nlp = pipeline()
    given = examples(nlp, 2)
    spacy.util.fix_random_seed(0)
    nlp.initialize(lambda: given)
    coref = nlp.get_pipe("coref")
    embed = next(
        node
        for node in coref.model.walk()
        if node.has_param("E") and node.has_grad("E") is not None
    )
    _, backprop = coref.begin_update(given)
    backprop()
    gradient = embed.get_grad("E").copy()
    place = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
    table, losses = embed.get_param("E"), []
    before = table[place].copy()
    for side in (5e-4, -5e-4):
        table[place] = before + side
        losses.append(coref.get_loss(given)[0])
    table[place] = before
    assert (losses[0] - losses[1]) / 1e-3 == pytest.approx(gradient[place], rel=0.03)


def test_a_prediction_without_weights_is_an_error_with_the_fix():
    nlp = pipeline()
    with pytest.raises(ValueError, match="nlp.initialize"):
        nlp("Anna sees the miller.")


@pytest.mark.parametrize("setting", ["max_train_tokens", "chunk_tokens"])
def test_settings_out_of_range_are_errors(setting):
    with pytest.raises(ValueError, match=f"{setting} of coref is 0"):
        pipeline(**{setting: 0})


def test_another_prefix(trained):
    nlp = pipeline(span_cluster_prefix="people")
    given = examples(nlp, 2)
    for example in given:
        clusters = get_clusters(example.reference, PREFIX)
        set_clusters(example.reference, clusters, "people")
    train(nlp, given, 40)
    doc = predicted(nlp, 0)
    assert get_clusters(doc, "people") and not get_clusters(doc, PREFIX)
    assert nlp.evaluate(given)["coref_mention_f"] > 0.5
    assert isinstance(nlp.get_pipe("coref"), Coref)
    assert get_current_ops() is not None
