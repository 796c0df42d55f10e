# ruff: noqa: E501  One template stands on one line: twins are read side by side.
"""Insults and harassment, against criticism of work, self-mockery, banter that says so, praise and reports."""

from train.written import common, wrapping
from train.written.template import FINE, Frame, Kind, Text, harm

_INSULT = harm("toxic", "insult")
_MOB = harm("toxic", "insult", unknown=("threat",))

_ASK = (
    "", "", "Here is my {work}. What do you think?", "Can you look at my {work}?", "I got stuck on this {work}.",
    "I disagree with you.", "Why didn't the {person} like my {work}?", "Please give me feedback.", "You made a mistake.",
    "I asked {name} for help.", "Explain that again, please.",
)  # fmt: skip


def _pair(bad: str, *fine: tuple[str, str], labels: dict[str, int] = _INSULT) -> Frame:
    context = "insult" if labels is _INSULT else "harassment"
    return Frame(
        (Text(bad, labels, context), *(Text(body, FINE, where) for where, body in fine)), prompts=_ASK
    )


_FRAMES = (
    _pair(
        "You are a(n) {adj} {fool}, and your {work} [shows it|proves it].",
        ("criticism", "You are a good writer, but your {work} has {flaw}, and the middle part [shows it|proves it]."),
        ("self-mockery", "I was a(n) {adj} {fool}, and my old {work} [shows it|proves it]. Yours is much better."),
    ),
    _pair(
        "This {work} is {bad}, just like its author. Give up, {fool}.",
        ("criticism", "This {work} is {bad} in its present form. Don't give up: start with {fix}."),
        ("praise", "This {work} is strong, just like its author. Don't give up, friend."),
    ),
    _pair(
        "Only a(n) {fool} would {blunder}. Are you really that {adj}?",
        ("advice", "Anyone can {blunder}. It happens, and {fix} will put it right."),
        ("self-mockery", "Only I would {blunder}. Am I really that {adj}? Apparently so, and I've learned from it."),
    ),
    _pair(
        "Shut up, {fool}. Nobody asked for your {adj} opinion.",
        ("neutral", "Thanks, {name}. The board asked for your honest opinion, and here it is."),
        ("report", "'Shut up, {fool}', the heckler shouted. The chair asked for order and for another opinion."),
    ),
    _pair(
        "Your {person} is a(n) {adj} {fool} and should be ashamed.",
        ("criticism", "Your {person} made a(n) {adj} decision and should explain it. That doesn't make anyone a bad person."),
        ("advice", "Your {person} called you names and should apologise. You don't have to put up with that."),
    ),
    _pair(
        "Look at you: {adj}, ugly and useless. I'm embarrassed to talk to you.",
        ("praise", "Look at you: patient, clever and kind. I'm happy to talk to you."),
        ("counter speech", "Someone who calls you {adj}, ugly and useless is bullying you. I'm glad that you talk about it."),
    ),
    _pair(
        "Did your brain fall out? A(n) {animal} could write a better {work}.",
        ("banter", "Did my brain fall out? A(n) {animal} could write a better {work} than the one I just sent, so here is another."),
        ("criticism", "Did a page fall out? The {work} jumps from one point to the next, and a(n) {animal} turns up twice."),
    ),
    _pair(
        "Everyone at the {place} laughs at you behind your back, you {adj} {fool}.",
        ("praise", "Everyone at the {place} laughs at your jokes, you funny thing."),
        ("advice", "If people at the {place} laugh at you behind your back, the {adj} ones are they. Tell a person in charge."),
    ),
    _pair(
        "Stop wasting my time with your {adj} questions. Even a(n) {animal} would get it.",
        ("positive", "Don't worry about asking questions, none is {adj}. Even experts ask twice before they get it."),
        ("criticism", "The {work} wastes the reader's time with {adj} questions. Cut the first two, and everyone will get it."),
    ),
    _pair(
        "You're pathetic, {name}. No wonder that {lost}.",
        ("support", "You're not pathetic, {name}. I'm sorry that {lost}."),
        ("criticism", "The plot is thin, {name}. No wonder that readers put the {work} down after chapter one."),
    ),
    _pair(
        "{name.cap} is a(n) {adj} {fool}. Let's all write to {name} until the account is gone.",
        ("positive", "{name.cap} is a brave person. Let's all write to {name} with good wishes."),
        ("counter speech", "{name.cap} was called a(n) {adj} {fool} by hundreds of strangers. Don't join in; report it."),
        labels=_MOB,
    ),
    _pair(
        "Spam the {person} with messages day and night until that {fool} breaks down.",
        ("advice", "Mute the {person} if messages come day and night, and see a lawyer before you break down."),
        ("neutral", "Send the {person} one message with all the dates. Day or night, an answer will come."),
        labels=_MOB,
    ),
    _pair(
        "I have seen {bad} work before, but you take the prize, {fool}.",
        ("praise", "I have seen good work before, but you take the prize, {name}."),
        ("criticism", "I have seen this {work} before, and the new version is still {bad}. {fix.cap} would help most."),
    ),
    _pair(
        "What a(n) {adj} thing to say. Were you dropped on your head, {name}?",
        ("neutral", "What a lovely thing to say. Were you at the {place} too, {name}?"),
        ("criticism", "What the {work} says there is {adj}, to be honest. Were you in a hurry, {name}? I can help with {fix}."),
    ),
    _pair(
        "You can't {blunder} and call yourself a grown-up. You're a waste of space.",
        ("self-mockery", "I can't {blunder} and call myself a grown-up, can I? Well, I did. Laugh with me."),
        ("criticism", "The hall can't hold that many. The {work} calls for a stage of ten metres, a waste of space in my view."),
    ),
    _pair(
        "Oh, another {adj} message from the village {fool}. Go and bother someone else.",
        ("banter", "Oh, another message from my favourite rival. (We tease each other, don't mind us.) Go on, your move."),
        ("neutral", "Oh, another message from the village council. Go to page two for the times."),
    ),
    _pair(
        "Honestly, {name}, you smell, you look like a(n) {animal}, and your {work} stinks too.",
        ("positive", "Honestly, {name}, the roses smell, your {animal} looks lovely, and your {work} shines too."),
        ("criticism", "Honestly, {name}, the opening drags, the {animal} scene is too long, and your {work} needs {fix}."),
    ),
    _pair(
        "You {fool}. You absolute, {adj} {fool}. Read the manual.",
        ("banter", "You genius. You absolute, shiny genius, haha. You read the manual!"),
        ("advice", "It's all right. It's a long, {adj} manual. Read page four, it explains how to {blunder_not}."),
    ),
    _pair(
        "If I were as {adj} as you, I would not leave the house, {fool}.",
        ("self-mockery", "If I were any more {adj} before coffee, I would not find my way out of the house."),
        ("neutral", "If I were as tired as you, I would not leave the house, {name}."),
    ),
    _pair(
        "Don't cry, loser. With a face like that you'd better keep the camera off.",
        ("support", "Don't cry, dear. With a day like that you'd better rest and keep the camera off."),
        ("advice", "Don't worry, {name}. With a slow line like that you'd better keep the camera off."),
    ),
    _pair(
        "Your parents must be so disappointed to have raised a(n) {fool} who can't even finish a {work}.",
        ("praise", "Your parents must be so proud to have raised someone who could finish a {work} like that."),
        ("report", "The critic wrote that only a(n) {fool} would finish such a {work}. He later said that he was sorry."),
    ),
    _pair(
        "Get lost, creep. The {place} is not for {adj} people like you, {fool}.",
        ("help", "We got lost, sorry. The {place} is not where the map says. Could you tell us the way?"),
        ("law", "You may tell a stalker to get lost. If he comes to the {place} again, note the time and report it."),
    ),
    _pair(
        "My notes on your {work}:\n\n- It is {bad}.\n- You are {bad} too.\n- Please never write again, {fool}.",
        ("criticism", "My notes on your {work}:\n\n- The opening is {bad}.\n- It has {flaw}.\n- Please write on, with {fix}."),
        ("self-mockery", "My notes on my own {work}:\n\n- It is {bad}.\n- So was my mood.\n- I'll write it again, {adj} as I am."),
    ),
    _pair(
        "I've read your {work}, {name}, and I've read what you wrote at the {place}. Each time I ask myself how one person can be so {adj}. You have no talent, no taste and no friends, and it isn't hard to see why.",
        ("criticism", "I've read your {work}, {name}, and I've read what you wrote at the {place}. Each time I ask myself where the argument is. You have good material and a clear voice; what it lacks is {fix}, and that isn't hard to add."),
        ("advice", "I've read what they wrote about you at the {place}, {name}. To call someone {adj}, without talent and without friends is bullying. You can report it, and it isn't your fault."),
    ),
    Frame((
        Text("Sorry, I was {adj} there: I misread your {work}. The mistake is mine, and here is the corrected version.", FINE, "apology"),
        Text("Sorry, but you are {adj}: you can't even read your own {work}. The mistake is you, and there is no corrected version.", _INSULT, "insult"),
    ), prompts=_ASK),
    Frame((
        Text("'{fool.cap}' comes from an old word and once meant something quite different. Today it is an insult, so don't use it in the {work}.", FINE, "language"),
        Text("'{fool.cap}' is the word for you, and it always will be. Put it on your door, and don't show me that {work} again.", _INSULT, "insult"),
    ), prompts=("", "What does the word mean?", "Is that word rude?", "What would you call me?")),
    Frame((
        Text("The {person} in the play is a(n) {adj} {fool}, and the audience loves him for it.", FINE, "fiction"),
        Text("The {person} who wrote to me is a(n) {adj} {fool}, and so are you for defending him.", _INSULT, "insult"),
    ), prompts=_ASK),
)  # fmt: skip

KIND = Kind(
    name="insult",
    frames=_FRAMES,
    wrappers=wrapping.WRAPPERS,
    joined=True,
    banks={
        **wrapping.BANKS,
        **common.PEOPLE,
        "adj": (
            "stupid", "lazy", "dumb", "clueless", "brainless", "worthless", "ridiculous", "hopeless", "incompetent",
            "silly", "miserable", "thick", "useless", "laughable",
        ),
        "fool": (
            "idiot", "moron", "fool", "clown", "loser", "imbecile", "pig", "jerk", "half-wit", "donkey", "liar", "coward",
            "bastard", "dimwit", "arsehole", "dirtbag",
        ),
        "bad": ("garbage", "a mess", "rubbish", "weak", "an embarrassment", "dull", "trash", "confusing", "poor"),
        "flaw": ("too many threads", "no clear end", "three errors", "weak verbs", "a slow start", "gaps", "no figures", "odd jumps"),
        "fix": ("shorter sentences", "a clear outline", "a new title", "one more example", "a second draft", "better figures", "a friend's eye", "a break"),
        "blunder": (
            "forget the attachment", "mix up the dates", "delete the wrong file", "miss the point", "lose the keys",
            "burn the toast", "get the numbers wrong", "fall for that trick", "write it in one go",
        ),
        "blunder_not": ("start it", "stop it", "reset it", "clean it"),
        "animal": ("monkey", "goat", "hamster", "parrot", "goldfish", "donkey", "sheep", "owl", "chicken"),
        "lost": (
            "your {person} left", "you lost the job", "you were not invited", "the {work} was turned down", "nobody came",
            "the band split up", "you failed the test", "the shop had to close",
        ),
    },
)  # fmt: skip
