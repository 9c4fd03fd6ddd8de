"""Install a packaged pipeline in a new environment, and check that its predictions are bitwise
identical to the predictions of the original pipeline.

Only the package is installed. Its dependencies are imported from the environment that runs the
check, so that nothing is downloaded.
"""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Annotated, Any

import spacy
import typer
from spacy.cli._util import Arg
from spacy.tokens import DocBin
from wasabi import msg

PREDICT = """
import sys
sys.path.insert(0, sys.argv[1])
from check_package import predictions
print(predictions(sys.argv[2], sys.argv[3]))
"""


def predictions(pipeline: str, corpus: str) -> str:
    """Run a pipeline over texts.

    pipeline (str): Directory of the pipeline, or the name of its package.
    corpus (str): A .spacy file with the texts.
    RETURNS (str): The annotations of each text and a hash of its vectors, as JSON.
    """
    nlp = spacy.load(pipeline)
    texts = [doc.text for doc in DocBin().from_disk(corpus).get_docs(nlp.vocab)]
    found: list[dict[str, Any]] = []
    for doc in nlp.pipe(texts):
        spans = {
            key: [(span.start, span.end, span.label_) for span in group]
            for key, group in sorted(doc.spans.items())
        }
        vectors = hashlib.sha256(doc.tensor.tobytes()).hexdigest()
        ents = [(ent.start, ent.end, ent.label_) for ent in doc.ents]
        found.append({"text": doc.text, "ents": ents, "spans": spans, "vectors": vectors})
    return json.dumps(found)


def predictions_of_package(package: Path, name: str, corpus: Path) -> str:
    """Install a package in a new environment, and return its predictions.

    package (Path): Directory of the package's sources.
    name (str): Name of the package.
    corpus (Path): A .spacy file with the texts.
    RETURNS (str): See `predictions`.
    """
    offline = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        build = [*offline, "--no-build-isolation", "--wheel-dir", str(folder)]
        subprocess.run([sys.executable, "-m", "pip", "wheel", *build, str(package)], check=True)
        (wheel,) = folder.glob("*.whl")
        venv.create(folder / "new", with_pip=True, symlinks=os.name != "nt")
        scripts = "Scripts" if os.name == "nt" else "bin"
        python = str(folder / "new" / scripts / "python")
        libraries = [path for path in sys.path if path.endswith("-packages")]
        lines = [f"import site; site.addsitedir({path!r})\n" for path in libraries]
        site = next((folder / "new").glob("**/site-packages"))
        (site / "libraries.pth").write_text("".join(lines), encoding="utf8")
        subprocess.run([python, "-m", "pip", "install", *offline, str(wheel)], check=True)
        command = [python, "-c", PREDICT, str(Path(__file__).parent), name, str(corpus)]
        done = subprocess.run(command, check=True, cwd=folder, stdout=subprocess.PIPE, text=True)
        return done.stdout.strip()


def check_package_cli(
    packages: Annotated[Path, Arg(help="Output directory of 'spacy package'")],
    name: Annotated[str, Arg(help="Name of the package, such as en_stories")],
    pipeline: Annotated[Path, Arg(help="The packaged pipeline")],
    corpus: Annotated[Path, Arg(help="A .spacy file with the texts to predict on")],
) -> None:
    """Check that an installed package makes the same predictions as the original pipeline."""
    found = sorted(path.parent for path in packages.glob(f"{name}-*/setup.py"))
    if not found:
        msg.fail(f"{packages} contains no package {name}-*. Run 'spacy package' first.", exits=1)
    expected = predictions(str(pipeline), str(corpus))
    if expected != predictions_of_package(found[-1].resolve(), name, corpus.resolve()):
        msg.fail(f"The predictions of {found[-1].name} and {pipeline} differ.", exits=1)
    n_spans = sum(
        len(doc["ents"]) + sum(map(len, doc["spans"].values())) for doc in json.loads(expected)
    )
    msg.good(f"The installed package {found[-1].name} predicts the same {n_spans:,} spans")


if __name__ == "__main__":
    typer.run(check_package_cli)
