"""Combine components that were trained separately on the same frozen biLM in one pipeline."""

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
    """Return the serialized `elmo` component of a pipeline."""
    return nlp.get_pipe(ENCODER).to_bytes(exclude=["vocab"])


def assemble(first: Path, others: list[Path]) -> Language:
    """Add the components of other pipelines to a pipeline that does not have them.

    first (Path): The pipeline to extend. Its biLM, tokenizer and sentence boundaries are used.
    others (List[Path]): Pipelines with the same biLM.
    RETURNS (Language): The combined pipeline.
    RAISES (ValueError): If a pipeline has another biLM, or sets sentence boundaries that `first`
        does not set.
    """
    nlp = spacy.load(first)
    for path in others:
        other = spacy.load(path)
        if weights_of(other) != weights_of(nlp):
            raise ValueError(
                f"The biLM of {path} differs from the biLM of {first}, but all components must "
                f"have been trained on the same biLM. Train both with the same paths.bilm and a "
                f"frozen 'elmo'."
            )
        for before, name in zip([None, *other.pipe_names], other.pipe_names):
            if name in nlp.pipe_names:
                continue
            if "token.is_sent_start" in other.get_pipe_meta(name).assigns:
                raise ValueError(
                    f"{path} sets sentence boundaries, by {name!r}, and {first} does not: its "
                    f"components were trained without them. Name {path} first."
                )
            # after the component that it followed in training, to read the same annotations
            position: dict[str, Any] = {"after": before} if before else {"first": True}
            nlp.add_pipe(name, source=other, **position)
    return nlp


def assemble_cli(
    output: Annotated[Path, Arg(help="Folder to write the pipeline to")],
    first: Annotated[Path, Arg(help="A trained pipeline")],
    others: Annotated[list[Path], Arg(help="Further pipelines, trained on the same biLM")],
) -> None:
    """Combine several pipelines in one, for example a pipeline with coref and one with ner."""
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
