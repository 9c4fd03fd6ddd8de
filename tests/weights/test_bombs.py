"""Files that declare, or expand to, more data than a biLM has are refused before they are read."""

import io
import json
import os
import signal
import tarfile
import zipfile

import h5py
import numpy as np
import pytest
import torch

from spacy_elmo.weights import save_bilm

from ..reference import random_reference
from ..samples import tiny_bilm
from .torch_writers import allennlp_state, torch_bytes, write_many_langs, write_tar
from .writers import original_arrays, original_options, refused, without_digests, write_original

pytestmark = pytest.mark.slow

HUGE = 100 << 30
ZEROS = bytes(1 << 24)


@pytest.fixture(autouse=True)
def within_20_seconds():
    """Fail instead of hanging."""
    if not hasattr(signal, "alarm"):
        yield
        return

    def fail(*args):
        raise TimeoutError("more than 20 seconds of processor time")

    before = signal.signal(signal.SIGVTALRM, fail)
    signal.setitimer(signal.ITIMER_VIRTUAL, 20)
    yield
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    signal.signal(signal.SIGVTALRM, before)


def sparse(path, start=b"", size=HUGE):
    path.write_bytes(start)
    with path.open("rb+") as file:
        file.truncate(size)
    return path


# Sparse files


@pytest.mark.parametrize(
    "name", ["x.hdf5", "x.h5", "x.th", "x.zip", "x.tar", "x.tar.gz", "x.tgz", "x.bin", "x"]
)
@pytest.mark.parametrize(
    "start", [b"", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04", b"\x1f\x8b\x08\0", b"\x80\x02\x8a\x0al\xfc"]
)
def test_sparse_file_is_refused(tmp_path, name, start):
    (tmp_path / "options.json").write_text(json.dumps(original_options(random_reference())))
    refused(sparse(tmp_path / name, start), str(tmp_path / name))


def test_sparse_end_of_a_weight_file_is_refused(tmp_path):
    path = write_original(tmp_path, random_reference())
    save_bilm(tiny_bilm(), tmp_path / "ours")
    state = torch_bytes(allennlp_state(random_reference()), True)
    (tmp_path / "best.th").write_bytes(state)
    sparse(tmp_path / "best.th", state)
    refused(tmp_path / "best.th", "best.th has 107,374,182,400 bytes; expected at most")
    sparse(
        tmp_path / "ours" / "model.safetensors",
        (tmp_path / "ours" / "model.safetensors").read_bytes(),
    )
    refused(tmp_path / "ours", "model.safetensors is not a complete safetensors file")
    # HDF5 does not read beyond its own end
    sparse(path, path.read_bytes())


@pytest.mark.parametrize("name", ["config.json", "options.json", "vocab.txt", "char.dic"])
def test_sparse_text_of_a_model_is_refused(tmp_path, name):
    if name == "config.json":
        save_bilm(tiny_bilm(), tmp_path / "x")
        path = tmp_path / "x"
        sparse(path / name, b"{}")
    elif name == "char.dic":
        path = write_many_langs(tmp_path, random_reference(n_chars=10))
        sparse(tmp_path / name)
    else:
        sizes = {"filters": (), "n_words": 4, "word_dim": 6, "token_projection": False}
        path = write_original(tmp_path, random_reference(**sizes))
        sparse(tmp_path / "vocab.txt")
        if name == "options.json":
            sparse(tmp_path / name, b"{}")
    refused(path, f"{name} has 107,374,182,400 bytes; expected at most")


def test_sizes_are_compared_with_the_options_before_values_are_read(tmp_path):
    """Refuse a tensor of 100 GB of which nothing is stored."""
    save_bilm(tiny_bilm(), tmp_path / "x")
    without_digests(tmp_path / "x")
    header = {"start_c": {"dtype": "F32", "shape": [HUGE // 4], "data_offsets": [0, HUGE]}}
    text = json.dumps(header).encode()
    start = len(text).to_bytes(8, "little") + text
    sparse(tmp_path / "x" / "model.safetensors", start, len(start) + HUGE)
    refused(tmp_path / "x", "model.safetensors")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "x.hdf5")
    refused(tmp_path / "x.hdf5", "x.hdf5 is not a regular file")


# HDF5


def nested(file, depth):
    group = file
    for _ in range(depth):
        group = group.create_group("g")


def wide(file, n):
    for number in range(n):
        file.create_group(str(number))


def in_itself(file, _):
    file["RNN_0"]["again"] = file["/"]
    file["RNN_0"]["RNN"]["up"] = file["RNN_0"]


@pytest.mark.parametrize("fill, n", [(nested, 3000), (wide, 15_000), (in_itself, 0)])
def test_hdf5_of_many_groups_is_refused(tmp_path, fill, n):
    path = write_original(tmp_path, random_reference())
    with h5py.File(path, "r+") as file:
        fill(file, n)
    refused(
        path,
        "weights.hdf5 has more than 10,000 groups and datasets, or groups nested",
    )


def test_array_of_which_nothing_is_stored_is_refused(tmp_path):
    big = random_reference(hidden=3)
    path = write_original(tmp_path, big)
    options = original_options(big)
    options["lstm"]["dim"] = 1 << 30
    (tmp_path / "options.json").write_text(json.dumps(options))
    name = "RNN_0/RNN/MultiRNNCell/Cell0/LSTMCell/W_0"
    with h5py.File(path, "r+") as file:
        rows = file[name].shape[0]
        del file[name]
        file.create_dataset(name, (rows, 4 << 30), "f4", chunks=(rows, 1024))
    refused(path, "weights.hdf5 expands to more than 206,158,", "it is damaged")


@pytest.mark.parametrize("kind", ["external", "virtual", "soft", "other file"])
def test_array_in_another_file_is_refused(tmp_path, kind):
    path = write_original(tmp_path, random_reference())
    other = tmp_path / "other"
    with h5py.File(other, "w") as file:
        file["values"] = np.zeros(6, "f4")
    with h5py.File(path, "r+") as file:
        name = "CNN_proj/b_proj"
        del file[name]
        if kind == "external":
            (tmp_path / "raw").write_bytes(bytes(24))
            file.create_dataset(name, (6,), "f4", external=[(str(tmp_path / "raw"), 0, 24)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((6,), "f4")
            layout[:] = h5py.VirtualSource(str(other), "values", (6,))
            file.create_virtual_dataset(name, layout)
        elif kind == "soft":
            file["values"] = np.zeros(6, "f4")
            file[name] = h5py.SoftLink("/values")
        else:
            file[name] = h5py.ExternalLink(str(other), "/values")
    refused(path, "weights.hdf5", name)


def test_compressed_arrays_are_read(tmp_path):
    arrays = original_arrays(random_reference())
    path = write_original(tmp_path, random_reference())
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, compression="gzip", fletcher32=True)
    from spacy_elmo import load_bilm

    assert load_bilm(path).options.n_layers == 2


# Archives


def test_zip_of_zeros_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("options.json", "{}")
        for number in range(12):
            file.writestr(f"{number}.hdf5", ZEROS)
    refused(tmp_path / "x.zip", "x.zip expands to more than 201,326,594 bytes", "is not read")


def test_zip_whose_members_overlap_is_refused(tmp_path):
    """Many entries of the directory point to the same compressed bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.hdf5", ZEROS)
        first = file.infolist()[0]
        for number in range(2000):
            other = zipfile.ZipInfo(f"{number}.hdf5")
            for name in ("CRC", "compress_size", "file_size", "header_offset", "compress_type"):
                setattr(other, name, getattr(first, name))
            file.filelist.append(other)
        file._didModify = True
    (tmp_path / "x.zip").write_bytes(buffer.getvalue())
    refused(tmp_path / "x.zip", "x.zip expands to more than")


def test_zip_of_torch_that_expands_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.th", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x/data.pkl", b"\x80\x02}.")
        for number in range(12):
            file.writestr(f"x/data/{number}", ZEROS)
    refused(tmp_path / "x.th", "x.th expands to more than")


def write_big_tar(path, mode, name, size):
    with tarfile.open(path, mode) as archive:
        info = tarfile.TarInfo(name)
        info.size = size
        with open("/dev/zero", "rb") as zeros:
            archive.addfile(info, zeros)


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="a file of zeros")
@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
@pytest.mark.parametrize("name", ["weights.th", "other", "config.json"])
def test_tar_of_zeros_is_refused(tmp_path, mode, name):
    write_big_tar(tmp_path / "x.tar.gz", mode, name, 100_000_000)
    refused(tmp_path / "x.tar.gz", "x.tar.gz expands to more than", "is not read")


def test_tar_with_an_endless_name_is_refused(tmp_path):
    """The tar module reads names that are longer than a header into memory."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 32
    import gzip

    with gzip.open(tmp_path / "x.tar.gz", "wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.write(ZEROS)
    refused(tmp_path / "x.tar.gz", "x.tar.gz expands to more than 4,294,967,")


def test_sparse_tar_is_refused(tmp_path):
    info = tarfile.TarInfo("weights.th")
    info.size = HUGE
    sparse(tmp_path / "x.tar", info.tobuf(), HUGE + 2048)
    refused(tmp_path / "x.tar", "x.tar/weights.th has 107,374,182,400 bytes; expected at most")


@pytest.mark.parametrize("suffix", ["gz", "bz2", "xz", ""])
def test_archives_of_all_compressions_are_read(tmp_path, suffix):
    from spacy_elmo import load_bilm

    weights = torch_bytes(allennlp_state(random_reference()))
    plain = write_tar(tmp_path / "model.tar.gz", {"config.json": {}, "weights.th": weights})
    with tarfile.open(plain) as archive, tarfile.open(tmp_path / "x.tar", f"w:{suffix}") as copy:
        for member in archive:
            copy.addfile(member, archive.extractfile(member))
    assert load_bilm(tmp_path / "x.tar").options.n_layers == 2


# Torch files


def odd_tensors():
    row = torch.ones(1)
    yield "repeats one value", torch.as_strided(row, (6,), (0,)), "4 bytes are stored"
    huge = torch.as_strided(row, (1 << 20, 1 << 20), (0, 0))
    yield "is huge", huge, "has shape [1048576, 1048576], but only 4 bytes are stored"
    yield "is sparse", torch.ones(6).to_sparse(), "layout torch.sparse_coo"
    yield "is sparse by rows", torch.ones(6, 6).to_sparse_csr(), "layout torch.sparse_csr"
    yield "is quantized", torch.quantize_per_tensor(torch.ones(6), 1, 0, torch.qint8), "quantized"
    yield "is complex", torch.ones(6, dtype=torch.complex64), "torch.complex64"
    yield "is truth values", torch.ones(6, dtype=torch.bool), "torch.bool"
    yield "is whole numbers", torch.ones(6, dtype=torch.int64), "torch.int64"
    yield "is of 8 bits", torch.ones(6).to(torch.float8_e5m2), "torch.float8_e5m2"
    yield "is empty", torch.ones(0), "has no values"
    yield "is empty in one dimension", torch.ones(6, 0), "has no values"
    yield "has no values", torch.ones(6, device="meta"), "without values"


ODD = {name: (tensor, found) for name, tensor, found in odd_tensors()}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize(
    "name", ["_token_embedder._projection.bias", "_token_embedder._char_embedding_weights"]
)
@pytest.mark.parametrize("legacy", [False, True])
def test_tensor_that_is_not_dense_is_refused(tmp_path, kind, name, legacy):
    tensor, found = ODD[kind]
    state = allennlp_state(random_reference(), "")
    full = next(key for key in state if key.endswith(name))
    try:
        data = torch_bytes({**state, full: tensor}, legacy)
    except (RuntimeError, NotImplementedError, TypeError):
        pytest.skip("torch cannot write it so")
    (tmp_path / "best.th").write_bytes(data)
    refused(
        tmp_path / "best.th", "best.th", *([found] if name.endswith("bias") and not legacy else [])
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ODD)
def test_tensor_of_many_langs_that_is_not_dense_is_refused(tmp_path, kind):
    tensor, found = ODD[kind]
    write_many_langs(tmp_path, random_reference(n_chars=10))
    state = torch.load(tmp_path / "token_embedder.pkl", weights_only=True)
    state["projection.bias"] = tensor
    torch.save(state, tmp_path / "token_embedder.pkl")
    refused(tmp_path, "token_embedder.pkl: projection.bias")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), 1e300])
def test_number_that_is_not_finite_in_float32_is_refused(tmp_path, value):
    state = allennlp_state(random_reference())
    name = next(key for key in state if key.endswith("_projection.bias"))
    tensor = state[name].double()
    tensor[2] = value
    (tmp_path / "best.th").write_bytes(torch_bytes({**state, name: tensor}))
    refused(
        tmp_path / "best.th", "best.th: tokens.projection.bias holds values that are not finite"
    )


def test_tensors_outside_of_the_elmo_may_be_anything(tmp_path):
    from spacy_elmo import load_bilm

    state = allennlp_state(random_reference(), "x.")
    state.update({"crf.steps": torch.ones(3, dtype=torch.int64), "tags": torch.ones(4).to_sparse()})
    (tmp_path / "best.th").write_bytes(torch_bytes(state))
    assert load_bilm(tmp_path / "best.th").options.n_layers == 2


def test_weights_stay_when_their_file_is_overwritten(tmp_path):
    from spacy_elmo import load_bilm

    path = tmp_path / "best.th"
    path.write_bytes(torch_bytes(allennlp_state(random_reference())))
    bilm = load_bilm(path)
    before = {name: tensor.clone() for name, tensor in bilm.state_dict().items()}
    with path.open("rb+") as file:
        file.write(bytes(path.stat().st_size))
    assert all(torch.equal(x, before[name]) for name, x in bilm.state_dict().items())
