"""Loading a damaged component raises a clear error and leaves the component unchanged."""

import json

import pytest
import safetensors.torch
import srsly
from hypothesis import given, settings
from hypothesis import strategies as st

from spacy_elmo.models.node_digest import DIGEST
from spacy_elmo.models.rollback import rollback_on_error
from spacy_elmo.models.serialization import DIGESTS
from spacy_elmo.models.word_features import build_word_features_v1

from ..fuzz.pipelines import blank, loaded, result_of, trained

pytestmark = pytest.mark.slow

USED = ("elmo", "coref")
OURS = pytest.mark.parametrize("name", USED)
ADVICE = "Save the pipeline again, restore a backup"


def refused(nlp, name, load, *texts):
    """Check that loading raises an error with some texts in it, and changes nothing."""
    before = result_of(nlp, USED)
    with pytest.raises(ValueError) as error:
        load(nlp.get_pipe(name))
    for text in (name, *texts):
        assert text in str(error.value)
    assert result_of(nlp, USED) == before


def without_digests(value):
    """Return the bytes that an earlier release saved: without digests of cfg, layers and
    weights."""
    cfg = json.loads(value["cfg"])
    assert set(cfg.pop(DIGESTS)) == {"cfg", "model"}
    model = srsly.msgpack_loads(value["model"])
    for attrs, shims in zip(model["attrs"], model["shims"]):
        if attrs.pop(DIGEST, None) is not None:
            shims.pop()
        for n, data in enumerate(shims):
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            metadata = header["__metadata__"]
            metadata.pop("digest", None)
            shims[n] = safetensors.torch.save(safetensors.torch.load(data), metadata)
    return {"cfg": json.dumps(cfg).encode(), "model": srsly.msgpack_dumps(model)}


def saved(name):
    return srsly.msgpack_loads(trained().get_pipe(name).to_bytes(exclude=["vocab"]))


@OURS
@settings(max_examples=60, derandomize=True, database=None)
@given(st.data())
def test_a_flipped_bit_is_detected_or_has_no_effect(name, data):
    nlp, _ = loaded()
    content = bytearray(trained().get_pipe(name).to_bytes(exclude=["vocab"]))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    before = result_of(nlp, USED)
    try:
        nlp.get_pipe(name).from_bytes(bytes(content), exclude=["vocab"])
    except ValueError as error:
        assert name in str(error) and ADVICE in str(error)
    assert result_of(nlp, USED) == before


@OURS
@pytest.mark.parametrize("file", ["cfg", "model"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data + b"\x00",
        lambda data: bytes(len(data)),
        lambda data: b"[1]",
        lambda data: b"\xff" + data,
        lambda data: b"[" * 100_000,
    ],
    ids=["empty", "cut", "longer", "zeros", "a list", "not UTF-8", "nested"],
)
def test_damaged_files_are_refused(tmp_path, name, file, damage):
    nlp, _ = loaded()
    trained().get_pipe(name).to_disk(tmp_path, exclude=["vocab"])
    path = tmp_path / file
    path.write_bytes(damage(path.read_bytes()))
    refused(nlp, name, lambda pipe: pipe.from_disk(tmp_path, exclude=["vocab"]), str(tmp_path))


@OURS
def test_a_model_with_another_digest_is_refused(name, tmp_path):
    nlp, _ = loaded()
    trained().get_pipe(name).to_disk(tmp_path, exclude=["vocab"])
    other = without_digests(saved(name))["model"]
    (tmp_path / "model").write_bytes(other)
    refused(
        nlp,
        name,
        lambda pipe: pipe.from_disk(tmp_path, exclude=["vocab"]),
        "'model' does not match its SHA-256 digest",
    )


@OURS
@pytest.mark.parametrize(
    "cfg",
    [
        {"digests": 1},
        {"digests": {}},
        {"digests": {"model": "x"}},
        {"digests": {"cfg": "x"}},
        {"digests": {"other": "x"}},
        {"unknown": 1},
    ],
    ids=str,
)
def test_damaged_digests_are_refused(name, cfg):
    nlp, _ = loaded()
    files = saved(name)
    values = {**json.loads(files["cfg"]), **cfg}
    data = srsly.msgpack_dumps({**files, "cfg": json.dumps(values).encode()})
    refused(nlp, name, lambda pipe: pipe.from_bytes(data, exclude=["vocab"]))


@OURS
def test_components_that_were_saved_without_digests_are_loaded(name):
    nlp, before = loaded()
    data = srsly.msgpack_dumps(without_digests(saved(name)))
    nlp.get_pipe(name).from_bytes(data, exclude=["vocab"])
    assert result_of(nlp, USED) == before


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ({"pronouns": "she"}, "pronouns is 'she'; expected a list of distinct strings"),
        ({"pronouns": ["she", 1]}, "expected a list of distinct strings"),
        ({"leads": ["the", "the"]}, "expected a list of distinct strings"),
        ({"leads": None}, "expected a list of distinct strings"),
        ({"pronouns": []}, "0 pronouns, but its weights are for 2"),
        ({"singletons": 1}, "singletons is 1; expected true or false"),
        ({"more": 1}, "unknown key 'more'"),
    ],
)
def test_a_cfg_that_was_saved_without_digests_is_checked(cfg, message):
    nlp, _ = loaded()
    files = without_digests(saved("coref"))
    values = {**json.loads(files["cfg"]), **cfg}
    data = srsly.msgpack_dumps({**files, "cfg": json.dumps(values).encode()})
    refused(nlp, "coref", lambda pipe: pipe.from_bytes(data, exclude=["vocab"]), message)


@OURS
def test_excluded_files_are_not_checked(name, tmp_path):
    nlp, before = loaded()
    pipe = nlp.get_pipe(name)
    for left_out in ("cfg", "model"):
        data = pipe.to_bytes(exclude=["vocab", left_out])
        pipe.from_bytes(data, exclude=["vocab"])
        pipe.from_bytes(pipe.to_bytes(), exclude=["vocab", left_out])
        pipe.to_disk(tmp_path, exclude=["vocab"])
        pipe.from_disk(tmp_path, exclude=["vocab", left_out])
    assert result_of(nlp, USED) == before


# Layers of this package in components of spaCy


def edited(model, edit):
    """Return the bytes of a model with an edit of the message that thinc writes."""
    message = srsly.msgpack_loads(model.to_bytes())
    nodes = [node.name for node in model.walk()]
    edit(message, nodes)
    return srsly.msgpack_dumps(message)


def set_weight(message, nodes):
    params = message["params"][nodes.index("scalar_mix")]
    params["w"] = params["w"] + 1e-7


def set_shape(message, nodes):
    params = message["params"][nodes.index("scalar_mix")]
    params["gamma"] = params["w"]


def add_param(message, nodes):
    params = message["params"][nodes.index("scalar_mix")]
    params["x"] = params["w"]


def set_table(message, nodes):
    params = message["params"][nodes.index("word_features")]
    params["E1"] = params["E1"][:, ::-1].copy()


def set_known(message, nodes):
    known = message["attrs"][nodes.index("word_features")]["known"]
    first, second = srsly.msgpack_loads(known)
    message["attrs"][nodes.index("word_features")]["known"] = srsly.msgpack_dumps(
        [[first[0], *first[2:]], second]
    )


def set_exclusive(message, nodes):
    message["attrs"][nodes.index("span_scorer")]["exclusive_classes"] = srsly.msgpack_dumps(False)


def set_scorer(message, nodes):
    shims = message["shims"][nodes.index("span_scorer")]
    shims[0] = shims[0][:-1] + bytes([shims[0][-1] ^ 1])


def rename_digest(message, nodes):
    attrs = message["attrs"][nodes.index("scalar_mix")]
    attrs["digesu"] = attrs.pop(DIGEST)


def break_digest(message, nodes):
    message["attrs"][nodes.index("scalar_mix")][DIGEST] = b"\xc1"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (set_weight, "mix of a biLM's layers is damaged: parameter w does not match its digest"),
        (set_shape, "mix of a biLM's layers is damaged: parameter gamma"),
        (add_param, "mix of a biLM's layers is damaged: it has the unknown parameter x"),
        (set_table, "word features is damaged: parameter E1"),
        (set_known, "word features is damaged: attribute known"),
        (set_exclusive, "settings of the span scorer is damaged: attribute exclusive_classes"),
        (set_scorer, "span scorer has changed since it was written: its SHA-256"),
        (rename_digest, "mix of a biLM's layers is damaged: its digest is missing"),
        (break_digest, "mix of a biLM's layers is damaged: its digest cannot be read"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_our_layers_in_components_of_spacy_are_checked(edit, message):
    model = blank().get_pipe("spancat").model
    data = edited(trained().get_pipe("spancat").model, edit)
    with pytest.raises(ValueError) as error:
        model.from_bytes(data)
    assert message in str(error.value)
    assert "save the pipeline again" in str(error.value).lower()


def remove_digests(message, nodes):
    for attrs, shims in zip(message["attrs"], message["shims"]):
        if attrs.pop(DIGEST, None) is not None:
            shims.pop()


def test_layers_that_were_saved_without_digests_are_loaded():
    expected = trained().get_pipe("spancat").model
    model = blank().get_pipe("spancat").model.from_bytes(edited(expected, remove_digests))
    assert model.to_bytes() == expected.to_bytes()


@pytest.mark.parametrize(
    "known",
    [
        b"\xff",
        1,
        [1],
        [[5], ["x"]],
        [[5, 1, 1], [9]],
        [[5, *range(5)], [9]],
        [[5, -1], [9]],
        [[5, 2**63, "x"], [9]],
        [[5, 1.5], [9]],
        [[50], [9]],
        [[5]],
    ],
    ids=str,
)
def test_damaged_known_values_are_refused(known):
    model = build_word_features_v1(["NORM", "SHAPE"], [2, 2], [4, 8])
    model.initialize()
    message = srsly.msgpack_loads(model.to_bytes())
    message["attrs"][0].pop(DIGEST)
    message["shims"][0].pop()
    data = known if isinstance(known, bytes) else srsly.msgpack_dumps(known)
    message["attrs"][0]["known"] = data
    with pytest.raises(ValueError, match="word features is damaged"):
        model.from_bytes(srsly.msgpack_dumps(message))


def test_a_model_is_restored_after_an_error():
    model = build_word_features_v1(["NORM"], [2], [4])
    model.initialize()
    before = model.to_bytes()
    with pytest.raises(KeyError), rollback_on_error(model):
        model.set_param("E0", model.get_param("E0") + 1)
        model.set_param("new", model.get_param("E0"))
        model.attrs["unknown"] = 1.0
        model.name = "other"
        raise KeyError
    assert model.to_bytes() == before
