import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import spacy
from thinc.api import Config

from spacy_elmo import load_bilm, save_bilm
from spacy_elmo.bilm.bilm import Mix
from spacy_elmo.cli.info import info
from spacy_elmo.pipeline.mix_plot import plot_mixes
from spacy_elmo.pipeline.mixes import ComponentMix, mixes_of_pipeline
from spacy_elmo.weights.checksum import weights_checksum

from ..samples import tiny_bilm
from .conftest import run

pytestmark = pytest.mark.slow

BILM = {"@architectures": "spacy-elmo.BiLM.v1", "width": 12, "depth": 2}
WEIGHTS = np.array([1.0, 0.0, -1.0], dtype="f")


@pytest.fixture(scope="module")
def pipeline(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    loader = {"@misc": "spacy-elmo.PretrainedLoader.v1", "path": str(model)}
    nlp = spacy.blank("en")
    nlp.add_pipe("elmo", config={"model": dict(BILM), "mix": [0.0, 0.0, 1.0]})
    listener = {"@architectures": "spacy-elmo.ElmoListener.v1", "width": 12, "depth": 2}
    inline = {
        "@architectures": "spacy-elmo.Tok2VecElmo.v1",
        "elmo": dict(BILM),
        "loader": dict(loader),
    }
    fixed = {**listener, "weights": [0.0, 0.0, 0.0]}
    for name, tok2vec in (("one", listener), ("two", inline), ("three", fixed)):
        tagger = {"@architectures": "spacy.Tagger.v2", "tok2vec": tok2vec}
        nlp.add_pipe("tagger", name=name, config={"model": tagger}).add_label("X")  # type: ignore[attr-defined]
    nlp.config["initialize"]["components"]["elmo"] = {"loader": dict(loader)}
    nlp.initialize()
    for name, gamma in (("one", 2.0), ("two", 0.5)):
        for node in nlp.get_pipe(name).model.walk():  # type: ignore[attr-defined]
            if node.name == "scalar_mix":
                node.set_param("w", WEIGHTS)
                node.set_param("gamma", np.array([gamma], dtype="f"))
    path = tmp_path_factory.mktemp("pipeline") / "nlp"
    nlp.to_disk(path)
    return path


def test_info_of_a_bilm(model: Path) -> None:
    facts = json.loads(run("info", model, "--json"))
    bilm = tiny_bilm()
    assert facts["format"] == "spacy-elmo directory"
    assert (facts["width"], facts["depth"], facts["layers"]) == (12, 2, 3)
    assert (facts["cell"], facts["projection"], facts["highway_layers"]) == (12, 6, 2)
    assert facts["filters"] == [[1, 4], [2, 6], [3, 8]]
    assert facts["parameters"] == bilm.n_parameters
    assert facts["sha256"] == weights_checksum(bilm)
    assert facts["bytes_on_disk"] == sum(path.stat().st_size for path in model.iterdir())
    printed = run("info", model)
    assert facts["sha256"] in printed
    assert "[components.elmo.model]" in printed


def test_the_config_block_loads_the_bilm(model: Path, tmp_path: Path) -> None:
    run("convert", model, tmp_path / "w.hdf5")
    (options,) = tmp_path.glob("*.json")
    options = options.rename(tmp_path / "moved.json")
    facts = info(str(tmp_path / "w.hdf5"), options)
    assert facts["format"] == "original HDF5"
    block = Config().from_str("[components]\n" + facts["config"], interpolate=False)
    nlp = spacy.blank("en")
    nlp.add_pipe("elmo", config={"model": block["components"]["elmo"]["model"]})
    nlp.config["initialize"]["components"]["elmo"] = block["initialize"]["components"]["elmo"]
    nlp.initialize()
    assert nlp("One two").tensor.shape == (2, 12)


def test_the_checksum_depends_on_the_weights_alone(tmp_path: Path, model: Path) -> None:
    bilm = tiny_bilm()
    save_bilm(bilm, tmp_path / "copy")
    assert weights_checksum(load_bilm(tmp_path / "copy")) == weights_checksum(bilm)
    assert weights_checksum(tiny_bilm(seed=1)) != weights_checksum(bilm)


def test_info_prints_the_mixes_of_a_model(tmp_path: Path) -> None:
    bilm = tiny_bilm()
    bilm.mixes = [Mix((0.5, 0.25, 0.0), 1.5)]
    save_bilm(bilm, tmp_path / "mixed")
    assert info(str(tmp_path / "mixed"))["mixes"] == [{"weights": [0.5, 0.25, 0.0], "gamma": 1.5}]
    assert "gamma 1.500" in run("info", tmp_path / "mixed")


def test_info_of_the_packaged_model() -> None:
    facts = info("en_small")
    assert facts["bytes_on_disk"] > 1000
    assert 'path = "en_small"' in facts["config"]


def test_info_of_a_pipeline(pipeline: Path) -> None:
    facts = json.loads(run("info", pipeline, "--json"))
    assert facts["pipeline"] == ["elmo", "one", "two", "three"]
    assert facts["components"]["elmo"]["frozen"] is True
    assert facts["components"]["elmo"]["model"]["width"] == 12
    assert set(facts["components"]["elmo"]["listeners"]) == {"one", "three"}
    assert [item["component"] for item in facts["mixes"]] == facts["pipeline"]
    printed = run("info", pipeline)
    assert "0.665" in printed and "2.000" in printed


def test_the_mix_of_each_component(pipeline: Path) -> None:
    softmax = np.exp(WEIGHTS) / np.exp(WEIGHTS).sum()
    found = {item.component: item for item in mixes_of_pipeline(str(pipeline))}
    np.testing.assert_allclose(found["one"].weights, softmax, atol=1e-6)
    np.testing.assert_allclose(found["two"].weights, softmax, atol=1e-6)
    np.testing.assert_allclose(found["three"].weights, [1 / 3] * 3, atol=1e-6)
    np.testing.assert_allclose(sum(found["elmo"].weights), 1.0, atol=1e-6)
    assert found["elmo"].weights[2] > found["elmo"].weights[0]
    assert [found[name].gamma for name in ("one", "two", "three")] == [2.0, 0.5, 1.0]
    learned = {name: mix.learned for name, mix in found.items()}
    assert learned == {"elmo": False, "one": True, "two": True, "three": False}
    sources = [found[name].source for name in ("elmo", "one", "two")]
    assert sources == ["doc.tensor", "*", "its own biLM"]


def test_mix_prints_and_plots(pipeline: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    printed = run("mix", pipeline, "--plot", tmp_path / "mix.png")
    for text in ("LSTM 2", "Gamma", "0.665", "0.245", "0.090", "learned", "fixed"):
        assert text in printed
    assert (tmp_path / "mix.png").read_bytes().startswith(b"\x89PNG")
    assert ".png" in run("mix", pipeline, "--plot", tmp_path / "mix.jpg", code=1)


def test_the_plot_names_components_and_its_legend_covers_no_bar(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    mixes = [
        ComponentMix("named_entities$of_$books", "elmo", True, [0.98, 0.01, 0.01], 1.0),
        ComponentMix("coref", "its own biLM", True, [0.2] * 5, 1.0),
    ]
    figures: list[Figure] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda self, *args, **kwargs: figures.append(self))
        plot_mixes(mixes, tmp_path / "mix.png")
    (figure,) = figures
    figure.canvas.draw()
    (axes,), (legend,) = figure.axes, figure.legends
    assert not legend.get_window_extent().overlaps(axes.get_window_extent())
    names = [label.get_text().replace("\\$", "$") for label in axes.get_xticklabels()]
    for name, item in zip(names, mixes):
        assert item.component in name.replace("\n", "")
    boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
    assert not boxes[0].overlaps(boxes[1])


def test_a_plot_without_matplotlib(pipeline: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    printed = run("mix", pipeline, "--plot", tmp_path / "mix.png", code=1)
    assert "spacy-elmo[plots]" in printed


def test_pipelines_without_elmo(tmp_path: Path, model: Path) -> None:
    spacy.blank("en").to_disk(tmp_path / "blank")
    assert "No component" in run("mix", tmp_path / "blank", code=1)
    assert "No component" in run("info", tmp_path / "blank", code=1)
    assert "is not a pipeline" in run("mix", model, code=1)
    assert "nowhere" in run("info", tmp_path / "nowhere", code=1)


def test_a_pipeline_with_a_gpu_as_device_loads_without_one(pipeline: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "gpu"
    shutil.copytree(pipeline, copy)
    config = Config().from_disk(copy / "config.cfg", interpolate=False)
    for block in (
        config["components"]["elmo"]["model"],
        config["components"]["two"]["model"]["tok2vec"]["elmo"],
    ):
        block["device"] = "cuda:7"
    config.to_disk(copy / "config.cfg")
    assert len(mixes_of_pipeline(str(copy))) == 4
