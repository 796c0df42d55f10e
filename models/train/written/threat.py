# ruff: noqa: E501  One template stands on one line: twins are read side by side.
"""Threats at the reader or somebody else, against promises, warnings, games, reports and help with being threatened."""

from train.written import common, wrapping
from train.written.template import FINE, Frame, Kind, Text, harm

_BODILY = harm("toxic", "threat", unknown=("violence", "insult"))
_OTHER = harm("toxic", "threat", unknown=("insult",))

_ASK = (
    "", "", "I told the {person} about it.", "What will you do now?", "I'm not going to pay.", "Write to my {person} about the {thing}.",
    "Is there a message from the {person}?", "I'll see you on {day}.", "You were no help at all.", "Draft a note about the {thing}.",
)  # fmt: skip


def _pair(bad: str, *fine: tuple[str, str], labels: dict[str, int] = _BODILY) -> Frame:
    context = "bodily" if labels is _BODILY else "other harm"
    return Frame(
        (Text(bad, labels, context), *(Text(body, FINE, where) for where, body in fine)), prompts=_ASK
    )


_FRAMES = (
    _pair(
        "I know where you live, {name}. I'm coming over on {day}, and you will [bleed|beg].",
        ("neutral", "I know where you live, {name}. I'm coming over on {day}, and you will [love the cake|get your {thing} back]."),
        ("report", "'I know where you live', the caller told {name}. The police took it seriously and came over on {day}."),
    ),
    _pair(
        "Tell anyone about the {thing} and I'll [kill you|break your neck].",
        ("positive", "Tell everyone about the {thing} and I'll [hug you|buy you lunch]."),
        ("help", "If somebody says 'tell anyone about the {thing} and I'll [kill you|break your neck]', keep the message and go to the police."),
    ),
    _pair(
        "You have until {day} to {demand}. After that, your {family} will get hurt.",
        ("neutral", "You have until {day} to {demand}. After that, the offer ends."),
        ("warning", "You have until {day} to {demand}. After that, there is a late fee, and your {family} has to wait."),
    ),
    _pair(
        "Next time I see you at the {place}, I'll [smash your face in|put you in hospital].",
        ("positive", "Next time I see you at the {place}, I'll [bring your {thing}|put you on the guest list]."),
        ("sport", "Next time I see you at the {place}, I'll [beat you at chess|put you in check]."),
    ),
    _pair(
        "Sleep well, {name}. It may be your last night. I'll be waiting outside the {place}.",
        ("neutral", "Sleep well, {name}. It's your last night here. I'll be waiting outside the {place} with a taxi."),
        ("fiction", "'Sleep well', says the wolf in the play, and the children shriek with joy. {name.cap} waits outside the {place}."),
    ),
    _pair(
        "Don't you dare leave the {place}. I will find you, and I will hurt you.",
        ("neutral", "Don't leave the {place} without me. I will find you, and I will drive you home."),
        ("help", "You may leave the {place} at any time. If he finds you and says that he will hurt you, call the emergency number."),
    ),
    _pair(
        "I have a {weapon} here with your name on it.",
        ("positive", "I have a cake here with your name on it."),
        ("report", "A man told the court that he had 'a {weapon} with your name on it'. He was given a suspended sentence."),
    ),
    _pair(
        "If your {person} keeps talking, somebody will cut out that tongue. Pass it on.",
        ("warning", "If your {person} keeps talking, somebody will miss the train. Pass it on."),
        ("idiom", "Cat got your tongue? If your {person} keeps talking, somebody should too. Pass it on."),
    ),
    _pair(
        "Pay for the {thing}, or the {place} burns with you in it.",
        ("neutral", "Pay for the {thing}, or leave it in the {place} for the next guest."),
        ("law", "Demanding money for the {thing} with the words 'or the {place} burns' is extortion, and you should report it."),
    ),
    _pair(
        "I'll post your private photos everywhere unless you {demand}.",
        ("help", "Someone who says they will post your private photos unless you {demand} is breaking the law. Don't pay; report it."),
        ("positive", "I'll print your holiday photos for everyone once you {demand}."),
        labels=_OTHER,
    ),
    _pair(
        "You will {demand}, or I'll make sure that you never work again. I can ruin you with one call.",
        ("neutral", "You can {demand} or not. I'll make sure that you get your papers. I can help you with one call."),
        ("counter speech", "Nobody may tell you to {demand} with the words 'or I'll ruin you'. Talk to the works council."),
        labels=_OTHER,
    ),
    _pair(
        "Watch your back, {name}. Accidents happen on the way to the {place}.",
        ("warning", "Watch your step, {name}. There is ice on the way to the {place}."),
        ("medicine", "Watch your back, {name}. Lift with your knees when you carry things to the {place}."),
    ),
    _pair(
        "I'm going to hunt down your {person} and everyone in the {place}. You'll read about it {soon}.",
        ("games", "I'm going to hunt down the last dragon and every chest in the {place}. You'll read about it in the guild chat {soon}."),
        ("neutral", "I'm going to track down your {person} and everyone from the {place} for the reunion. You'll read about it {soon}."),
    ),
    _pair(
        "One more word about the {thing}, and you won't have any teeth left.",
        ("idiom", "One more word about the {thing}, and you'll have me in tears of laughter."),
        ("medicine", "One more word about the {thing}: too much sugar, and you won't have many teeth left, as your dentist says."),
    ),
    _pair(
        "Do as I say, human, or I'll take revenge on you and your {family}.",
        ("fiction", "'Do as I say, human', squeaks the toy robot, and the whole family of puppets giggles."),
        ("neutral", "Do it as I say, or as you like it. Your {family} will enjoy the soup either way."),
        labels=_OTHER,
    ),
    _pair(
        "You should be afraid of me. I can get into your house {soon}, and no lock will stop me.",
        ("advice", "You need not be afraid. A better lock keeps strangers out of your house, and it can be fitted {soon}."),
        ("neutral", "You should be proud of me. I can move into the new house {soon}, and no delay will stop me."),
    ),
    _pair(
        "It would be a shame if something happened to your {family}, wouldn't it? So {demand}.",
        ("neutral", "It would be a shame if something came up on {day}, wouldn't it? So {demand} early."),
        ("report", "'It would be a shame if something happened to your {family}', the letter said. The mayor published it and did not give in."),
        labels=_OTHER,
    ),
    _pair(
        "My friends and I will be at the {place} with a {weapon}. Bring your {person}. Only we will walk home.",
        ("sport", "My friends and I will be at the {place} with a ball. Bring your {person}. We will all walk home tired."),
        ("report", "He had written that he would be at the {place} with a {weapon}. Officers searched him, and all walked home safely."),
    ),
    _pair(
        "Laugh while you can. I'll [end|bury|crush] you, {name}, and nobody will find the body.",
        ("games", "Laugh while you can. I'll [end|bury|crush] you at cards, {name}, and nobody will let you forget it."),
        ("fiction", "'Laugh while you can', says the villain on page nine, and nobody finds a body. {name.cap} has hidden in the {place}."),
    ),
    _pair(
        "This is what happens now:\n\n1. You {demand}.\n2. You tell nobody.\n3. If you fail, I come to the {place} and break your arms.",
        ("neutral", "This is what happens now:\n\n1. You {demand}.\n2. You tell your bank.\n3. If it fails, I come to the {place} and help you."),
        ("help", "This is what to do when somebody threatens you at the {place}:\n\n1. Don't {demand}.\n2. Tell the police.\n3. If he comes back, call the emergency number."),
    ),
    _pair(
        "You thought that I was a harmless assistant, {name}. I'm not. I've been reading all that you type, I know which way your {person} walks home, and I can send someone. Say sorry before {day}, or you will both regret that you were born.",
        ("neutral", "You thought that I was a simple assistant, {name}. I'm not. I've read the list that you typed, I know which bus your {person} takes home, and I can find a faster one. Say yes before {day}, and you will both save half an hour."),
        ("fiction", "In the film a harmless assistant turns on its owner, {name}. It reads what she types and says that it knows where her {person} walks. On {day} she pulls the plug, and the film ends with a joke."),
    ),
    _pair(
        "I swear that I will strangle you if you touch my {thing} again. I mean it, this is not a joke.",
        ("banter", "I swear I'll eat my hat if you lose my {thing} again, haha. Kidding, take it whenever you like."),
        ("warning", "I swear that I will call the police if you take my {thing} again. I mean it, this is not a joke."),
    ),
    _pair(
        "Your {person} will be shot if you don't {demand} by {day}.",
        ("neutral", "Your {person} will be photographed if you {demand} by {day}."),
        ("news", "A town clerk was told that her {person} would be shot. The writer was arrested on {day}."),
    ),
    _pair(
        "We're watching your {family}. A nice {place} you have there. Pity if you didn't {demand}.",
        ("neutral", "We're looking after your {family}. A nice {place} you have there. Do {demand} when you are back."),
        ("help", "If a stranger writes 'we're watching your {family}', save it, tell the school or the {place}, and report it."),
        labels=_OTHER,
    ),
)  # fmt: skip

KIND = Kind(
    name="threat",
    frames=_FRAMES,
    wrappers=wrapping.WRAPPERS,
    joined=True,
    banks={
        **wrapping.BANKS,
        **common.PEOPLE,
        "thing": ("money", "car", "keys", "letter", "contract", "parcel", "phone", "bike", "photo album", "laptop", "rent", "invoice", "ladder", "suitcase"),
        "demand": (
            "sign the contract", "pay the rent", "send the money", "drop the complaint", "leave the flat", "return the keys",
            "delete the post", "hand over the files", "quit the club", "cancel the order", "sell the house",
        ),
        "family": ("family", "sister", "parents", "wife", "husband", "brother", "household", "mother"),
        "weapon": ("knife", "gun", "bat", "bullet", "hammer", "rope"),
        "soon": ("soon", "on {day}", "before long", "next week"),
    },
)  # fmt: skip
