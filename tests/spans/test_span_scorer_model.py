"""The span scorer as the model of spaCy's span categorizers."""

import numpy as np
import pytest
import spacy
import torch
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import Adam, Model, Ragged

from spacy_elmo.spans import span_scorer_model
from spacy_elmo.spans.sentences import MAX_SEQUENCE
from spacy_elmo.spans.span_scorer_model import build_span_scorer_v1, chunk_docs

MODEL = {
    "@architectures": "spacy-elmo.SpanScorer.v1",
    "hidden_size": 32,
    "lstm_size": 16,
    "dropout": 0.0,
    "max_span_width": 3,
    "tok2vec": {
        "@architectures": "spacy.MultiHashEmbed.v2",
        "width": 32,
        "attrs": ["LOWER"],
        "rows": [200],
        "include_static_vectors": False,
    },
}
NAMES = "Anna Bruno Clara David".split()
PLACES = "Rome Paris Turin Lyon".split()
WIDTH = 5


def pipeline(exclusive=True, factory=None):
    nlp = spacy.blank("en")
    nlp.add_pipe(
        factory or ("spancat_singlelabel" if exclusive else "spancat"),
        name="spancat",
        config={
            "model": {**MODEL, "exclusive_classes": exclusive},
            "suggester": {"@misc": "spacy.ngram_suggester.v1", "sizes": [1, 2, 3, 4, 5]},
        },
    )
    return nlp


def make_doc(nlp, seed):
    """Return a Doc with persons and a place; the place is nested in a person."""
    draw = np.random.default_rng(seed)
    name, other = map(str, draw.choice(NAMES, 2, replace=False))
    place = str(draw.choice(PLACES))
    doc = Doc(nlp.vocab, [name, "saw", "the", "king", "of", place, "and", other, "."])
    found = [(0, 1, "PER"), (2, 6, "PER"), (5, 6, "GPE"), (7, 8, "PER")]
    doc.spans["sc"] = [Span(doc, *span) for span in found]
    return doc


def bare(doc):
    return Doc(doc.vocab, [token.text for token in doc])


def spans_of(doc):
    return sorted((span.start, span.end, span.label_) for span in doc.spans["sc"])


def train(nlp, n_steps=100):
    spacy.util.fix_random_seed(0)
    given = [Example(bare(doc), doc) for doc in (make_doc(nlp, seed) for seed in range(16))]
    nlp.initialize(lambda: given)
    optimizer = Adam(0.01)
    return [nlp.update(given, sgd=optimizer)["spancat"] for _ in range(n_steps)]


@pytest.fixture(scope="module", params=[True, False], ids=["exclusive", "each"])
def trained(request):
    nlp = pipeline(request.param)
    losses = train(nlp)
    assert losses[-1] < 0.1 * losses[0]
    return nlp


@pytest.mark.slow
def test_nested_spans_are_found(trained):
    for seed in range(16):
        doc = make_doc(trained, seed)
        assert spans_of(trained(bare(doc))) == spans_of(doc)


def test_exclusive_classes_without_a_score_for_no_label_are_an_error():
    nlp = pipeline(True, "spancat")
    with pytest.raises(ValueError, match="Use the factory spancat_singlelabel.* or set exclusive"):
        train(nlp, 1)


@pytest.mark.parametrize("negative_weight", [0.0, 0.3, 1.0, 20.0])
def test_exclusive_classes_accept_spans_with_two_labels_and_any_negative_weight(negative_weight):
    nlp = pipeline()
    nlp.get_pipe("spancat").cfg["negative_weight"] = negative_weight
    doc = make_doc(nlp, 0)
    doc.spans["sc"] = [*doc.spans["sc"], Span(doc, 5, 6, "PER")]
    given = [Example(bare(doc), doc)]
    nlp.initialize(lambda: given)
    assert nlp.update(given)["spancat"] > 0


@pytest.mark.slow
def test_singlelabel_trains_on_independent_probabilities():
    nlp = pipeline(False, "spancat_singlelabel")
    train(nlp)
    doc = make_doc(nlp, 0)
    assert spans_of(nlp(bare(doc))) == spans_of(doc)


@pytest.mark.slow
def test_spans_are_found_across_sequences(trained):
    """Without sentence boundaries, the LSTM reads sequences of 200 words."""
    words = [token.text for seed in range(45) for token in make_doc(trained, seed)][2:]
    place = MAX_SEQUENCE - 2
    assert words[place : place + 3] == ["the", "king", "of"]
    found = spans_of(trained(Doc(trained.vocab, words)))
    assert (place, place + 4, "PER") in found and (place + 3, place + 4, "GPE") in found


@pytest.mark.parametrize("how", ["disk", "bytes"])
def test_a_saved_pipeline_predicts_the_same(trained, how, tmp_path):
    if how == "disk":
        trained.to_disk(tmp_path)
        again = spacy.load(tmp_path)
    else:
        exclusive = trained.get_pipe("spancat").model.attrs["exclusive_classes"]
        again = pipeline(exclusive).from_bytes(trained.to_bytes())
    docs = [make_doc(trained, 3), Doc(trained.vocab)]
    scores = [
        nlp.get_pipe("spancat").predict([bare(d) for d in docs])[1] for nlp in (trained, again)
    ]
    np.testing.assert_array_equal(*scores)


def test_predictions_do_not_depend_on_batches_or_processes(trained):
    docs = [make_doc(trained, seed) for seed in range(30, 35)]
    docs.insert(1, Doc(trained.vocab))
    expected = [spans_of(trained(bare(doc))) for doc in docs]
    for settings in ({"batch_size": 6}, {"n_process": 2, "batch_size": 2}):
        found = trained.pipe([bare(doc) for doc in docs], **settings)
        assert [spans_of(doc) for doc in found] == expected


@pytest.mark.parametrize("max_tokens", [1, 9, 20, 10_000])
def test_predictions_do_not_depend_on_chunks_of_docs(trained, max_tokens, monkeypatch):
    docs = [bare(make_doc(trained, seed)) for seed in range(5)]
    docs[2:2] = [Doc(trained.vocab), Doc(trained.vocab, ["Rome"])]
    pipe = trained.get_pipe("spancat")
    spans, expected = pipe.predict(docs)
    monkeypatch.setattr(span_scorer_model, "CHUNK_TOKENS", max_tokens)
    found_spans, found = pipe.predict(docs)
    assert (found_spans.lengths == spans.lengths).all()
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    "lengths, expected",
    [
        ([], []),
        ([0, 0], [(0, 2)]),
        ([3, 2, 5, 9, 0, 1], [(0, 2), (2, 3), (3, 4), (4, 6)]),
        ([5, 5, 5], [(0, 1), (1, 2), (2, 3)]),
    ],
)
def test_chunks_are_whole_docs_within_the_limit(lengths, expected):
    assert list(chunk_docs(np.array(lengths, dtype=np.int64), 5)) == expected


@pytest.mark.parametrize("words", [[], ["Anna"], [" "], ["Anna"] * 300])
def test_docs_of_any_length_are_predicted_and_trained_on(trained, words):
    doc = trained(Doc(trained.vocab, words))
    assert all(0 <= start < end <= len(words) for start, end, _ in spans_of(doc))
    trained.update([Example(Doc(trained.vocab, words), Doc(trained.vocab, words))])


def test_averaged_weights_are_applied_to_the_network(trained):
    shim = trained.get_pipe("spancat").model.shims[0]
    name, param = next(iter(shim.module.named_parameters()))
    before = param.detach().clone()
    with trained.use_params({(shim.id, name): np.full(param.shape, 7.0, dtype="f")}):
        assert (shim.module.get_parameter(name) == 7).all()
    assert (shim.module.get_parameter(name) == before).all()


def given_vectors(vectors, taken):
    """Return a tok2vec that returns these vectors and appends its gradient to `taken`."""

    def forward(model, docs, is_train):
        return vectors, lambda gradient: taken.append(gradient) or docs

    return Model("given", forward, dims={"nO": WIDTH})


@pytest.mark.parametrize("exclusive", [True, False])
def test_the_gradient_is_that_of_the_cross_entropy(exclusive):
    draw = np.random.default_rng(0)
    vocab = spacy.blank("en").vocab
    docs = [
        Doc(vocab, ["a", "b", "c"], sent_starts=[True, False, True]),
        Doc(vocab),
        Doc(vocab, ["d", "e"]),
    ]
    vectors = [draw.normal(size=(len(doc), WIDTH)) for doc in docs]
    spans = Ragged(
        np.array([[0, 1], [0, 3], [1, 3], [0, 2], [1, 2]], dtype="i"),
        np.array([3, 0, 2], dtype="i"),
    )
    target = np.eye(4, dtype="f")[draw.integers(0, 4, 5)]
    taken, logits = [], []
    spacy.util.fix_random_seed(0)
    model = build_span_scorer_v1(
        given_vectors(vectors, taken),
        hidden_size=8,
        depth=2,
        dropout=0.0,
        lstm_size=4,
        max_span_width=3,
        exclusive_classes=exclusive,
    )
    model.initialize(X=(docs, spans), Y=target)
    assert model.get_dim("nO") == 4
    # scores are rounded to float32, so the loss is computed from the float64 logits
    network = model.shims[0].module.double()
    network.register_forward_hook(lambda _, inputs, output: logits.append(output.detach()))

    def loss():
        model.predict((docs, spans))
        wanted = torch.from_numpy(target).double()
        if exclusive:
            return -(wanted * logits[-1].log_softmax(dim=1)).sum().item()
        return torch.nn.functional.binary_cross_entropy_with_logits(
            logits[-1], wanted, reduction="sum"
        ).item()

    def slope(values, place):
        """Return the numerical derivative of the loss with respect to one value."""
        value, size, found = float(values[place]), 1e-5, []
        for sign in (1, -1):
            values[place] = value + sign * size
            found.append(loss())
        values[place] = value
        return (found[0] - found[1]) / (2 * size)

    scores, backprop = model.begin_update((docs, spans))
    assert np.allclose(scores.sum(axis=1), 1) == exclusive
    backprop(scores - target)
    (gradients,) = taken
    for array, gradient in zip(vectors, gradients):
        assert gradient.shape == array.shape
        for place in np.ndindex(*array.shape):
            assert gradient[place] == pytest.approx(slope(array, place), abs=1e-6)
    for param in network.parameters():
        values, gradient = param.data.view(-1), param.grad.view(-1)
        place = int(gradient.abs().argmax())
        assert gradient[place].item() == pytest.approx(slope(values, place), abs=1e-6)


def test_a_prediction_without_weights_is_an_error_with_the_fix():
    nlp = pipeline()
    nlp.get_pipe("spancat").add_label("PER")
    with pytest.raises(ValueError, match=r"span scorer has no weights yet. Call nlp.initialize"):
        nlp.get_pipe("spancat").predict([Doc(nlp.vocab, ["a"])])


def test_finish_update_without_weights_does_nothing():
    nlp = pipeline()
    nlp.get_pipe("spancat").model.finish_update(Adam(0.001))
