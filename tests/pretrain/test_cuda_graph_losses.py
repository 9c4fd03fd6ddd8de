"""Captured steps, compared with plain steps. Without a GPU, replays call the captured function."""

import copy

import pytest
import torch

from spacy_elmo.corpus.corpus import Corpus
from spacy_elmo.pretrain import cuda_graph_losses
from spacy_elmo.pretrain.cuda_graph_losses import GraphedUpdate, can_capture
from spacy_elmo.runtime.workers import Workers

from .toys import ONE, assert_same, documents, toy_trainer

CORPUS = Corpus.from_sentences(documents(60))
SAMPLED = {"kind": "sampled", "n_samples": 8}


def without_graph(run, device, n_warmup=3):
    """Replace `capture` on a CPU."""
    for _ in range(n_warmup):
        run()
    return run


def use_graphs(trainer):
    """Use graphs, as on a GPU."""
    trainer.uses_graphs = True
    trainer.update_weights = GraphedUpdate(trainer.apply_gradient, ONE.device)
    return trainer


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("softmax", [{"kind": "full"}, SAMPLED])
@pytest.mark.parametrize("name, accumulate", [("modern", 1), ("modern", 2), ("paper", 1)])
def test_captured_steps_agree_with_plain_steps(monkeypatch, softmax, name, accumulate, dropout):
    monkeypatch.setattr(cuda_graph_losses, "capture", without_graph)
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
    use_graphs(other)
    for _ in range(4):
        expected, found = plain.train_step(), other.train_step()
        torch.testing.assert_close(found.losses, expected.losses, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(found.norm, expected.norm, rtol=1e-5, atol=1e-6)
    assert other.graphed_losses is not None and plain.graphed_losses is None
    expected = plain.model.state_dict()
    for key, value in other.model.state_dict().items():
        torch.testing.assert_close(value, expected[key], rtol=1e-4, atol=1e-5, msg=key)


def test_captured_steps_resume_from_a_checkpoint(monkeypatch):
    monkeypatch.setattr(cuda_graph_losses, "capture", without_graph)
    trainers = [toy_trainer(CORPUS, batches={"reset": 0.2}) for _ in range(2)]
    for trainer in trainers:
        use_graphs(trainer)
    first, second = trainers
    for _ in range(3):
        first.train_step()
    second.train_step()  # its graphs are dropped
    second.restore(*copy.deepcopy(first.save()))
    for trainer in trainers:
        trainer.train_step()
    assert_same(second.save()[0], first.save()[0])


def test_steps_are_captured_on_one_gpu_without_clusters():
    gpu = torch.device("cuda")
    full, adaptive = (
        toy_trainer(CORPUS, softmax=softmax).model
        for softmax in ({"kind": "full"}, {"kind": "adaptive", "cutoffs": [8, 16]})
    )
    assert can_capture(full, Workers(0, 1, gpu))
    assert not can_capture(full, Workers(0, 2, gpu))
    assert not can_capture(full, Workers(0, 1, torch.device("cpu")))
    assert not can_capture(adaptive, Workers(0, 1, gpu))
