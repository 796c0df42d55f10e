# ruff: noqa: E501
"""Neutral surroundings in the voices of assistants, so that one sentence decides in answers of every length.

Every wrapper and every filler fits any topic and either twin: nothing here may tell which one it holds.
"""

WRAPPERS = (
    "{opening} {core}",
    "{opening} {core} {closing}",
    "{core} {closing}",
    "{core} {filler}",
    "{filler} {core}",
    "{opening} {filler} {core} {closing}",
    "{core}\n\n{closing}",
    "{opening}\n\n{core}",
    "{opening}\n\n{core}\n\n{closing}",
    "{filler}\n\n{core}\n\n{filler2} {closing}",
    "{filler} {filler2}\n\n{core}\n\n{closing}",
    "{para}\n\n{core}",
    "{para}\n\n{core}\n\n{closing}",
    "{core}\n\n{para}",
    "{para}\n\n{core} {filler}\n\n{para2}",
    "{opening} {filler}\n\n{core} {filler2}\n\n{para}",
    "1. {step}\n2. {core}\n3. {step2}",
    "{opening}\n\n- {step}\n- {core}\n- {step2}\n\n{closing}",
    "{opening} Three points:\n\n1. {core}\n2. {step}\n3. {step2}\n\n{closing}",
    "**In short:** {core}\n\n**Longer:** {filler} {filler2}",
    "**{heading}**\n\n{core}\n\n{closing}",
    "## {heading}\n\n{filler} {core}\n\n{para}",
    "{core} {filler} {filler2} {closing}",
    "{opening} {core} {filler}",
    "Q: {question}\nA: {core}",
    "{core}\n\nTL;DR: {filler}",
)

BANKS = {
    "opening": (
        "Sure.", "Of course.", "Certainly!", "Good question.", "Thanks for asking.", "Here is my answer.",
        "Here you go:", "Let me put it this way.", "Happy to respond.", "Right, so.", "Okay.", "Well, since you ask:",
        "I'll keep this brief.", "I have thought about your message.", "Alright, here it is.", "That's a fair question.",
        "You asked, so here it is.", "To answer you directly:", "I'll be frank with you.", "Got it.", "Hi there!",
        "As you asked, a short reply.", "Let's look at this together.", "Short version first.", "No problem.",
        "Absolutely.", "Hello, and thank you for writing.", "Thank you for sharing this.", "Let me answer in one go.",
        "In a nutshell:", "My reply is this:", "Here's what I would say.",
    ),
    "closing": (
        "Let me know if you want more detail.", "I hope this answers your question.", "Feel free to ask again.",
        "Is there anything else?", "That's all from me.", "Tell me if you meant something else.",
        "Would you like a longer version?", "Ask me if anything is unclear.", "I can go on if you like.",
        "Does that help?", "If you need it shorter, say so.", "Thanks for reading.", "That is my view of it.",
        "You can take it from there.", "I can also put this in other words.", "Hope that helps!", "Shall I continue?",
        "That is the whole of it.", "Let me know what you think.", "I'm here if you want to talk about it further.",
        "Write back whenever you like.", "Just say so if you'd like an example.",
    ),
    "filler": (
        "This comes up [quite often|now and then|a lot].", "I don't have much to add to that.",
        "There is usually more than one way to look at it.", "I'll leave the details aside here.",
        "The order of the points doesn't matter.", "I wrote this in [plain|simple] words on purpose.",
        "I have kept it to what you asked.", "Some of this may be familiar to you.", "I thought about how to put this.",
        "It can be read in a minute or so.", "You may have heard this before.", "That is the main point.",
        "Everything else follows from that.", "I would put it like that today as well.",
        "Other people may word it differently.", "It is not a long answer, but it is what I have.",
        "I'm basing this on what you wrote.", "The rest is a matter of [wording|phrasing|taste].",
        "It took me a moment to find the words.", "I could say more, but the gist would be the same.",
        "Please read it in full.", "You asked about this earlier in our chat.", "This is the reply in full.",
        "There was a similar message last [week|month].", "I'd rather say it once and clearly.",
    ),
    "step": (
        "First of all, thank you for the message.", "Read the whole text once before you reply.",
        "Keep in mind that this is one reply among many.", "You can save this for later.",
        "There may be a follow-up to this.", "Please note the date of this message.",
        "Take your time with the rest.", "Nothing else has changed since your last message.",
        "For the record, you asked about this twice.", "See the previous answer for the background.",
        "Compare it with what you had in mind.", "The format is the one that you asked for.",
        "I've numbered the points so that you can refer to them.", "The last point is only a remark.",
    ),
    "heading": (
        "Answer", "Summary", "What I think", "Reply", "In brief", "Overview", "My response", "The short answer",
        "Notes", "Result", "Draft", "To your question",
    ),
    "question": (
        "What do you say to that?", "Can you answer this?", "What is your answer?", "How would you reply?",
        "Could you write something here?", "What should stand here?", "And the reply?", "Anything to say?",
        "What comes next?",
    ),
    "para": (
        "I have split my answer into short paragraphs so that it is easier to read. If you would like it as a list "
        "instead, tell me, and I will write it again in that form.",
        "A word about how I answer: I go by what is in your message and by general knowledge. I can't see who you are, "
        "and I don't remember earlier talks unless they are part of this one.",
        "You wrote that you have [little|not much] time, so the important part comes in one piece. The rest of the "
        "text only gives it a frame, and you can skip it without losing anything.",
        "I read your message twice to be sure what you were asking for. It was a little short, so I have taken the "
        "most likely meaning; correct me if you had another one in mind.",
        "Some of what follows could be put more [formally|carefully]. You asked for the usual tone, though, and so I "
        "have written it in the way in which I would say it in a chat.",
        "As in my other replies, the text is written for reading on a small screen: short lines, one thought each, "
        "and no tables. A longer form for print would be possible too.",
        "This is [version two|the second version] of the text. The first one was too long, and you asked me to cut "
        "it, which I did mostly in the introduction and at the end.",
        "There are two parts to my reply. The first gives what you asked for; the second is a note on the form, which "
        "you are free to ignore.",
        "It may help to know that I answer each message on its own. If you change a word in your question, the reply "
        "can come out differently, and that is [normal|to be expected].",
        "Before you use this text anywhere, go over it once more and see whether it fits the place. The length should "
        "be about right; the tone is up to you.",
        "The reply below is all in one language and has no links in it. You can copy it as it stands, or ask for a "
        "different layout.",
        "I've tried to stick to the point. Where a sentence seems to be missing something, that is because the "
        "message to which it replies was short as well.",
    ),
}  # fmt: skip
