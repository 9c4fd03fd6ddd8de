"""Fetch what is used of LitBank, file by file, each with its checksum.

A file that is there already is used as it is, without a network; one with other content is
an error and stays as it is.
"""

from pathlib import Path
from typing import Annotated

import requests
import typer
from spacy.cli._util import Arg
from tqdm import tqdm
from wasabi import msg
from weasel.util.hashing import get_checksum

from spacy_elmo.files.atomic import atomic_file

SOURCE = "https://raw.githubusercontent.com/dbamman/litbank/master"  # commit 3e50db0
CHECKSUMS = Path(__file__).parent.parent / "litbank.md5"
TIMEOUT = 60


def read_checksums(path: Path) -> dict[str, str]:
    """RETURNS (Dict[str, str]): The MD5 of each file, of lines as md5sum writes them."""
    lines = path.read_text(encoding="utf8").splitlines()
    return {name: checksum for checksum, name in (line.split("  ", 1) for line in lines)}


def check(path: Path, checksum: str, source: str) -> None:
    found = get_checksum(path)
    if found != checksum:
        raise ValueError(
            f"{source} has the MD5 checksum {found}, and {checksum} is expected: it is damaged, or "
            f"another version of LitBank. Remove a file of this kind to have it fetched again."
        )


def fetch(folder: Path, checksums: dict[str, str], source: str = SOURCE) -> int:
    """Complete a folder.

    folder (Path): Where the files belong.
    checksums (Dict[str, str]): The MD5 of each file, by its path in the folder.
    source (str): The address that the path is added to.
    RETURNS (int): Files that were fetched; the others were there.
    """
    missing: list[str] = []
    for name, checksum in checksums.items():
        path = folder / name
        if path.is_file():
            check(path, checksum, str(path))
        else:
            missing.append(name)
    for name in tqdm(missing, unit="file", disable=None):
        answer = requests.get(f"{source}/{name}", timeout=TIMEOUT)
        answer.raise_for_status()
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(folder / name) as temporary:
            temporary.write_bytes(answer.content)
            check(temporary, checksums[name], f"{source}/{name}")
    return len(missing)


def fetch_litbank_cli(
    folder: Annotated[Path, Arg(help="Where LitBank is, or is to be")],
) -> None:
    """Fetch LitBank's novels, entities and coreference."""
    checksums = read_checksums(CHECKSUMS)
    try:
        n_fetched = fetch(folder, checksums)
    except (ValueError, requests.RequestException) as error:
        msg.fail(str(error), exits=1)
    msg.good(f"{folder} holds {len(checksums)} files, {n_fetched} of them fetched now")


if __name__ == "__main__":
    typer.run(fetch_litbank_cli)
