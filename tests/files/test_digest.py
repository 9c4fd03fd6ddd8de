"""Every change of a byte in a file with a digest is detected."""

import hashlib
import json

import pytest
import torch

from spacy_elmo.files import digest, tensor_file
from spacy_elmo.files.tensor_file import TensorFile

TENSORS = {"digest": torch.arange(6.0).reshape(2, 3), "b": torch.ones(1, dtype=torch.float16)}
METADATA = {"info": json.dumps({"digest": "0" * 64, "other": 1})}


def read(content):
    file = TensorFile(content, "The file", known=METADATA)
    file.check()
    return file


@pytest.fixture(scope="module")
def data():
    return tensor_file.to_bytes(TENSORS, METADATA)


def test_tensors_and_metadata_survive_a_round_trip(tmp_path, data):
    tensor_file.write(tmp_path / "x", TENSORS, METADATA)
    for content in (data, tmp_path / "x"):
        file = read(content)
        assert file.metadata == METADATA
        assert file.tensors.keys() == TENSORS.keys()
        assert all(torch.equal(file.tensors[name], TENSORS[name]) for name in TENSORS)


def test_same_content_gives_the_same_bytes(tmp_path):
    texts = dict.fromkeys("abcdef", 'Übermut "\\\n\x01\x7f\u2028 日本 🙂')
    first = tensor_file.to_bytes(TENSORS, texts)
    for _ in range(5):
        assert tensor_file.to_bytes(TENSORS, dict(reversed(texts.items()))) == first
    tensor_file.write(tmp_path / "x", TENSORS, texts)
    assert (tmp_path / "x").read_bytes() == first
    assert TensorFile(first, "The file", known=texts).metadata == texts


def test_every_changed_byte_of_a_sealed_file_is_refused(tmp_path, data):
    for place in range(len(data)):
        for change in (1, 32, 128):
            changed = bytearray(data)
            changed[place] ^= change
            with pytest.raises(ValueError, match="The file (is not|has)"):
                read(bytes(changed))
    for place in range(0, len(data), 7):
        changed = bytearray(data)
        changed[place] ^= 4
        (tmp_path / "x").write_bytes(changed)
        with pytest.raises(ValueError, match="The file (is not|has)"):
            read(tmp_path / "x")


def test_files_of_any_other_length_are_refused(data):
    for length in range(1, len(data)):
        with pytest.raises(ValueError, match="The file (is not|has)"):
            read(data[:length])
    with pytest.raises(ValueError, match="The file is not"):
        read(data + b"\0")


def test_file_without_a_digest_is_read():
    data = tensor_file.safetensors.torch.save(TENSORS, METADATA)
    assert read(data).metadata == METADATA


def write_files(folder):
    (folder / "a.txt").write_text("some words")
    (folder / "b.bin").write_bytes(bytes(range(256)))
    digest.write_manifest(folder / "config.json", {"name": "Übermut", "sizes": [1, 2]})
    return folder / "config.json"


def test_manifest_holds_the_digests_of_the_other_files(tmp_path):
    values, files = digest.read_manifest(write_files(tmp_path))
    assert values == {"name": "Übermut", "sizes": [1, 2]}
    assert files == {
        name: hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        for name in ("a.txt", "b.bin")
    }
    digest.check_file(tmp_path / "a.txt", files["a.txt"])
    (tmp_path / "a.txt").write_text("Some words")
    with pytest.raises(ValueError, match="a.txt has changed since it was written.*Copy it again"):
        digest.check_file(tmp_path / "a.txt", files["a.txt"])


def test_every_changed_byte_of_a_manifest_is_refused(tmp_path):
    path = write_files(tmp_path)
    data = path.read_bytes()
    for place in range(len(data)):
        for change in (1, 32, 128):
            changed = bytearray(data)
            changed[place] ^= change
            path.write_bytes(changed)
            with pytest.raises(ValueError, match="config.json (is not|has no|has changed)"):
                digest.read_manifest(path)


def test_json_without_digests_is_read(tmp_path):
    (tmp_path / "x.json").write_text('{"a": 1}')
    assert digest.read_manifest(tmp_path / "x.json") == ({"a": 1}, None)


def test_manifest_above_the_size_limit_is_not_read(tmp_path):
    with (tmp_path / "x.json").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match="x.json has .* bytes; expected at most"):
        digest.read_manifest(tmp_path / "x.json")


def test_the_same_tensors_give_the_same_bytes():
    metadata = {name: f'"{name} ü' for name in "abcdef"}
    found = {tensor_file.to_bytes({"x": torch.ones(2)}, metadata) for _ in range(30)}
    assert len(found) == 1
    file = tensor_file.TensorFile(found.pop(), "x", metadata)
    file.check()
    assert file.metadata == metadata and torch.equal(file.tensors["x"], torch.ones(2))
