import json
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_elmo import load_bilm
from spacy_elmo.bilm import State, WordBatch

from ..samples import SENTENCES, tiny_bilm
from . import plain

BILM = tiny_bilm()
ALONE = {
    tuple(sentence): BILM(WordBatch.from_sentences([sentence])) for sentence in [*SENTENCES, []]
}


def run(sentences, bilm=BILM, **settings):
    with torch.no_grad():
        return bilm(WordBatch.from_sentences(sentences), **settings)


@settings(max_examples=30)
@given(st.lists(st.sampled_from([*SENTENCES, []]), max_size=7), st.integers(1, 60))
def test_vectors_do_not_depend_on_batch_order_or_budget(sentences, max_tokens):
    found = run(sentences, max_tokens=max_tokens)
    expected = [ALONE[tuple(sentence)] for sentence in sentences]
    expected = torch.cat(expected, dim=1) if expected else found
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_training_and_inference_give_the_same_vectors():
    predicted = run(SENTENCES)
    bilm = tiny_bilm().requires_grad_(True)
    trained = bilm(WordBatch.from_sentences(SENTENCES), max_tokens=20)
    assert trained.requires_grad
    torch.testing.assert_close(trained.detach(), predicted, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("start", ["zero", "warm"])
def test_layers_equal_a_plain_loop(start):
    states = (BILM.start_h, BILM.start_c) if start == "warm" else ()
    expected = [plain.layers(BILM, sentence, *states)[0] for sentence in SENTENCES]
    torch.testing.assert_close(
        run(SENTENCES, start_state=start), torch.cat(expected, dim=1), atol=1e-6, rtol=1e-5
    )


def test_layer_0_is_the_token_vector_twice():
    layer = run(SENTENCES)[0]
    torch.testing.assert_close(layer[:, :6], layer[:, 6:], rtol=0, atol=0)
    word = run([["Why", "bank", "Why"]])[0]
    torch.testing.assert_close(word[0], word[2], rtol=0, atol=0)


def test_skip_connection_changes_the_output_and_not_the_state():
    batch = WordBatch.from_sentences([["Why", "?"]])
    with torch.no_grad():
        _, state = BILM.carry(batch)
        _, h, c = plain.layers(BILM, ["Why", "?"])
    torch.testing.assert_close(state.h[:, :, 0], h)
    torch.testing.assert_close(state.c[:, :, 0], c)
    assert state.h.abs().max() <= BILM.options.proj_clip
    without = tiny_bilm(skip_connections=False)
    without.load_state_dict(BILM.state_dict())
    difference = run(SENTENCES) - run(SENTENCES, without)
    assert difference[1].abs().max() < 1e-6 and difference[2].abs().max() > 0.1


def test_no_sentences_and_empty_sentences():
    assert run([]).shape == (3, 0, 12)
    assert run([[], []]).shape == (3, 0, 12)


def test_warm_and_zero_start_differ_at_the_start_of_a_sentence():
    warm, zero = run([SENTENCES[1]]), run([SENTENCES[1]], start_state="zero")
    assert torch.equal(warm[0], zero[0])
    assert (warm[1, 0] - zero[1, 0]).abs().max() > 1e-3


def test_unknown_settings_are_an_error():
    with pytest.raises(ValueError, match="start_state is 'cold'; it must be one of warm, zero"):
        run(SENTENCES, start_state="cold")
    with pytest.raises(ValueError, match="precision is 'float16'; it must be one of float32"):
        run(SENTENCES, precision="float16")


def test_bfloat16_is_within_two_percent():
    exact, found = run(SENTENCES), run(SENTENCES, precision="bfloat16")
    assert found.dtype == torch.float32
    for one, other in zip(found[1:], exact[1:]):
        assert 0 < (one - other).norm() / other.norm() < 0.02
    # the token layer is exact
    torch.testing.assert_close(found[0], exact[0])


def test_warm_start_states_are_part_of_the_state_dict():
    other = tiny_bilm(1)
    other.load_state_dict(BILM.state_dict())
    assert torch.equal(other.start_h, BILM.start_h) and other.start_h.abs().max() > 0


def test_carry_starts_each_row_from_its_state():
    first, second = SENTENCES[:2], SENTENCES[2:4]
    with torch.no_grad():
        _, state = BILM.carry(WordBatch.from_sentences(first))
        found, _ = BILM.carry(WordBatch.from_sentences(second), state)
        expected = []
        for one, other in zip(first, second):
            _, h, c = plain.layers(BILM, one)
            expected.append(plain.layers(BILM, other, h, c)[0])
    torch.testing.assert_close(found, torch.cat(expected, dim=1))


def test_carry_leaves_rows_beyond_the_batch_unchanged():
    state = State(torch.randn(2, 2, 4, 6), torch.randn(2, 2, 4, 12))
    before = State(state.h.clone(), state.c.clone())
    with torch.no_grad():
        _, after = BILM.carry(WordBatch.from_sentences(SENTENCES[:2]), state)
    assert torch.equal(after.h[:, :, 2:], before.h[:, :, 2:])
    assert torch.equal(after.c[:, :, 2:], before.c[:, :, 2:])
    assert not torch.equal(after.h[:, :, :2], before.h[:, :, :2])
    assert torch.equal(state.h, before.h) and torch.equal(state.c, before.c)


def test_carry_of_no_sentences_and_of_an_empty_one():
    bilm = tiny_bilm()
    bilm.drop_caches()
    with torch.no_grad():
        layers, state = bilm.carry(WordBatch.from_sentences([]))
        assert layers.shape == (3, 0, 12) and state.h.shape == (2, 2, 0, 6)
        layers, state = bilm.carry(WordBatch.from_sentences([[]]))
    assert layers.shape == (3, 0, 12) and state.h.abs().max() > 0


def test_carry_from_zeros_equals_the_zero_start():
    with torch.no_grad():
        layers, _ = BILM.carry(WordBatch.from_sentences(SENTENCES))
    torch.testing.assert_close(layers, run(SENTENCES, start_state="zero"))


def fixture_batches(fixtures):
    lists = json.loads((fixtures / "lm_embeddings_sentences.json").read_text())
    return [[sentence.split() for sentence in batch] for batch in zip(*lists)]


def fixture_vectors(fixtures):
    """Return the top layer that the original code computes for each batch."""
    files = [h5py.File(fixtures / f"lm_embeddings_{k}.hdf5", "r") for k in range(3)]
    for i in range(10):
        top = [np.concatenate(list(file[str(i)][...]), axis=1) for file in files]
        yield torch.from_numpy(np.concatenate(top))
    for file in files:
        file.close()


def test_carried_states_give_the_vectors_of_the_original_code(fixtures):
    bilm = load_bilm(fixtures / "lm_weights.hdf5", fixtures / "options.json")
    # a fourth row that no batch uses
    shape = (bilm.options.n_layers, 2, 4)
    state = State(torch.zeros(*shape, 16), torch.zeros(*shape, 64))
    with torch.no_grad():
        for batch, expected in zip(fixture_batches(fixtures), fixture_vectors(fixtures)):
            layers, state = bilm.carry(WordBatch.from_sentences(batch), state)
            torch.testing.assert_close(layers[2], expected, atol=1e-6, rtol=1e-5)
    assert state.h[:, :, 3].abs().max() == 0 and state.c[:, :, 3].abs().max() == 0


def test_warm_start_is_closer_to_carried_states_than_zero_start(fixtures):
    bilm = load_bilm(fixtures / "lm_weights.hdf5", fixtures / "options.json")
    differences = {"warm": [], "zero": []}
    batches = list(zip(fixture_batches(fixtures), fixture_vectors(fixtures)))
    for batch, expected in batches[1:]:
        for start, found in differences.items():
            found.append((run(batch, bilm, start_state=start)[2] - expected).abs().mean())
    assert sum(differences["warm"]) < 0.1 * sum(differences["zero"])


WITHOUT_SPACY = """
import sys
for name in ("spacy", "thinc", "h5py", "safetensors", "srsly"):
    sys.modules[name] = None
import torch
from spacy_elmo.bilm import BiLM, BiLMOptions, WordBatch
bilm = BiLM(BiLMOptions(hidden_dim=4, projection_dim=2, filters=((1, 4), (2, 6))))
layers = bilm.warm_up()(WordBatch.from_sentences([["a", "word"], ["b"]]))
layers.sum().backward()
print(tuple(layers.shape))
"""
WEIGHTS_WITHOUT_SPACY = """
import sys
for name in ("spacy", "thinc"):
    sys.modules[name] = None
from spacy_elmo import load_bilm, save_bilm
print(load_bilm().options.width > 0)
"""


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_bilm_runs_and_trains_without_spacy_thinc_and_file_formats():
    assert python(WITHOUT_SPACY) == "(3, 3, 4)"


def test_weights_are_read_without_spacy_and_thinc():
    assert python(WEIGHTS_WITHOUT_SPACY) == "True"


def test_model_constructed_in_inference_mode_runs():
    with torch.inference_mode():
        bilm = tiny_bilm()
        assert torch.isfinite(bilm(WordBatch.from_sentences(SENTENCES))).all()
