"""`python -m tests.fuzz`: damage files of all readable formats, and report problems in reading."""

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor

from .run import Report, distribute, run
from .targets import TARGETS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "--mutations", type=int, default=1000, help="number of mutations of all formats together"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the mutations")
    parser.add_argument("--targets", nargs="*", default=list(TARGETS), help=", ".join(TARGETS))
    parser.add_argument("--case", help="run one case only, such as hdf5:17")
    parser.add_argument("--jobs", type=int, default=1, help="number of worker processes")
    args = parser.parse_args()
    report = Report()
    if args.case:
        name, number = args.case.rsplit(":", 1)
        cases = {name: (int(number), int(number) + 1)}
    else:
        cases = distribute(args.mutations, args.targets)
    with ThreadPoolExecutor(args.jobs) as pool:
        cases_of_jobs = [dict(list(cases.items())[job :: args.jobs]) for job in range(args.jobs)]
        list(pool.map(lambda job_cases: run(args.seed, job_cases, report), cases_of_jobs))
    for name, counts in report.counts.items():
        print(f"{name:20}", ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items())))
    for problem in report.problems:
        print(problem)
    print(f"{report.n_cases} mutations with seed {args.seed}, {len(report.problems)} problems")
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
