"""All benchmarks of speed, one after the other.

    python benchmarks OUTPUT [--docs train.spacy] [--precision bfloat16] [--device cuda]

Prints a table for each regime and writes its figures and pictures to the folder OUTPUT.
Training of components is measured on `--docs`, annotated Docs, and left out without. What
a script can do beside its defaults is at its top.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def commands(docs: Path | None, precision: str, device: str) -> list[list[str]]:
    """RETURNS (List[List[str]]): Scripts with what they are given."""
    found = [
        ["embed.py", "--precision", precision, "--device", device],
        ["pretrain.py", "--precision", precision, "--device", device],
        ["pipe.py", "--precision", precision],
    ]
    if docs:
        found.append(["training.py", str(docs)])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="folder for figures and pictures")
    parser.add_argument("--docs", type=Path, help="annotated Docs, to train on")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    for script, *rest in commands(args.docs, args.precision, args.device):
        name = Path(script).stem
        rest += ["--json", str(args.output / f"{name}.json")]
        if script in ("embed.py", "pretrain.py"):
            rest += ["--png", str(args.output / f"{name}.png")]
        print(f"== {script}", flush=True)
        subprocess.run([sys.executable, str(HERE / script), *rest], check=True)


if __name__ == "__main__":
    main()
