"""The entry points in setup.cfg exist, and the default settings are consistent."""

import configparser
from importlib import import_module
from pathlib import Path

import pytest
import spacy
from spacy.util import registry
from thinc.api import Config

from spacy_elmo.pipeline.elmo import Elmo
from spacy_elmo.pipeline.elmo_factory import DEFAULT_CONFIG
from spacy_elmo.text.segments import MAX_LENGTH

SETUP = configparser.ConfigParser()
SETUP.read(Path(__file__).parent.parent / "setup.cfg", encoding="utf8")
GROUPS = {
    group: [line.split(" = ") for line in names.strip().splitlines()]
    for group, names in SETUP["options.entry_points"].items()
}
ENTRY_POINTS = [(group, name, target) for group in GROUPS for name, target in GROUPS[group]]


@pytest.mark.parametrize("group, name, target", ENTRY_POINTS)
def test_the_entry_point_can_be_imported(group, name, target):
    module, attribute = target.split(":")
    assert callable(getattr(import_module(module), attribute))


@pytest.mark.parametrize(
    "group, name",
    [
        (group, name)
        for group, name, _ in ENTRY_POINTS
        if group not in ("spacy_factories", "spacy_cli")
    ],
)
def test_the_registry_resolves_the_name(group, name):
    assert callable(registry.get(group.removeprefix("spacy_"), name))


def test_the_factory_is_registered():
    nlp = spacy.blank("en")
    assert nlp.has_factory("elmo")
    nlp.add_pipe("elmo")
    meta = nlp.get_pipe_meta("elmo")
    assert meta.assigns == ["doc._.elmo", "token._.elmo", "span._.elmo", "doc.tensor"]


def test_add_pipe_uses_the_default_settings():
    nlp = spacy.blank("en")
    nlp.add_pipe("elmo")
    config = dict(nlp.config["components"]["elmo"])
    assert config.pop("factory") == "elmo"
    expected = Config().from_str(DEFAULT_CONFIG)["elmo"]
    expected["model"]["segmenter"]["max_length"] = MAX_LENGTH
    assert config == expected


def test_the_default_settings_load_the_packaged_weights():
    nlp = spacy.blank("en")
    elmo = nlp.add_pipe("elmo")
    assert isinstance(elmo, Elmo) and not elmo.loaded
    nlp.initialize()
    doc = nlp("The bank of the river.")
    assert doc.tensor.shape == (6, 512) and doc._.elmo.shape == (3, 6, 512)


def test_omitted_settings_have_their_defaults():
    model = {"@architectures": "spacy-elmo.BiLM.v1", "width": 512}
    config = {
        "nlp": {"lang": "en", "pipeline": ["elmo"]},
        "components": {"elmo": {"factory": "elmo", "model": model}},
    }
    nlp = spacy.util.load_model_from_config(config, auto_fill=True)
    assert nlp.get_pipe("elmo").model.attrs["depth"] == 2
    assert nlp.config["components"]["elmo"]["frozen"] is True


def test_spacy_finds_no_problems_in_the_pipeline():
    nlp = spacy.blank("en")
    nlp.add_pipe("elmo")
    assert not any(nlp.analyze_pipes()["problems"].values())
