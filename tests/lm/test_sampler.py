"""The words drawn for the sampled softmax, compared with their distribution."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_elmo.lm.sampler import LogUniformSampler

V = 30


def probabilities(n_words):
    k = np.arange(n_words)
    return np.log((k + 2) / (k + 1)) / np.log(n_words + 1)


def generator(seed=0):
    return np.random.default_rng(seed)


def draws(sampler, n_times):
    shared = generator()
    return [sampler.draw(shared) for _ in range(n_times)]


def test_classes_are_drawn_with_the_probability_of_the_formula():
    n_times = 20_000
    drawn = [classes[0] for classes, _ in draws(LogUniformSampler(V, 1), n_times)]
    expected = n_times * probabilities(V)
    assert expected.sum() == pytest.approx(n_times)
    squares = (np.bincount(drawn, minlength=V) - expected) ** 2 / expected
    # the statistic has mean 29 and standard deviation 7.6 under this distribution
    assert squares.sum() < 60


@given(st.data())
def test_samples_are_distinct_classes(data):
    n_words = data.draw(st.integers(1, 40))
    n_samples = data.draw(st.integers(1, n_words))
    sampler = LogUniformSampler(n_words, n_samples)
    classes, n_draws = sampler.draw(generator(data.draw(st.integers(0, 99))))
    assert classes.dtype == np.int64 and classes.shape == (n_samples,)
    assert len(set(classes.tolist())) == n_samples <= n_draws
    assert classes.min() >= 0 and classes.max() < n_words


def test_draws_are_counted_up_to_the_last_new_class():
    for seed in range(50):
        chances = generator(seed).random(2 * 12)
        inverse = np.searchsorted(np.cumsum(probabilities(V)), chances).tolist()
        classes, n_draws = LogUniformSampler(V, 12).draw(generator(seed))
        if n_draws <= len(inverse):
            assert list(dict.fromkeys(inverse[:n_draws])) == classes.tolist()
            assert inverse[n_draws - 1] not in inverse[: n_draws - 1]


def test_expected_counts_agree_with_simulated_draws():
    n_draws, n_times = 25, 20_000
    made = generator().choice(V, (n_times, n_draws), p=probabilities(V))
    found = np.array([(made == k).any(axis=1).mean() for k in range(V)])
    expected = LogUniformSampler(V, 10).log_expected(torch.arange(V), n_draws)
    assert expected.dtype == torch.float32
    np.testing.assert_allclose(expected.exp(), found, atol=0.015)


def test_expected_counts_are_close_to_the_samples():
    sampler, n_times = LogUniformSampler(V, 10), 5000
    made = draws(sampler, n_times)
    found = np.bincount(np.concatenate([classes for classes, _ in made])) / n_times
    every = torch.arange(V)
    expected = np.mean([sampler.log_expected(every, n).exp().numpy() for _, n in made], axis=0)
    # approximate, because the number of draws depends on the drawn classes
    np.testing.assert_allclose(expected, found, atol=0.05)
    assert expected.sum() == pytest.approx(10, rel=0.05)


def test_expected_counts_of_rare_words_are_exact():
    sampler = LogUniformSampler(800_000, 8192)
    last, p = torch.tensor([799_999]), probabilities(800_000)[-1]
    assert sampler.log_expected(last, 20_000).item() == pytest.approx(np.log(20_000 * p), rel=1e-3)
    assert sampler.log_expected(torch.tensor([0]), 20_000).item() == 0


def test_equal_generators_draw_the_same_sample():
    sampler = LogUniformSampler(V, 12)
    (first, n_first), (second, n_second) = (sampler.draw(generator(4)) for _ in range(2))
    assert first.tolist() == second.tolist() and n_first == n_second
    assert sampler.draw(generator(5))[0].tolist() != first.tolist()


@pytest.mark.parametrize("n_samples", [0, -1, V + 1])
def test_more_samples_than_words_are_an_error(n_samples):
    with pytest.raises(ValueError, match=f"{n_samples} distinct samples cannot be drawn from 30"):
        LogUniformSampler(V, n_samples)
