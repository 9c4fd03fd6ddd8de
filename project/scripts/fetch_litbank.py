"""Download the files of LitBank that the project uses, and verify their checksums.

Existing files are verified instead of downloaded. If an existing file has other content, an error
is raised and the file is not changed.
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
    """Read the MD5 checksum of each file from the output of md5sum.

    path (Path): The output of md5sum.
    RETURNS (Dict[str, str]): The checksums by file name.
    """
    lines = path.read_text(encoding="utf8").splitlines()
    return {name: checksum for checksum, name in (line.split("  ", 1) for line in lines)}


def check(path: Path, checksum: str, source: str) -> None:
    """Verify the checksum of a file.

    path (Path): The file.
    checksum (str): The expected MD5 checksum.
    source (str): Name of the file, for error messages.
    RAISES (ValueError): If the checksum differs.
    """
    found = get_checksum(path)
    if found != checksum:
        raise ValueError(
            f"{source} has the MD5 checksum {found}, but {checksum} was expected: it is damaged, "
            f"or from another version of LitBank. Remove a local file to download it again."
        )


def fetch(folder: Path, checksums: dict[str, str], source: str = SOURCE) -> int:
    """Download the files that are missing in a folder.

    folder (Path): The folder.
    checksums (Dict[str, str]): The MD5 checksum of each file, by its path in the folder.
    source (str): URL of the folder.
    RETURNS (int): Number of files downloaded.
    RAISES (ValueError): If the checksum of a file differs.
    RAISES (requests.RequestException): If a download fails.
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
    folder: Annotated[Path, Arg(help="Folder of LitBank, which is created if it does not exist")],
) -> None:
    """Download LitBank's novels, entities and coreference."""
    checksums = read_checksums(CHECKSUMS)
    try:
        n_fetched = fetch(folder, checksums)
    except (ValueError, requests.RequestException) as error:
        msg.fail(str(error), exits=1)
    msg.good(f"{folder} contains {len(checksums)} files; {n_fetched} were downloaded")


if __name__ == "__main__":
    typer.run(fetch_litbank_cli)
