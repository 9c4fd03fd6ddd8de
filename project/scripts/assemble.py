"""Put components that were trained apart, each on the same frozen biLM, into one pipeline."""

from pathlib import Path
from typing import Annotated, Any

import spacy
import typer
from spacy.cli._util import Arg
from spacy.language import Language
from wasabi import msg

from spacy_elmo.files.atomic import atomic_directory

ENCODER = "elmo"


def weights_of(nlp: Language) -> bytes:
    """RETURNS (bytes): The biLM of a pipeline."""
    return nlp.get_pipe(ENCODER).to_bytes(exclude=["vocab"])


def assemble(first: Path, others: list[Path]) -> Language:
    """Add to a pipeline the components that others have beyond it.

    first (Path): The pipeline that is added to: its biLM, tokenizer and sentences stay.
    others (List[Path]): Pipelines with the same biLM.
    RETURNS (Language): The pipeline.
    """
    nlp = spacy.load(first)
    for path in others:
        other = spacy.load(path)
        if weights_of(other) != weights_of(nlp):
            raise ValueError(
                f"{path} has another biLM than {first}: components learn from the vectors of one "
                f"biLM. Train both with the same paths.bilm and a frozen 'elmo'."
            )
        for before, name in zip([None, *other.pipe_names], other.pipe_names):
            if name in nlp.pipe_names:
                continue
            if "token.is_sent_start" in other.get_pipe_meta(name).assigns:
                raise ValueError(
                    f"{path} marks sentences, by {name!r}, and {first} does not: its components "
                    f"were trained without them. Name {path} first."
                )
            # where it was trained: with what was marked by then, and nothing else
            place: dict[str, Any] = {"after": before} if before else {"first": True}
            nlp.add_pipe(name, source=other, **place)
    return nlp


def assemble_cli(
    output: Annotated[Path, Arg(help="Folder to write the pipeline to")],
    first: Annotated[Path, Arg(help="A trained pipeline")],
    others: Annotated[list[Path], Arg(help="Others, trained on the same biLM")],
) -> None:
    """Assemble one pipeline of several, for instance of coref's and ner's."""
    try:
        nlp = assemble(first, others)
    except ValueError as error:
        msg.fail(str(error), exits=1)
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_directory(output) as temporary:
        nlp.to_disk(temporary)
    msg.good(f"Wrote {', '.join(nlp.pipe_names)} to {output}")


if __name__ == "__main__":
    typer.run(assemble_cli)
