"""Damaged and hostile archives and torch files are refused, and no code in them is run."""

import json
import os
import pickle
import tarfile
import zipfile

import pytest
import torch

from ..reference import random_reference
from .torch_writers import CHARS, allennlp_state, torch_bytes, write_many_langs, write_tar
from .writers import original_options, refused, write_original

# Archives


def test_zip_with_a_path_outside_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as file:
        file.writestr("options.json", "{}")
        file.writestr("../evil.json", "{}")
    refused(tmp_path / "evil.zip", "evil.zip holds '../evil.json'", "Nothing was unpacked")


def test_damaged_zip_is_refused(tmp_path):
    write_original(tmp_path, random_reference())
    with zipfile.ZipFile(tmp_path / "144.zip", "w") as file:
        file.write(tmp_path / "weights.hdf5", "model.hdf5")
    data = bytearray((tmp_path / "144.zip").read_bytes())
    data[2000] ^= 255
    (tmp_path / "144.zip").write_bytes(data)
    refused(tmp_path / "144.zip", "144.zip is a zip file that is damaged", "Copy it again")


def link(name, kind, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    "name, member",
    [
        ("weights.th", link("weights.th", tarfile.SYMTYPE, "/etc/passwd")),
        ("config.json", link("config.json", tarfile.LNKTYPE, "../config.json")),
        ("vocabulary", link("vocabulary", tarfile.SYMTYPE, "/")),
        ("pipe", link("pipe", tarfile.FIFOTYPE, "")),
        ("../weights.th", b"x"),
        ("/weights.th", b"x"),
        ("a/../../weights.th", b"x"),
    ],
)
def test_tar_with_links_or_paths_outside_is_refused(tmp_path, name, member):
    weights = torch_bytes(allennlp_state(random_reference()))
    members = {"config.json": {}, "weights.th": weights}
    path = write_tar(tmp_path / "model.tar.gz", {**members, name: member})
    refused(path, f"model.tar.gz holds {name!r}", "expected only files and folders")


def test_zip_of_several_disks_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "144.zip", "w") as file:
        file.writestr("options.json", "{}")
    locator = b"PK\x06\x07" + bytes(12) + (9).to_bytes(4, "little")
    data = (tmp_path / "144.zip").read_bytes()
    (tmp_path / "144.zip").write_bytes(data[:-22] + locator + data[-22:])
    refused(tmp_path / "144.zip", "144.zip is a zip file that is damaged", "multiple disks")


def test_truncated_tar_is_refused(tmp_path):
    weights = torch_bytes(allennlp_state(random_reference()))
    path = write_tar(tmp_path / "model.tar.gz", {"config.json": {}, "weights.th": weights})
    path.write_bytes(path.read_bytes()[:5000])
    refused(path, "model.tar.gz is not a complete tar", "Copy it again")


def test_tar_without_weights_is_refused(tmp_path):
    path = write_tar(tmp_path / "model.tar.gz", {"config.json": {}, "best.th": b""})
    refused(path, "model.tar.gz holds no weights.th; expected", "Found: best.th, config.json")


# Torch files


class Code:
    """An object that creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["zip", "legacy", "pickle"])
@pytest.mark.parametrize("name", ["best.th", "model.tar.gz", "encoder.pkl"])
def test_pickle_with_code_is_refused_and_not_run(tmp_path, kind, name):
    values = {**allennlp_state(random_reference()), "x": Code(tmp_path / "trace")}
    data = (
        pickle.dumps(values, protocol=2)
        if kind == "pickle"
        else torch_bytes(values, kind == "legacy")
    )
    path = tmp_path / name
    if name == "model.tar.gz":
        write_tar(path, {"config.json": {}, "weights.th": data})
    elif name == "encoder.pkl":
        path = write_many_langs(tmp_path, random_reference(n_chars=len(CHARS)))
        (tmp_path / name).write_bytes(data)
    else:
        path.write_bytes(data)
    refused(path, str(tmp_path / name), "contains more than tensors", "can run code")
    assert not (tmp_path / "trace").exists()
    pickle.loads(pickle.dumps(Code(tmp_path / "trace")))  # unpickling does run the code
    assert (tmp_path / "trace").exists()


def bad_state(folder, **changes):
    """Return a state dict with some tensors changed, or removed if None."""
    state = allennlp_state(random_reference(), "x.", [(1.0, 0.0, 0.0, 0.0)])
    state.update({f"x.{name.replace('__', '.')}": value for name, value in changes.items()})
    present = {name: value for name, value in state.items() if value is not None}
    (folder / "best.th").write_bytes(torch_bytes(present))
    return folder / "best.th"


TOKENS = "_elmo_lstm___token_embedder__"
LSTMS = "_elmo_lstm___elmo_lstm__"


@pytest.mark.parametrize(
    "name, value, found, expected",
    [
        (f"{TOKENS}_projection__bias", None, "has no tensor", "_projection.bias"),
        (f"{TOKENS}_projection__bias", torch.ones(7), "has shape [7]", "expected [6]"),
        (f"{TOKENS}_projection__bias", torch.ones(6).int(), "torch.int32", "expected floating"),
        (f"{TOKENS}char_conv_1__weight", torch.ones(7), "has shape [7]", "3 dimensions"),
        (f"{TOKENS}char_conv_1__weight", None, "has no tensor", "char_conv_1.weight"),
        (
            f"{TOKENS}_char_embedding_weights",
            torch.ones(261, 5),
            "[261, 5]",
            "expected [262, 5]",
        ),
        (f"{TOKENS}_projection__bias", torch.full((6,), torch.nan), "not finite", "NaN"),
        (f"{LSTMS}backward_layer_1__state_linearity__bias", None, "has no tensor", "backward"),
        (f"{LSTMS}forward_layer_2__state_projection__weight", torch.ones(1), "holds", "layer_2"),
        ("scalar_mix_0__gamma", torch.tensor([torch.nan]), "layer weights", "must be finite"),
        ("scalar_mix_0__scalar_parameters__2", None, "has no tensor", "scalar_parameters.2"),
    ],
)
def test_state_dict_without_a_complete_elmo_is_refused(tmp_path, name, value, found, expected):
    refused(bad_state(tmp_path, **{name: value}), "best.th", found, expected)


def test_state_dict_that_contradicts_the_options_is_refused(tmp_path):
    options = tmp_path / "other.json"
    options.write_text(json.dumps(original_options(random_reference(n_layers=3))))
    path = bad_state(tmp_path)
    parts = ("best.th: n_layers is 2", "but 3 in ", "another model")
    refused(path, *parts, options_file=options)


def test_list_of_tensors_is_refused(tmp_path):
    (tmp_path / "best.th").write_bytes(torch_bytes([torch.ones(1)]))
    refused(tmp_path / "best.th", "best.th holds a list; expected the state dict")


def test_many_langs_weights_of_another_shape_are_refused(tmp_path):
    write_many_langs(tmp_path, random_reference(n_chars=len(CHARS)))
    state = torch.load(tmp_path / "encoder.pkl", weights_only=True)
    state["backward_layer_0.state_linearity.weight"] = torch.ones(48, 7)
    torch.save(state, tmp_path / "encoder.pkl")
    parts = ("encoder.pkl: backward_layer_0.state_linearity.weight has shape [48, 7]", "[48, 6]")
    refused(tmp_path, *parts, "sizes.json")
