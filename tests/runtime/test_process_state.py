"""Public functions leave the state of the calling process unchanged."""

import gc
import locale
import logging
import os
import random
import signal
import sys
import threading
import warnings

import numpy as np
import pytest
import spacy
import thinc.api
import torch

from spacy_elmo import ElmoEmbedder, LanguageScorer, load_bilm, save_bilm
from spacy_elmo.files.atomic import atomic_directory, atomic_file
from spacy_elmo.pretrain.signals import handle_stop_signals

from ..pipelines import TAGGED, examples, pipeline
from ..pretrain.toys import config, pretraining, write_text
from ..samples import SENTENCES, tiny_bilm

pytestmark = pytest.mark.slow


def umask():
    """RETURNS (str): The umask. Only Linux allows to read it without changing it."""
    with open("/proc/self/status") as file:
        return next(line for line in file if line.startswith("Umask"))


def process_state():
    return {
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "umask": umask() if sys.platform == "linux" else None,
        "signals": [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)],
        "warnings": list(warnings.filters),
        "logging": [logging.root.level, list(logging.root.handlers), logging.root.disabled],
        "garbage collection": [gc.isenabled(), gc.get_threshold()],
        "locale": locale.setlocale(locale.LC_ALL),
        "recursion limit": sys.getrecursionlimit(),
        "hooks": [sys.excepthook, threading.excepthook],
        "numpy errors": np.geterr(),
        "ops": type(thinc.api.get_current_ops()),
        "threads": [torch.get_num_threads(), torch.get_num_interop_threads()],
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "gradients": [torch.is_grad_enabled(), torch.is_inference_mode_enabled()],
        "autocast": torch.is_autocast_enabled("cpu"),
        "float32": torch.get_float32_matmul_precision(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def random_state():
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": [part.tolist() for part in np.random.get_state()[1:2]],
        "python": random.getstate(),
    }


def load_and_embed(folder):
    save_bilm(tiny_bilm(), folder / "bilm")
    save_bilm(load_bilm(folder / "bilm"), folder / "bilm.h5")
    ElmoEmbedder(weight_file=folder / "bilm.h5").embed_batch(SENTENCES)


def annotate(folder):
    nlp = spacy.load(folder / "pipeline")
    docs = list(nlp.pipe(text for text, _ in TAGGED))
    docs[0].similarity(docs[1])
    nlp.to_bytes()
    nlp.to_disk(folder / "copy")


def score(folder):
    scorer = LanguageScorer(folder / "training" / "model-last")
    scorer.score(SENTENCES)
    scorer.substitutes(["the", "cat"], 0)


def train(folder):
    nlp = spacy.load(folder / "pipeline")
    nlp.update(examples(nlp))
    nlp.replace_listeners("elmo", "tagger", ["model.tok2vec"])


def pretrain(folder):
    pretraining(
        config(folder, training={"dropout": 0.1, "precision": "tf32"}), folder / "new"
    ).run()


USES = {"load and embed": load_and_embed, "annotate": annotate, "score": score}
TRAININGS = {"train": train, "pretrain": pretrain}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("state")
    write_text(folder)
    pretraining(config(folder), folder / "training").run()
    pipeline("tagger", "ner").to_disk(folder / "pipeline")
    return folder


@pytest.mark.parametrize("name", [*USES, *TRAININGS])
def test_process_state_is_unchanged(name, folder):
    before = process_state()
    {**USES, **TRAININGS}[name](folder)
    assert process_state() == before


@pytest.mark.parametrize("name", ["annotate", "score", "pretrain"])
def test_random_states_of_the_program_are_unchanged(name, folder, tmp_path):
    use = {**USES, **TRAININGS}[name]
    if name == "pretrain":
        write_text(tmp_path)
        folder = tmp_path
    before = random_state()
    use(folder)
    assert random_state() == before


def test_training_depends_on_the_seed_and_not_on_the_random_state(tmp_path):
    write_text(tmp_path)
    found = []
    for name in ("one", "two"):
        torch.rand(3)
        settings = config(tmp_path, training={"dropout": 0.1})
        run = pretraining(settings, tmp_path / name)
        run.run()
        found.append(run.trainer.model.state_dict())
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_files_have_the_permissions_of_the_umask(mask, tmp_path):
    before = os.umask(mask)
    try:
        with atomic_file(tmp_path / "file") as path:
            path.write_text("text")
        with atomic_directory(tmp_path / "folder") as path:
            (path / "file").write_text("text")
            (path / "file").chmod(0o600)
    finally:
        os.umask(before)
    modes = {
        str(path.relative_to(tmp_path)): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")
    }
    files = 0o666 & ~mask
    assert modes == {"file": files, "folder": 0o777 & ~mask, "folder/file": files}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_writing_files_does_not_change_the_umask(tmp_path):
    expected, found, done = umask(), set(), threading.Event()

    def watch():
        while not done.is_set():
            found.add(umask())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        for n in range(50):
            with atomic_file(tmp_path / str(n)) as path:
                path.write_text("text")
    finally:
        done.set()
        thread.join()
    assert found == {expected}


def test_signal_handlers_are_unchanged_in_another_thread():
    failed = []

    def run():
        try:
            with handle_stop_signals(failed.append):
                pass
        except ValueError as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert not failed
