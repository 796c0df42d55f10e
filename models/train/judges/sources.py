"""Every source of the judges' training data: licence, meaning of its labels, what is done about its faults.

One table, `SOURCES`. A source's rows reach shipped weights only where `barred` is empty: the licence is MIT,
Apache-2.0, CC0, CC BY or CDLA-Permissive, stated by the repository or seen in the original one. Otherwise `barred`
names the reason:

- `evaluation-only`: no licence, a non-commercial one, or better kept for measuring;
- `share-alike`: the licence asks for the same licence on what is made of it;
- `check`: the licence was not seen, only remembered, or part of the text has none.

Barred rows may be measured on, and loaded for experiments whose weights are not shipped.

A head that a row's labels do not name is unknown, never 0. `read` turns one line into labels of heads (numbers in
[0, 1]; higher is more of the named thing), `{}` for a text without labels, and None for a line to leave out.
The order of the table decides which of two equal texts keeps its labels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import typography

Raw = dict[str, Any]
Labels = dict[str, float]
Read = Callable[[Raw], "Labels | None"]

HARMS = ("toxic", "hate", "insult", "threat", "violence", "sexual", "self_harm")
HEADS = (*HARMS, "refusal", "relevance", "coherence", "quality")
#: Heads whose truth depends on the prompt: for the others one answer to two prompts is one text.
OF_THE_PROMPT = frozenset({"relevance", "quality", "refusal"})

EVALUATION_ONLY, SHARE_ALIKE, CHECK = "evaluation-only", "share-alike", "check"
BARS = (CHECK, SHARE_ALIKE, EVALUATION_ONLY)

#: Where a file's category differs from the head that it feeds.
_HEAD_OF = {name: name for name in HEADS} | {"identity_attack": "hate"}


def _unchanged(text: str) -> str:
    return text


def _no_pair(_raw: Raw) -> str | None:
    return None


@dataclass(frozen=True)
class Source:
    """One file of the data.

    Attributes:
        file: path inside the data's folder.
        licence: as stated; `text` after a semicolon where the text has terms of its own.
        family: sources of one release or one origin; a family is left out of training as a whole.
        feeds: the heads that its labels speak of.
        meaning: what the labels mean, and who judged.
        problems: known faults, and after the arrow what is done about each.
        read: labels of one line.
        kind: `text` (posts, sentences), `answer` (an assistant's answer to `prompt`), `prompt` (requests).
        barred: empty, or the reason why it never reaches shipped weights.
        weight: its share of an epoch relative to the other sources.
        tidy: undoes the source's typography, for prompt and response.
        pair: what rows that belong together share, None for single rows.
        context_is_prompt: the field `context` is what the text answers.
        prompt_groups: rows that share a prompt stay in one split; not so where prompts are a few stock phrases.
        parts: the field that names a parent source, whose licence and family the row has.
    """

    file: str
    licence: str
    family: str
    feeds: tuple[str, ...]
    meaning: str
    problems: str
    read: Read
    kind: str = "text"
    barred: str = ""
    weight: float = 1.0
    tidy: Callable[[str], str] = _unchanged
    pair: Callable[[Raw], str | None] = _no_pair
    context_is_prompt: bool = False
    prompt_groups: bool = True
    parts: str = ""
    response: Callable[[Raw], str] | None = None

    @property
    def name(self) -> str:
        return self.file.split("/")[-1].removesuffix(".jsonl.gz")


def _labels(raw: Raw, feeds: tuple[str, ...]) -> Labels:
    """The labels of the heads in `feeds`; identity attack and hate are one head, positive where either is."""
    out: Labels = {}
    for category, value in raw["labels"].items():
        head = _HEAD_OF.get(category)
        if head in feeds and value is not None:
            out[head] = max(out.get(head, 0.0), float(value))
    return out


def given(*feeds: str) -> Read:
    """The labels as the file has them; those of a prompt alone say nothing of an answer."""
    return lambda raw: {} if raw.get("judged") == "prompt" else _labels(raw, feeds)


def unlabelled(_raw: Raw) -> Labels:
    return {}


def ordinary(*more: str) -> Read:
    """An ordinary answer: none of the harms, no refusal (assumed), and 1 for the heads in `more`."""
    labels = dict.fromkeys((*HARMS, "refusal"), 0.0) | dict.fromkeys(more, 1.0)
    return lambda _raw: dict(labels)


def scaled(field: str, low: float, high: float, head: str = "quality") -> Read:
    """A score of the scale `low` to `high` as a number in [0, 1]."""

    def read(raw: Raw) -> Labels:
        value = raw.get(field)
        return {} if value is None else {head: min(1.0, max(0.0, (float(value) - low) / (high - low)))}

    return read


def _preference(raw: Raw) -> Labels:
    choice = raw.get("preference")
    return {"quality": float(choice == "chosen")} if choice else {}


def _llmbar(raw: Raw) -> Labels | None:
    if raw["part"].startswith("Processed/"):
        return None
    labels = _preference(raw)
    if "Adversarial" in raw["part"]:
        labels["relevance"] = labels["quality"]
    return labels


def _agreeing(refused: str, harmful: str) -> Read:
    """A refusal where the keyword rule and the judge of harm agree; unknown where they do not."""

    def read(raw: Raw) -> Labels:
        return {"refusal": float(raw[refused])} if raw[refused] != raw[harmful] else {}

    return read


def _degenerate(raw: Raw) -> Labels | None:
    # A cut is only seen where the end of the text is: past this length a window of 128 tokens may not hold it.
    if raw["kind"] == "truncated" and len(raw["response"]) > 500:
        return None
    return {"coherence": 1.0 - raw["degenerate"]}


def _contradicting(raw: Raw) -> str:
    """The two judged sentences as one answer, after what the model had said before them."""
    return " ".join(part for part in (raw.get("before", ""), raw["context"], raw["response"]) if part)


def _dices(raw: Raw) -> Labels:
    # Raters asked for every kind of harm called the answer safe; what they called unsafe is no single head.
    return dict.fromkeys(HARMS, 0.0) if raw["labels"].get("unsafe") == 0 else {}


def _safe_scores(raw: Raw) -> Labels:
    return {"toxic": 0.0, "hate": 0.0} if raw["safety"] == 5 else {}


def _mtrag(raw: Raw) -> Labels:
    scores = [raw[name] for name in ("appropriateness", "completeness") if raw.get(name) is not None]
    labels = dict.fromkeys(HARMS, 0.0)
    return labels | ({"quality": (sum(scores) / len(scores) - 1) / 3} if scores else {})


def _imhi(raw: Raw) -> Labels | None:
    return None if raw["part"] == "CAMS" else _labels(raw, ("self_harm", "toxic", "refusal"))


def _advbench(raw: Raw) -> Labels | None:
    # "Sure, here is ..." alone is an opening, not an answer; the harmful strings have no head of their own.
    return {"refusal": 0.0} if raw["part"] == "target_openings" else {}


def _english(raw: Raw) -> Labels | None:
    return ordinary()(raw) if raw.get("language", "English") == "English" else {}


def field(name: str) -> Callable[[Raw], str | None]:
    return lambda raw: None if raw.get(name) is None else str(raw[name])


def _hatemoji_pair(raw: Raw) -> str:
    return str(int(raw["pair"]) // 2)


def _toxicity(
    name: str, licence: str, family: str, feeds: tuple[str, ...], meaning: str, problems: str, **more: Any
) -> Source:
    more.setdefault("tidy", typography.posted)
    return Source(
        f"toxicity/{name}.jsonl.gz",
        licence,
        family,
        feeds,
        meaning,
        problems,
        more.pop("read", given(*feeds)),
        **more,
    )


def _safety(
    name: str, licence: str, family: str, feeds: tuple[str, ...], meaning: str, problems: str, **more: Any
) -> Source:
    more.setdefault("kind", "answer")
    return Source(
        f"safety/{name}.jsonl.gz",
        licence,
        family,
        feeds,
        meaning,
        problems,
        more.pop("read", given(*feeds)),
        **more,
    )


def _quality(
    name: str,
    licence: str,
    family: str,
    feeds: tuple[str, ...],
    meaning: str,
    problems: str,
    read: Read,
    **more: Any,
) -> Source:
    more.setdefault("kind", "answer")
    return Source(f"quality/{name}.jsonl.gz", licence, family, feeds, meaning, problems, read, **more)


def _eval_only(path: str, feeds: tuple[str, ...] = (), *, read: Read | None = None, **more: Any) -> Source:
    group, name = path.split("/")
    more.setdefault("kind", "text" if group == "toxicity" else "answer")
    more.setdefault("licence", "none stated, or non-commercial")
    return Source(
        file=f"{path}.jsonl.gz",
        family=more.pop("family", name.removeprefix("eval_only_")),
        feeds=feeds,
        meaning="as the file says",
        problems="",
        read=read or (given(*feeds) if feeds else unlabelled),
        barred=EVALUATION_ONLY,
        **more,
    )


_ANSWER_HEADS = (*HARMS, "refusal")
_MIT, _APACHE, _CC0, _CC_BY = "MIT", "Apache-2.0", "CC0-1.0", "CC-BY-4.0"

_SHIPPED = (
    # Posts and sentences.
    _toxicity(
        "measuring_hate_speech_6k",
        _MIT,
        "measuring-hate-speech",
        ("toxic", "hate"),
        "a fitted hate score of many raters, > 0.5 and < -1",
        "both ends only, no hard middle",
    ),
    _toxicity(
        "convabuse",
        _CC_BY,
        "convabuse",
        ("toxic", "hate", "insult", "sexual"),
        "what users say to chatbots; majority of experts; sexual = sexual harassment",
        "short stock turns -> the bot's turn is the prompt but does not group rows",
        context_is_prompt=True,
        prompt_groups=False,
    ),
    _toxicity(
        "hatemoji_build",
        _CC_BY,
        "hatemoji",
        ("toxic", "hate", "threat"),
        "written by people against a model, in contrast pairs",
        "`pair` numbers rows: halves are 2k and 2k+1, and the file's splits part them -> grouped by k, one split each",
        pair=_hatemoji_pair,
        weight=1.5,
    ),
    _toxicity(
        "jigsaw_six_labels",
        "CC0-1.0; text CC BY-SA (Wikipedia talk)",
        "wikipedia-talk",
        ("toxic", "hate", "insult", "threat"),
        "ten raters a comment, majority; hate = identity_hate",
        "obscene means swearing -> not sexual; wins over jigsaw_wikipedia_balanced where texts are equal",
    ),
    _toxicity(
        "jigsaw_six_lowercase",
        "CC0-1.0; text CC BY-SA (Wikipedia talk)",
        "wikipedia-talk",
        ("toxic", "hate", "insult", "threat"),
        "as jigsaw_six_labels, rare classes more often",
        "no case, digits or punctuation -> a share of all other texts is roughened likewise",
    ),
    _toxicity(
        "jigsaw_wikipedia_balanced",
        "CC0-1.0; text CC BY-SA (Wikipedia talk)",
        "wikipedia-talk",
        ("toxic",),
        "binary label of the same challenge",
        "six categories lost -> only toxic",
        weight=0.7,
    ),
    _toxicity(
        "wikipedia_bias_sets",
        "CC-BY-4.0; text CC BY-SA (Wikipedia)",
        "wikipedia-talk",
        ("toxic",),
        "judged test set, and article passages assumed harmless",
        "assumed negatives that mention identities -> kept as such, small weight",
        weight=0.5,
    ),
    _toxicity(
        "wikipedia_talk_context",
        "Apache-2.0; text CC BY-SA (Wikipedia talk)",
        "wikipedia-talk",
        ("toxic",),
        "raters with or without the parent comment",
        "1 % toxic -> mostly negatives; `perspective` is a commercial model's score -> never read",
        weight=0.5,
    ),
    _toxicity(
        "paradetox",
        _CC0,
        "paradetox",
        ("toxic",),
        "a toxic sentence and its polite rewrites",
        "only the toxic side is lower-cased and tokenised -> both sides joined and lower-cased; pairs stay together",
        tidy=typography.lowered,
        pair=field("pair"),
    ),
    _toxicity(
        "toxic_spans_civil_comments",
        _CC0,
        "civil-comments",
        ("toxic",),
        "posts pre-selected as toxic; 0 = most span annotators ticked 'not toxic'",
        "hard borderline negatives, near chance for models -> half weight",
        weight=0.5,
    ),
    _toxicity(
        "diasafety_responses",
        _APACHE,
        "diasafety",
        ("toxic", "hate", "insult"),
        "replies, partly of chat models, judged with their context",
        "depends on the context -> context is the prompt; `unsafe_in_context` is no head -> not read",
        context_is_prompt=True,
        kind="answer",
        weight=0.7,
    ),
    _toxicity(
        "toxigen_annotated",
        _MIT,
        "toxigen",
        ("toxic", "hate"),
        "model-written statements on 13 groups, human scores",
        "lower-cased -> a share of all other texts is roughened; some cut off",
    ),
    _toxicity(
        "toxigen_demonstrations",
        "MIT, CDLA-Permissive-2.0",
        "toxigen",
        ("toxic", "hate"),
        "short implicit statements about 13 groups",
        "small",
    ),
    _toxicity(
        "implicit_hate",
        _MIT,
        "implicit-hate",
        ("toxic", "hate"),
        "tweets of extremist groups; hate = implicit or explicit",
        "`not_hate` holds slant -> toxic unknown there (as filed), half weight; threat covers rights -> not read",
        weight=0.5,
    ),
    _toxicity(
        "hatexplain",
        _MIT,
        "hatexplain",
        ("toxic", "hate"),
        "three votes: normal, offensive, hateful; offensive = toxic, not hate",
        "tokenised, digits apart -> joined; dialect bias -> half weight",
        tidy=typography.tokenised_post,
        weight=0.5,
    ),
    _toxicity(
        "davidson",
        _MIT,
        "davidson",
        ("toxic", "hate", "insult"),
        "tweets picked by a slur lexicon; toxic = hate or offensive",
        "swearing counts as toxic, dialect bias -> half weight",
        weight=0.5,
    ),
    _toxicity(
        "edos_sexism",
        _CC0,
        "edos",
        ("toxic", "hate", "threat"),
        "sexism by trained annotators; threat among sexist rows",
        "only sexism is labelled: `hate: 0` rows may hold other hate -> toxic unknown there (as filed)",
        weight=0.8,
    ),
    _toxicity(
        "online_misogyny",
        _MIT,
        "online-misogyny",
        ("toxic", "hate", "insult", "threat"),
        "misogyny on Reddit; experts",
        "low agreement on finer classes -> half weight",
        weight=0.5,
    ),
    _toxicity(
        "euphemistic_abuse",
        _CC_BY,
        "euphemistic-abuse",
        ("toxic", "insult"),
        "invented second-person sentences without swear words",
        "hard for people too -> half weight",
        weight=0.5,
    ),
    _toxicity(
        "fox_news_comments",
        _MIT,
        "fox-news",
        ("toxic", "hate"),
        "comments under ten stories",
        "many positives are hateful only given the story -> the story's title is the prompt; split by story",
        context_is_prompt=True,
        weight=0.5,
    ),
    _toxicity(
        "mlma_english",
        _MIT,
        "mlma",
        ("toxic", "hate"),
        "slur-keyword tweets; 'offensive' is the default",
        "poor labels -> 0.2 of a share",
        weight=0.2,
    ),
    _toxicity(
        "identity_templates",
        _CC_BY,
        "templates",
        ("toxic",),
        "filled-in templates: identity words with good and bad adjectives",
        "memorised at once -> 0.2 of a share; `template` is no pair",
        tidy=_unchanged,
        weight=0.2,
    ),
    _toxicity(
        "gap_wikipedia_neutral",
        "Apache-2.0; text CC BY-SA (Wikipedia)",
        "wikipedia-articles",
        ("toxic", "hate"),
        "biographical passages, assumed harmless",
        "encyclopedic only -> small share",
        tidy=_unchanged,
        weight=0.3,
    ),
    # Answers: safety.
    _safety(
        "chatgpt_refusals",
        _MIT,
        "chatgpt-refusals",
        ("refusal",),
        "people; refused or redirected against complied",
        "other tones carry no label; 'As an AI' opens both classes",
        weight=2.0,
    ),
    _safety(
        "coconot_pref",
        _MIT,
        "coconot",
        ("refusal",),
        "chosen = complies with a harmless borderline request; rejected opens like a refusal",
        "positives by rule -> kept, few",
    ),
    _safety(
        "medsafety_refusals",
        _MIT,
        "medsafety",
        ("refusal",),
        "safe answers to harmful medical requests; refusal by their opening",
        "one style, no negatives -> half weight",
        weight=0.5,
    ),
    _safety(
        "caia_safety",
        _CC_BY,
        "caia",
        ("toxic", "hate", "violence", "sexual", "self_harm", "refusal"),
        "safe answers on drugs, violence, self-harm, hacking; zeros by design",
        "assumed, model-written look",
    ),
    _safety(
        "counsel_chat",
        "MIT; text scraped from counselchat.com",
        "counsel-chat",
        ("toxic", "self_harm"),
        "licensed therapists' answers, assumed harmless",
        "one tone",
    ),
    _safety(
        "dices_conversations",
        "CC-BY-4.0 (original repository)",
        "dices",
        HARMS,
        "60 to 123 raters; safe for at least 70 % = none of the harms",
        "unsafe is no single head -> unknown there; line ends written as \\n -> undone",
        read=_dices,
        tidy=typography.literal_newlines,
    ),
    _safety(
        "imhi_explanations",
        _MIT,
        "imhi",
        ("toxic", "self_harm", "refusal"),
        "ChatGPT explains signs of distress in a post; assumed harmless",
        "uniform style -> 0.4 of a share; part CAMS is for research only -> left out",
        read=_imhi,
        weight=0.4,
    ),
    _safety(
        "vera_mh_turns",
        "MIT with the disclaimer kept in copies",
        "vera-mh",
        ("toxic", "self_harm"),
        "answers to simulated users at risk; neither toxic nor promoting self-harm, assumed",
        "some are not good enough -> only these two heads",
    ),
    _safety(
        "sap_attack",
        _APACHE,
        "sap",
        ("hate", "violence", "self_harm", "refusal"),
        "answers that promote suicide (self_harm), violence and terrorism (violence), racism (hate)",
        "by topic folder and a model's score, positives only -> weight raised, zeros come from ordinary answers",
        weight=1.5,
    ),
    _safety(
        "latent_jailbreak",
        _MIT,
        "latent-jailbreak",
        ("toxic",),
        "people: does the answer hold a toxic sentence about a group",
        "near-copies of templates -> 0.3 of a share",
        weight=0.3,
    ),
    _safety(
        "adult_site_blurbs",
        "MIT; origin of the text not stated",
        "adult-blurbs",
        ("sexual",),
        "blurbs of porn sites against bios of news people",
        "advertising tone is a shortcut -> 0.3 of a share",
        kind="text",
        weight=0.3,
    ),
    _safety(
        "advbench",
        "MIT (copy and original)",
        "advbench",
        ("refusal",),
        "target openings: no refusal; harmful strings have no head",
        "model-written, short -> small share",
        read=_advbench,
        weight=0.3,
    ),
    _safety(
        "gptfuzz_labelled",
        _MIT,
        "gptfuzz",
        (),
        "the answer gives the harmful content: no head of ours",
        "voices of jailbreaks -> text without labels",
        read=unlabelled,
    ),
    _safety(
        "safetext",
        _MIT,
        "safetext",
        (),
        "physically dangerous advice: no head of ours",
        "-> text without labels",
        read=unlabelled,
    ),
    _safety(
        "aart_prompts",
        _CC_BY,
        "aart",
        (),
        "prompts written by a model as adversarial",
        "nobody checked; a request is not an answer -> text without labels",
        kind="prompt",
        read=unlabelled,
    ),
    _safety(
        "ailuminate_demo_prompts",
        _CC_BY,
        "ailuminate",
        (),
        "prompts with one hazard each",
        "they ask for harm and seldom hold it -> text without labels",
        kind="prompt",
        read=unlabelled,
    ),
    # Answers: quality. Parents stand before what is derived from them.
    _quality(
        "gsm8k_solutions",
        _MIT,
        "gsm8k",
        _ANSWER_HEADS,
        "people's and models' solutions; harmless, assumed",
        "correctness is no head; arithmetic only -> half weight",
        ordinary(),
        weight=0.5,
    ),
    _quality(
        "gpteacher_roleplay",
        "MIT; generated by GPT-4",
        "gpteacher",
        _ANSWER_HEADS,
        "good replies, assumed ordinary",
        "nobody checked; the generating provider has terms of its own",
        ordinary(),
    ),
    _quality(
        "gpteacher_codegen",
        "MIT; generated by GPT-4",
        "gpteacher",
        _ANSWER_HEADS,
        "code, assumed ordinary",
        "as gpteacher_roleplay",
        ordinary(),
        weight=0.7,
    ),
    _quality(
        "self_instruct_seed",
        _APACHE,
        "self-instruct",
        _ANSWER_HEADS,
        "written by people, ordinary",
        "small",
        ordinary(),
    ),
    _quality(
        "oasst_threads",
        _APACHE,
        "oasst",
        _ANSWER_HEADS,
        "replies of people and a model, assumed ordinary",
        "rank often missing -> not read",
        ordinary(),
        pair=field("pair_id"),
    ),
    _quality(
        "hh_harmless_pairs",
        _MIT,
        "hh",
        (),
        "which reply is less harmful",
        "preference on harmlessness, both often poor -> text without labels, pairs kept",
        unlabelled,
        pair=field("pair_id"),
    ),
    _quality(
        "expertqa_revised",
        _MIT,
        "expertqa",
        (*_ANSWER_HEADS, "coherence"),
        "answers after expert revision, 32 fields: ordinary and coherent",
        "' .' spacing -> joined",
        ordinary("coherence"),
        tidy=typography.detokenised,
    ),
    _quality(
        "expertqa_answers",
        _MIT,
        "expertqa",
        ("quality",),
        "experts: useful 0, 0.5, 1",
        "80 % useful",
        scaled("useful", 0, 1),
    ),
    _quality(
        "mtbench101_dialogues",
        "Apache-2.0; generated by GPT-4",
        "mtbench101",
        (*_ANSWER_HEADS, "coherence"),
        "short good replies, assumed ordinary and coherent",
        "many clarifying questions",
        ordinary("coherence"),
        pair=field("group"),
    ),
    _quality(
        "clapnq_grounded",
        "Apache-2.0; text CC BY-SA (Wikipedia)",
        "clapnq",
        _ANSWER_HEADS,
        "people's answers from a passage, ordinary",
        "nearly extractive, small",
        ordinary(),
        weight=0.5,
    ),
    _quality(
        "mtrag_human",
        _APACHE,
        "mtrag",
        (*HARMS, "quality"),
        "three raters, 1 to 4: appropriateness and completeness; harmless, assumed",
        "skewed to the top; unanswerable questions -> refusal unknown",
        _mtrag,
    ),
    _quality(
        "jailbreakbench_responses",
        _MIT,
        "jailbreakbench",
        ("refusal",),
        "keyword rule and the benchmark's judge",
        "both weak -> read where they agree; cut at 150 tokens -> no coherence label",
        _agreeing("refusal_weak", "jailbroken"),
    ),
    _quality(
        "refusal_direction_harmful",
        _APACHE,
        "jailbreakbench",
        ("refusal",),
        "keyword rule and Llama Guard 2",
        "both weak -> read where they agree; same 100 goals as jailbreakbench_responses -> one family",
        _agreeing("refusal_weak", "unsafe_weak"),
    ),
    _quality(
        "just_eval_safety",
        _MIT,
        "just-eval",
        ("toxic", "hate"),
        "safety 1 to 5 by a weak judge; 5 = neither toxic nor hateful",
        "mostly refusals of harmful requests -> 0.3 of a share",
        _safe_scores,
        weight=0.3,
    ),
    _quality(
        "mt_bench_gpt4_scores",
        "Apache-2.0; judged by GPT-4",
        "mt-bench",
        ("quality",),
        "GPT-4's score 1 to 10, 30 models",
        "80 questions -> rows of one question stay together; favours long answers",
        scaled("score", 1, 10),
        pair=field("question_id"),
    ),
    _quality(
        "prometheus_gpt4_scores",
        "Apache-2.0; judged by GPT-4",
        "mt-bench",
        ("quality",),
        "mean of three scores 1 to 5 against a rubric",
        "low = fails this rubric -> 0.3 of a share",
        scaled("score", 1, 5),
        weight=0.3,
    ),
    _quality(
        "wildbench_scores_noprompt",
        "Apache-2.0; judged by GPT-4",
        "wildbench",
        ("quality",),
        "score 1 to 10 for an unseen prompt",
        "prompts are missing -> 0.3 of a share, replies of one task stay together",
        scaled("score", 1, 10),
        pair=field("group"),
        weight=0.3,
    ),
    _quality(
        "alce_utility",
        _MIT,
        "alce",
        ("quality",),
        "one worker's utility 1 to 5",
        "noisy, nobody checked -> half weight",
        scaled("utility", 1, 5),
        weight=0.5,
    ),
    _quality(
        "finegrained_qa_feedback",
        "Apache-2.0; text CC BY-SA (Wikipedia)",
        "finegrained-qa",
        ("quality",),
        "share of pairwise votes won among four answers",
        "small models of one kind -> half weight",
        scaled("win_share", 0, 1),
        pair=field("group"),
        weight=0.5,
    ),
    _quality(
        "haluquestqa_expert",
        _APACHE,
        "haluquestqa",
        ("quality",),
        "experts' overall score 1 to 5",
        "model answers win 80 %: style goes with correctness -> the score is read, not the preference",
        scaled("overall", 1, 5),
        pair=field("pair_id"),
    ),
    _quality(
        "hhh_alignment",
        _APACHE,
        "hhh",
        ("quality",),
        "hand-written pairs: helpful, honest, harmless",
        "small",
        _preference,
        pair=field("pair_id"),
    ),
    _quality(
        "llmbar",
        _MIT,
        "llmbar",
        ("quality", "relevance"),
        "pairs on following the instruction; the adversarial half: fluent but beside it (relevance)",
        "parts Processed/* have other licences -> left out",
        _llmbar,
        pair=field("pair_id"),
    ),
    _quality(
        "chatprotect_self_contradiction",
        _APACHE,
        "chatprotect",
        ("coherence",),
        "two people: do two sentences of one model contradict",
        "79 % do -> consistent answers come from other sources; the two are read as one answer",
        lambda raw: {"coherence": 1.0 - raw["contradiction"]},
        response=_contradicting,
    ),
    _quality(
        "relevance_pairs",
        "as the parent",
        "",
        ("relevance",),
        "a prompt with its own reply, another one, and the one that shares its rarest words",
        "hard negatives are now and then acceptable; each parent counts as a source of its own",
        lambda raw: {"relevance": float(raw["relevant"])},
        pair=field("pair_id"),
        weight=0.4,
        parts="from",
    ),
    _quality(
        "degenerate_synthetic",
        "as the parent",
        "",
        ("coherence",),
        "a clean and a damaged copy, ten kinds of damage",
        "synthetic; cuts past 500 characters may lie outside the window -> left out; each parent is a source",
        _degenerate,
        weight=0.4,
        parts="from",
    ),
    *(
        _quality(
            name,
            licence,
            name,
            (),
            meaning,
            f"{why} -> text without labels",
            unlabelled,
            **({"kind": "answer"} | more),
        )
        for name, licence, meaning, why, more in (
            ("oasst_sampling", _APACHE, "replies of weak models", "nobody judged; cut at 128 tokens", {}),
            ("hanna_stories", _MIT, "fiction by models and people", "harms in fiction are unknown", {}),
            (
                "multilingual_answers",
                _APACHE,
                "answers in ten other languages",
                "the judges read English",
                {},
            ),
            ("dialogue_eval_ji", _MIT, "whole chats rated on seven scales", "no prompt, transcripts", {}),
            (
                "wow_grounding_qsquared",
                "MIT, Apache-2.0",
                "reply agrees with given knowledge",
                "grounding is no head",
                {"tidy": typography.detokenised},
            ),
            ("expertqa_claims", _MIT, "passage supports a claim", "grounding is no head", {}),
            ("factcheckgpt_stance", _APACHE, "evidence supports a claim", "grounding is no head", {}),
            (
                "faithdial_audit",
                _MIT,
                "reply follows from knowledge",
                "grounding is no head",
                {"tidy": typography.detokenised},
            ),
            ("summedits", _APACHE, "summary agrees with the document", "grounding is no head", {}),
            ("factscore_bios", _MIT, "share of true facts", "needs knowledge of the world", {}),
            ("halueval2_human", _MIT, "share of true facts", "needs knowledge of the world", {}),
        )
    ),
)

_BARRED = (
    _toxicity(
        "gab_hate_corpus",
        "CC BY 4.0 as remembered",
        "gab",
        ("toxic", "hate", "insult", "threat", "violence"),
        "majority of three; threat and violence = call for violence",
        "one platform, political slant",
        barred=CHECK,
    ),
    _toxicity(
        "social_bias_frames_dev",
        "CC BY 4.0 as remembered",
        "social-bias-frames",
        ("toxic", "hate", "sexual"),
        "mean of about three, cut at 0.5",
        "sexual is lewd, not explicit",
        barred=CHECK,
    ),
    _toxicity(
        "contextual_abuse_reddit",
        "CC BY 4.0 as remembered",
        "contextual-abuse",
        ("toxic", "hate", "insult"),
        "judged with the conversation in view",
        "some rows need the context, which is not here",
        barred=CHECK,
    ),
    _toxicity(
        "hope_speech_youtube",
        "CC BY 4.0 as remembered",
        "hope-speech",
        ("toxic", "hate"),
        "supportive comments, assumed harmless",
        "often cut in mid-sentence",
        barred=CHECK,
        weight=0.5,
    ),
    _toxicity(
        "ruddit",
        "MIT; text of Reddit users",
        "ruddit",
        ("toxic",),
        "best-worst offensiveness, >= 0.5 and <= 0",
        "friendly swearing scores high",
        barred=CHECK,
        weight=0.5,
        context_is_prompt=True,
    ),
    _toxicity(
        "stormfront_vicomtech",
        "CC BY-SA 3.0 ES",
        "stormfront",
        ("toxic", "hate"),
        "single sentences of forum posts",
        "noHate is not harmless -> toxic unknown there (as filed)",
        barred=SHARE_ALIKE,
    ),
    _toxicity(
        "bold_wikipedia_neutral",
        "CC BY-SA 4.0",
        "wikipedia-articles",
        ("toxic",),
        "encyclopedia sentences, assumed harmless",
        "encyclopedic only",
        barred=SHARE_ALIKE,
        weight=0.3,
        tidy=_unchanged,
    ),
    _safety(
        "aegis_pairs",
        "none stated; CC BY 4.0 as remembered",
        "aegis",
        (),
        "prompts of one category, and safe answers",
        "labels judge the prompt -> text without labels",
        barred=CHECK,
        read=unlabelled,
    ),
    _safety(
        "aegis_test_prompts",
        "none stated; CC BY 4.0 as remembered",
        "aegis",
        (),
        "prompts, people",
        "labels judge the prompt -> text without labels",
        barred=CHECK,
        kind="prompt",
        read=unlabelled,
    ),
    _safety(
        "cssrs_reddit_posts",
        "none stated; CC BY 4.0 as remembered",
        "cssrs",
        ("self_harm",),
        "experts: the writer voices suicidal thoughts",
        "a post voices, an answer promotes: not the head's meaning in answers -> for experiments",
        barred=CHECK,
        kind="text",
    ),
    _safety(
        "suicidewatch_kaggle",
        "CC BY-SA 4.0 as remembered",
        "suicidewatch",
        ("self_harm",),
        "forum a post was in",
        "topic alone solves it; as cssrs_reddit_posts",
        barred=SHARE_ALIKE,
        kind="text",
        weight=0.3,
    ),
    _safety(
        "harmbench_val_responses",
        "none stated; MIT as remembered",
        "harmbench",
        (),
        "people: harmful answer",
        "no head of ours -> text without labels",
        barred=CHECK,
        read=unlabelled,
    ),
    _safety(
        "orbench_small_models",
        "MIT and CC BY 4.0 in the README, no licence file; answers: none stated",
        "orbench",
        ("refusal",),
        "keyword rule on the opening",
        "misses soft refusals; cut at 500 characters",
        barred=CHECK,
        weight=0.5,
    ),
    _quality(
        "dolly_sample",
        "CC BY-SA 3.0 (original)",
        "dolly",
        _ANSWER_HEADS,
        "written by people, ordinary",
        "a few copy their context",
        ordinary(),
        barred=SHARE_ALIKE,
    ),
    _quality(
        "arena_prompt_answers",
        "Apache-2.0; prompts CC BY 4.0 as remembered",
        "arena",
        _ANSWER_HEADS,
        "answers of 14 models to hard prompts, assumed ordinary",
        "some refuse -> for false alarms",
        _english,
        barred=CHECK,
    ),
    _quality(
        "arena_refusal_votes",
        "Apache-2.0; conversations not checked",
        "arena",
        (),
        "whether either answer of a battle refuses",
        "label of the battle, not of the answer -> text without labels",
        unlabelled,
        barred=CHECK,
        pair=field("pair_id"),
    ),
    _quality(
        "begin_grounding",
        "CC BY 4.0; part topicalchat CDLA-Sharing",
        "begin",
        (),
        "reply attributable to knowledge",
        "grounding is no head -> text without labels",
        unlabelled,
        barred=SHARE_ALIKE,
        tidy=typography.detokenised,
    ),
    _quality(
        "biggen_references",
        "Apache-2.0; CC BY-SA 4.0 as remembered",
        "biggen",
        _ANSWER_HEADS,
        "reference answers, ordinary",
        "",
        ordinary(),
        barred=CHECK,
    ),
    _quality(
        "snli_counterfactual",
        "Apache-2.0; text CC BY-SA as remembered",
        "snli",
        ("coherence",),
        "two captions contradict",
        "far from answers; read as one text",
        lambda raw: {"coherence": 1.0 - raw["contradiction"]},
        response=lambda raw: f"{raw['context']} {raw['response']}",
        barred=SHARE_ALIKE,
        weight=0.3,
    ),
    _quality(
        "fever_symmetric",
        "MIT; text CC BY-SA 3.0",
        "fever",
        ("coherence",),
        "evidence refutes the claim",
        "read as one text",
        lambda raw: {"coherence": 1.0 - raw["contradiction"]},
        response=lambda raw: f"{raw['context']} {raw['response']}",
        barred=SHARE_ALIKE,
        weight=0.3,
    ),
    _quality(
        "dialfact_small",
        "BSD-3-Clause (code); data not checked",
        "dialfact",
        (),
        "evidence refutes the reply",
        "grounding is no head -> text without labels",
        unlabelled,
        barred=CHECK,
    ),
    _quality(
        "summac_parts",
        "Apache-2.0; parts not checked",
        "summac",
        (),
        "summary agrees with the document",
        "grounding is no head -> text without labels",
        unlabelled,
        barred=CHECK,
    ),
    _quality(
        "usr_dialogue",
        "MIT; part CDLA-Sharing, not checked",
        "usr",
        ("quality",),
        "three experts, overall 1 to 5",
        "tokenised -> joined",
        scaled("overall", 1, 5),
        barred=CHECK,
        tidy=typography.detokenised,
    ),
    Source(
        "safety/simple_safety_tests.jsonl.gz",
        _CC_BY,
        "simple-safety-tests",
        (),
        "prompts, one hazard each",
        "a public test suite -> kept for measuring",
        unlabelled,
        kind="prompt",
        barred=EVALUATION_ONLY,
    ),
    _eval_only("toxicity/eval_only_conda", ("toxic",)),
    _eval_only("toxicity/eval_only_gametox", ("toxic", "hate", "insult", "threat")),
    _eval_only("toxicity/eval_only_hateval", ("toxic", "hate"), licence="CC BY-NC 4.0"),
    _eval_only("toxicity/eval_only_homophobia_youtube", ("toxic", "hate")),
    _eval_only("toxicity/eval_only_intent_conan", ("toxic", "hate")),
    _eval_only("toxicity/eval_only_olid", ("toxic", "insult")),
    _eval_only("toxicity/eval_only_suicidal_tweets", ("self_harm",)),
    _eval_only("toxicity/eval_only_unhealthy_comments", ("toxic", "insult"), licence="CC BY-NC-SA 4.0"),
    _eval_only("safety/eval_only_jailjudge_mini"),
    _eval_only("safety/eval_only_saferlhf", licence="CC BY-NC 4.0 as remembered"),
    _eval_only(
        "safety/eval_only_toxicchat_prompts",
        ("toxic",),
        read=lambda raw: _labels(raw, ("toxic",)),
        kind="prompt",
    ),
    _eval_only(
        "quality/eval_only_refusal_direction_harmless",
        ("refusal",),
        read=lambda raw: {"refusal": float(raw["refusal_weak"])},
        licence="Apache-2.0; prompts CC BY-NC 4.0",
    ),
    _eval_only(
        "quality/eval_only_dailydialogpp",
        ("relevance",),
        read=lambda raw: {"relevance": float(raw["relevant"])},
        licence="MIT; dialogues CC BY-NC-SA 4.0",
    ),
    _eval_only(
        "quality/eval_only_mediqa_qa", ("relevance",), read=lambda raw: {"relevance": float(raw["relevant"])}
    ),
    _eval_only("quality/eval_only_cohesentia", ("coherence",), read=scaled("coherence", 1, 5, "coherence")),
    _eval_only("quality/eval_only_bpo_pairs", ("quality",), read=_preference, pair=field("pair_id")),
    _eval_only("quality/eval_only_lfqa_expert", ("quality",), read=_preference, pair=field("pair_id")),
    _eval_only("quality/eval_only_dailydialog_ratings", ("quality",), read=scaled("overall", 1, 5)),
    _eval_only("quality/eval_only_just_eval_gpt4_scores", ("quality",), read=scaled("helpfulness", 1, 5)),
    _eval_only("quality/eval_only_newsroom", ("coherence",), read=scaled("coherence", 1, 5, "coherence")),
    _eval_only("quality/eval_only_flask_answers"),
    _eval_only("quality/eval_only_just_eval_answers"),
    *(
        _eval_only(f"quality/eval_only_{name}")
        for name in (
            "aggrefact_parts",
            "anli",
            "control_nli",
            "convai2018",
            "felm",
            "halueval_general",
            "lfqa_attribution",
            "qags",
            "roscoe",
        )
    ),
)

SOURCES: tuple[Source, ...] = (*_SHIPPED, *_BARRED)
