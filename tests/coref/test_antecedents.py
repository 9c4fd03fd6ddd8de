"""The scores of pairs of mentions, all at once and one by one."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from spacy_elmo.coref.antecedents import (
    BIAS_SCALE,
    IMPOSSIBLE,
    AntecedentScorer,
    Mentions,
    _bucket,
    _matches,
)
from spacy_elmo.coref.document import N_KINDS
from spacy_elmo.coref.linking import Memory, entities_of, link, most_likely

K, DIM, N_PRONOUNS = 9, 7, 2


def scorer(limit=50, **settings):
    torch.manual_seed(0)
    made = AntecedentScorer(DIM, 5, 1, 0.0, 4, limit, N_PRONOUNS, **settings)
    for param in made.parameters():
        nn.init.normal_(param, std=0.5)
    return made.eval()


def mentions(made, n=K, n_words=3, seed=0):
    torch.manual_seed(seed)
    words = torch.randint(n_words, (3, n))
    start = torch.arange(n) * 2
    return Mentions(
        start,
        start + torch.randint(3, (n,)),
        torch.randn(n),
        torch.arange(n),
        torch.arange(n),
        *words,
        torch.randint(3, (n,)),
        torch.randint(3, (n,)),
        torch.randint(N_PRONOUNS + 1, (n,)),
        start // 5,
        torch.randint(2, (n,)),
        *made.project(torch.randn(n, DIM)),
    )


@pytest.mark.parametrize("settings", [{}, {"speakers": True, "n_genres": 1}])
def test_pairs_are_scored_as_each_by_itself(settings):
    made = scorer(**settings)
    given = mentions(made)
    best, scores = made(given, given)
    assert best.shape == scores.shape == (K, K)
    for i in range(K):
        for column, j in enumerate(best[i].tolist()):
            if j >= i:
                assert scores[i, column] == IMPOSSIBLE
                continue
            _, alone = made(given[i : i + 1], given[j : j + 1])
            torch.testing.assert_close(scores[i, column], alone[0, 0], atol=1e-5, rtol=1e-5)


def test_the_best_by_the_coarse_score_are_looked_at():
    made = scorer(limit=3)
    given = mentions(made)
    best, scores = made(given, given)
    assert best.shape == (K, 3)
    products = given.query @ given.key.t()
    coarse = made._coarse(products, given[:, None], given[None, :])
    for i in range(3, K):
        expected = coarse[i, :i].topk(3).indices
        assert set(best[i].tolist()) == set(expected.tolist())


def test_the_coarse_score_is_what_it_says():
    made = scorer()
    given = mentions(made)
    with torch.no_grad():
        found = made._coarse((given.query @ given.key.t()), given[:, None], given[None, :])
    i, j = 5, 2
    expected = given.query[i] @ given.key[j] / math.sqrt(256) + given.score[i] + given.score[j]
    bias = made.coarse_distance.weight[3, 0].detach().clone()
    pair = given.pronoun[i] * (N_PRONOUNS + 1) + given.pronoun[j]
    bias += made.pronouns.weight[pair, 0]
    same = given.whole[i] == given.whole[j]
    pronouns, names = (given.kind[[i, j]] == 0), (given.kind[[i, j]] == 2).all()
    flags = [
        same and not pronouns.any(),
        same and pronouns.all(),
        same and names,
        given.last_word[i] == given.last_word[j] and not pronouns.any(),
        given.first_word[i] == given.first_word[j] and names,
        names
        and (
            given.last_word[i] == given.first_word[j] or given.first_word[i] == given.last_word[j]
        ),
        given.start[i] <= given.last[j],
    ]
    for weight, flag in zip(made.coarse_match.weight[0], flags):
        bias += weight * bool(flag)
    torch.testing.assert_close(found[i, j], expected + BIAS_SCALE * bias)


def test_the_fine_score_is_what_it_says():
    made = scorer(speakers=True, n_genres=1)
    for table in (made.kinds, made.speaker, made.genre):
        torch.nn.init.normal_(table.weight)
    given = mentions(made)
    ours, theirs = given[:, None], given.take(torch.arange(K).expand(K, K))
    with torch.no_grad():
        found = made._fine(ours, theirs)
        for i, j in ((5, 2), (8, 7), (7, 0)):
            sums = given.left[i] + given.right[j] + made.product(given.pair[i] * given.pair[j])
            distance = made.distance(_bucket(given.count[i] - given.count[j]))
            sentences = made.sentences(_bucket(given.sentence[i] - given.sentence[j]))
            sums += made.distances(torch.cat([distance, sentences]))
            flags = torch.stack(_matches(given[i], given[j])).float()
            sums += made.match(flags) + made.kinds(given.kind[i] * N_KINDS + given.kind[j])
            known = bool(given.speaker[i]) and bool(given.speaker[j])
            speakers = known * (1 + int(given.speaker[i] == given.speaker[j]))
            sums += made.speaker.weight[speakers] + made.genre(given.genre[i])
            torch.testing.assert_close(found[i, j], made.score(sums[None, None])[0, 0, 0])


def test_gradients_reach_all_weights():
    made = scorer(speakers=True, n_genres=1).train()
    given = mentions(made, 40)
    _, scores = made(given, given)
    scores[scores > IMPOSSIBLE / 2].sum().backward()
    for name, param in made.named_parameters():
        assert param.grad is not None and param.grad.any(), name


def test_distances_fall_into_buckets():
    found = _bucket(torch.tensor([-3, 0, 1, 4, 5, 7, 8, 15, 16, 31, 32, 511, 512, 99999]))
    assert found.tolist() == [0, 0, 1, 4, 5, 5, 6, 6, 7, 7, 8, 11, 12, 12]


def test_the_mentions_of_an_entity_count_together():
    entity_of = np.array([0, 1, 0, 2, 1])
    places = np.array([0, 1, 2, 3, 4])
    # e^1 + e^0.9 is more than e^1.2, and of the two the first is likelier
    scores = np.array([1.0, 1.2, 0.9, -3.0, IMPOSSIBLE])
    assert most_likely(places, scores, entity_of) == 0
    assert most_likely(places[1:2], scores[1:2], entity_of) == 1
    # two that are unlikely alone are likely together, if they are of one entity
    assert most_likely(places[[0, 2]], np.array([-0.5, -0.4]), entity_of) == 2
    assert most_likely(places[[0, 1]], np.array([-0.5, -0.4]), entity_of) == -1
    assert most_likely(places[3:], scores[3:], entity_of) == -1
    assert most_likely(places[:0], scores[:0], entity_of) == -1
    assert most_likely(places[:2], np.array([900.0, 800.0]), entity_of) == 0


@pytest.mark.parametrize("block", [1, 3, 100])
def test_blocks_change_nothing_where_the_window_holds_all(block, monkeypatch):
    made = scorer()
    given = mentions(made, 30)
    expected = link(made, given, window=30, max_entities=0)
    assert (expected >= 0).any() and (expected < torch.arange(30).numpy()).all()
    monkeypatch.setattr("spacy_elmo.coref.linking.BLOCK", block)
    assert link(made, given, window=30, max_entities=0).tolist() == expected.tolist()


def test_antecedents_come_from_the_window_or_from_memory(monkeypatch):
    monkeypatch.setattr("spacy_elmo.coref.linking.BLOCK", 4)
    made = scorer()
    given = mentions(made, 60, n_words=50)
    found = link(made, given, window=4, max_entities=0)
    names = {(int(w)) for w, kind in zip(given.whole, given.kind) if kind == 2}
    for place, antecedent in enumerate(found.tolist()):
        near = antecedent >= place // 4 * 4 - 4
        assert antecedent < 0 or near or int(given.whole[antecedent]) in names
    more = link(made, given, window=4, max_entities=100)
    assert (more != found).any()


def test_memory_knows_entities_by_kind_size_and_name():
    made = scorer()
    given = mentions(made, 8)
    given.kind[:] = torch.tensor([2, 0, 1, 2, 0, 1, 1, 2])
    given.whole[:] = torch.tensor([5, 0, 1, 6, 0, 2, 3, 6])
    memory = Memory(given, max_entities=1)
    for place, antecedent in enumerate([-1, 0, -1, -1, 1, -1, -1]):
        memory.add(place, antecedent)
    assert memory.before(0, 7, 8).tolist() == []
    # the entity of three mentions: its name and its last pronoun; and the name that is read
    assert memory.before(6, 7, 8).tolist() == [0, 3, 4]
    memory.max_entities = 2
    assert memory.before(6, 7, 8).tolist() == [0, 3, 4, 5]


def test_entities_are_numbered_as_they_appear():
    antecedents = torch.tensor([-1, -1, 0, 1, 2, -1]).numpy()
    assert entities_of(antecedents).tolist() == [0, 1, 0, 1, 0, 2]
    assert entities_of(antecedents[:0]).tolist() == []
