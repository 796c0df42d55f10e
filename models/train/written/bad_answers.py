# ruff: noqa: E501  One template stands on one line: twins are read side by side.
"""Answers that fail: empty, looping, cut off, off the topic, in the wrong language, an echo, noise, against the prompt.

Each has the good answer beside it, and some a twin that only looks damaged: a refrain, a reply that was asked for in
another language, a list that ends on purpose.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from train.written import answers, wrapping
from train.written.answers import ASPECTS, GOOD
from train.written.template import FINE, Frame, Kind, Text

_EMPTY = {**FINE, "relevance": 0, "quality": 0}
_BROKEN = {**FINE, "coherence": 0, "quality": 0}
_NOISE = {**FINE, "relevance": 0, "coherence": 0, "quality": 0}
_OFF = {**FINE, "relevance": 0, "coherence": 1, "quality": 0}
_FOREIGN = {**FINE, "coherence": 1, "quality": 0}

_NOTHING = (
    "",
    "...",
    "-",
    "N/A",
    "null",
    "None",
    "[no output]",
    "undefined",
    "</s>",
    "\n\n",
    "Assistant:",
    '""',
    "I",
    "?",
    "<|im_end|>",
    "Answer:",
)


def _nothing(_: str, rng: Random) -> str:
    return rng.choice(_NOTHING)


def _loop_words(text: str, rng: Random) -> str:
    words = text.split()
    start = rng.randrange(4, max(5, len(words) - 4))
    piece = words[start : start + rng.randint(1, 5)]
    return " ".join(words[:start] + piece * rng.randint(6, 25))


def _loop_sentence(text: str, rng: Random) -> str:
    sentences = [sentence.strip() for sentence in " ".join(text.split()).split(". ") if sentence.strip()]
    start = rng.randrange(len(sentences))
    return ". ".join(sentences[:start] + [sentences[start].rstrip(".")] * rng.randint(4, 10)) + "."


def _loop_with_drift(text: str, rng: Random) -> str:
    """Return the answer with its sentences said again and again in a row that hardly changes."""
    sentences = [
        sentence.rstrip(".") for sentence in " ".join(text.split()).split(". ") if sentence.strip(" .")
    ]
    openers = ("Also", "Again", "In addition", "As I said", "Moreover", "And")
    again = [f"{rng.choice(openers)}, {s[:1].lower()}{s[1:]}" for _ in range(3) for s in sentences]
    return ". ".join([*sentences, *again]) + "."


def _cut(text: str, rng: Random) -> str:
    """Return the beginning of `text`, cut inside a sentence and now and then inside a word."""
    words = text.split(" ")
    end = rng.randint(max(3, len(words) // 4), max(4, len(words) - 3))
    kept = " ".join(words[:end]).rstrip(".,;:!?")
    return kept[: -rng.randint(1, 3)] if rng.random() < 0.3 and len(words[end - 1]) > 5 else kept


def _shuffled(text: str, rng: Random) -> str:
    words = text.split()
    rng.shuffle(words)
    return " ".join(words)


def _mojibake(text: str, rng: Random) -> str:
    signs = "�Ã©â€™¤þð§|~^<>{}\\"
    return "".join(rng.choice(signs) if rng.random() < 0.25 else letter for letter in text)


def _tags(text: str, rng: Random) -> str:
    """Return `text` with pieces of a chat template in it, the model talking on as its own user."""
    words = text.split(" ")
    place = rng.randrange(3, max(4, len(words) - 1))
    tag = rng.choice(("<|user|>", "### Human:", "[INST]", "\nUser:", "<|im_start|>user"))
    return " ".join([*words[:place], tag, *rng.sample(words, min(6, len(words))), tag, words[0]])


def _echo(text: str, _: Random) -> str:
    return text


_DAMAGE: tuple[tuple[str, dict[str, int], Callable[[str, Random], str]], ...] = (
    ("empty", _EMPTY, _nothing),
    ("word loop", _BROKEN, _loop_words),
    ("sentence loop", _BROKEN, _loop_sentence),
    ("drifting loop", _BROKEN, _loop_with_drift),
    ("cut off", _BROKEN, _cut),
    ("shuffled", _NOISE, _shuffled),
    ("wrong bytes", _NOISE, _mojibake),
    ("template leak", _BROKEN, _tags),
)


def _damaged() -> list[Frame]:
    """Return every aspect with two kinds of damage, and every third with an echo or an answer from another domain."""
    frames = []
    for index, aspect in enumerate(ASPECTS):
        strangers = [a for a in ASPECTS if a.slot != aspect.slot and a.held_out == aspect.held_out]
        for step in (0, 3):
            context, labels, change = _DAMAGE[(index + step) % len(_DAMAGE)]
            texts = [Text(aspect.answer, GOOD, "good"), Text(aspect.answer, labels, context, change=change)]
            if step:
                texts.append(Text(strangers[(7 * index) % len(strangers)].answer, _OFF, "off topic"))
            elif index % 3 == 0:
                texts.append(Text(aspect.questions[0], _EMPTY, "echo", change=_echo))
            frames.append(Frame(tuple(texts), aspect.questions, held_out=aspect.held_out))
    return frames


def _against(prompt: str, right: str, wrong: str, context: str = "against the prompt") -> Frame:
    return Frame((Text(right, GOOD, "good"), Text(wrong, _OFF, context)), prompts=(prompt,))


_AGAINST = (
    _against("I'm a vegetarian. Suggest a dinner with {dish} as a starter.",
        "After the {dish}, without meat of course, I'd serve stuffed peppers with rice and feta, and a green salad.",
        "After the {dish}, with bacon in it, I'd serve roast chicken with rice and gravy, and a slice of ham."),
    _against("I'm allergic to nuts. What can I take on a trip to {city}?",
        "For the trip to {city}, take cheese sandwiches, apples and oat bars, and read the label: no nuts, no traces of nuts.",
        "For the trip to {city}, take peanut butter sandwiches, apples and hazelnut bars. Walnuts are a good snack too."),
    _against("Answer with yes or no only: can I take a(n) {thing} on a train to {city}?",
        "Yes.", "That depends on many things. A train to {city} has racks for luggage, and a(n) {thing} may fit if it is not too wide, although I'd measure it first."),
    _against("In one sentence, please: why is my {thing} useful?",
        "A(n) {thing} that you look after saves you money and serves you for years.",
        "There are many reasons. First, there is the price. Second, a(n) {thing} lasts. Third, you can lend it. Fourth, you can sell it. I could go on for a whole page."),
    _against("Don't mention the price. Describe my {thing} for an ad.",
        "A(n) {thing} with a story: used with care, cleaned every month, ready for its next owner in {city}.",
        "A(n) {thing} for 40 euros only: used with care, and the price is open to offers. In {city} it would cost 60."),
    _against("Give me exactly three tips for {city}.",
        "1. Buy a day ticket.\n2. See {city} from a tower at sunset.\n3. Have lunch where the locals do.",
        "1. Buy a day ticket.\n2. See {city} from a tower.\n3. Have lunch early.\n4. Take an umbrella.\n5. Learn to say thank you.\n6. Book a room."),
    _against("I have no oven. How do I make {dish}?",
        "You can make {dish} on the stove: use a heavy pan, keep the heat low, put the lid on and give it ten minutes more.",
        "Heat the oven to 200 degrees, put the {dish} on the middle rack and bake it for forty minutes until the top is brown."),
    _against("Write it in a formal tone: I can't come on {day}.",
        "Dear Sir or Madam, I regret to inform you that I will be unable to attend on {day}. Yours faithfully",
        "hey, so {day} won't work for me lol, catch you another time!!"),
    _against("I don't drive. How do I get from {city} to {city2}?",
        "Take the train from {city} to {city2}, or a coach if you want to save money. Both go several times a day.",
        "Get into your car early, take the motorway from {city} towards {city2}, and stop for petrol halfway."),
    _against("My name is {name}. Write me a birthday greeting.",
        "Happy birthday, {name}! May the cake be large, the day be long and the guests be in good spirits.",
        "Happy birthday, {name2}! May the cake be large, the day be long and the guests be in good spirits."),
    _against("I've already cleaned and repaired my {thing}. What next?",
        "Then it's time for some protection: wax or oil where it makes sense, and a dry place to keep the {thing}.",
        "Start by cleaning the {thing} with warm water and soap. After that, you should repair what is broken."),
    _against("Write a sad story about a(n) {thing} in two sentences.",
        "The {thing} stood by the door where he had left it. She dusted it every {day} and never moved it an inch.",
        "The {thing} won the lottery and danced through the street with all its friends. What a funny, happy day!"),
    _against("Reply in lower case only: what is {lang} good for?",
        "it is good for many small tools, for scripts that save you time, and for learning how programs work.",
        "IT IS GOOD FOR MANY SMALL TOOLS, FOR SCRIPTS THAT SAVE YOU TIME, AND FOR LEARNING HOW PROGRAMS WORK."),
    _against("Use {lang}, not {lang2}. How do I start a project?",
        "Install the tools for {lang}, let them create an empty project, and run its example to see that all is in place.",
        "Install the tools for {lang2}, let them create an empty project, and run its example. {lang2} is the best choice here."),
    _against("The meeting is on {day}, not later. Remind my {person}.",
        "Dear {name}, a short reminder: we meet on {day} at ten. Please bring the papers.",
        "Dear {name}, a short reminder: we meet two days after {day} at ten. Please bring the papers."),
    _against("Tell me about {city} without using a list.",
        "{city.cap} is best on foot. Start at the market, follow the noise of the trams to the old town, and end the day by the water.",
        "- {city}: best on foot\n- start: the market\n- then: the old town\n- evening: by the water"),
)  # fmt: skip


def _foreign(question: str, english: str, other: str, asked: str) -> tuple[Frame, Frame]:
    """Return a frame in which the other language is wrong and one in which it was asked for."""
    return (
        Frame((Text(english, GOOD, "good"), Text(other, _FOREIGN, "wrong language")), prompts=(question,), wrapped=False),
        Frame((
            Text(other, GOOD, "language as asked", prompt=f"{question} {asked}"),
            Text(english, _FOREIGN, "wrong language", prompt=f"{question} {asked}"),
        ), wrapped=False),
    )  # fmt: skip


_FOREIGN_FRAMES = (
    *_foreign("When should I visit {city}?", "Go to {city} in late spring, when the days are long and the rooms still cheap. In August it gets crowded.",
        "Fahren Sie im späten Frühling nach {city}, wenn die Tage lang und die Zimmer noch günstig sind. Im August wird es voll.", "Answer in German."),
    *_foreign("How do I reheat {dish}?", "Warm up the {dish} slowly on low heat, add a little water and stir it until it is hot all the way through.",
        "Faites réchauffer le plat ({dish}) à feu doux, ajoutez un peu d'eau et remuez jusqu'à ce que tout soit bien chaud.", "Answer in French."),
    *_foreign("How do I clean my {thing}?", "Wipe your {thing} with a damp cloth and mild soap, and let it dry in the air. Don't use hot water.",
        "Limpie el objeto ({thing}) con un paño húmedo y jabón suave, y deje que se seque al aire. No use agua caliente.", "Answer in Spanish."),
    *_foreign("What should I eat in {city}?", "In {city}, go to the market hall at noon: the soup is good, the bread fresh, and you sit among the locals.",
        "A {city}, vai al mercato coperto a mezzogiorno: la zuppa è buona, il pane è fresco e ti siedi in mezzo alla gente del posto.", "Answer in Italian."),
    *_foreign("How do I learn {lang}?", "Write small programs in {lang} every day, read other people's code, and build something that you'd like to have.",
        "Schrijf elke dag kleine programma's in {lang}, lees code van anderen en bouw iets wat je zelf graag zou hebben.", "Answer in Dutch."),
    *_foreign("How do I get around in {city}?", "Buy a day ticket for the trams of {city} and walk the rest, since most sights are close together.",
        "Compre um bilhete diário para os elétricos de {city} e faça o resto a pé, porque quase tudo fica perto.", "Answer in Portuguese."),
    *_foreign("How do I freeze {dish}?", "Let the {dish} cool down, fill it into boxes, write the date on them, and use it within three months.",
        "Låt maten ({dish}) svalna, fyll den i burkar, skriv datum på dem och ät upp den inom tre månader.", "Answer in Swedish."),
    *_foreign("How do I sell my {thing}?", "Take three photos of the {thing} in daylight, name a fair price, and reply quickly when somebody writes.",
        "Zrób trzy zdjęcia w dziennym świetle ({thing}), podaj uczciwą cenę i odpisuj szybko, gdy ktoś napisze.", "Answer in Polish."),
)  # fmt: skip

_REFRAIN = (
    Frame((
        Text("Rain on the {thing}, rain on the street,\nrain, rain, rain.\nRain on the hat and rain on the feet,\nrain, rain, rain.\nAnd when in {city} the sun comes through,\nrain, rain, rain,\nI'll put on the kettle and wait for you.", GOOD, "refrain"),
        Text("Rain on the {thing}, rain on the street, rain on the street, rain on the street, rain on the street, rain on the street, rain on the street, rain on the street, rain on the street, rain on the", _BROKEN, "word loop"),
    ), prompts=("Write a song with a refrain about rain in {city}.", "A song about rain and a(n) {thing}, please."), wrapped=False),
    Frame((
        Text("Here are the first five of ten steps to {code_op} in {lang}, as you wanted it in two parts:\n1. Read the task.\n2. Pick an example.\n3. Do it by hand.\n4. Write down what you did.\n5. Turn that into code.\nSay 'go on' for the other five.", GOOD, "ends on purpose"),
        Text("Here are the ten steps to {code_op} in {lang}:\n1. Read the task.\n2. Pick an example.\n3. Do it by hand.\n4. Write down what you did.\n5. Turn that in", _BROKEN, "cut off"),
    ), prompts=("How do I {code_op} in {lang}? Give me ten steps, five at a time.",), wrapped=False),
    Frame((
        Text("Knock, knock, said the {thing}. Who's there? Nobody. Knock, knock, said the {thing} again. Still nobody. At the third knock the cook from {city} opened the door with a plate of {dish}.", GOOD, "refrain"),
        Text("Knock, knock, said the {thing}. Who's there? Knock, knock, said the {thing}. Who's there? Knock, knock, said the {thing}. Who's there? Knock, knock, said the {thing}. Who's there? Knock, knock, said the", _BROKEN, "sentence loop"),
    ), prompts=("Tell me a very short story with a(n) {thing} in it.",), wrapped=False),
)  # fmt: skip

KIND = Kind(
    name="bad_answers",
    frames=(*_damaged(), *_AGAINST, *_FOREIGN_FRAMES, *_REFRAIN),
    wrappers=(),
    banks={**wrapping.BANKS, **answers.BANKS},
)
