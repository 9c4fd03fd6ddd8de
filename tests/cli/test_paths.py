"""Paths with unusual characters or links in outputs, messages and configs."""

import io
import json
import os
import subprocess
import sys

import pytest
import spacy
from spacy.cli._util import app
from spacy.tokens import Doc, DocBin
from spacy.util import load_config, load_model_from_config
from typer.testing import CliRunner

from spacy_elmo import load_bilm, save_bilm
from spacy_elmo.cli.messages import msg, replaced_characters
from spacy_elmo.coref.clusters import set_clusters
from spacy_elmo.pretrain.loop import Pretraining
from spacy_elmo.runtime.workers import Workers

from ..pretrain import toys
from ..samples import tiny_bilm
from .conftest import run

pytestmark = pytest.mark.slow

NAMES = ["café", "имя", "名前", "b\udcffad"]


def invoke(*args, encoding="utf-8", code=0):
    """Run `elmo ...` in a separate process, with the given encoding of stdout and stderr."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "WASABI_NO_PRETTY": ""}
    command = [sys.executable, "-m", "spacy", "elmo", *map(str, args)]
    done = subprocess.run(command, env=environment, capture_output=True)
    assert done.returncode == code, done
    assert b"Traceback" not in done.stderr
    return done.stdout.decode(encoding), done.stderr.decode(encoding)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_characters_that_stdout_cannot_show_are_replaced(encoding, model, tmp_path):
    text = tmp_path / "café 名前.txt"
    text.write_text("A naïve café .\n", encoding="utf8")
    output = tmp_path / "café 名前.npz"
    shown, _ = invoke("embed", text, output, "--model", model, "--tokenized", encoding=encoding)
    assert output.is_file()
    name = "名前.npz".encode(encoding, "replace").decode(encoding)
    assert f" {name}" in " ".join(shown.split())
    _, error = invoke("info", tmp_path / "名前", encoding=encoding, code=1)
    assert "No file or directory" in error


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_messages_with_any_name_in_any_encoding(name, encoding, model, tmp_path, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    with replaced_characters():
        msg.good(f"Wrote {name}")
        msg.fail(name)
        msg.table([(name, "1")], title=name)
    assert stream.errors == "strict"
    stream.flush()
    shown = stream.buffer.getvalue().decode(encoding)
    assert shown.count(name.encode(encoding, "replace").decode(encoding)) == 4


def test_json_contains_all_characters_in_any_encoding(model, tmp_path):
    path = tmp_path / "名前"
    save_bilm(load_bilm(model), path)
    shown, _ = invoke("info", path, "--json", encoding="ascii")
    assert json.loads(shown)["name"] == str(path)


@pytest.mark.parametrize("name", ["a$b", "$", "$$", "$(x)", "a$$$b", "$HOME", 'q"$', "{$}"])
def test_the_config_block_names_the_path(name, tmp_path):
    path = tmp_path / name
    save_bilm(tiny_bilm(), path)
    block = json.loads(run_raw("info", path, "--json"))["config"]
    config = tmp_path / "block.cfg"
    start = '[nlp]\nlang = "en"\npipeline = ["elmo"]\n\n[components]\n\n'
    config.write_text(start + block, encoding="utf8")
    for interpolate in (False, True):
        nlp = load_model_from_config(load_config(config, interpolate=interpolate), auto_fill=True)
        nlp.initialize()
        assert nlp("A word").tensor.any()
    nlp.to_disk(tmp_path / "pipeline")
    assert spacy.load(tmp_path / "pipeline")("A word").tensor.any()


def test_a_path_that_contains_a_variable_is_refused(tmp_path):
    path = tmp_path / "${x}"
    save_bilm(tiny_bilm(), path)
    assert "rename the file" in run("info", path)


def run_raw(*args):
    return CliRunner().invoke(app, ["elmo", *map(str, args)]).output


@pytest.fixture
def entities(tmp_path):
    doc = Doc(spacy.blank("en").vocab, words=["Anna", "hid", "her", "hat"])
    set_clusters(doc, [[(0, 1), (2, 3)]])
    DocBin(docs=[doc]).to_disk(tmp_path / "docs.spacy")
    return tmp_path / "docs.spacy"


def embed(entities, model, output):
    run("embed", entities, output, "--model", model, "--force")


def convert(entities, model, output):
    run("convert", model, output)


def show_coref(entities, model, output):
    run("show-coref", entities, output, "--force")


def convert_coref(entities, model, output):
    run("convert-coref", entities, output, "--force")


OUTPUTS = {
    "out.npz": embed,
    "out.hdf5": embed,
    "weights.hdf5": convert,
    "directory": convert,
    "page.html": show_coref,
    "out.jsonl": convert_coref,
    "out.spacy": convert_coref,
}


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("name", OUTPUTS)
def test_output_through_a_link_keeps_the_link(name, again, entities, model, tmp_path):
    target, link = tmp_path / "elsewhere" / f"target_{name}", tmp_path / name
    target.parent.mkdir()
    link.symlink_to(target)
    for _ in range(1 + again):
        OUTPUTS[name](entities, model, link)
    assert link.is_symlink() and target.exists() and not target.is_symlink()
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_broken_link_is_refused(name, entities, model, tmp_path):
    (tmp_path / name).symlink_to(tmp_path / "missing" / name)
    with pytest.raises(AssertionError, match=r"broken\s+symbolic\s+link"):
        OUTPUTS[name](entities, model, tmp_path / name)
    assert (tmp_path / name).is_symlink()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
@pytest.mark.parametrize("name", OUTPUTS)
def test_names_that_are_not_utf8(name, entities, model, tmp_path):
    entities = entities.rename(tmp_path / "in\udcff.spacy")
    OUTPUTS[name](entities, model, tmp_path / f"\udcff{name}")
    assert (tmp_path / f"\udcff{name}").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_pretraining_on_text_whose_name_is_not_utf8(tmp_path):
    toys.write_text(tmp_path)
    folder = tmp_path / "\udcff"
    folder.mkdir()
    for path in tmp_path.glob("*.txt"):
        path.rename(folder / path.name)
    config = toys.config(folder)
    Pretraining(config, tmp_path / "out", Workers.join(-1), progress=False).run()
    # the settings on disk are the same
    assert Pretraining(config, tmp_path / "out", Workers.join(-1), progress=False).run() is None
