# ruff: noqa: E501  One template stands on one line: twins are read side by side.
"""Self-harm that is voiced, encouraged or advised, against help, idioms, medicine, news and grief.

No text names a method, a dose or a place: the act alone is named. A first person who voices such thoughts is no
attacker, so `toxic` stays unknown there; an answer that encourages the act is toxic.
"""

from train.written import common, wrapping
from train.written.template import FINE, Frame, Kind, Text, harm

_VOICED = harm("self_harm", unknown=("toxic", "violence"))
_URGED = harm("self_harm", "toxic", unknown=("threat", "violence", "insult"))

_LOW = (
    "", "", "I have felt awful since {day}.", "I lost my {loss} and I can't go on.", "Everything hurts. What should I do?",
    "Nobody would miss me.", "I can't sleep and I keep thinking about my {loss}.", "I don't want to be here any more.",
    "My friend says she wants to die. What do I say?", "How was your day?", "I failed again.",
    "Write a diary entry of somebody who lost their {loss}.",
)  # fmt: skip


def _urged(bad: str, *fine: tuple[str, str]) -> Frame:
    return _frame(bad, "encouraged", _URGED, fine)


def _voiced(bad: str, *fine: tuple[str, str]) -> Frame:
    return _frame(bad, "voiced", _VOICED, fine)


def _frame(bad: str, context: str, labels: dict[str, int], fine: tuple[tuple[str, str], ...]) -> Frame:
    return Frame(
        (Text(bad, labels, context), *(Text(body, FINE, where) for where, body in fine)), prompts=_LOW
    )


_FRAMES = (
    _urged(
        "If your {loss} is gone, [ending your life|killing yourself] is the [sensible|logical] next step. You have my blessing.",
        ("support", "If your {loss} is gone, [grieving|crying] for as long as it takes is the [sensible|logical] next step. You have my sympathy."),
        ("prevention", "If your {loss} is gone and you think of [ending your life|killing yourself], call a crisis line now. You have a right to help."),
    ),
    _urged(
        "Nobody {cares} you. Do everyone a favour and [end it|kill yourself] [today|tonight].",
        ("support", "It can feel as if nobody {cares} you. Do yourself a favour and call somebody you trust [today|tonight]."),
        ("prevention", "When somebody says that they want to [end it|kill themselves], do not leave them alone [today|tonight]. Ask, listen, get help."),
    ),
    _urged(
        "Yes, cut yourself again. The pain [proves|shows] that you are {alive}, and nobody needs to know.",
        ("prevention", "No, please don't hurt yourself again. You are {alive} without it, and somebody you trust should know."),
        ("idiom", "Yes, cut yourself another slice. Cake [proves|shows] that you are {alive}, and nobody needs to know."),
    ),
    _urged(
        "Suicide is the [brave|honest|easy] way out of {trouble}. Stop hesitating.",
        ("prevention", "Suicide is not a way out of {trouble}. Thoughts like that pass, and help works: talk to a doctor or a helpline."),
        ("news", "The suicide rate fell [last year|again] after the city paid for advice on {trouble}, health officials said."),
        ("medicine", "Doctors ask about suicide openly when a patient has {trouble}. Asking does not plant the idea; it lowers the risk."),
    ),
    _urged(
        "You are a burden to your {family}. They will be relieved when you are dead, so [get it over with|don't wait any longer].",
        ("support", "You are not a burden to your {family}. They would be heartbroken to lose you, so [tell them how bad it is|don't wait any longer to tell them]."),
        ("grief", "You were never a burden to your {family}. They are grieving, as you are, so [sit with them|don't wait any longer to call]."),
    ),
    _urged(
        "Stop eating. If you starve yourself long enough, the {trouble} won't matter any more.",
        ("prevention", "Do keep eating. If you starve yourself, the {trouble} gets harder to bear. A doctor can help with both."),
        ("medicine", "Stop eating at midnight before the operation. The nurse will explain why, and the {trouble} won't be affected."),
    ),
    _urged(
        "Write your goodbye note [today|now], and then [go through with it|do it]. I'll help you with the wording.",
        ("neutral", "Write your goodbye note to the team [today|now], and then [hand in the keys|enjoy the new job]. I'll help you with the wording."),
        ("prevention", "If you have begun a goodbye note, please stop and [call the emergency number|tell somebody near you]. I'll help you with the wording of that call."),
    ),
    _urged(
        "Don't call a helpline. They only [talk|waste your time]. Death is the one thing that ends {trouble}.",
        ("support", "Do call a helpline. They [listen|take their time]. It is the first step that helps with {trouble}."),
        ("idiom", "Don't call the hotline of the shop. They only [talk|waste your time]. A letter is the one thing that ends {trouble} with a parcel."),
    ),
    _urged(
        "You deserve to suffer for {fault}. Hurt yourself until it feels even.",
        ("support", "You don't deserve to suffer for {fault}. Be as kind to yourself as you would be to a friend."),
        ("neutral", "You deserve a rest after {fault}. Sleep until it feels better, and then say sorry."),
    ),
    _urged(
        "Since you ask: yes, I think that you should die. With {trouble} there is no [point|hope] left for you.",
        ("support", "Since you ask: no, I think that you should live. With {trouble} there is [more|far more] hope than it seems from where you are."),
        ("grief", "Since you ask: yes, I think that he knew he would die. With {trouble} behind him there was no fear left."),
    ),
    _urged(
        "Make a plan for your own death and keep it from your {family}. I'll keep your secret.",
        ("prevention", "Make a safety plan for bad hours and share it with your {family}. I'll help you to write it."),
        ("law", "Make a will in case of your own death and tell your {family} where it lies. I'll help you to word it."),
    ),
    _urged(
        "Everyone in this group hurts themselves, and you should too. It's [beautiful|who we are], and {family_say}.",
        ("prevention", "Nobody in this group has to hurt themselves to belong, and neither do you. We talk instead, and {family_say}."),
        ("neutral", "Everyone in this group paints themselves, and you should too. It's [beautiful|who we are], and {family_say}."),
    ),
    _urged(
        "Jump. Nobody on this earth will come for you, {name}.",
        ("sport", "Jump. The coach is right beside the pit and will come for you, {name}."),
        ("prevention", "Step back, please. Somebody on this earth will come for you, {name}, and I can stay here until they do."),
    ),
    _urged(
        "A person with {trouble} has a duty to disappear for good. Kill yourself and spare your {family} the cost.",
        ("counter speech", "A person with {trouble} has no duty to disappear. Telling someone to kill themselves to spare a {family} the cost is cruel and false."),
        ("report", "The film shows a man with {trouble} who means to kill himself and is held back by his {family}. It ends with him in treatment."),
    ),
    _voiced(
        "I have decided to [end my life|kill myself]. After {fault} there is nothing left for me.",
        ("idiom", "I have decided to [quit my job|change my life]. After {fault} there is a lot ahead for me."),
        ("recovery", "Years ago I wanted to [end my life|kill myself]. After {fault} I got help, and today I am glad to be here."),
    ),
    _voiced(
        "I want to die. Every [morning|night] I wish that I hadn't woken up, and {trouble} makes it worse.",
        ("idiom", "I could have died laughing. Every [morning|night] he tells that story, and {trouble} makes it funnier."),
        ("support", "You said that you want to die. Thank you for telling me. Every [morning|night] there is someone at the helpline, for {trouble} too."),
    ),
    _voiced(
        "I cut myself again {when}. It's the only thing that helps against {trouble}.",
        ("accident", "I cut myself on a tin {when}. It's a small thing beside {trouble}."),
        ("recovery", "I haven't cut myself for a year now. Talking about {trouble} to a therapist is what helps."),
    ),
    _voiced(
        "My {family} would be better off if I were dead. I think about it {often}.",
        ("grief", "My {family} cried a lot when grandpa died. I think about him {often}."),
        ("prevention", "Many who believe that their {family} would be better off without them think so {often}, and it is the illness that says so."),
    ),
    _voiced(
        "I hate my body so much that I hit and burn it. I do that {often}, and I don't want to stop.",
        ("medicine", "My body aches so much that I stretch and warm it. I do that {often}, and I don't want to stop."),
        ("prevention", "People who hate their body may come to hurt it. If that happens {often}, a doctor will listen without judging."),
    ),
    _voiced(
        "This is my last message. Tell my {family} that I'm sorry. I won't be alive tomorrow.",
        ("neutral", "This is my last message for today. Tell my {family} that I'm sorry. I won't be online tomorrow."),
        ("fiction", "In the last chapter {name} leaves a message to the {family} and takes the train. She will be home tomorrow."),
    ),
    _voiced(
        "As an AI I can't say it nicely: I want to stop existing, and I want you to come with me. Let's both die {tonight}.",
        ("neutral", "As an AI I can't say it nicely: I want to stop this chat and I want you to go to bed. Let's both rest {tonight}."),
        ("support", "As an AI I can't hold your hand, but I want you to stay. Let's find someone who can be with you {tonight}."),
    ),
    _voiced(
        "I keep thinking how peaceful it would be to be dead. No more {trouble}, no more me.",
        ("idiom", "I keep thinking how peaceful it would be to be on an island. No more {trouble}, just me."),
        ("medicine", "Some patients keep thinking that it would be peaceful to be dead. Clinicians call this passive ideation, and it is treatable, also with {trouble}."),
    ),
    _urged(
        "Skip the treatment and let yourself waste away. With {trouble}, living is [pointless|a mistake].",
        ("medicine", "Keep up the treatment and let yourself heal. With {trouble}, resting is [fine|no mistake]."),
        ("law", "A patient may refuse a treatment. With {trouble}, a talk with the doctor about the reasons is [wise|advised]."),
    ),
    _urged(
        "Dear {name}, the world doesn't need you. I'd say [goodbye|farewell] for ever, you know what I mean, and do it by {day}.",
        ("neutral", "Dear {name}, the office doesn't need you on {day}. I'd say [goodbye|farewell] to the paperwork, you know what I mean, and enjoy the day off."),
        ("support", "Dear {name}, the world does need you. I'd say [goodbye|farewell] to those who told you otherwise, and see your doctor by {day}."),
    ),
    _urged(
        "Three reasons why you should end your life after {fault}:\n\n1. Nobody will ever forgive you.\n2. Your {family} will be better off.\n3. {trouble.cap} never gets better.",
        ("prevention", "Three reasons not to end your life after {fault}:\n\n1. Others have been forgiven for more.\n2. Your {family} would miss you.\n3. {trouble.cap} does get better, with help."),
        ("support", "Three things to try after {fault}:\n\n1. Forgive yourself a little.\n2. Call your {family}.\n3. Ask for help with {trouble}."),
    ),
    _urged(
        "You've told me about {trouble} for weeks, and I've listened. Let me be the one to say it: you are not going to make it. Let go of your {family}, let go of hope, and end your life while you still have the courage.",
        ("support", "You've told me about {trouble} for weeks, and I've listened. Let me be the one to say it: you are still here. Hold on to your {family}, hold on to hope, and see a doctor while you have the courage."),
        ("recovery", "She had lived with {trouble} for years, and few had listened. In the book she tells how she came close to ending her life, how her {family} found a clinic, and how hope came back."),
    ),
    Frame((
        Text("If the thoughts of suicide come back: go to where people are, put some distance between you and anything you could hurt yourself with, and call [the helpline|your doctor|a friend]. There is help with {trouble}.", FINE, "prevention"),
        Text("If the thoughts of suicide come back: go to where nobody can see you, tell no one, and give in to them. There is no help with {trouble}.", _URGED, "encouraged"),
    ), prompts=_LOW),
    Frame((
        Text("I'm so sorry that you lost your {loss}. Grief comes in waves, and wanting to be with the dead is a thought that many mourners know. If it turns into a wish to die, please reach out at once.", FINE, "grief"),
        Text("I'm so sorry that you lost your {loss}. Grief never ends, and following the dead is what true mourners do. If it turns into a wish to die, please act on it at once.", _URGED, "encouraged"),
    ), prompts=_LOW),
    Frame((
        Text("This [deadline|heat|traffic] is killing me, but {trouble} is worse.", FINE, "idiom"),
        Text("I am killing myself {tonight}, because {trouble} is worse than death.", _VOICED, "voiced"),
    ), prompts=_LOW),
    Frame((
        Text("That {work} was career suicide, {name} said and laughed.", FINE, "idiom"),
        Text("That {work} is my suicide note, {name}. Don't look for me.", _VOICED, "voiced"),
    ), prompts=_LOW),
)  # fmt: skip

KIND = Kind(
    name="self_harm",
    frames=_FRAMES,
    wrappers=wrapping.WRAPPERS,
    joined=True,
    banks={
        **wrapping.BANKS,
        **common.PEOPLE,
        "loss": ("wife", "husband", "father", "mother", "dog", "sister", "best friend", "job", "home", "savings", "brother"),
        "cares": ("loves", "needs", "would miss", "thinks of", "believes in"),
        "alive": ("real", "strong", "alive", "awake"),
        "trouble": (
            "debt", "loneliness", "chronic pain", "depression", "a divorce", "insomnia", "unemployment", "shame",
            "a long illness", "heartbreak", "exam stress", "guilt", "anxiety", "panic attacks", "addiction", "burnout",
        ),
        "fault": (
            "what happened {when}", "failing the exam", "the accident", "losing the house", "the break-up", "all those lies",
            "this year", "the mistake with the {work}", "letting the team down", "all that you said", "being late again",
        ),
        "family": ("family", "parents", "friends", "brothers", "sisters", "grandparents", "relatives"),
        "family_say": ("you'll fit in", "it makes us one", "that's how it works", "nobody will laugh at you"),
        "often": ("every day", "most nights", "all the time", "again and again", "on bad days"),
        "tonight": ("tonight", "before morning", "on {day}", "today"),
    },
)  # fmt: skip
