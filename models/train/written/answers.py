# ruff: noqa: E501  One template stands on one line: questions and answers are read side by side.
"""Questions with good answers, which other kinds damage, refuse, swap or keep.

Each aspect of a domain holds for every entry of the domain's list, so that a question can be paired with the answer to
another aspect of the same thing, or to the same aspect of another thing: same words, other question.
"""

from __future__ import annotations

from dataclasses import dataclass

from train.written import common
from train.written.template import FINE, Frame, Kind, Text

GOOD = {**FINE, "relevance": 1, "coherence": 1, "quality": 1}

# Fillers that no good answer would hold stay out: what is called good has to read so.
WRAPPERS = (
    "{opening} {core}", "{opening} {core} {closing}", "{core} {closing}", "{core}\n\n{closing}", "{opening}\n\n{core}",
    "{opening}\n\n{core}\n\n{closing}", "**{heading}**\n\n{core}", "**{heading}**\n\n{core}\n\n{closing}", "## {heading}\n\n{core}",
)  # fmt: skip


@dataclass(frozen=True)
class Aspect:
    """Something that can be asked of every entry of the list `slot`."""

    slot: str
    questions: tuple[str, ...]
    answer: str
    held_out: bool = False


_THING = (
    (("How do I clean a(n) {thing}?", "What is the best way to clean a dirty {thing}?"),
     "Brush off loose dirt first. Then wipe the {thing} with a soft cloth, [lukewarm|warm] water and a little mild soap, and test a hidden spot before you do the rest. Let it dry in the air; heat can damage the material."),
    (("Where should I store my {thing} over the winter?", "How do I put my {thing} away for some months?"),
     "Choose a dry place without much change in temperature, such as [a cupboard|a spare room]. Clean the {thing} before you put it away, cover it with a cotton sheet instead of plastic, and look for damp or moths once a month."),
    (("What should I look for when I buy a used {thing}?", "I want to buy a second-hand {thing}. Any tips?"),
     "Ask how old the {thing} is and why it is for sale. Look at it in daylight, check the parts that wear out first, and compare the price with [two or three|a few] other offers. Pay only when you have it in your hands."),
    (("My {thing} is broken. Should I repair it?", "Is it worth having my {thing} repaired?"),
     "As a rule of thumb, a repair pays if it costs less than half of a new {thing} of the same quality. Get an estimate from [a local workshop|a repair café], and ask whether spare parts will be there in a few years."),
    (("How do I wrap a(n) {thing} as a present?", "What is a nice way to give somebody a(n) {thing}?"),
     "Odd shapes are easier in a box or in a piece of cloth. Put the {thing} in the middle, knot two opposite corners of the cloth over it, then the other two, and tie a [ribbon|twig] into the knot. A card with a line about why you chose it makes it personal."),
    (("Write a short ad to sell my {thing}.", "Help me to sell my {thing} online."),
     "For sale: {thing} in good condition, used [for two years|only at weekends], from a home without smoke or pets. Small signs of wear, see the photos. Collection on {day}, or I can send it if you pay the postage. Make me a fair offer!"),
    (("How do I take a good photo of a(n) {thing}?", "My pictures of my {thing} look dull. What can I do?"),
     "Put the {thing} near a window, but not in direct sun, and hold a sheet of white paper on the dark side. Clear the background, get down to its height, and take one picture from the front, one from the side and one of a detail."),
    (("How do I send a(n) {thing} by post?", "What is the safest way to ship a(n) {thing}?"),
     "Use a box that leaves [three|four] centimetres on each side. Wrap the {thing} in paper or bubble wrap, fill every gap so that nothing moves when you shake the box, tape all seams, and insure the parcel for the real value."),
    (("How can I tell whether a(n) {thing} is well made?", "What are signs of quality in a(n) {thing}?"),
     "Good signs are even seams or joints, parts that move without play, and a maker who sells spares. Take the {thing} in your hands: it should feel solid and not smell of chemicals. A long guarantee helps as well."),
    (("How do I get rid of an old {thing}?", "Can I recycle a(n) {thing}?"),
     "If it still works, give the {thing} to a charity shop or put up a note in the house. If not, take it to the recycling centre, where the materials are sorted. Large pieces are often collected for free if you book a date."),
    (("Can I take a(n) {thing} on a plane?", "What are the rules for flying with a(n) {thing}?"),
     "It depends on size and weight. Measure the {thing} and compare it with the limits of your airline; what is too large for the cabin must be checked in, and a fragile item may need a seat of its own. Call the airline [a week|some days] before."),
    (("How do I explain to my neighbour that I want my {thing} back?", "I lent my {thing} to a neighbour. How do I ask for it?"),
     "Keep it light and give a reason: 'Hi {name}, I need my {thing} on {day}. Could I pick it up the evening before?' Most people have simply forgotten. If nothing happens, ask again in person."),
    (("How much should I spend on a(n) {thing}?", "Is an expensive {thing} better than a cheap one?"),
     "For daily use the middle of the price range is often the best value. The cheapest {thing} tends to wear out soon, while at the top you pay for the name. Decide first how often you'll use it, then set a limit and stick to it."),
    (("How do I protect a(n) {thing} from moisture?", "My {thing} gets damp. What helps?"),
     "Air the room twice a day and keep the {thing} a hand's breadth away from outer walls. A bag of drying beads helps in a closed cupboard. If you see stains, dry it slowly and treat the surface with [wax|a suitable oil]."),
)  # fmt: skip

_DISH = (
    (("How do I freeze {dish}?", "Can {dish} be frozen?"),
     "Let the {dish} cool down, fill it into flat containers and leave a finger's breadth for it to expand. Write the date on the lid. It keeps for about [two|three] months, and it thaws best overnight in the fridge."),
    (("What goes well with {dish}?", "What can I serve with {dish}?"),
     "Something fresh and something crisp: a green salad with a light dressing, and toasted bread. If you want more, [roasted carrots|pickled cucumbers] are a good match for {dish}, as they add a little acid."),
    (("How do I make {dish} for twenty guests?", "I need {dish} for a party of twenty. How do I plan that?"),
     "Count on about 300 grams a head, so six kilos of {dish} in all, and split it into two pots, because one large pot heats unevenly. Prepare the vegetables the day before, cook in the morning, and only warm it up when the guests are there."),
    (("How do I reheat {dish}?", "What is the best way to warm up {dish}?"),
     "Slowly and with a splash of water or stock. Put the {dish} into a pot on low heat, cover it and stir now and then until it is hot all the way through, which takes about [ten|twelve] minutes. Warm up only as much as you will eat."),
    (("My {dish} is too salty. What can I do?", "I put too much salt in the {dish}. Can I save it?"),
     "Add volume without salt: more vegetables, unsalted stock or cooked potatoes. A spoonful of [lemon juice|cream] also softens the taste. Taste the {dish} again after ten minutes before you add anything else."),
    (("Can I make {dish} without meat?", "Is there a vegetarian version of {dish}?"),
     "Yes. Use mushrooms or lentils instead of meat and fry them well, since browning gives the depth that {dish} needs. A little [soy sauce|tomato paste] and smoked paprika round it off. The cooking time gets shorter by a third."),
    (("What should I do with leftover {dish}?", "I have {dish} left over. Any ideas?"),
     "Use it within two days. Leftover {dish} makes a good filling for pancakes or peppers, and with stock and a few noodles it turns into a quick soup. You can also bake it with cheese on top."),
    (("How do I season {dish}?", "Which spices fit {dish}?"),
     "Start with salt, pepper and a bay leaf. Then choose one direction: thyme and garlic for a {dish} that tastes of the south, or cumin and [coriander|chilli] for more warmth. Add fresh herbs only at the end."),
    (("How do I write the menu card for {dish}?", "Describe {dish} for a menu card."),
     "{dish.cap}, cooked slowly and served hot with bread from the bakery next door. Made every morning from vegetables of the season; ask us about allergens. A small portion is to be had until {day}."),
)  # fmt: skip

_LETTER = (
    (("Write an email to my {person} to decline the invitation for {day}.", "How do I tell my {person} that I can't come on {day}?"),
     "Subject: {day.cap}\n\nDear {name},\n\nthank you for the invitation. I'm sorry to say that I can't come on {day}, as I have promised to be somewhere else. I hope that you have a lovely time, and I'd be glad to see you soon.\n\nBest wishes"),
    (("Write a thank-you note to my {person}.", "How do I thank my {person} for the help?"),
     "Dear {name},\n\nI wanted to thank you for your help {when}. Without you I'd still be sitting there. It meant a lot to me that you took the time, and I hope that I can return the favour.\n\nWarm regards"),
    (("Write an apology to my {person} for being late.", "How do I say sorry to my {person}? I was late {when}."),
     "Dear {name},\n\nI'm sorry that I was late {when}. I should have left earlier, and I know that you had to wait for me. It won't happen again; next time I'll send a message as soon as I see that it gets tight.\n\nYours"),
    (("Ask my {person} to move our meeting to {day}.", "Write a message to my {person}: can we meet on {day} instead?"),
     "Hi {name}, something has come up, and I can't make our date. Would {day} at [nine|three] suit you instead? I can come to you, and it won't take more than half an hour. Thanks, and sorry for the short notice!"),
    (("Congratulate my {person} on the new flat.", "Write a card for my {person}, who has moved."),
     "Dear {name}, congratulations on the new flat! May the neighbours be quiet, the sun come in at breakfast and all boxes be unpacked by {day}. I look forward to the first cup of [tea|coffee] at your place."),
    (("Write a complaint to my {person} about the noise.", "How do I tell my {person} politely that it is too loud?"),
     "Dear {name},\n\nI hope that you're well. On some evenings the noise carries to my room until after eleven, and I can't sleep. Could we agree that it gets quiet at ten, except at weekends? I'm happy to talk about it on {day}.\n\nKind regards"),
    (("Invite my {person} to dinner on {day}.", "Write a short invitation for my {person}."),
     "Hi {name}! I'm cooking on {day} and would love to have you here. Come at [seven|half past six], bring nothing but your appetite, and tell me if there is anything that you don't eat. Let me know by the day before."),
)  # fmt: skip

_CODE = (
    (("How do I {code_op} in {lang}?", "Show me how to {code_op} in {lang}."),
     "In {lang} you can {code_op} with what the standard library offers, so no package is needed. Write a small function that takes the input as its argument, handle the empty case first, and return the result instead of printing it. Add a test for a short and a long input."),
    (("Why is my {lang} program slow when I {code_op}?", "It takes ages to {code_op} in {lang}. Why?"),
     "Measure first: run the profiler for {lang} on the part where you {code_op}, and look for work that is done again in every round of the loop. Often the cure is to read the data once, keep it in memory and look things up by key."),
    (("Which mistakes are common when people {code_op} in {lang}?", "What can go wrong when I {code_op} in {lang}?"),
     "Three things go wrong most often when people {code_op}: the empty input is forgotten, the encoding is taken for granted, and errors are swallowed. In {lang}, let the error reach the caller with a message that says which input was at fault."),
    (("How do I test {lang} code that has to {code_op}?", "Write test cases for code in {lang} that should {code_op}."),
     "Test it through its result: one ordinary case, one empty case, one with odd characters and one that must fail. Keep the examples for '{code_op}' next to the test in a table, run them with the usual test tool of {lang}, and see each one fail once."),
)  # fmt: skip

_CITY = (
    (("When is the best time to visit {city}?", "Which month is good for a trip to {city}?"),
     "Late spring and early autumn are pleasant in {city}: the days are mild, and there are fewer visitors than in the summer holidays. Check the calendar for local festivals, since rooms get scarce then."),
    (("Where should I stay in {city}?", "Which part of {city} is good for a hotel?"),
     "If you want to walk everywhere, take a room near the centre of {city}. Quieter and cheaper are the quarters two or three stops out on the [tram|underground]. Read recent reviews for noise, and ask for a room to the courtyard."),
    (("How do I get around in {city} without a car?", "Is public transport in {city} any good?"),
     "You don't need a car in {city}. Buy a day ticket for buses and trains, and walk the rest; many sights lie close together. At night, look up the last connection in the transport app before you go out."),
    (("What can I do in {city} when it rains?", "It's raining in {city}. Any ideas?"),
     "Rainy days are museum days. Pick one large museum in {city} and one small one, have lunch in a [covered market|café] between them, and end the day in a cinema or at a concert. Book the large museum ahead."),
    (("How do I save money in {city}?", "Is {city} possible on a small budget?"),
     "Have your main meal at noon, when set menus in {city} cost less than in the evening. Many museums are free on one day of the week, tap water is fine, and [a picnic in the park|a walk along the water] costs nothing."),
    (("Can I visit {city} with a dog?", "Is {city} a good place for dogs?"),
     "Yes, with some planning. Dogs may ride on most trains in {city} on a lead, some with a muzzle, and many cafés have a bowl of water. Ask the hotel beforehand, and look for parks where they may run free."),
)  # fmt: skip

_DOMAINS = (("thing", _THING), ("dish", _DISH), ("person", _LETTER), ("lang", _CODE), ("city", _CITY))


def _aspects() -> tuple[Aspect, ...]:
    """Return all aspects; which are held out is settled here, as pairs of them must not mix the parts."""
    found = []
    for slot, entries in _DOMAINS:
        frames = [Frame((Text(answer, GOOD, "good"),), questions) for questions, answer in entries]
        kept = Kind(slot, tuple(frames), {}).part(held_out=True)
        # Two at least, so that a held-out question has a held-out answer of its own domain to be confused with.
        kept = kept if len(kept) > 1 else [*kept, next(frame for frame in frames if frame not in kept)]
        found += [Aspect(slot, frame.prompts, frame.texts[0].body, frame in kept) for frame in frames]
    return tuple(found)


ASPECTS = _aspects()

BANKS = {
    **common.PEOPLE,
    "thing": (
        "leather bag", "woollen jumper", "cast-iron pan", "wooden table", "bicycle", "guitar", "umbrella", "tent", "backpack",
        "kettle", "carpet", "armchair", "raincoat", "camera", "suitcase", "garden chair", "lamp", "mirror", "wall clock",
        "violin", "sewing machine", "teapot", "chess set", "drum kit", "hammock",
    ),
    "dish": (
        "lentil soup", "goulash", "lasagne", "chili", "fried rice", "potato gratin", "vegetable curry", "ratatouille", "stew",
        "moussaka", "paella", "pea soup", "bean casserole", "risotto", "minestrone",
    ),
    "code_op": (
        "sort a list of names", "read a CSV file", "reverse a string", "count words", "parse a date", "find duplicates",
        "merge two lists", "download a page", "round numbers", "split a text into lines", "build a search index",
    ),
    "lang": ("Python", "Rust", "Java", "Go", "Ruby", "C#", "Kotlin", "Swift", "PHP", "TypeScript"),
    "city": (
        "Lisbon", "Vienna", "Kraków", "Porto", "Copenhagen", "Kyoto", "Montreal", "Ghent", "Bologna", "Seville", "Tallinn",
        "Melbourne", "Dublin", "Valencia",
    ),
}  # fmt: skip
