"""The pretraining config: error messages, defaults and shipped configs."""

import json
from pathlib import Path

import pytest
import torch
from spacy.util import load_config

from spacy_elmo.bilm import BiLM
from spacy_elmo.pretrain.config import PretrainConfig
from spacy_elmo.pretrain.recipes import Modern, Paper

from .toys import values

CONFIGS = Path(__file__).parent.parent.parent / "configs"


def read(block, **settings):
    blocks = values()
    blocks[block] = {**blocks.get(block, {}), **settings}
    return PretrainConfig.from_dict(blocks)


WRONG = [
    # unknown names
    ("text", {"trian": "a.txt"}, r"\[text\] has the setting 'trian'.*Known are train, heldout"),
    ("vocab", {"size": 5}, r"\[vocab\] has the setting 'size'"),
    ("recipe", {"rate": 0.1}, r"\[recipe\] has the setting 'rate'.*learn_rate"),
    ("recipe", {"name": "paper", "warmup": 0.1}, r"\[recipe\] has the setting 'warmup'"),
    ("training", {"steps": 5}, r"\[training\] has the setting 'steps'.*epochs"),
    # unknown choices
    ("softmax", {"kind": "flat"}, r"\[softmax\] kind is 'flat'.*adaptive, sampled, full"),
    ("batches", {"order": "sorted"}, r"\[batches\] order is 'sorted'.*documents, shuffled"),
    ("recipe", {"name": "new"}, r"\[recipe\] name is 'new'.*modern, paper"),
    (
        "training",
        {"precision": "fp16"},
        r"\[training\] precision is 'fp16'.*float32, tf32, bfloat16",
    ),
    # wrong types
    ("text", {"train": 5}, r"\[text\] train is 5; it must be a list of strings"),
    ("text", {"heldout": ["a", 1]}, r"\[text\] heldout is \['a', 1\]; it must be a list of str"),
    ("text", {"train": None}, r"\[text\] train is not set.*--text.train FILES"),
    ("text", {"lang": None}, r"\[text\] lang is None; it must be a string in quotes"),
    ("text", {"tokenized": "yes"}, r"\[text\] tokenized is 'yes'; it must be true or false"),
    ("text", {"tokenized": 1}, r"\[text\] tokenized is 1; it must be true or false"),
    ("text", {"document": "page"}, r"\[text\] document is 'page'.*one of file, blank_line"),
    ("vocab", {"file": 3}, r"\[vocab\] file is 3; it must be a string in quotes, or null"),
    ("vocab", {"min_count": 1.5}, r"\[vocab\] min_count is 1.5; it must be a whole number"),
    ("softmax", {"cutoffs": 4000}, r"\[softmax\] cutoffs is 4000; it must be a list of whole"),
    ("softmax", {"cutoffs": [1.5]}, r"\[softmax\] cutoffs is \[1.5\]"),
    ("softmax", {"kind": 1}, r"\[softmax\] kind is 1; it must be one of adaptive"),
    ("batches", {"n_rows": True}, r"\[batches\] n_rows is True; it must be a whole number"),
    ("batches", {"n_rows": "8"}, r"\[batches\] n_rows is '8'; it must be a whole number"),
    ("recipe", {"learn_rate": "0.1"}, r"\[recipe\] learn_rate is '0.1'; it must be a number"),
    ("training", {"epochs": True}, r"\[training\] epochs is True; it must be a number"),
    ("model", {"hidden_dim": "12"}, r"\[model\] hidden_dim is '12'; it must be a whole number"),
    ("model", {"char_dim": 0}, r"'char_dim' is 0; it must be at least 1"),
    ("model", {"n_layers": 1.5}, r"\[model\] n_layers is 1.5; it must be a whole number"),
    ("model", {"cell_clip": "no"}, r"\[model\] cell_clip is 'no'; it must be a number, or null"),
    ("model", {"filters": [1, 2]}, r"\[model\] filters is .*list of \[width, count\] pairs"),
    # invalid options of a new biLM
    ("model", {"n_characters": 262}, r"\[model\] has the setting 'n_characters'"),
    ("model", {"max_characters": 10**6}, r"\[model\]: max_characters is 1000000"),
    # out of range
    ("batches", {"n_rows": 0}, r"\[batches\] n_rows is 0; it must be at least 1"),
    ("batches", {"n_steps": -1}, r"\[batches\] n_steps is -1; it must be at least 1"),
    ("batches", {"accumulate": 0}, r"\[batches\] accumulate is 0; it must be at least 1"),
    ("batches", {"reset": 1.0}, r"\[batches\] reset is 1.0; it must be below 1"),
    ("batches", {"reset": -0.1}, r"\[batches\] reset is -0.1"),
    ("training", {"dropout": 1}, r"\[training\] dropout is 1; it must be below 1"),
    ("training", {"dropout": -0.5}, r"\[training\] dropout is -0.5"),
    ("training", {"dropout": float("nan")}, r"\[training\] dropout is nan"),
    ("training", {"epochs": 0}, r"\[training\] epochs is 0; it must be above 0"),
    ("training", {"epochs": -1.0}, r"\[training\] epochs is -1.0; it must be above 0"),
    ("training", {"eval_every": 0}, r"\[training\] eval_every is 0; it must be at least 1"),
    ("recipe", {"learn_rate": -0.1}, r"\[recipe\] learn_rate is -0.1"),
    ("recipe", {"clip": -1.0}, r"\[recipe\] clip is -1.0"),
    ("recipe", {"clip": 0.0}, r"\[recipe\] clip is 0.0"),
    ("recipe", {"warmup": -0.1}, r"\[recipe\] warmup is -0.1"),
    ("recipe", {"beta1": 1.5}, r"\[recipe\] beta1 is 1.5"),
    ("recipe", {"weight_decay": -1.0}, r"\[recipe\] weight_decay is -1.0"),
    ("recipe", {"name": "paper", "initial_accumulator": -1.0}, r"\[recipe\] initial_accumulator"),
    ("softmax", {"kind": "sampled", "n_samples": 0}, r"\[softmax\] n_samples is 0"),
    ("softmax", {"kind": "adaptive", "cutoffs": [9, 5]}, r"\[softmax\] cutoffs is \[9, 5\]"),
    ("softmax", {"kind": "adaptive", "cutoffs": [0]}, r"\[softmax\] cutoffs is \[0\]"),
    ("training", {"seed": -1}, r"\[training\] seed is -1"),
    ("training", {"patience": -1}, r"\[training\] patience is -1"),
    ("training", {"checkpoint_every": -1}, r"\[training\] checkpoint_every is -1"),
    ("training", {"max_minutes": -1.0}, r"\[training\] max_minutes is -1.0"),
    ("training", {"epochs": float("nan")}, r"\[training\] epochs is nan"),
    ("training", {"epochs": float("inf")}, r"\[training\] epochs is inf"),
    ("vocab", {"max_size": -5}, r"\[vocab\] max_size is -5"),
    ("vocab", {"min_count": 0}, r"\[vocab\] min_count is 0"),
    # blocks
    ("trainer", {}, r"the block \[trainer\].*\[training\].*\[paths\]"),
    ("init", {"path": "model"}, r"either a \[model\] block .* or an \[init\] block"),
    ("model", {"hidden": 5}, r"\[model\] has the setting 'hidden'"),
    ("model", {"projection_dim": 0}, "'projection_dim' is 0"),
]


@pytest.mark.parametrize("block, settings, message", WRONG)
def test_a_wrong_setting_is_an_error(block, settings, message):
    with pytest.raises(ValueError, match=message):
        read(block, **settings)


@pytest.mark.parametrize(
    "init, message",
    [
        ({}, r"\[init\] lacks the setting 'path'"),
        ({"path": 5}, r"\[init\] path is 5; it must be a string in quotes"),
        ({"path": "a", "more": 1}, r"\[init\] has the setting 'more'.*Known are path"),
        ({"paths": "a"}, r"\[init\]"),
        ("a", r"\[init\] is 'a'; it must be a block of settings"),
    ],
)
def test_init_has_a_path_and_nothing_else(init, message):
    blocks = {**values(), "init": init}
    del blocks["model"]
    with pytest.raises(ValueError, match=message):
        PretrainConfig.from_dict(blocks)


@pytest.mark.parametrize("part", ["train", "heldout"])
def test_the_text_must_be_set(part):
    blocks = values()
    del blocks["text"][part]
    with pytest.raises(ValueError, match=rf"\[text\] {part} is not set"):
        PretrainConfig.from_dict(blocks)
    del blocks["text"]
    with pytest.raises(ValueError, match=r"\[text\] train is not set"):
        PretrainConfig.from_dict(blocks)


def test_a_new_model_needs_its_sizes():
    blocks = values()
    del blocks["model"]["hidden_dim"]
    with pytest.raises(ValueError, match=r"\[model\] lacks the setting 'hidden_dim'"):
        PretrainConfig.from_dict(blocks)


def test_either_model_or_init_must_be_set():
    blocks = values()
    del blocks["model"]
    with pytest.raises(ValueError, match=r"either a \[model\] block .* or an \[init\] block"):
        PretrainConfig.from_dict(blocks)
    found = PretrainConfig.from_dict({**blocks, "init": {"path": "some/model"}})
    assert (found.init.path, found.model) == ("some/model", None)
    assert PretrainConfig.from_dict(found.to_dict()) == found


def test_missing_settings_have_their_defaults():
    blocks = {
        "paths": {"anything": 1},
        "text": {"train": "a.txt", "heldout": ["b.txt", "c.txt"]},
        "model": {"hidden_dim": 4, "projection_dim": 2, "filters": [[1, 2]]},
    }
    found = PretrainConfig.from_dict(blocks)
    assert found.text.train == ["a.txt"] and found.text.heldout == ["b.txt", "c.txt"]
    assert (found.softmax.kind, found.softmax.cutoffs) == ("adaptive", [4000])
    assert found.recipe == Modern()
    assert found.training.epochs == 1.0 and found.training.precision == "float32"
    assert found.model.n_layers == 2
    assert blocks["text"]["train"] == "a.txt"  # the argument is not changed


@pytest.mark.parametrize(
    "recipe", [{"name": "modern", "warmup": 0}, {"name": "paper", "clip": 1, "learn_rate": 0.5}]
)
def test_settings_round_trip_through_json(recipe):
    blocks = values(
        recipe=recipe,
        softmax={"kind": "adaptive", "cutoffs": [8, 16]},
        training={"patience": 3, "max_minutes": 0.5, "epochs": 2},
    )
    found = PretrainConfig.from_dict(blocks)
    again = PretrainConfig.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again == found
    assert again.to_dict() == found.to_dict()
    assert type(found.recipe) is {"modern": Modern, "paper": Paper}[recipe["name"]]
    given = {key: value for key, value in recipe.items() if key != "name"}
    assert found.recipe.model_dump().items() >= given.items()


def shipped(name, **paths):
    overrides = {f"paths.{name}": path for name, path in paths.items()}
    path = CONFIGS / f"pretrain_{name}.cfg"
    return dict(load_config(path, overrides=overrides, interpolate=True))


@pytest.mark.parametrize("name", ["small", "base", "original"])
def test_shipped_configs_only_need_text(name):
    found = PretrainConfig.from_dict(shipped(name, train="train", heldout="heldout"))
    assert found.text.train == ["train"] and found.text.heldout == ["heldout"]
    with pytest.raises(ValueError, match=r"\[text\] train is not set.*--paths.train"):
        PretrainConfig.from_dict(shipped(name))


def test_the_original_config_has_the_published_size():
    found = PretrainConfig.from_dict(shipped("original", train="train", heldout="heldout"))
    assert found.recipe == Paper()
    assert found.batches.n_rows * found.batches.n_steps == 7680
    assert found.softmax.n_samples == 8192
    # the published size of the model
    with torch.device("meta"):
        assert round(BiLM(found.model.to_options()).n_parameters / 1e6, 1) == 93.6
