"""`python -m tests.fuzz`: damage files of all readable formats, and report what is wrong."""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor

from .run import Report, run, share
from .targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--mutations", type=int, default=1000, help="over all formats")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--targets", nargs="*", default=list(TARGETS), help=", ".join(TARGETS))
    parser.add_argument("--case", help="run one case again, such as hdf5:17")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes at once")
    args = parser.parse_args()
    report = Report()
    if args.case:
        name, number = args.case.rsplit(":", 1)
        cases = {name: (int(number), int(number) + 1)}
    else:
        cases = share(args.mutations, args.targets)
    with ThreadPoolExecutor(args.jobs) as pool:
        parts = [dict(list(cases.items())[job :: args.jobs]) for job in range(args.jobs)]
        list(pool.map(lambda part: run(args.seed, part, report), parts))
    for name, counts in report.counts.items():
        print(f"{name:20}", ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items())))
    for problem in report.problems:
        print(problem)
    print(f"{report.n_cases} mutations with seed {args.seed}, {len(report.problems)} problems")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
