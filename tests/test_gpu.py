"""Results on a GPU equal the results on the CPU, up to rounding. Skipped without a GPU."""

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import spacy
import torch
from thinc.api import Adam, get_current_ops
from thinc.util import has_cupy_gpu

from spacy_elmo.bilm import WordBatch
from spacy_elmo.corpus.corpus import Corpus
from spacy_elmo.lm.evaluate import evaluate
from spacy_elmo.lstm import lstm
from spacy_elmo.lstm.cuda_graphs import capture
from spacy_elmo.pretrain.cuda_graph_losses import GraphedUpdate
from spacy_elmo.pretrain.loop import Pretraining
from spacy_elmo.pretrain.start import make_model
from spacy_elmo.pretrain.trainer import Trainer
from spacy_elmo.runtime.workers import Workers

from .coref import test_component as coref
from .pipelines import blank, examples, pipeline
from .pretrain.toys import ONE, config, documents, write_text
from .samples import SENTENCES, tiny_bilm
from .spans import test_span_scorer_model as spans

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
GPU = Workers(0, 1, torch.device("cuda", 0))
CORPUS = Corpus.from_sentences(documents(60))
SOFTMAXES = [
    {"kind": "full"},
    {"kind": "sampled", "n_samples": 8},
    {"kind": "adaptive", "cutoffs": [8, 16]},
]
needs_cupy = pytest.mark.skipif(not has_cupy_gpu, reason="cupy finds no GPU")


@pytest.fixture
def gpu_ops():
    """Use the GPU in spaCy for one test."""
    before = get_current_ops()
    spacy.require_gpu()
    yield get_current_ops()
    spacy.require_cpu()
    assert type(get_current_ops()) is type(before)


@pytest.mark.parametrize("scale", [1.5, 3.0])
@pytest.mark.parametrize("changes", [{}, {"cell_clip": None, "proj_clip": None}])
def test_vectors_of_the_bilm(scale, changes):
    bilm = tiny_bilm(scale=scale, **changes)
    batches = [WordBatch.from_sentences(SENTENCES[:n]) for n in (1, 3, 5)]
    with torch.no_grad():
        expected = [bilm(batch) for batch in batches]
        bilm.cuda()
        for batch, layers in zip(batches, expected):
            torch.testing.assert_close(bilm(batch).cpu(), layers, rtol=1e-4, atol=1e-5)
            half = bilm(batch, precision="bfloat16").cpu()
            assert float((half - layers).norm()) < 0.05 * float(layers.norm())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("changes", [{}, {"state_projection": False, "hidden_dim": 6}])
def test_cuda_graphs_have_the_results_of_the_loop(monkeypatch, precision, changes):
    bilm = tiny_bilm(**changes).cuda()
    generator = np.random.default_rng(0)
    lengths = [
        [1],
        [0],
        [300],
        generator.integers(0, 40, 50),
        [7] * 70,
        generator.integers(1, 9, 700),
    ]
    for sizes in lengths:
        batch = WordBatch.from_sentences(
            [["a", "b", "c"] * (n // 3) + ["d"] * (n % 3) for n in sizes]
        )
        with torch.no_grad():
            found = [bilm(batch, precision=precision, max_tokens=2000) for _ in range(2)]
            assert all(layer.cuda_graphs for layer in bilm.layers)
            with monkeypatch.context() as patch:
                patch.setattr(lstm, "can_capture", lambda device: False)
                expected = bilm(batch, precision=precision, max_tokens=2000)
        tolerance = 1e-4 if precision == "float32" else 0.1
        for layers in found:
            torch.testing.assert_close(layers, expected, rtol=tolerance, atol=tolerance)


def test_cuda_graphs_follow_the_weights_the_device_and_the_precision():
    bilm = tiny_bilm().cuda()
    batch = WordBatch.from_sentences(SENTENCES)
    with torch.no_grad():
        before = bilm(batch)
        bilm.layers[0].bias.add_(1.0)
        expected = copy.deepcopy(bilm).cpu()(batch)
        assert not torch.allclose(before.cpu(), expected, atol=1e-3)
        torch.testing.assert_close(bilm(batch).cpu(), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(bilm.cpu()(batch), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(bilm.cuda()(batch).cpu(), expected, rtol=1e-4, atol=1e-5)
        try:
            torch.set_float32_matmul_precision("high")
            torch.testing.assert_close(bilm(batch).cpu(), expected, rtol=0.1, atol=0.1)
        finally:
            torch.set_float32_matmul_precision("highest")
        assert len(bilm.layers[0].cuda_graphs) == 2
        torch.testing.assert_close(bilm(batch).cpu(), expected, rtol=1e-4, atol=1e-5)


def test_another_stream_and_an_outer_capture():
    bilm = tiny_bilm().cuda()
    batch = WordBatch.from_sentences(SENTENCES)
    with torch.no_grad():
        expected = bilm(batch)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            found = bilm(batch)
        torch.cuda.current_stream().wait_stream(stream)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        layer = bilm.layers[0]
        sizes = (
            (12, layer.input_weight.shape[2]),
            (3, layer.input_weight.shape[2]),
            (3, layer.hidden_dim),
        )
        x, h, c = (torch.randn(2, *size, device="cuda") for size in sizes)
        expected = layer(x, [3] * 4, h, c)
        outputs = [torch.empty_like(tensor) for tensor in expected]

        def run():
            for output, result in zip(outputs, layer(x, [3] * 4, h, c)):
                output.copy_(result)

        capture(run, torch.device("cuda", 0))()
        for output, result in zip(outputs, expected):
            torch.testing.assert_close(output, result, rtol=1e-4, atol=1e-5)


def test_threads_that_capture_at_once():
    batches = [WordBatch.from_sentences(SENTENCES[:n]) for n in (1, 2, 3, 4, 5)] * 8
    bilms = [tiny_bilm(seed).cuda() for seed in (0, 1)]

    def run(batch):
        with torch.no_grad():
            return [bilm(batch).cpu() for bilm in bilms]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, batches))
    for batch, layers in zip(batches, found):
        with torch.no_grad():
            expected = [tiny_bilm(seed)(batch) for seed in (0, 1)]
        torch.testing.assert_close(layers, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is one GPU")
def test_several_gpus_in_turn():
    batch = WordBatch.from_sentences(SENTENCES)
    bilm = tiny_bilm()
    with torch.no_grad():
        expected = bilm(batch)
        for name in ("cuda:0", "cuda:1", "cuda:0"):
            for _ in range(2):
                found = bilm.to(name)(batch)
                torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-5)


def gradients(bilm, precision="float32"):
    bilm.requires_grad_(True)
    layers = bilm(WordBatch.from_sentences(SENTENCES), precision=precision)
    layers.square().mean().backward()
    return {name: p.grad.cpu() for name, p in bilm.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("scale", [1.0, 1.5])
def test_gradients_of_the_bilm(scale):
    expected = gradients(tiny_bilm(scale=scale))
    found = gradients(tiny_bilm(scale=scale).cuda())
    half = gradients(tiny_bilm(scale=scale).cuda(), "bfloat16")
    for name, gradient in expected.items():
        size = float(gradient.abs().max())
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-4 * size, msg=name)
        assert float((half[name] - gradient).norm()) < 0.1 * float(gradient.norm()), name


@pytest.mark.parametrize("softmax", SOFTMAXES)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_training_steps(softmax, accumulate):
    batches = {"accumulate": accumulate, "reset": 0.2}
    recipe = {"learn_rate": 1e-3, "matrix_rate": 1e-3}
    settings = config(softmax=softmax, batches=batches, recipe=recipe)
    cpu, gpu = (
        Trainer(settings, make_model(settings, CORPUS), CORPUS, workers) for workers in (ONE, GPU)
    )
    for _ in range(5):
        expected, found = cpu.train_step(), gpu.train_step()
        torch.testing.assert_close(found.losses.cpu(), expected.losses, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(found.norm.cpu(), expected.norm, rtol=1e-3, atol=1e-4)
    assert (gpu.graphed_losses is not None) == (softmax["kind"] != "adaptive")
    assert isinstance(gpu.update_weights, GraphedUpdate) == (gpu.graphed_losses is not None)
    found, expected = (
        evaluate(t.model, CORPUS, workers) for t, workers in ((gpu, GPU), (cpu, ONE))
    )
    assert found.geometric == pytest.approx(expected.geometric, rel=1e-3)


@pytest.mark.parametrize("softmax", SOFTMAXES)
def test_training_resumes_from_a_saved_state(softmax):
    settings = config(softmax=softmax, batches={"reset": 0.2}, training={"dropout": 0.3})
    first, second = (Trainer(settings, make_model(settings, CORPUS), CORPUS, GPU) for _ in range(2))
    for _ in range(3):
        first.train_step()
    second.train_step()  # its CUDA graphs are dropped by `restore`
    second.restore(*copy.deepcopy(first.save()))
    for _ in range(3):
        expected, found = first.train_step(), second.train_step()
        torch.testing.assert_close(found.losses, expected.losses, rtol=1e-3, atol=1e-3)


def test_vectors_follow_the_weights_after_a_graphed_step():
    settings = config(recipe={"learn_rate": 0.1})
    trainer = Trainer(settings, make_model(settings, CORPUS), CORPUS, GPU)
    batch = WordBatch.from_sentences(SENTENCES)
    for _ in range(4):
        trainer.train_step()
        with torch.no_grad():
            found = trainer.model.bilm(batch)
            expected = copy.deepcopy(trainer.model.bilm)(batch)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("precision", ["float32", "tf32", "bfloat16"])
def test_a_pretraining_learns_and_is_finished(tmp_path, precision):
    write_text(tmp_path, 200)
    training = {"epochs": 8.0, "precision": precision, "dropout": 0.1, "checkpoint_every": 20}
    settings = config(tmp_path, training=training, recipe={"learn_rate": 0.02})
    try:
        whole = Pretraining(settings, tmp_path / "out", GPU, progress=False)
        perplexity = whole.run()
        again = Pretraining(settings, tmp_path / "out", GPU, progress=False)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert again.over and again.trainer.step == whole.trainer.step
    assert perplexity is not None and perplexity.geometric < 12


@needs_cupy
def test_a_pipeline_that_is_moved_between_devices(gpu_ops):
    spacy.require_cpu()
    nlp = pipeline("tagger", "ner")
    text = "Ann saw the old town of Rome ."
    expected = nlp(text)
    data = nlp.to_bytes()
    spacy.require_gpu()
    moved = pipeline("tagger", "ner").from_bytes(data)
    for doc in (moved(text), *moved.pipe([text, "", text], batch_size=2)):
        if len(doc):
            assert isinstance(doc.tensor, gpu_ops.xp.ndarray)
            np.testing.assert_allclose(gpu_ops.to_numpy(doc.tensor), expected.tensor, atol=1e-5)
            assert [t.tag_ for t in doc] == [t.tag_ for t in expected]
    data = moved.to_bytes()
    spacy.require_cpu()
    back = pipeline("tagger", "ner").from_bytes(data)
    np.testing.assert_allclose(back(text).tensor, expected.tensor, atol=1e-5)


@needs_cupy
@pytest.mark.parametrize("frozen", [True, False])
def test_training_a_tagger(gpu_ops, frozen):
    nlp = blank("tagger", elmo={"frozen": frozen})
    nlp.initialize(lambda: examples(nlp))
    optimizer = Adam(0.01)
    losses = [nlp.update(examples(nlp), sgd=optimizer)["tagger"] for _ in range(20)]
    assert losses[-1] < losses[0]


@needs_cupy
def test_training_coref(gpu_ops):
    nlp = coref.pipeline()
    given = coref.examples(nlp)
    losses = coref.train(nlp, given, 40)
    assert losses[-1] < 0.5 * losses[0]
    found = coref.get_clusters(coref.predicted(nlp, 0), coref.PREFIX)
    data = nlp.to_bytes()
    spacy.require_cpu()
    moved = coref.pipeline()
    moved.initialize(lambda: given)
    moved.from_bytes(data)
    assert coref.get_clusters(coref.predicted(moved, 0), coref.PREFIX) == found


@needs_cupy
def test_training_the_span_scorer(gpu_ops):
    nlp = spans.pipeline()
    given = [
        spacy.training.Example(spans.bare(doc), doc)
        for doc in (spans.make_doc(nlp, seed) for seed in range(6))
    ]
    nlp.initialize(lambda: given)
    optimizer = Adam(0.01)
    losses = [nlp.update(given, sgd=optimizer)["spancat"] for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]
    assert len(nlp(spans.bare(spans.make_doc(nlp, 0))).spans["sc"])
