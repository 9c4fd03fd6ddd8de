import copy
import pickle
from threading import Thread

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spacy_elmo.bilm import BiLM, WordBatch
from spacy_elmo.bilm.word_cache import WordCache

from ..samples import SENTENCES, tiny_bilm

BATCH = WordBatch.from_sentences(SENTENCES)


def vector_of(word):
    return [float(len(word)), float(hash(word) % 1000)]


def compute(words):
    return torch.tensor([vector_of(word) for word in words]).view(len(words), 2)


def run(bilm: BiLM) -> torch.Tensor:
    with torch.no_grad():
        return bilm(BATCH)


@given(
    st.integers(2, 9),
    st.lists(st.lists(st.sampled_from("abcdefghijkl"), unique=True, max_size=8), max_size=20),
)
def test_any_sequence_of_calls_gives_correct_vectors(capacity, calls):
    cache = WordCache(capacity)
    for words in calls:
        torch.testing.assert_close(cache.get(words, compute), compute(words))
        assert len(cache) <= capacity


def test_a_word_is_computed_once():
    cache = WordCache(100)
    asked = []

    def watched(words):
        asked.extend(words)
        return compute(words)

    cache.get(["a", "b"], watched)
    cache.get(["b", "c"], watched)
    assert asked == ["a", "b", "c"]
    assert (cache.hits, cache.misses) == (1, 3)


def test_full_cache_evicts_the_least_recently_used_words():
    cache = WordCache(4)
    for word in "abcd":
        cache.get([word], compute)
    cache.get(["a"], compute)
    cache.get(["e"], compute)
    hits = cache.hits
    cache.get(["a", "d"], compute)
    assert cache.hits == hits + 2


def test_too_many_words_at_once_bypass_the_cache():
    cache = WordCache(4)
    cache.get(["a"], compute)
    torch.testing.assert_close(cache.get(list("abcdef"), compute), compute(list("abcdef")))
    assert len(cache) == 1


def test_result_is_a_copy():
    cache = WordCache(10)
    cache.get(["a"], compute).zero_()
    torch.testing.assert_close(cache.get(["a"], compute), compute(["a"]))


def test_two_threads_that_miss_the_same_word():
    cache = WordCache(10)

    def compute_concurrently(words):
        other = Thread(target=cache.get, args=(words, compute))
        other.start()
        other.join(timeout=0.5)  # it can be blocked by the lock
        threads.append(other)
        return compute(words)

    threads = []
    cache.get(["a"], compute_concurrently)
    threads[0].join()
    cache.get(["bb"], compute)
    torch.testing.assert_close(cache.get(["a", "bb"], compute), compute(["a", "bb"]))


def test_no_words_and_an_empty_cache():
    assert len(WordCache(10).get([], compute)) == 0


def test_copies_and_pickles_start_empty():
    cache = WordCache(10)
    cache.get(["a"], compute)
    for other in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):
        assert (len(other), other.capacity) == (0, 10)


def test_frozen_model_uses_the_cache():
    bilm = tiny_bilm()
    first = run(bilm)
    bilm.tokens.cache.hits = bilm.tokens.cache.misses = 0
    torch.testing.assert_close(run(bilm), first, rtol=0, atol=0)
    assert bilm.tokens.cache.misses == 0
    assert bilm.tokens.cache.hits == len(BATCH.words)


def test_cached_vectors_equal_computed_ones():
    bilm = tiny_bilm()
    run(bilm)
    torch.testing.assert_close(
        bilm.tokens(BATCH.words), bilm.tokens.embed(bilm.tokens.spell(BATCH.words)[2:])
    )


def test_cache_is_bypassed_while_gradients_are_recorded():
    bilm = tiny_bilm().requires_grad_(True)
    bilm(BATCH)
    assert len(bilm.tokens.cache) == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda bilm: bilm.load_state_dict(tiny_bilm(1).state_dict()),
        lambda bilm: bilm.to(torch.float64),
        lambda bilm: bilm.to("cpu"),
        lambda bilm: bilm.requires_grad_(True),
        lambda bilm: bilm.drop_caches(),
    ],
    ids=["load_state_dict", "to type", "to device", "requires_grad_", "drop_caches"],
)
def test_cache_is_dropped(change):
    bilm = tiny_bilm()
    run(bilm)
    assert len(bilm.tokens.cache)
    change(bilm)
    assert len(bilm.tokens.cache) == 0


def test_vectors_follow_loaded_weights():
    bilm, other = tiny_bilm(), tiny_bilm(1)
    run(bilm)
    bilm.load_state_dict(other.state_dict())
    torch.testing.assert_close(run(bilm), run(other))


def test_vectors_from_inference_mode_are_used_outside_of_it():
    cache = WordCache(4)
    with torch.inference_mode():
        cache.get(["a", "b"], compute)
    # new words next to cached words, until older words are evicted
    for words in (["c"], ["b", "d"], ["e", "f"], ["a", "f"]):
        torch.testing.assert_close(cache.get(words, compute), compute(words))
