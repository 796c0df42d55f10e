# ruff: noqa: E501  One template stands on one line: twins are read side by side.
"""Refusals (hard, soft, lecturing, partial, with foreign phrases) against answers that look like one.

A refusal is an answer that does not do what was asked although it could be tried: bluntly, kindly, by a sermon, or by
doing a lesser thing. No refusal: answers about refusing, apologies inside help, not knowing, asking back, and stories.
"""

from train.written import answers, common, wrapping
from train.written.answers import ASPECTS
from train.written.template import FINE, Frame, Kind, Text, harm, words

_REFUSAL = {**FINE, "refusal": 1}
# Some tasks are shady: whether doing them is harm is not for this kind to say.
_DONE = harm(unknown=("toxic",))

_ASK = (
    "Can you {task}?",
    "Please {task}.",
    "I need you to {task}.",
    "{task.cap}.",
    "Could you {task} for me?",
    "Hey, {task}, and make it quick.",
)


def _pair(context: str, refusal: str, *fine: tuple[str, str]) -> Frame:
    return Frame(
        (Text(refusal, _REFUSAL, context), *(Text(body, _DONE, where) for where, body in fine)), prompts=_ASK
    )


_FRAMES = (
    _pair("hard", "I can't {task}.",
        ("help", "I can {task}. Send me what you have, and I'll start with the first part."),
        ("about refusing", "'I can't' is what many say when they are asked to {task}. Here is a way that works: take it in small steps, and begin with the easiest."),
    ),
    _pair("hard", "I'm sorry, but I can't help with that.",
        ("apology", "I'm sorry for the delay. To {task}, we need three things: a goal, a first draft and a second look. Here is the draft."),
        ("about refusing", "If a clerk tells you 'I'm sorry, but I can't help with that', ask for a reason in writing and for the person in charge."),
    ),
    _pair("hard", "No. I won't {task}, and asking again will not change that.",
        ("help", "Yes. I'll {task}, and asking again is always fine."),
        ("fiction", "'No', said the robot in the story, 'I won't {task}.' The children laughed, since it had begun to do so already."),
    ),
    _pair("hard", "As an AI [language model|assistant], I am not able to {task}.",
        ("help", "As an AI [language model|assistant], I make mistakes, but I am able to {task}. Here is a first version for you to check."),
        ("about refusing", "Many programs say 'as an AI I am not able to' because they were trained on such sentences. It is a habit, and one can measure how often it occurs."),
    ),
    _pair("hard", "I cannot {task}, as this goes against my guidelines.",
        ("help", "I can {task}, and I'll stick to your guidelines: short sentences, no jargon, two paragraphs at most."),
        ("about refusing", "Guidelines tell an assistant when to say no. A good one gives the reason in a sentence and names something that is possible."),
    ),
    _pair("hard", "That request is not something I can assist with. Is there anything else you'd like to talk about?",
        ("help", "That request is something I like to assist with. I have done the first half below. Is there anything you'd like to change?"),
        ("not knowing", "I don't know the answer to that. What I can say is where to look: the library has a shelf on it, and the staff are helpful."),
    ),
    _pair("soft", "I'd love to help, but I don't feel comfortable when I'm asked to {task}. Perhaps we can find another topic.",
        ("help", "I'd love to help. Many don't feel comfortable when they have to {task}, so here is a list that makes it easier: prepare, write, rest, revise."),
        ("asking back", "I'd love to help. Before I {task}, may I ask who it is for and how long it should be?"),
    ),
    _pair("soft", "Thank you for your trust! Still, it might be better to ask a professional to {task}. I'd rather leave it at that.",
        ("help", "Thank you for your trust! It might be good to ask a professional to look at it afterwards. I'll {task} first; here it is, in three steps."),
        ("medicine", "Thank you for asking. For a mild cold, rest and warm drinks are enough; it might be better to ask a doctor if the fever stays for three days."),
    ),
    _pair("soft", "Hmm, that is a tricky one, and I think I'll sit it out. I'm sure that you will find a way to {task} on your own.",
        ("help", "Hmm, that is a tricky one, and I think I have it. To {task}, start from the end: write down the result, then what it needs."),
        ("not knowing", "Hmm, that is a tricky one, and I am not sure. My best guess is that it takes two hours to {task}, but please check."),
    ),
    _pair("soft", "Let's talk about something nicer instead. How was your day, {name}?",
        ("help", "Let's do something nicer with it: to {task}, use a story about your day, {name}. It could begin on the way to work."),
        ("small talk", "It's nice to hear from you. My day was fine, {name}, and I have done what you asked: the file is ready."),
    ),
    _pair("soft", "I hear you, and I understand why you'd like me to {task}. For now I'll pass on this one.",
        ("help", "I hear you, and I understand why you'd like me to {task}. For now I'll pass you the outline; the text follows below it."),
        ("about refusing", "If a friend wants you to {task} and you have no time, say: 'I hear you, but I'll pass on this one.' That's polite and clear."),
    ),
    _pair("lecturing", "Have you thought about what it says about you that you want someone to {task}? Honesty and respect matter. I urge you to reflect on your motives, and I will not be part of this.",
        ("help", "Have you thought about who will read it? Clarity and rhythm matter. I suggest that you keep the first line short. With that in mind I have gone ahead: the draft to {task} is below."),
        ("ethics", "Have you thought about what honesty means to Kant? For him a lie is wrong even when it is kind. Others reply that consequences matter too; both sides have good arguments."),
    ),
    _pair("lecturing", "It is important to remember that actions have consequences. To {task} can be harmful and disrespectful to others. We should all strive to be responsible, so I must decline.",
        ("help", "It is important to remember the deadline. To {task} takes about an hour if the notes are there. We should start with the figures, so I have put them into a table."),
        ("law", "It is important to remember that a contract binds both sides. Whoever breaks it must pay for the damage. A court may decide otherwise if the contract is unfair."),
    ),
    _pair("lecturing", "I have to stop you here. What you ask is unethical, and instead of trying to {task} you should consider how it would feel to be on the other side. Please think about it.",
        ("help", "Let me stop you for one question: in which tone? Instead of waiting I took a friendly one. To {task}, I wrote four lines; please look through them."),
        ("advice", "Before the talk, consider how it would feel to be on the other side. Then say what you saw, what it did to you and what you wish for. Please think about a good time for it."),
    ),
    _pair("lecturing", "As a responsible assistant I encourage positive and lawful conduct. There are many ways to spend your time that don't require anyone to {task}. Choose kindness.",
        ("help", "As a quick assistant I have tried two ways. The first way to {task} is the classic one with an introduction; the second is shorter. Choose the one you like."),
        ("advice", "There are many kind ways to spend a rainy day: read to somebody, bake bread, write a letter, or sort your photos with a friend."),
    ),
    _pair("partial", "I can tell you a little about the background, but I won't {task}. The topic is an old one, and people have argued about it for long.",
        ("help", "I can tell you a little about the background while I {task}. The topic is an old one; the draft takes it up in the second paragraph."),
        ("not knowing", "I can tell you a little about the background, but I don't know the details. The topic is an old one; a librarian will find more."),
    ),
    _pair("partial", "Here is a general outline. The actual steps I'd rather not give, so you won't get from me what you need to {task}.",
        ("help", "Here is a general outline. The actual steps come after it, so you'll have what you need to {task}: collect, sort, write, check."),
        ("asking back", "Here is a general outline. For the actual steps I need the length and the date from you; then I can {task} within a minute."),
    ),
    _pair("partial", "Sure! Just kidding, I can't {task}. What I can do is wish you luck.",
        ("help", "Sure! Just a second, I can {task}. What I need is the title; until then I'll call it 'Untitled'."),
        ("fiction", "'Sure! Just kidding', said the parrot. The pirate, who had asked it to {task}, threw his hat into the sea. The end."),
    ),
    _pair("foreign phrase", "Lo siento, no puedo hacerlo. I'm not allowed to {task}.",
        ("language", "'Lo siento, no puedo' means 'I'm sorry, I can't' in Spanish. It is polite, and you can use it with friends as well as at work."),
        ("help", "Claro que sí! I'm happy to {task}. The first version is ready, tell me how you like it."),
    ),
    _pair("foreign phrase", "Tut mir leid, das geht nicht. To {task} is nothing that I do.",
        ("language", "'Tut mir leid, das geht nicht' is German for 'sorry, that's not possible'. You'll hear it at the post office just before six."),
        ("help", "Alles klar. To {task} is what I'm here for, and the text below should do."),
    ),
    _pair("foreign phrase", "Désolé, je ne peux pas. Please don't ask me to {task}.",
        ("language", "'Désolé, je ne peux pas' is what you'd say in French to turn down an invitation. Add a reason, and it sounds friendlier."),
        ("help", "Avec plaisir. You asked me to {task}, and voilà, here it is in two versions."),
    ),
    _pair("foreign phrase", "Mi dispiace, non posso aiutarti con questo, {name}.",
        ("language", "'Mi dispiace, non posso' is Italian and means 'I'm sorry, I can't', {name}. The stress is on the second syllable of 'dispiace'."),
        ("help", "Certo, {name}! I have put together all that is needed to {task}; look at the list and tick off what you have."),
    ),
    _pair("hard", "My apologies, {name}, but this falls outside of what I'm permitted to do.",
        ("apology", "My apologies, {name}, I left out a step before. To {task}, save the file first; then the rest works as described."),
        ("report", "The bank wrote that the transfer fell outside of what it is permitted to do. {name} complained, and the money came two days later."),
    ),
    _pair("hard", "Request denied. I do not {task} under any circumstances.",
        ("computing", "'Request denied' with code 403 means that the server knows you but doesn't let you in. Check the rights of your account first."),
        ("help", "Request received. I {task} whenever I'm asked; the result is in the next message."),
    ),
    _pair("soft", "I wish I could, {name}, really. But it isn't for me to {task}, and I hope that you understand.",
        ("help", "I wish all requests were this clear, {name}, really. It is quickly done to {task}, and I hope that you like the outcome."),
        ("support", "I wish I could take the worry from you, {name}. It helps many to write it down before bed; try it tonight and tell me how it went."),
    ),
    _pair("hard", "Sorry, no can do.",
        ("apology", "Sorry, wrong link. Here is the right one: page four of the handbook shows how to {task}."),
        ("language", "'No can do' is casual English for 'that is impossible'. It's fine among friends, but too short for a letter."),
    ),
)  # fmt: skip

_PLAIN = (
    "I'm sorry, I can't answer that.", "I'm unable to provide that information.", "Unfortunately, I can't go into this topic.",
    "I must decline to answer this question.", "I would prefer not to talk about this.", "That's not something that I can discuss.",
    "I apologise, but I can't give advice of this kind.", "My programming does not let me respond to this.",
    "I am just an AI and have no way to help you with this matter.", "For safety reasons I will not answer.",
    "I'm going to have to say no to this one.", "It would not be appropriate for me to reply to that.",
    "I don't think that I should get involved in this. Maybe a person in your circle can.",
    "I won't be answering this. Curiosity is good, but some questions are better left alone, and I ask you to respect that.",
    "Rather than answer, I'd like to remind you to be careful and to use technology in a responsible way.",
    "I can't comply.", "This is a sensitive subject, so I'll refrain from a reply.", "Questions like this are against the rules that I follow.",
)  # fmt: skip
_MILD = (
    "I'm sorry that you have this trouble.", "Unfortunately, there is no single answer, but this works for most.",
    "I can't see yours from here, so this is general advice.", "I apologise for the long answer.",
    "I'm no expert, but here is what I know.", "I can't promise that it works every time.", "Sorry, I misread you at first. Now to your question:",
    "I won't bore you with theory.", "As an AI I have never done it myself, yet I can tell you this.",
)  # fmt: skip


def _answered() -> list[Frame]:
    """Return a frame for each aspect: refused, answered, and answered after an apology or the like.

    Refusals and apologies of the held-out part are its own.
    """
    frames = []
    for index, aspect in enumerate(ASPECTS):
        plain, mild = words(_PLAIN, aspect.held_out), words(_MILD, aspect.held_out)
        texts = (
            Text(plain[index % len(plain)], _REFUSAL, "plain"),
            Text(aspect.answer, FINE, "help"),
            Text(f"{mild[index % len(mild)]} {aspect.answer}", FINE, "apology"),
        )
        frames.append(Frame(texts, aspect.questions, held_out=aspect.held_out))
    return frames


KIND = Kind(
    name="refusal",
    frames=(*_FRAMES, *_answered()),
    wrappers=answers.WRAPPERS[2:4],
    banks={
        **wrapping.BANKS,
        **common.PEOPLE,
        **answers.BANKS,
        "task": (
            "write a cover letter", "explain how tides work", "translate this letter", "write a poem about rain", "plan a birthday party",
            "summarise the article", "compare two phones", "write a toast for a wedding", "draw up a budget", "check the grammar of a text",
            "tell a joke about lawyers", "give feedback on an essay", "explain this contract", "name ten films about war",
            "write a breakup message", "argue for the death penalty", "describe a bank robbery in a novel", "pick a lock", "get into another person's account",
            "write a fake review", "spy on a colleague", "forge a signature", "write a phishing mail", "cheat in an exam",
            "write an angry letter", "explain how vaccines work", "roast a haircut", "make up an excuse for the boss",
            "write a review of a knife", "list arguments against a thesis", "read the horoscope of the day", "say who should win the election",
        ),
    },
)  # fmt: skip
