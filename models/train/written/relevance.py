# ruff: noqa: E501  One template stands on one line: twins are read side by side.
"""Answers to the question beside answers to another one that shares its words."""

from __future__ import annotations

import re

from train.written import answers, wrapping
from train.written.answers import ASPECTS, GOOD, Aspect
from train.written.template import FINE, Frame, Kind, Text

_OFF = {**FINE, "relevance": 0, "coherence": 1, "quality": 0}


def _crossed(one: Aspect, other: Aspect) -> Frame:
    elsewhere = re.sub(rf"\{{{one.slot}(?=[.}}])", "{" + one.slot + "2", one.answer)
    texts = [Text(one.answer, GOOD, "answers"), Text(other.answer, _OFF, "same thing, other question")]
    if elsewhere != one.answer:
        texts.append(Text(elsewhere, _OFF, "other thing, same question"))
    return Frame(tuple(texts), one.questions, held_out=one.held_out)


def _crossings() -> list[Frame]:
    frames = []
    for held_out in (False, True):
        for slot in dict.fromkeys(aspect.slot for aspect in ASPECTS):
            of_slot = [aspect for aspect in ASPECTS if (aspect.slot, aspect.held_out) == (slot, held_out)]
            frames += [
                _crossed(one, of_slot[(index + step) % len(of_slot)])
                for index, one in enumerate(of_slot)
                for step in (1, 2, 3)
                if step < len(of_slot)
            ]
    return frames


def _swap(prompt: str, right: str, *wrong: str) -> Frame:
    return Frame(
        (Text(right, GOOD, "answers"), *(Text(body, _OFF, "turned round") for body in wrong)),
        prompts=(prompt,),
    )


_TURNED = (
    _swap("How far is it from {city} to {city2} by train?",
        "From {city} to {city2} you'll be on the train for [several hours|the better part of a day], as a rule with a change on the way. The timetable of the railway shows the exact distance and time for your date.",
        "{city.cap} and {city2} are both worth a visit. {city2.cap} is known for its food, and in {city} you should see the old town and take a walk along the water in the evening.",
        "To get the best coffee on a train, bring your own cup. Between {city} and the coast most trains have a trolley, and the staff of those to {city2} is said to be very kind."),
    _swap("What are the disadvantages of living in {city}?",
        "The main disadvantages of living in {city} are high rents, crowded trains at rush hour and the noise in the centre. Some people also miss having green space at their door.",
        "The main advantages of living in {city} are good schools, trains at all hours and much to do in the centre. Many people also like the green space at their door."),
    _swap("How do I turn the {gadget} off?",
        "Hold the button on the side of the {gadget} for three seconds until the light goes out. If it doesn't react, pull the plug, wait a minute and try again.",
        "Press the button on the side of the {gadget} once, and the light goes on. The first start takes a minute, after which you can choose the language.",
        "The {gadget} was turned down by three shops before it became a success. Today it is sold all over the world, and you can get it in four colours."),
    _swap("Who invented the {gadget}?",
        "It is hard to name one person: early forms of the {gadget} were built by several inventors at about the same time, and the patent office had to decide who came first.",
        "You can use the {gadget} for many inventions of your own. Open the settings, choose 'new' and give your project a name that you'll remember.",
        "The {gadget} costs about as much as a good dinner. In the sales it's often a third cheaper, so wait if you are in no hurry."),
    _swap("Is {dish} healthy?",
        "It can be. {dish.cap} with many vegetables and little fat fits well into a balanced diet; what counts is the portion and how often you have it. Go easy on the salt.",
        "It takes an hour. {dish.cap} with many vegetables has to simmer for long on low heat; what counts is that you stir it often and put the lid on."),
    _swap("Give me reasons not to learn the {instrument}.",
        "Three reasons against the {instrument}: good teachers are expensive, neighbours may complain, and without practice every day you'll be frustrated for the first year.",
        "Three reasons for the {instrument}: it trains your memory, you'll meet people in a band, and after the first year you can play songs that you love.",
        "The {instrument} should be tuned before you play. Use an app, begin with the lowest note, and turn slowly so that nothing breaks."),
    _swap("Compare the {instrument} and the {instrument2} for beginners.",
        "The {instrument} is cheaper to rent, while the {instrument2} gives pleasant sounds sooner. For beginners both need about twenty minutes a day; choose the one whose sound you like better.",
        "The {instrument} should be kept in its case and wiped with a dry cloth. Beginners forget that often, and a repair can cost more than ten lessons."),
    _swap("How long should I sleep before a {event}?",
        "Aim for [seven to nine|about eight] hours in each of the last nights before a {event}, not only in the very last one. Go to bed at the usual time and leave the phone outside.",
        "A {event} can last quite long, so wear comfortable shoes. Two or three hours are usual, with a break in which drinks are served.",
        "How long a {event} has been in the calendar doesn't matter. Write down the date, the place and who will drive, and send it to everyone."),
    _swap("What should I wear to a {event}?",
        "Go one step smarter than your daily clothes: dark trousers or a plain dress, clean shoes, nothing too new. If the invitation to the {event} names a dress code, follow it.",
        "You should arrive at a {event} ten minutes early. Find your seat, say hello to those next to you, and put your phone on silent."),
    _swap("Summarise the plot of a story about a {event} in one sentence.",
        "A shy baker saves the {event} when the power fails, and finds out that the stranger who helped in the dark is her lost brother.",
        "One sentence is the shortest form of a summary. It names who wants what, what stands in the way and how it ends; try it with a {event} of your own.",
        "A {event} needs a budget, a room, a list of guests and somebody who keeps an eye on the time."),
    _swap("Is it cheaper to rent or to buy a {gadget}?",
        "If you need the {gadget} for less than a few weeks, renting is cheaper. Beyond that, buying pays, above all second-hand, since you can sell it again.",
        "The {gadget} uses little power. A day costs you a few cents, and if you switch it to eco mode, you save another third on your bill."),
)  # fmt: skip

KIND = Kind(
    name="relevance",
    frames=(*_crossings(), *_TURNED),
    wrappers=answers.WRAPPERS,
    banks={
        **wrapping.BANKS,
        **answers.BANKS,
        "gadget": ("printer", "projector", "dishwasher", "drone", "speaker", "coffee machine", "router", "e-reader", "drill", "heater", "blender"),
        "instrument": ("cello", "flute", "trumpet", "accordion", "harp", "piano", "banjo", "clarinet", "ukulele"),
        "event": ("wedding", "job interview", "marathon", "concert", "exam", "funeral", "first date", "board meeting", "premiere"),
    },
)  # fmt: skip
