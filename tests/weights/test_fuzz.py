"""Any damage at all: a file is read or refused by a ValueError, and nothing else."""

import io
import zipfile

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spacy_elmo.pretrain import checkpoint
from spacy_elmo.weights import hdf5, load_bilm, save_bilm, store

from ..reference import random_reference
from ..samples import tiny_bilm
from .torch_writers import allennlp_state, torch_bytes, write_tar
from .writers import write_original

SMALL = {"hidden": 3, "dim": 2, "n_layers": 1, "filters": ((1, 2), (2, 1)), "char_dim": 2}


@st.composite
def damages(draw):
    """A function that damages bytes: some are changed, or the end is lost."""
    places = draw(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=4))
    end = draw(st.one_of(st.just(1.0), st.floats(0, 1)))

    def damage(data):
        changed = bytearray(data)
        for place, value in places:  # more of them at the start, where the headers are
            changed[int(place**3 * (len(data) - 1))] = value
        return bytes(changed[: int(end * len(data))])

    return damage


def survives(read):
    """What is damaged is read or refused, and nothing else."""
    try:
        read()
    except ValueError as error:
        assert str(error)


def is_noticed(read, whole, damaged):
    """What carries a digest is read if nothing has changed, and refused otherwise."""
    try:
        read()
    except ValueError as error:
        assert str(error)
        assert damaged != whole
    else:
        assert damaged == whole


fuzz = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@fuzz
@given(damages())
def test_any_damage_to_safetensors_is_noticed(damage):
    data = store.to_bytes(tiny_bilm())
    damaged = damage(data)
    is_noticed(lambda: store.from_bytes(damaged), data, damaged)


@fuzz
@given(damages(), damages())
def test_any_damage_to_a_store_is_noticed(tmp_path, config, weights):
    if not (tmp_path / "x").exists():
        save_bilm(tiny_bilm(), tmp_path / "x")
        save_bilm(tiny_bilm(), tmp_path / "y")
    whole = [(tmp_path / "x" / name).read_bytes() for name in ("config.json", "model.safetensors")]
    damaged = [config(whole[0]), weights(whole[1])]
    (tmp_path / "y" / "config.json").write_bytes(damaged[0])
    (tmp_path / "y" / "model.safetensors").write_bytes(damaged[1])
    is_noticed(lambda: load_bilm(tmp_path / "y"), whole, damaged)


@fuzz
@given(damages())
def test_any_damage_to_an_export_is_noticed(tmp_path, damage):
    path = tmp_path / "x.hdf5"
    if not path.exists():
        save_bilm(tiny_bilm(), path)
        (tmp_path / "whole").write_bytes(path.read_bytes())
    whole = (tmp_path / "whole").read_bytes()
    damaged = damage(whole)
    path.write_bytes(damaged)
    is_noticed(lambda: load_bilm(path), whole, damaged)


@fuzz
@given(damages())
def test_any_damage_to_a_checkpoint_is_noticed(tmp_path, damage):
    tensors = {"a": torch.ones(3, 4), "b": torch.arange(5.0)}
    path = checkpoint.write(tmp_path, 7, tensors, {"step": 7, "windows": [1, 2]})
    whole = path.read_bytes()
    damaged = damage(whole)
    path.write_bytes(damaged)
    is_noticed(lambda: checkpoint.read(path), whole, damaged)


@fuzz
@given(damages())
def test_any_damage_to_hdf5_is_survived(tmp_path, damage):
    path = write_original(tmp_path, random_reference(**SMALL))
    path.write_bytes(damage(path.read_bytes()))
    survives(lambda: hdf5.read(path))


@fuzz
@given(damages())
def test_any_damage_to_options_is_survived(tmp_path, damage):
    path = write_original(tmp_path, random_reference(**SMALL))
    (tmp_path / "options.json").write_bytes(damage((tmp_path / "options.json").read_bytes()))
    survives(lambda: load_bilm(path))


@fuzz
@given(damages(), st.booleans())
def test_any_damage_to_a_state_dict_is_survived(tmp_path, damage, legacy):
    data = torch_bytes(allennlp_state(random_reference(**SMALL)), legacy)
    (tmp_path / "best.th").write_bytes(damage(data))
    survives(lambda: load_bilm(tmp_path / "best.th"))


@fuzz
@given(damages())
def test_any_damage_to_an_archive_is_survived(tmp_path, damage):
    weights = torch_bytes(allennlp_state(random_reference(**SMALL)))
    path = write_tar(tmp_path / "model.tar.gz", {"config.json": {}, "weights.th": weights})
    path.write_bytes(damage(path.read_bytes()))
    survives(lambda: load_bilm(path))


@fuzz
@given(damages())
def test_any_damage_to_a_zip_is_survived(tmp_path, damage):
    path = write_original(tmp_path, random_reference(**SMALL))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.write(path, "model.hdf5")
        file.write(tmp_path / "options.json", "options.json")
    (tmp_path / "144.zip").write_bytes(damage(buffer.getvalue()))
    survives(lambda: load_bilm(tmp_path / "144.zip"))
