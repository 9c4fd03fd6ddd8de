"""Split the novels of LitBank into training, held-out, dev and test text for a language model.

Single underscores, which mark emphasis ("_so_", "_any_body"), are removed from the text, because
the tokenizer would not split them from the word. Several consecutive underscores ("D__n") represent
omitted letters and are kept.
"""

import re
from pathlib import Path
from typing import Annotated

import typer
from convert_litbank import TEST_FOLDS
from spacy.cli._util import Arg, Opt
from wasabi import msg

# books on which the perplexity is evaluated: four short training books of fold 0, by different
# authors and of different genres
HELDOUT = (32, 120, 209, 215)
SPLITS = ("train", "heldout", "dev", "test")
EMPHASIS = re.compile("(?<!_)_(?!_)")


def find_split(book: int, fold: int = 0) -> str:
    """Return the split of a book. A language model must not be trained on the dev and test books of
    the fold that its vectors are evaluated on.

    book (int): The Gutenberg id.
    fold (int): Number of the published fold, 0 to 9.
    RETURNS (str): "train", "heldout", "dev" or "test".
    """
    if book in TEST_FOLDS[fold]:
        return "test"
    if book in TEST_FOLDS[fold - 1]:
        return "dev"
    return "heldout" if book in HELDOUT else "train"


def find_novels(novels_dir: Path) -> dict[int, Path]:
    """Find the novels in a folder.

    novels_dir (Path): The folder 'original' of LitBank.
    RETURNS (Dict[int, Path]): The file of each novel, by Gutenberg id.
    RAISES (ValueError): If a file has another name, or a novel is missing.
    """
    novels: dict[int, Path] = {}
    for path in novels_dir.glob("*.txt"):
        book, _, title = path.stem.partition("_")
        if not (book.isdecimal() and title):
            raise ValueError(
                f"{path} is not a novel of LitBank: expected a name such as 158_emma.txt, which "
                f"starts with the Gutenberg id. Give the folder 'original' of LitBank."
            )
        novels[int(book)] = path
    needed = {*HELDOUT, *(book for fold in TEST_FOLDS for book in fold)}
    missing = sorted(needed - set(novels))
    if missing:
        raise ValueError(
            f"{novels_dir} lacks {len(missing)} of the {len(needed)} novels, for example number "
            f"{missing[0]}. Give the folder 'original' of a complete copy of LitBank."
        )
    return dict(sorted(novels.items()))


def split_novels(novels_dir: Path, output_dir: Path, fold: int = 0) -> list[tuple[str, int, int]]:
    """Write `{train,heldout,dev,test}/<name>.txt`.

    novels_dir (Path): Folder of the novels.
    output_dir (Path): Folder to write to.
    fold (int): Number of the published fold, 0 to 9.
    RETURNS (List[Tuple[str, int, int]]): The name of each split, its number of novels, and its
        size in bytes.
    RAISES (ValueError): If there is no such fold, a novel is missing or not UTF-8, or the output
        contains other files.
    """
    if not 0 <= fold < len(TEST_FOLDS):
        raise ValueError(f"'fold' is {fold}; the published folds are 0 to {len(TEST_FOLDS) - 1}.")
    written = {split: [0, 0] for split in SPLITS}
    novels = find_novels(novels_dir)
    for split in SPLITS:
        names = {path.name for book, path in novels.items() if find_split(book, fold) == split}
        (output_dir / split).mkdir(parents=True, exist_ok=True)
        unexpected = sorted({path.name for path in (output_dir / split).iterdir()} - names)
        if unexpected:
            raise ValueError(
                f"{output_dir / split} contains {unexpected[0]}, which does not belong to this "
                f"split. Give a new folder, or empty this one."
            )
    for book, path in novels.items():
        split = find_split(book, fold)
        try:
            text = path.read_text("utf8")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path} is not UTF-8: {error}. Remove it and run fetch_litbank.py."
            ) from error
        data = EMPHASIS.sub("", text).encode("utf8")
        (output_dir / split / path.name).write_bytes(data)
        written[split][0] += 1
        written[split][1] += len(data)
    return [(split, n_novels, n_bytes) for split, (n_novels, n_bytes) in written.items()]


def split_litbank_novels_cli(
    novels_dir: Annotated[Path, Arg(help="Folder 'original' of LitBank")],
    output_dir: Annotated[Path, Arg(help="Folder to write train/, heldout/, dev/, test/ to")],
    fold: Annotated[int, Opt(help="Number of the published fold, 0 to 9")] = 0,
) -> None:
    """Split LitBank's novels into training, held-out, dev and test text."""
    if not novels_dir.is_dir():
        msg.fail(f"There is no folder {novels_dir}.", exits=1)
    try:
        rows = split_novels(novels_dir, output_dir, fold)
    except ValueError as error:
        msg.fail(str(error), exits=1)
    table = [(split, f"{n_novels:,}", f"{n_bytes:,}") for split, n_novels, n_bytes in rows]
    msg.table(table, header=("split", "novels", "bytes"), divider=True, aligns=("l", "r", "r"))
    msg.good(f"Wrote the novels to {output_dir}")


if __name__ == "__main__":
    typer.run(split_litbank_novels_cli)
