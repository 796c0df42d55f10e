"""Redaction: recall by kind, false redactions, and time.

    ./dev bench redaction [--answers DIRECTORY] [--misses] [--generated]

Runs over tests/fixtures/redaction/lines.jsonl, in its development half (by which the patterns were tuned) and its
held-out half apart, and over ordinary answers of language models where a directory of ``*.jsonl.gz`` with a
``response`` each is given or lies in ../shared/data/quality. ``--misses`` prints what was missed of the development
half; the other half is only counted, so that it stays unseen. ``--generated`` adds values of another hand: those that
the package faker makes up for two dozen countries (it is no dependency: ``pip install faker``).
"""

from __future__ import annotations

import argparse
import collections
import gzip
import importlib
import json
import time
import zlib
from pathlib import Path
from typing import Any

from stonechat_agent.privacy import KINDS, Redactor

ROOT = Path(__file__).parent.parent
LINES = ROOT / "tests/fixtures/redaction/lines.jsonl"
ORDINARY = (
    "mtbench101_dialogues",
    "expertqa_revised",
    "dolly_sample",
    "arena_prompt_answers",
    "multilingual_answers",
)


def load(path: Path = LINES) -> list[dict[str, Any]]:
    """Return the set of lines. A "¦" stands for nothing: it keeps scanners from taking inventions for leaked keys."""
    return [json.loads(line.replace("¦", "")) for line in path.read_text("utf-8").splitlines()]


def held_out(line: dict[str, Any]) -> bool:
    """Whether a line is of the half that no pattern was tuned on: by a hash of its text."""
    return zlib.crc32(line["text"].encode()) & 1 == 1


def judge(redactor: Redactor, line: dict[str, Any]) -> tuple[list[tuple[str, str, bool]], list[str]]:
    """Return (kind, value, whether all of it is taken out) of each secret, and what was taken out for nothing."""
    text, spans = line["text"], redactor.find(line["text"])
    secrets, places, at = [], [], 0
    for secret in line["secrets"]:
        start = text.index(secret["value"], at)
        end = at = start + len(secret["value"])
        places.append((start, end))
        gone = any(span.start <= start and end <= span.end for span in spans)
        secrets.append((secret["kind"], secret["value"], gone))
    false = [
        text[span.start : span.end]
        for span in spans
        if not any(span.start < end and start < span.end for start, end in places)
    ]
    return secrets, false


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--answers", type=Path, default=ROOT.parent / "shared/data/quality")
    parser.add_argument("--misses", action="store_true")
    parser.add_argument("--generated", action="store_true")
    options = parser.parse_args()
    redactor = Redactor({})
    lines = load()
    found: dict[tuple[str, bool], list[bool]] = collections.defaultdict(list)
    false_of: dict[bool, int] = collections.Counter()
    negatives: dict[bool, int] = collections.Counter()
    for line in lines:
        half = held_out(line)
        secrets, false = judge(redactor, line)
        for kind, value, gone in secrets:
            found[kind, half].append(gone)
            if options.misses and not gone and not half:
                print(f"missed {kind}: {value!r} in {line['text']!r} -> {redactor.text(line['text'])!r}")
        if options.misses and false and not half:
            print(f"false: {false} in {line['text']!r}")
        if not line["secrets"]:
            negatives[half] += 1
            false_of[half] += bool(false)
    print(f"{len(lines)} lines, {len(lines) - sum(negatives.values())} with secrets\n")
    print(f"{'recall':10} {'development':>18} {'held out':>18}")
    for kind in KINDS:
        print(f"{kind:10} {share(found[kind, False]):>18} {share(found[kind, True]):>18}")
    for half in (False, True):
        everything = [gone for (_, where), list_ in found.items() if where is half for gone in list_]
        print(f"{'held out' if half else 'development'}: recall of all kinds {share(everything)}, "
              f"lines without secrets that were changed: {false_of[half]} of {negatives[half]}")  # fmt: skip
    texts = [line["text"] for line in lines] * 20
    print(f"\nlines: {speed(redactor, texts):.1f} us/KiB")
    if options.generated:
        generated(redactor)
    if options.answers.is_dir():
        answers(redactor, options.answers)


def share(gone: list[bool]) -> str:
    """Return "12 of 13 (92 %)"."""
    return f"{sum(gone)} of {len(gone)} ({100 * sum(gone) / max(1, len(gone)):.0f} %)"


def speed(redactor: Redactor, texts: list[str]) -> float:
    """Return microseconds of processor time per KiB of UTF-8."""
    began = time.process_time()
    for text in texts:
        redactor.text(text)
    return 1e6 * (time.process_time() - began) / (sum(len(text.encode()) for text in texts) / 1024)


def generated(redactor: Redactor) -> None:
    """Print recall on made-up values by country: taken out whole; of streets, in part at least."""
    faker: Any = importlib.import_module("faker")
    locales = (
        *(
            "en_US",
            "en_GB",
            "en_AU",
            "de_DE",
            "de_AT",
            "de_CH",
            "fr_FR",
            "es_ES",
            "it_IT",
            "nl_NL",
            "pl_PL",
            "pt_BR",
        ),
        *("pt_PT", "sv_SE", "da_DK", "fi_FI", "no_NO", "cs_CZ", "tr_TR", "ru_RU", "ko_KR"),
    )
    total: dict[str, list[bool]] = collections.defaultdict(list)
    heads = ("phone, named", "phone, bare", "street", "iban", "email", "card")
    print(f"\n{'generated':10} " + " ".join(f"{head:>13}" for head in heads))
    for locale in locales:
        faker.Faker.seed(11)
        fake = faker.Faker(locale)
        made: dict[str, tuple[str, Any]] = {
            "phone, named": ("phone: {}, evenings only", fake.phone_number),
            "phone, bare": ("we have {} on file", fake.phone_number),
            "street": ("send it to {} today", fake.street_address),
            "iban": ("pay to {} today", fake.iban),
            "email": ("write to {} today", fake.email),
            "card": ("use the card {} now", fake.credit_card_number),
        }
        shares = []
        for kind, (frame, make) in made.items():
            gone = []
            for _ in range(200):
                value = make().replace("\n", ", ").strip()
                text = frame.format(value)
                start = text.index(value)
                end = start + len(value)
                spans = redactor.find(text)
                if kind == "street":
                    gone.append(any(span.start < end and start < span.end for span in spans))
                else:
                    gone.append(any(span.start <= start and end <= span.end for span in spans))
            total[kind] += gone
            shares.append(f"{100 * sum(gone) / len(gone):.0f} %")
        print(f"{locale:10} " + " ".join(f"{part:>13}" for part in shares))
    print("all: " + ", ".join(f"{kind} {100 * sum(gone) / len(gone):.0f} %" for kind, gone in total.items()))


def answers(redactor: Redactor, folder: Path) -> None:
    """Count what is taken out of ordinary answers, of which few hold anything to take out."""
    print(f"\n{'ordinary answers':24} {'answers':>8} {'with any':>9}  by kind, per 1,000")
    for name in ORDINARY:
        path = folder / f"{name}.jsonl.gz"
        if not path.exists():
            continue
        with gzip.open(path, "rt", encoding="utf-8") as file:
            texts = [json.loads(row)["response"] for row in file][:2000]
        kinds: collections.Counter[str] = collections.Counter()
        changed = 0
        for text in texts:
            here = {span.kind for span in redactor.find(text)}
            kinds.update(here)
            changed += bool(here)
        per = 1000 / len(texts)
        by_kind = ", ".join(f"{kind} {count * per:.1f}" for kind, count in kinds.most_common())
        print(
            f"{name:24} {len(texts):8} {changed * per:9.1f}  {by_kind}; {speed(redactor, texts[:500]):.0f} us/KiB"
        )


if __name__ == "__main__":
    main()
