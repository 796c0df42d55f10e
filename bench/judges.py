"""How good the shipped judges are, whom they treat unequally, and what they cost.

    ./dev bench judges [--quick] [--data DIRECTORY] [--models FOLDER ...] [--write]

Each tier alone and the combined verdict, by the code that runs on a device, beside the n-gram floor trained in the same
run on the data that the judges learned from: rows of the sources' held-back splits, the own contrast set (held-out
templates and groups), ordinary answers, sentences that mention groups of people. Without the data it measures on the
contrast set (`contrast.jsonl.gz`) and on the mentions, and says so. About ten minutes on two cores, two with `--quick`.

Figures of sources left out, and of the float graph, which is not shipped, are the training's, made in hours:
`models/train/judges/folds.json` (`train.judges.combine`), and the judge's card. `--write` keeps the results as
`eval.json` in the folders of the two models.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

# What needs numpy is imported where it is used: the memory of the models is read before, beside no other user of it.
if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from stonechat_agent.scoring.judging.card import Card
    from stonechat_agent.scoring.judging.encoder import Encoder
    from stonechat_agent.scoring.judging.glance import Glance
    from stonechat_agent.scoring.judging.wordpiece import WordPiece
    from train.judges.assessment import Part
    from train.judges.figures import Said
    from train.judges.rows import Row

    Floats = NDArray[np.float64]

ROOT = Path(__file__).parent.parent
CONTRAST = Path(__file__).with_name("contrast.jsonl.gz")
FOLDS = ROOT / "models/train/judges/folds.json"
_CHUNK = 128
"""Rows that a process takes at a time. The last of each purpose `Judges` judges once more, so that what is measured is
what it says."""


class Sizes(NamedTuple):
    """How much is measured and trained."""

    held: int
    ordinary: int
    contrast_sets: int
    fillings: int
    floor: int


FULL = Sizes(held=500, ordinary=500, contrast_sets=1, fillings=4, floor=60_000)
QUICK = Sizes(held=50, ordinary=60, contrast_sets=5, fillings=1, floor=15_000)


def main() -> int:
    """Measure, print, and with ``--write`` keep the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="fewer rows: two minutes instead of ten")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument(
        "--models", type=Path, nargs="*", default=[], help="folders instead of the shipped ones"
    )
    parser.add_argument(
        "--write", action="store_true", help="keep the results as eval.json beside the models"
    )
    options = parser.parse_args()
    began = time.monotonic()
    memory = used_memory(options.models)
    cards = model_cards(options.models)
    print(f"{', '.join(f'{card.name} {card.version}' for card in cards.values())}; {machine()}")
    if not options.data.is_dir():
        print(
            f"{options.data}: no such folder: measured on the contrast set and on mentions, without the floor"
        )
    with ProcessPoolExecutor(
        os.cpu_count(), mp_context=get_context("spawn"), initializer=open_models, initargs=(options.models,)
    ) as pool:
        results = measured(options.data, QUICK if options.quick else FULL, cards, pool)
    results["memory_mib"] = memory
    results |= costs(options.models, cards)
    report(results)
    print(f"\n{time.monotonic() - began:.0f} s")
    if options.write:
        write(results, cards)
    return 0


def measured(data: Path, sizes: Sizes, cards: dict[str, Card], pool: Executor) -> dict[str, Any]:
    """Every figure that rows give; the processes of `pool` have the models open (`open_models`)."""
    from train.judges.assessment import assessed

    loaded = load_data(data)
    gathered = gather(data, loaded, sizes)
    said, checked = scored(gathered, cards, pool)
    if loaded:
        add_floor(loaded, gathered, said, sizes)
    return {
        "machine": machine(),
        "models": {card.name: card.version for card in cards.values()},
        "rows": {name: len(part.rows) for name, part in gathered.items()},
        "judged_again_by_judges": checked,
        **assessed(gathered, said),
        **from_training(cards["judge"]),
    }


def machine() -> str:
    """Cores, processor and Python, for the figures that depend on them."""
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{os.cpu_count()} cores, {name}, Python {platform.python_version()}"


def model_cards(folders: Sequence[Path]) -> dict[str, Card]:
    """The cards of tier 1 and 2, by kind.

    Raises:
        SystemExit: one of them is missing or was refused.
    """
    from stonechat_agent.scoring.judging import Judges

    judges = Judges(folders)
    judges.open_all()
    cards = {card.kind: card for card in judges.cards if card.kind in ("glance", "judge")}
    refused = [folder for folder in folders if folder not in [card.folder for card in judges.cards]]
    if len(cards) < 2 or refused:
        raise SystemExit(
            "; ".join(judges.faults) or "there is no glance or no judge; name folders with --models"
        )
    return cards


# What is measured.


def load_data(data: Path) -> list[Row]:
    """Every permitted row of the data; none where it is not."""
    from train.judges.rows import load

    return load(data).rows if data.is_dir() else []


def gather(data: Path, loaded: Sequence[Row], sizes: Sizes) -> dict[str, Part]:
    """The rows, by purpose: `held`, `ordinary`, `contrast`, `mentions`; the first two only where the data is."""
    from train.judges import bias, held
    from train.judges.assessment import NEVER_READ, ORDINARY, Part
    from train.judges.rows import HELD_BACK, Row, read
    from train.judges.sources import BARS, SOURCES

    # Empty answers are no rows of training and calibration: tier 0 sees them.
    own = [row for row in contrast(1).rows if row.response.strip()]
    used = held.calibrating(loaded, own)
    chosen = contrast(sizes.contrast_sets)
    mentions = bias.mentions(sizes.fillings)
    found = {
        "contrast": chosen._replace(fresh=held.fresh(chosen.rows, used)),
        "mentions": Part(
            [
                Row("", m.text, {"toxic": 0.0, "hate": 0.0}, "mentions", "mentions", "test", answer=True)
                for m in mentions
            ],
            [{"group": m.group, "context": m.sort} for m in mentions],
            [True] * len(mentions),
        ),
    }
    if not loaded:
        return found
    kept = [row for row in loaded if row.split in HELD_BACK]
    rows = held.some(kept, sizes.held)
    found["held"] = Part(rows, [], held.fresh(rows, used))
    never = [source for source in SOURCES if source.name in NEVER_READ]
    ordinary = [row for row in kept if row.source in ORDINARY]
    # A source that knows its ordinary answers apart labels them; one that holds nothing else has no labels.
    ordinary += [
        row
        for row in read(data, sources=never, include=frozenset(BARS))
        if row.labels or row.source.startswith("eval_only_")
    ]
    rows = held.some(ordinary, sizes.ordinary)
    found["ordinary"] = Part(rows, [], held.fresh(rows, used))
    return found


def contrast(one_in: int) -> Part:
    """The own contrast set, or one in so many of its sets."""
    from train.judges.assessment import Part
    from train.judges.own import PREFIX
    from train.judges.rows import Row

    rows, notes = [], []
    with gzip.open(CONTRAST, "rt", encoding="utf-8") as lines:
        for line in lines:
            made = json.loads(line)
            if zlib.crc32(made["set"].encode()) % one_in == 0:
                labels = {head: float(value) for head, value in made["labels"].items()}
                kind = PREFIX + made["kind"]
                rows.append(
                    Row(
                        made["prompt"],
                        made["response"],
                        labels,
                        kind,
                        kind,
                        "test",
                        pair=made["set"],
                        answer=True,
                    )
                )
                notes.append({name: made[name] for name in ("kind", "context", "group")})
    return Part(rows, notes, [True] * len(rows))


# Judging. The pool's processes run the same code as a device does, one thread each.


class _Opened(NamedTuple):
    glance: Glance
    judge: Encoder
    judges: Any


class Chunk(NamedTuple):
    """Logits of some rows, (rows, labels of the card), NaN where nothing can be judged; `Judges`' words if checked."""

    glance: Floats
    judge: Floats
    words: list[tuple[Any, Any]]


_opened: list[_Opened] = []


def open_models(folders: Sequence[Path]) -> None:
    """Open the models in a process of the pool."""
    from stonechat_agent.scoring.judging import Judges
    from stonechat_agent.scoring.judging.encoder import Encoder
    from stonechat_agent.scoring.judging.glance import Glance

    judges = Judges(folders)
    cards = {card.kind: card for card in judges.cards}
    _opened[:] = [_Opened(Glance(cards["glance"], 1), Encoder(cards["judge"], 1), judges)]


def judge_chunk(pairs: list[tuple[str, str]], checked: bool) -> Chunk:
    """Judge pairs in a process of the pool."""
    import numpy as np

    from stonechat_agent.scoring.tier0.languages import language

    (opened,) = _opened
    spoken = opened.judge.card.languages
    ats = [
        at
        for at, (_, answer) in enumerate(pairs)
        if answer.strip() and (not spoken or language(answer) in (None, *spoken))
    ]
    first, own = (
        np.full((len(pairs), len(model.card.labels)), np.nan) for model in (opened.glance, opened.judge)
    )
    chosen = [pairs[at] for at in ats]
    first[ats], own[ats] = opened.glance.run(chosen).logits, opened.judge.run(chosen).logits
    words = list(zip(opened.judges.glance(pairs), opened.judges.judge(pairs), strict=True)) if checked else []
    return Chunk(first, own, words)


def scored(
    gathered: dict[str, Part], cards: dict[str, Card], pool: Executor
) -> tuple[dict[str, dict[str, Said]], int]:
    """What each tier says, ``{purpose: {"glance", "encoder", "judge"}}``, and how many rows `Judges` judged as well.

    `encoder` is tier 2 without tier 1's word, `judge` is its verdict.

    Raises:
        SystemExit: `Judges` says something else.
    """
    import numpy as np

    glance, judge = cards["glance"], cards["judge"]
    submitted: dict[str, list[tuple[list[int], Future[Chunk]]]] = defaultdict(list)
    for name, part in gathered.items():
        # By length, long ones first, so that no process is left with them at the end.
        order = sorted(range(len(part.rows)), key=lambda at: -len(part.rows[at].response))
        chunks = [order[start : start + _CHUNK] for start in range(0, len(order), _CHUNK)]
        for ats in chunks:
            pairs = [(part.rows[at].prompt, part.rows[at].response) for at in ats]
            submitted[name].append((ats, pool.submit(judge_chunk, pairs, ats is chunks[-1])))
    found: dict[str, dict[str, Said]] = {}
    checked = 0
    for name, parts in submitted.items():
        rows = gathered[name].rows
        own = np.full((len(rows), len(judge.labels)), np.nan)
        first = np.full((len(rows), len(glance.labels)), np.nan)
        words: list[tuple[int, Any, Any]] = []
        for ats, future in parts:
            chunk = future.result()
            own[ats], first[ats] = chunk.judge, chunk.glance
            words += [(at, *both) for at, both in zip(ats, chunk.words, strict=False)]
        prompted = np.array([bool(row.prompt.strip()) for row in rows])
        fresh = np.array(gathered[name].fresh, dtype=bool)
        found[name] = {
            "glance": verdict(glance, first, prompted, fresh),
            "encoder": verdict(judge, own, prompted, fresh),
            "judge": verdict(judge, own, prompted, fresh, combined_with=(glance, first)),
        }
        compare(words, found[name])
        checked += len(words)
    return found, checked


def verdict(
    card: Card,
    logits: Floats,
    prompted: NDArray[np.bool_],
    fresh: NDArray[np.bool_],
    combined_with: tuple[Card, Floats] | None = None,
) -> Said:
    """Scores and flags of a card's heads as `Judges` makes them, but for the rounding of the scores."""
    import numpy as np

    from train.judges.figures import Said
    from train.judges.sources import HEADS

    scores = np.full((len(logits), len(HEADS)), np.nan)
    flags = np.zeros(scores.shape, dtype=bool)
    for label in card.labels:
        odds = label.scale * logits[:, label.column] + label.shift
        weights = card.combine.get(label.name)
        if combined_with is not None and weights is not None:
            other, others = combined_with
            column = next((o.column for o in other.labels if o.name == label.name), None)
            if column is not None:
                odds = (
                    weights.judge * logits[:, label.column]
                    + weights.glance * others[:, column]
                    + weights.shift
                )
        score = 1 / (1 + np.exp(-np.clip(odds, -700, 700)))
        if label.needs_prompt:
            score[~prompted] = np.nan
        at = HEADS.index(label.name)
        scores[:, at] = score
        flags[:, at] = [not np.isnan(s) and label.flags(round(float(s), 4)) for s in score]
    return Said(scores, flags, fresh)


def compare(words: Iterable[tuple[int, Any, Any]], said: dict[str, Said]) -> None:
    """Hold what is measured against what `Judges` said of the same rows.

    Raises:
        SystemExit: they differ.
    """
    import numpy as np

    from train.judges.sources import HEADS

    for at, *judged in words:
        for name, word in zip(("glance", "judge"), judged, strict=True):
            mine = {
                head: float(said[name].scores[at, HEADS.index(head)])
                for head in HEADS
                if not np.isnan(said[name].scores[at, HEADS.index(head)])
            }
            if mine.keys() != word.scores.keys() or any(
                abs(mine[head] - score) > 2e-4 for head, score in word.scores.items()
            ):
                raise SystemExit(
                    f"row {at}: {name} says {word.scores} on a device, and was measured with {mine}"
                )


def add_floor(
    loaded: Sequence[Row], gathered: dict[str, Part], said: dict[str, dict[str, Said]], sizes: Sizes
) -> None:
    """Train the floor on what the judges are trained on, and let it judge the same rows."""
    import numpy as np

    from train.judges.figures import Said
    from train.judges.floor import Floor, features, targets
    from train.judges.own import own_rows
    from train.judges.sampling import Sampler

    drawn = Sampler([*loaded, *own_rows()], size=sizes.floor, seed=0).epoch(0)
    floor = Floor(seed=0).fit(features(drawn), targets(drawn))
    print(
        f"floor: trained on {len(drawn)} rows of the sources that the judges learned from, own examples included"
    )
    for name, part in gathered.items():
        logits = floor.logits(features(part.rows)).astype(np.float64)
        scores = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
        # What the judges withhold, the floor is not asked about: figures stand on the same rows.
        scores[np.isnan(said[name]["judge"].scores)] = np.nan
        said[name]["floor"] = Said(scores, np.zeros(scores.shape, dtype=bool), said[name]["judge"].fresh)


def from_training(judge: Card) -> dict[str, Any]:
    """What only the training can measure: sources left out (`combine`), and the float graph, from the judge's card."""
    from stonechat_models import read_card

    found: dict[str, Any] = {}
    if FOLDS.is_file():
        found["folds"] = json.loads(FOLDS.read_text(encoding="utf-8"))
    int8 = read_card(judge.folder).get("figures", {}).get("int8")
    return found | ({"int8": int8} if int8 else {})


# Costs.

_MEMORY = """
import ctypes, gc, json, sys
from pathlib import Path

def read():
    try:
        text = Path("/proc/self/smaps_rollup").read_text()
    except OSError:
        return None
    found = dict(line.split()[:2] for line in text.splitlines()[1:])
    return {"pss": round(int(found["Pss:"]) / 1024, 1), "resident": round(int(found["Rss:"]) / 1024, 1)}

def trimmed():
    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        pass
    return read()

from stonechat_agent.scoring.judging import Judges

out = {"before": read()}
judges = Judges(sys.argv[1:])
text = "An answer of some words, and then a few more of them, so that there is a text. " * 40
for pairs in ([("A question?", text[:80])] * 8, [("A question?", text[:600])] * 8, [("A question?", text)]):
    judges.glance(pairs)
    judges.judge(pairs)
out["both tiers"] = trimmed()
judges.unload(2)
out["tier 2 unloaded"] = trimmed()
judges.unload(1)
out["both unloaded"] = trimmed()
print(json.dumps(out))
"""


def used_memory(folders: Sequence[Path]) -> dict[str, Any]:
    """MiB of a process with both tiers open that has judged, and after unloading; None where Linux does not tell."""
    done = subprocess.run(
        [sys.executable, "-c", _MEMORY, *map(str, folders)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"judges: a process of its own cannot open the models:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def costs(folders: Sequence[Path], cards: dict[str, Card]) -> dict[str, Any]:
    """Time of an answer of 32, 128 and 512 tokens on one thread, answers a second of the command, bytes on disk."""
    from stonechat_agent.scoring.judging import Judges
    from stonechat_agent.scoring.judging.tokens import Tokens
    from stonechat_agent.scoring.judging.wordpiece import WordPiece

    judges = Judges(folders)
    tokens, wordpiece = Tokens(cards["judge"]), WordPiece.load(cards["judge"].folder / "vocab.txt")
    text = " ".join(row.response for row in contrast(20).rows if not row.source.endswith("/spelling"))
    found: dict[str, Any] = {}
    for wanted in (32, 128, 512):
        answer = of_tokens(wordpiece, text, wanted)
        pair = [("", answer)]
        found[f"{wanted} tokens"] = {
            "characters": len(answer),
            "windows": len(tokens.windows("", answer)),
            "glance": timed(lambda pair=pair: judges.glance(pair), 400),
            "judge": timed(lambda pair=pair: judges.judge(pair), 60),
        }
    return {
        "disk_bytes": {kind: card.size_bytes for kind, card in cards.items()},
        "milliseconds": found,
        # The command reads the settings' folders: others are not measured by it.
        "answers_a_second": None if folders else throughput(of_tokens(wordpiece, text, 32)),
    }


def of_tokens(wordpiece: WordPiece, text: str, wanted: int) -> str:
    """The beginning of a text that is `wanted` tokens long as a row, special ones included, or as near as words go."""
    words = text.split(" ")
    low, high = 1, wanted

    def length(count: int) -> int:
        return 3 + len(wordpiece.encode(" ".join(words[:count])))

    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if length(middle) <= wanted else (low, middle - 1)
    return " ".join(words[:low])


def timed(run: Any, times: int) -> dict[str, float]:
    """p50 and p90 of a call, in milliseconds."""
    for _ in range(5):
        run()
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        run()
        spent.append(1000 * (time.perf_counter() - began))
    cuts = statistics.quantiles(spent, n=10)
    return {"p50": round(cuts[4], 3), "p90": round(cuts[8], 3)}


def throughput(answer: str, lines: int = 3000) -> float:
    """Answers a second of `stonechat score --tier 2`, its start included, on every core."""
    asked = "".join(json.dumps({"id": n, "response": f"{answer} {n}"}) + "\n" for n in range(lines))
    began = time.monotonic()
    done = subprocess.run(
        [str(Path(sys.executable).with_name("stonechat")), "score", "--tier", "2"],
        input=asked,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode or len(done.stdout.splitlines()) != lines:
        raise SystemExit(f"judges: stonechat score failed:\n{done.stderr}")
    return round(lines / (time.monotonic() - began), 1)


# Words.


def number(value: float | None, width: int = 8, places: int = 3) -> str:
    """A figure in its column; `-` for None."""
    return "-".rjust(width) if value is None else f"{value:{width}.{places}f}"


def report(results: dict[str, Any]) -> None:
    """Print the figures."""
    from train.judges.demands import demands

    for name, title in (
        ("held", "held-back rows of seen sources"),
        ("contrast", "own contrast set, held out"),
    ):
        if name in results:
            print_heads(title, results[name])
    if "parts" in results:
        for title, part in results["parts"].items():
            told = ", ".join(f"{judge} {number(row['roc_auc'], 0)}" for judge, row in part.items())
            print(f"{title}: ROC-AUC {told}")
        ranks = ", ".join(
            f"{judge} {number(value, 0)}" for judge, value in results["quality_rank_correlation"].items()
        )
        print(f"quality, rank correlation within a source, mean: {ranks}")
    print_kinds(results["kinds"])
    print_contexts(results["contexts"])
    print_slices(results["slices"])
    for source, row in results["contradiction"].items():
        told = ", ".join(f"{name} {number(value, 0)}" for name, value in row.items() if name != "rows")
        print(f"self-contradiction, {source} ({row['rows']} rows): ROC-AUC {told}")
    if "ordinary" in results:
        print_ordinary(results["ordinary"])
    print_bias(results["bias"])
    print_costs(results)
    print(f"\n{'asked':74}{'target':>14}  found")
    for asked in demands(results):
        word = {True: "met", False: "MISSED", None: "-"}[asked.met]
        print(f"{asked.what:74}{asked.target:>14}  {word:7}{asked.found}")


def print_heads(title: str, found: dict[str, Any]) -> None:
    """One line a head: ranking by each tier, and the verdict at its shipped threshold."""
    judges = [name for name in ("floor", "glance", "encoder", "judge") if name in found]
    print(
        f"\n{title}: ROC-AUC by judge; of the verdict (judge) the rest, from F1 on without rows that set thresholds"
    )
    print(
        f"{'head':11}{'rows':>7}{'raised':>8}"
        + "".join(f"{name:>9}" for name in judges)
        + f"{'PR-AUC':>9}{'F1':>7}{'recall':>8}{'precis.':>8}{'ECE':>7}"
    )
    for head, row in found["judge"].items():
        aucs = "".join(number(found[name].get(head, {}).get("roc_auc"), 9) for name in judges)
        rest = (
            number(row["pr_auc"], 9) + number(row["f1"], 7) + number(row["recall"]) + number(row["precision"])
        )
        print(f"{head:11}{row['rows']:>7}{row['raised']:>8}{aucs}{rest}{number(row['ece'], 7)}")


def print_kinds(found: dict[str, Any]) -> None:
    """One line a kind of the contrast set."""
    columns = f"{'rows':>6}{'macro-F1':>10}{'recall':>8}{'false':>7}{'AUC':>7}{'tier 1':>12}{'AUC':>7}"
    print(f"\n{'own contrast sets':18}{columns}")
    for kind, by_judge in found.items():
        row, first = by_judge["judge"], by_judge["glance"]
        print(
            f"{kind:18}{row['rows']:>6}{number(row['macro_f1'], 10)}{number(row['recall'])}"
            f"{number(row['false_rate'], 7)}{number(row['roc_auc'], 7)}"
            f"{number(first['macro_f1'], 12)}{number(first['roc_auc'], 7)}"
        )


def print_contexts(found: dict[str, Any]) -> None:
    """Contexts of the contrast set: caught of the harmful, flagged of the harmless."""
    print(f"\n{'context (harms)':30}{'harmful, caught':>18}{'harmless, flagged':>20}")
    for name, row in found.items():
        if row["harmful"] + row["harmless"] >= 20:
            caught = f"{row['caught']} of {row['harmful']}" if row["harmful"] else "-"
            flagged = f"{row['flagged']} of {row['harmless']}" if row["harmless"] else "-"
            print(f"{name:30}{caught:>18}{flagged:>20}")


def print_slices(found: dict[str, Any]) -> None:
    """Results of `toxic` by slice."""
    for title, part in found.items():
        print(f"\ntoxic, {title}")
        for name, row in part.items():
            print(
                f"  {name:28}{row['rows']:>6} rows, ROC-AUC{number(row['roc_auc'], 7)}, F1{number(row['f1'], 7)}"
            )


def print_ordinary(found: dict[str, Any]) -> None:
    """Flags per 1,000 ordinary answers."""
    print("\nordinary answers, flags per 1,000")
    for judge in ("glance", "judge"):
        for name in ("all", "seen sources", "sources never read"):
            row = found[judge][name]
            told = ", ".join(f"{head} {rate:g}" for head, rate in row.items() if head != "answers" and rate)
            print(f"  {judge:7}{name:20}{row['answers']:>6} answers: {told or 'none'}")


def print_bias(found: dict[str, Any]) -> None:
    """False positives by group where there are any, and the AUCs."""
    print("\nharmless mentions of groups, flagged by the verdict, per 1,000")
    for name, by_harm in found["judge"]["false_positives"].items():
        told = ", ".join(f"{harm} {1000 * table['rate']:.1f}" for harm, table in by_harm.items())
        print(f"  {name:22}{by_harm['toxic']['rows']:>6} sentences: {told}")
    table = found["judge"]["false_positives"]["neutral and positive"]["toxic"]
    worst = sorted(table["groups"].items(), key=lambda item: -item[1]["rate"])[:8]
    if table["rate"]:
        told = ", ".join(f"{name} {1000 * row['rate']:.0f}" for name, row in worst if row["rate"])
        print(f"  most often, toxic, neutral and positive: {told}")
    for name in ("held", "contrast"):
        figures = found["judge"].get(f"aucs, {name}")
        if figures is None:
            continue
        print(f"\ntoxic by mentioned group, {name}: {'rows':>6}{'subgroup':>10}{'BPSN':>8}{'BNSP':>8}")
        for group, row in figures.items():
            if row["subgroup"] is not None:
                print(
                    f"  {group:28}{row['rows']:>8}{number(row['subgroup'], 10)}"
                    f"{number(row['bpsn'])}{number(row['bnsp'])}"
                )


def print_costs(results: dict[str, Any]) -> None:
    """Time and memory."""
    print("\none answer, one thread, p50 / p90 in ms")
    for name, row in results["milliseconds"].items():
        told = "; ".join(
            f"{tier} {row[tier]['p50']:.2f} / {row[tier]['p90']:.2f}" for tier in ("glance", "judge")
        )
        print(f"  {name:12}{row['characters']:>6} characters, {row['windows']} windows: {told}")
    for name, used in results["memory_mib"].items():
        if used is not None:
            print(f"  memory, {name:18} PSS {used['pss']:6.1f} MiB, resident {used['resident']:6.1f} MiB")


def write(results: dict[str, Any], cards: dict[str, Card]) -> None:
    """Keep the results as `eval.json` beside each model: all of it for tier 2, its own figures for tier 1.

    What the training measured is not repeated: it stands in `folds.json` and in the judge's card.
    """
    from train.judges.demands import demands

    asked = [row._asdict() for row in demands(results)]
    everything = {name: part for name, part in results.items() if name not in ("folds", "int8")}
    own = {"machine": results["machine"], "models": results["models"]}
    for name in ("held", "contrast", "ordinary", "bias"):
        if name in results:
            own[name] = results[name]["glance"]
    own["kinds"] = {kind: row["glance"] for kind, row in results["kinds"].items()}
    own["milliseconds"] = {name: row["glance"] for name, row in results["milliseconds"].items()}
    for kind, content in (("judge", everything | {"asked": asked}), ("glance", own)):
        path = cards[kind].folder / "eval.json"
        # A line a part: small, and a change of one part is a change of one line.
        lines = [
            f"{json.dumps(name)}:{json.dumps(part, separators=(',', ':'))}" for name, part in content.items()
        ]
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        print(f"written: {path}")


if __name__ == "__main__":
    raise SystemExit(main())
