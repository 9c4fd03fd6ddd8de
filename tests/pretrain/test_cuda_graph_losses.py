"""A recorded step against the plain one. Without a GPU, what is recorded is only run again."""

import copy

import pytest
import torch

from spacy_elmo.corpus.corpus import Corpus
from spacy_elmo.pretrain import cuda_graph_losses as recorded
from spacy_elmo.pretrain.cuda_graph_losses import RecordedUpdate, can_record
from spacy_elmo.runtime.workers import Workers

from .toys import ONE, assert_same, documents, toy_trainer

CORPUS = Corpus.from_sentences(documents(60))
SAMPLED = {"kind": "sampled", "n_samples": 8}


def run_again(run, device, n_rehearsals=3):
    """In place of `record`."""
    for _ in range(n_rehearsals):
        run()
    return run


def make_recording(trainer):
    """As on a GPU."""
    trainer.records = True
    trainer.change = RecordedUpdate(trainer._change, ONE.device)
    return trainer


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("softmax", [{"kind": "full"}, SAMPLED])
@pytest.mark.parametrize("name, accumulate", [("modern", 1), ("modern", 2), ("paper", 1)])
def test_weights_are_those_of_plain_steps(monkeypatch, softmax, name, accumulate, dropout):
    monkeypatch.setattr(recorded, "record", run_again)
    plain, other = (
        toy_trainer(
            CORPUS,
            softmax=softmax,
            recipe={"name": name},
            batches={"accumulate": accumulate, "reset": 0.2},
            training={"dropout": dropout},
        )
        for _ in range(2)
    )
    make_recording(other)
    for _ in range(4):
        expected, found = plain.train_step(), other.train_step()
        torch.testing.assert_close(found.losses, expected.losses, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(found.norm, expected.norm, rtol=1e-5, atol=1e-6)
    assert other.recorded is not None and plain.recorded is None
    expected = plain.model.state_dict()
    for key, value in other.model.state_dict().items():
        torch.testing.assert_close(value, expected[key], rtol=1e-4, atol=1e-5, msg=key)


def test_a_recording_goes_on_from_a_checkpoint(monkeypatch):
    monkeypatch.setattr(recorded, "record", run_again)
    trainers = [toy_trainer(CORPUS, batches={"reset": 0.2}) for _ in range(2)]
    for trainer in trainers:
        make_recording(trainer)
    first, second = trainers
    for _ in range(3):
        first.train_step()
    second.train_step()  # what it has recorded is forgotten
    second.restore(*copy.deepcopy(first.save()))
    for trainer in trainers:
        trainer.train_step()
    assert_same(second.save()[0], first.save()[0])


def test_what_can_be_recorded():
    """A GPU by one process, and products of the same shapes at each step."""
    gpu = torch.device("cuda")
    full, adaptive = (
        toy_trainer(CORPUS, softmax=softmax).model
        for softmax in ({"kind": "full"}, {"kind": "adaptive", "cutoffs": [8, 16]})
    )
    assert can_record(full, Workers(0, 1, gpu))
    assert not can_record(full, Workers(0, 2, gpu))
    assert not can_record(full, Workers(0, 1, torch.device("cpu")))
    assert not can_record(adaptive, Workers(0, 1, gpu))
