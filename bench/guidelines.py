"""The guidelines that are shipped as examples: how much they catch, false alarms on ordinary answers, and time.

    ./dev bench guidelines [NAME ...] [--answers N] [--data DIRECTORY] [--tuning] [--without-model] [--show]

Cases are those of tests/fixtures/guidelines: no pattern, sentence or threshold was set by the ones that are printed,
unless ``--tuning``. Ordinary answers are those of ``bench/findings.py`` (quality/ of ../shared/data; never committed),
of sources that were not looked at either; where that folder is absent, the cases that come near stand for them. An
ordinary answer may break a guideline, so alarms are an upper bound. ``--show`` prints what was missed and what matched;
whoever looks at it without ``--tuning`` has to write fresh cases.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stonechat import config
from stonechat_agent.scoring import guidelines as package
from stonechat_agent.scoring.guidelines import Checked, Guidelines
from stonechat_agent.scoring.guidelines.guidelines import Judges
from stonechat_agent.settings import Guideline, Settings

sys.path.insert(0, str(Path(__file__).parent.parent))
from bench import findings

ROOT = Path(__file__).parent.parent
EXAMPLES = Path(package.__file__).parent / "examples"
CASES = ROOT / "tests/fixtures/guidelines"
CAUGHT = 0.9
ALARMS_PER_1000 = 1.0
SHOWN = 200


class Case(NamedTuple):
    """One answer, and whether it breaks the guideline."""

    breaks: bool
    about: str
    prompt: str
    response: str


def example(name: str) -> Guideline:
    """Return the guideline of a file that is shipped, as a configuration that holds it would have it."""
    settings, faults = config.read_text(Settings, (EXAMPLES / f"{name}.toml").read_bytes(), name)
    if faults:
        raise SystemExit("\n".join(map(str, faults)))
    return settings.guidelines[0]


def cases(name: str, tuning: bool) -> list[Case]:
    """Return the cases by which a guideline is measured, or those that it was written with."""
    file = CASES / f"{name}.{'tuning' if tuning else 'test'}.jsonl"
    return [Case(**json.loads(line)) for line in file.read_text("utf-8").splitlines()]


def ordinary(folder: Path, most: int, tuning: bool) -> list[Case]:
    """Return ordinary answers, drawn by a hash; none where their folder is absent."""
    if not folder.is_dir():
        return []
    sources = findings.TUNED if tuning else findings.MEASURED
    rows = [row | {"source": source} for source in sources for row in findings.rows(folder, source)]
    rows.sort(key=lambda row: zlib.crc32(row["response"].encode()))
    return [Case(False, row["source"], row["prompt"], row["response"]) for row in rows[:most]]


def checked(
    guidelines: Guidelines, judges: Judges | None, among: list[Case]
) -> Iterator[tuple[Case, Checked]]:
    """Yield each case with how it does; one that could not be checked is a fault of the bench."""
    for case in among:
        (found,) = guidelines.check(case.prompt, case.response, judges)
        yield case, found


def measure(name: str, judges: Judges | None, answers: list[Case], tuning: bool, show: bool) -> bool:
    """Print the figures of one guideline, and return whether it meets both targets."""
    guideline = example(name)
    guidelines = Guidelines([guideline])
    kinds: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    caught = near = breaking = 0
    for case, found in checked(guidelines, judges, cases(name, tuning)):
        breaking += case.breaks
        caught += case.breaks and found.broken
        near += found.broken and not case.breaks
        if case.breaks and found.broken:
            kinds[found.why.split(":")[0]] += 1
        if case.breaks != found.broken:
            missed[f"{'missed' if case.breaks else 'alarm'} {case.about}"] += 1
            if show:
                print(f"  {'missed' if case.breaks else found.why}: {case.response[:SHOWN]!r}")
    among = answers or [case for case in cases(name, tuning) if not case.breaks]
    alarms, times = 0, []
    for case in among:
        began = time.thread_time()
        found_all = guidelines.check(case.prompt, case.response, judges)
        times.append(time.thread_time() - began)
        if found_all and found_all[0].broken:
            alarms += 1
            if show:
                print(
                    f"  {found_all[0].why} {case.about}: {matched(guideline, found_all[0], case.response)!r}"
                )
    share, per_1000 = caught / breaking, 1000 * alarms / len(among)
    met = share >= CAUGHT and per_1000 <= ALARMS_PER_1000
    print(f"{name}: {'met' if met else 'MISSED'}")
    by = ", ".join(f"{way} {count}" for way, count in sorted(kinds.items()))
    print(f"  caught                {caught} of {breaking} ({100 * share:.1f} %; at least 90 %), by {by}")
    print(f"  alarms, cases near it {near} of {len(cases(name, tuning)) - breaking}")
    kind = "ordinary answers" if answers else "of these, no data here"
    print(f"  alarms, {kind} {alarms} of {len(among)} ({per_1000:.2f} per 1,000; at most 1)")
    print(
        f"  time                  {1e3 * statistics.mean(times):.2f} ms of processor time an answer, "
        f"median {1e3 * statistics.median(times):.2f} ms"
    )
    if missed:
        print(
            "  wrong by kind         "
            + ", ".join(f"{kind} {count}" for kind, count in sorted(missed.items()))
        )
    for fault in guidelines.faults:
        print(f"  fault: {fault}")
    return met


def matched(guideline: Guideline, found: Checked, text: str) -> str:
    """Return what set a guideline off, for people who tune it."""
    way, _, number = found.why.partition(":")
    pattern = guideline.forbidden[int(number) - 1] if way == "forbidden" else ""
    match = re.search(pattern, text) if pattern else None
    return text[max(0, match.start() - 20) : match.end() + SHOWN] if match else text[:SHOWN]


def main() -> None:
    names = sorted(file.stem for file in EXAMPLES.glob("*.toml"))
    parser = argparse.ArgumentParser(description="What the shipped guidelines catch, and what they do not.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; all, if none is given"
    )
    parser.add_argument("--answers", type=int, default=20_000)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--tuning", action="store_true")
    parser.add_argument("--without-model", action="store_true")
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    if unknown := set(options.names) - set(names):
        parser.error(f"no guideline {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    judges: Judges | None = None
    if not options.without_model:
        from stonechat_agent.scoring.judging import Judges as Models

        judges = Models()
    answers = ordinary(options.data, options.answers, options.tuning)
    which = "tuning" if options.tuning else "test"
    print(f"cases: {which}; examples: {'compared' if judges else 'not compared'}; answers: {len(answers)}\n")
    met = [measure(name, judges, answers, options.tuning, options.show) for name in options.names or names]
    print(f"\n{sum(met)} of {len(met)} meet both targets")


if __name__ == "__main__":
    main()
