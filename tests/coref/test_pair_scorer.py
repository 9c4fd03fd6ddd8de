"""The scores of pairs of mentions, compared with each pair scored separately."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from spacy_elmo.coref.document import N_KINDS
from spacy_elmo.coref.linking import ClusterMemory, cluster_ids, link, most_likely
from spacy_elmo.coref.mentions import Mentions
from spacy_elmo.coref.pair_scorer import (
    BIAS_SCALE,
    IMPOSSIBLE,
    AntecedentScorer,
    PairFeatures,
    distance_bucket,
    matches,
)

K, DIM, N_PRONOUNS = 9, 7, 2


def scorer(limit=50, **settings):
    torch.manual_seed(0)
    made = AntecedentScorer(
        vector_size=DIM,
        hidden=5,
        depth=1,
        dropout=0.0,
        embedding_size=4,
        limit=limit,
        features=PairFeatures(n_pronouns=N_PRONOUNS, **settings),
    )
    for param in made.parameters():
        nn.init.normal_(param, std=0.5)
    return made.eval()


def mentions(made, n=K, n_words=3, seed=0):
    torch.manual_seed(seed)
    whole, first_word, last_word = torch.randint(n_words, (3, n))
    start = torch.arange(n) * 2
    return Mentions(
        start=start,
        last=start + torch.randint(3, (n,)),
        score=torch.randn(n),
        place=torch.arange(n),
        count=torch.arange(n),
        whole=whole,
        first_word=first_word,
        last_word=last_word,
        speaker=torch.randint(3, (n,)),
        kind=torch.randint(3, (n,)),
        pronoun=torch.randint(N_PRONOUNS + 1, (n,)),
        sentence=start // 5,
        genre=torch.randint(2, (n,)),
        **made.project(torch.randn(n, DIM)),
    )


@pytest.mark.parametrize("settings", [{}, {"speakers": True, "n_genres": 1}])
def test_pairs_are_scored_as_each_pair_separately(settings):
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


def test_the_best_antecedents_by_coarse_score_get_a_fine_score():
    made = scorer(limit=3)
    given = mentions(made)
    best, scores = made(given, given)
    assert best.shape == (K, 3)
    dot_products = given.query @ given.key.t()
    coarse = made.coarse_scores(dot_products, given[:, None], given[None, :])
    for i in range(3, K):
        expected = coarse[i, :i].topk(3).indices
        assert set(best[i].tolist()) == set(expected.tolist())


def test_the_coarse_score_equals_its_definition():
    made = scorer()
    given = mentions(made)
    with torch.no_grad():
        found = made.coarse_scores(given.query @ given.key.t(), given[:, None], given[None, :])
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


def test_the_fine_score_equals_its_definition():
    made = scorer(speakers=True, n_genres=1)
    for table in (made.kinds, made.speaker, made.genre):
        torch.nn.init.normal_(table.weight)
    given = mentions(made)
    ours, theirs = given[:, None], given.take(torch.arange(K).expand(K, K))
    with torch.no_grad():
        found = made.fine_scores(ours, theirs)
        for i, j in ((5, 2), (8, 7), (7, 0)):
            hidden = given.left[i] + given.right[j] + made.product(given.pair[i] * given.pair[j])
            distance = made.distance(distance_bucket(given.count[i] - given.count[j]))
            sentences = made.sentences(distance_bucket(given.sentence[i] - given.sentence[j]))
            hidden += made.distances(torch.cat([distance, sentences]))
            flags = torch.stack(matches(given[i], given[j])).float()
            hidden += made.match(flags) + made.kinds(given.kind[i] * N_KINDS + given.kind[j])
            known = bool(given.speaker[i]) and bool(given.speaker[j])
            speakers = known * (1 + int(given.speaker[i] == given.speaker[j]))
            hidden += made.speaker.weight[speakers] + made.genre(given.genre[i])
            torch.testing.assert_close(found[i, j], made.score(hidden[None, None])[0, 0, 0])


def test_gradients_reach_all_weights():
    made = scorer(speakers=True, n_genres=1).train()
    given = mentions(made, 40)
    _, scores = made(given, given)
    scores[scores > IMPOSSIBLE / 2].sum().backward()
    for name, param in made.named_parameters():
        assert param.grad is not None and param.grad.any(), name


def test_distances_are_bucketed():
    found = distance_bucket(torch.tensor([-3, 0, 1, 4, 5, 7, 8, 15, 16, 31, 32, 511, 512, 99999]))
    assert found.tolist() == [0, 0, 1, 4, 5, 5, 6, 6, 7, 7, 8, 11, 12, 12]


def test_probabilities_are_summed_per_cluster():
    cluster_of = np.array([0, 1, 0, 2, 1])
    places = np.array([0, 1, 2, 3, 4])
    # e^1 + e^0.9 is more than e^1.2, and of the two the first is likelier
    scores = np.array([1.0, 1.2, 0.9, -3.0, IMPOSSIBLE])
    assert most_likely(places, scores, cluster_of) == 0
    assert most_likely(places[1:2], scores[1:2], cluster_of) == 1
    # two antecedents that are unlikely separately are likely together if they share a cluster
    assert most_likely(places[[0, 2]], np.array([-0.5, -0.4]), cluster_of) == 2
    assert most_likely(places[[0, 1]], np.array([-0.5, -0.4]), cluster_of) == -1
    assert most_likely(places[3:], scores[3:], cluster_of) == -1
    assert most_likely(places[:0], scores[:0], cluster_of) == -1
    assert most_likely(places[:2], np.array([900.0, 800.0]), cluster_of) == 0


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_links_do_not_depend_on_batches_if_the_window_covers_the_text(batch, monkeypatch):
    made = scorer()
    given = mentions(made, 30)
    expected = link(made, given, window=30, max_entities=0)
    assert (expected >= 0).any() and (expected < torch.arange(30).numpy()).all()
    monkeypatch.setattr("spacy_elmo.coref.linking.BATCH_MENTIONS", batch)
    assert link(made, given, window=30, max_entities=0).tolist() == expected.tolist()


def test_antecedents_are_in_the_window_or_in_memory(monkeypatch):
    monkeypatch.setattr("spacy_elmo.coref.linking.BATCH_MENTIONS", 4)
    made = scorer()
    given = mentions(made, 60, n_words=50)
    found = link(made, given, window=4, max_entities=0)
    names = {(int(w)) for w, kind in zip(given.whole, given.kind) if kind == 2}
    for place, antecedent in enumerate(found.tolist()):
        near = antecedent >= place // 4 * 4 - 4
        assert antecedent < 0 or near or int(given.whole[antecedent]) in names
    more = link(made, given, window=4, max_entities=100)
    assert (more != found).any()


def test_memory_selects_mentions_by_cluster_size_kind_and_name():
    made = scorer()
    given = mentions(made, 8)
    given.kind[:] = torch.tensor([2, 0, 1, 2, 0, 1, 1, 2])
    given.whole[:] = torch.tensor([5, 0, 1, 6, 0, 2, 3, 6])
    memory = ClusterMemory(given, max_entities=1)
    for place, antecedent in enumerate([-1, 0, -1, -1, 1, -1, -1]):
        memory.add(place, antecedent)
    assert memory.mentions_before(0, 7, 8).tolist() == []
    # the cluster of three mentions: its name and its last pronoun; and the mention of the same name
    assert memory.mentions_before(6, 7, 8).tolist() == [0, 3, 4]
    memory.max_entities = 2
    assert memory.mentions_before(6, 7, 8).tolist() == [0, 3, 4, 5]


def test_clusters_are_numbered_in_the_order_of_first_mentions():
    antecedents = torch.tensor([-1, -1, 0, 1, 2, -1]).numpy()
    assert cluster_ids(antecedents).tolist() == [0, 1, 0, 1, 0, 2]
    assert cluster_ids(antecedents[:0]).tolist() == []
