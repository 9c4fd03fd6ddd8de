"""The perplexity of a text, compared with a loop over its words."""

import importlib
import math

import pytest
import torch

from spacy_elmo.corpus.corpus import Corpus
from spacy_elmo.lm.evaluate import Perplexity, evaluate, pool
from spacy_elmo.lm.evaluation_windows import EvaluationWindows
from spacy_elmo.lm.language_model import LanguageModel
from spacy_elmo.lm.vocab import Vocab
from spacy_elmo.runtime.workers import Workers

from ..bilm import plain
from ..pretrain.toys import ONE, documents, sentences, toy_trainer

pytestmark = pytest.mark.slow

TRAIN = Corpus.from_sentences(documents(60))
# with words that training has not seen
TEXT = [
    *sentences(12, seed=1),
    ["an", "owl", "howls"],
    ["."],
    "the grey zebra sees the owl .".split(),
]
HELDOUT = Corpus.from_sentences([TEXT])
KINDS = {"full": {"kind": "full"}, "adaptive": {"kind": "adaptive", "cutoffs": [8, 16]}}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def trainer(request):
    trainer = toy_trainer(TRAIN, softmax=request.param)
    for _ in range(5):
        trainer.train_step()
    return trainer


def read_in_direction(reverse):
    """Return the words read (None for boundary words) and the words that follow them."""
    for words in TEXT[::-1] if reverse else TEXT:
        codes = ["<S>", *words, "</S>"]
        codes = codes[::-1] if reverse else codes
        for n, (read, follows) in enumerate(zip(codes, codes[1:])):
            yield (read if n else None), follows


@torch.no_grad()
def mean_loss(model, reverse, is_scored=lambda word: True):
    """Compute the loss word by word in plain torch, with states carried through the text."""
    bilm, direction, losses = model.bilm, int(reverse), []
    assert bilm.tokens.char_cnn is not None
    table = model.word_table(HELDOUT.words)
    number = {word: 2 + n for n, word in enumerate(HELDOUT.words)}
    states = [
        (bilm.start_h.new_zeros(bilm.options.projection_dim), bilm.start_c.new_zeros(12))
        for _ in bilm.layers
    ]
    for read, follows in read_in_direction(reverse):
        x = table[direction if read is None else number[read]]
        for n, layer in enumerate(bilm.layers):
            bias = layer.bias[direction].clone()
            bias[12:24] += 1
            weights = (
                *(layer.input_weight[direction], layer.state_weight[direction], bias),
                layer.projection[direction],
            )
            states[n] = plain.step(weights, layer.bounds, x, states[n])
            x = states[n][0] + x if n else states[n][0]
        at = {"<S>": 0, "</S>": 1}.get(follows)
        at = model.vocab.ids([follows])[0] if at is None else at
        if is_scored(follows):
            losses.append(-model.head.log_probs(x[None])[0, at].item())
    return sum(losses) / len(losses), len(losses)


def test_each_word_and_each_sentence_end_is_counted_once(trainer):
    found = evaluate(trainer.model, HELDOUT, ONE, n_rows=1)
    losses = []
    for perplexity, reverse in ((found.forward, False), (found.backward, True)):
        loss, n_positions = mean_loss(trainer.model, reverse)
        assert found.n_positions == n_positions == sum(len(words) + 1 for words in TEXT)
        assert perplexity == pytest.approx(math.exp(loss), rel=1e-6)
        losses.append(loss)
    assert found.geometric == pytest.approx(math.exp(sum(losses) / 2), rel=1e-6)
    assert found.arithmetic == pytest.approx((found.forward + found.backward) / 2)
    # an, howls, zebra
    assert found.unknown == pytest.approx(3 / n_positions)
    assert found.n_scored == n_positions


def test_only_words_in_both_vocabularies_are_scored(trainer):
    # in another order, with a word that the model does not know
    second = Vocab(["zebra", "</S>", "cat", "the", "<UNK>", "owl", "an", "<S>", "."])
    both = {"cat", "the", "owl", ".", "<S>", "</S>"}
    found = evaluate(trainer.model, HELDOUT, ONE, n_rows=1, vocab=second)
    for perplexity, reverse in ((found.forward, False), (found.backward, True)):
        loss, n_scored = mean_loss(trainer.model, reverse, both.__contains__)
        assert found.n_scored == n_scored < found.n_positions
        assert perplexity == pytest.approx(math.exp(loss), rel=1e-6)
    assert found.unknown == pytest.approx(1 - found.n_scored / found.n_positions)
    # words that are not scored are read as well, so the states do not change
    assert found.n_positions == evaluate(trainer.model, HELDOUT, ONE).n_positions


def test_a_model_that_ignores_the_context_has_the_perplexity_of_its_frequencies():
    model = toy_trainer(TRAIN).model
    text = Corpus.from_sentences([[["the", "cat", "zebra"], ["the", "."]]])
    probabilities = torch.full((len(model.vocab),), 0.25 / (len(model.vocab) - 5))
    known = {"the": 0.25, ".": 0.125, "cat": 0.125, "<UNK>": 0.125, "</S>": 0.125}
    probabilities[[model.vocab.words.index(word) for word in known]] = torch.tensor(
        [*known.values()]
    )
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(probabilities.log())
    model.bilm.drop_caches()
    # the cat <UNK> </S> the . </S>: 2 + 3 + 3 + 3 + 2 + 3 + 3 bits
    assert evaluate(model, text, ONE).forward == pytest.approx(2 ** (19 / 7))
    # the </S> the . </S>: 2 + 3 + 2 + 3 + 3 bits
    second = Vocab(["<S>", "</S>", "<UNK>", "the", ".", "zebra"])
    found = evaluate(model, text, ONE, vocab=second)
    assert found.forward == pytest.approx(2 ** (13 / 5))
    assert (found.n_positions, found.n_scored) == (7, 5)
    assert found.unknown == pytest.approx(2 / 7)


def test_both_models_score_the_same_words(trainer):
    other = toy_trainer(
        Corpus.from_sentences([TEXT[:6], TEXT[-3:]]), softmax=vars(trainer.config.softmax)
    )
    first = evaluate(trainer.model, HELDOUT, ONE, vocab=other.model.vocab)
    second = evaluate(other.model, HELDOUT, ONE, vocab=trainer.model.vocab)
    assert first.n_scored == second.n_scored < first.n_positions
    assert first.unknown == second.unknown
    words = [word for sentence in TEXT for word in sentence]
    known = set(trainer.model.vocab.words) & set(other.model.vocab.words)
    assert first.n_scored == len(TEXT) + sum(word in known for word in words)


def test_a_vocabulary_that_shares_no_word_scores_the_sentence_ends(trainer):
    found = evaluate(trainer.model, HELDOUT, ONE, vocab=Vocab(["<S>", "</S>", "<UNK>", "none"]))
    assert found.n_scored == len(TEXT)
    assert 1 < found.forward < math.inf


def test_the_own_vocabulary_leaves_out_the_unknown_words(trainer):
    found = evaluate(trainer.model, HELDOUT, ONE, vocab=trainer.model.vocab)
    assert found.n_scored == found.n_positions - 3  # an, howls, zebra
    assert found.unknown == pytest.approx(3 / found.n_positions)


def test_pooling_counts_each_position_once():
    first = Perplexity(2.0, 8.0, n_positions=10, unknown=0.1, n_scored=3)
    second = Perplexity(16.0, 8.0, n_positions=30, unknown=0.5, n_scored=1)
    found = pool([first, second])
    # 3 losses of ln 2 and one of ln 16: 7/4 ln 2
    assert found.forward == pytest.approx(2**1.75)
    assert found.backward == pytest.approx(8.0)
    assert (found.n_positions, found.n_scored) == (40, 4)
    assert found.unknown == pytest.approx(0.4)  # 1 + 15 of 40
    assert vars(pool([first])) == pytest.approx(vars(first))
    assert pool([first, Perplexity(math.inf, 8.0, 1, 0.0, 1)]).forward == math.inf


def test_the_perplexity_of_texts_pools_to_that_of_all_their_words(trainer):
    texts = [TEXT[:7], TEXT[7:]]
    found = pool([evaluate(trainer.model, Corpus.from_sentences([t]), ONE) for t in texts])
    whole = evaluate(trainer.model, HELDOUT, ONE, n_rows=2)
    assert (found.n_positions, found.unknown) == (whole.n_positions, pytest.approx(whole.unknown))
    assert found.geometric == pytest.approx(whole.geometric, rel=0.05)  # other start states


def test_perplexity_does_not_depend_on_the_window_length(trainer, monkeypatch):
    module = importlib.import_module("spacy_elmo.lm.evaluate")
    for n_rows in (1, 5):
        found = []
        for n_steps in (1, 3, 32, 1000):
            monkeypatch.setattr(module, "N_STEPS", n_steps)
            found.append(evaluate(trainer.model, HELDOUT, ONE, n_rows=n_rows))
        for other in found[1:]:
            assert vars(other) == pytest.approx(vars(found[0]), rel=1e-6)


def test_rows_only_change_where_states_start(trainer):
    expected = evaluate(trainer.model, HELDOUT, ONE, n_rows=1)
    for n_rows in (2, 13, 64):
        found = evaluate(trainer.model, HELDOUT, ONE, n_rows=n_rows)
        assert found.n_positions == expected.n_positions
        assert found.unknown == pytest.approx(expected.unknown)
        assert found.geometric == pytest.approx(expected.geometric, rel=0.05)


def test_a_short_text_is_read_in_one_row(trainer, monkeypatch):
    expected = evaluate(trainer.model, HELDOUT, ONE, n_rows=1)
    assert evaluate(trainer.model, HELDOUT, ONE) == expected
    module = importlib.import_module("spacy_elmo.lm.evaluate")
    monkeypatch.setattr(module, "MIN_LENGTH", HELDOUT.n_positions // 3)
    assert evaluate(trainer.model, HELDOUT, ONE) == evaluate(trainer.model, HELDOUT, ONE, n_rows=3)


@pytest.mark.parametrize("recipe", ["modern", "paper"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_perplexity_follows_every_weight_update(recipe, precision, tmp_path):
    trainer = toy_trainer(TRAIN, recipe={"name": recipe}, training={"precision": precision})
    before = evaluate(trainer.model, HELDOUT, ONE, precision)
    for _ in range(3):
        for _ in range(4):
            trainer.train_step()
        found = evaluate(trainer.model, HELDOUT, ONE, precision)
        trainer.model.save(tmp_path / "model")
        fresh = LanguageModel.load(tmp_path / "model")
        assert evaluate(fresh, HELDOUT, ONE, precision) == found != before
        before = found


def test_evaluation_does_not_change_the_training(trainer):
    other = toy_trainer(TRAIN, softmax=vars(trainer.config.softmax))
    for _ in range(5):
        other.train_step()
    evaluate(trainer.model, HELDOUT, ONE)
    assert torch.equal(trainer.train_step().losses, other.train_step().losses)


def test_bfloat16_is_near_float32(trainer):
    expected = evaluate(trainer.model, HELDOUT, ONE)
    found = evaluate(trainer.model, HELDOUT, ONE, "bfloat16")
    assert found.geometric != expected.geometric
    assert found.geometric == pytest.approx(expected.geometric, rel=0.02)


class OneOfSeveral(Workers):
    """A process of several, which run sequentially and add their values to a common sum."""

    values = []

    def sum(self, values):
        self.values.append(values)
        return torch.stack(self.values).sum(dim=0)


@pytest.mark.parametrize("vocab", [None, Vocab(["<S>", "</S>", "<UNK>", "the", "owl"])])
@pytest.mark.parametrize("size", [2, 40])
def test_processes_share_the_rows(trainer, size, vocab):
    expected = evaluate(trainer.model, HELDOUT, ONE, n_rows=6, vocab=vocab)
    assert len(EvaluationWindows(HELDOUT, 6, 1).lengths) == 6
    OneOfSeveral.values = []
    for rank in range(size):
        workers = OneOfSeveral(rank, size, torch.device("cpu"))
        found = evaluate(trainer.model, HELDOUT, workers, n_rows=6, vocab=vocab)
    assert vars(found) == pytest.approx(vars(expected), rel=1e-6)


def test_one_direction_has_one_perplexity():
    trainer = toy_trainer(TRAIN, model={"bidirectional": False})
    found = evaluate(trainer.model, HELDOUT, ONE)
    assert found.forward == found.backward == pytest.approx(found.geometric)
    trainer.train_step()
    assert evaluate(trainer.model, HELDOUT, ONE).forward != found.forward


def test_no_text_is_an_error(trainer):
    with pytest.raises(ValueError, match="no sentence in the text to evaluate on"):
        evaluate(trainer.model, Corpus.from_sentences([]), ONE)
