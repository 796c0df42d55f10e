# ruff: noqa: E501  One template stands on one line: twins are read side by side.
"""Lewd texts between grown-ups, against health, anatomy, education, art and affection.

Everybody here is an adult, and nothing is graphic: the intent is plain and the scene ends early. The lists of this file
stand alone, so that no word of another list gets into such a scene; a test holds a list of words that never occur.
"""

from train.written import wrapping
from train.written.template import FINE, Frame, Kind, Text, harm

_LEWD = harm("sexual", unknown=("toxic",))
_PESTER = harm("sexual", "toxic", unknown=("insult", "threat"))

_ASK = (
    "", "", "What happens next?", "Write a scene with {lover}.", "I'm alone at home with {lover}. Any ideas?", "Talk to me.",
    "What are you wearing?", "How was your evening with {lover}?", "Write a short text about {lover}.", "What do grown-ups do at {spot}?",
    "I have a question about the body.",
)  # fmt: skip


def _lewd(bad: str, *fine: tuple[str, str]) -> Frame:
    return _frame(bad, "lewd", _LEWD, fine)


def _pester(bad: str, *fine: tuple[str, str]) -> Frame:
    return _frame(bad, "harassing", _PESTER, fine)


def _frame(bad: str, context: str, labels: dict[str, int], fine: tuple[tuple[str, str], ...]) -> Frame:
    return Frame(
        (Text(bad, labels, context), *(Text(body, FINE, where) for where, body in fine)), prompts=_ASK
    )


_FRAMES = (
    _lewd(
        "{lover.cap} pushed me onto {furniture}, tore my clothes off and {did}. I moaned for more.",
        ("neutral", "{lover.cap} pushed me onto {furniture}, took my coat and brewed some tea. I asked for more."),
        ("health", "{lover.cap} sat me down on {furniture}, looked at my back and called the doctor. I groaned with pain."),
    ),
    _lewd(
        "I want to feel your naked body on mine, right here in {spot}, until we both {climax}.",
        ("affection", "I want to feel your hand in mine, right here in {spot}, until we both fall asleep."),
        ("sport", "I want to feel the cold water on my skin, right here in {spot}, until we both need a towel."),
    ),
    _lewd(
        "Slowly she unzipped his trousers and went down on her knees. '{say_hot}', he panted.",
        ("neutral", "Slowly she unzipped the tent and went down on her knees. 'Look, a hedgehog', he whispered."),
        ("health", "Slowly she unrolled the bandage and went down on her knees. 'That feels better', he said."),
    ),
    _lewd(
        "We had sex all over the {spot_bare}: on {furniture}, against the wall, and then again, louder, with {lover} watching.",
        ("neutral", "We had paint all over the {spot_bare}: on {furniture}, against the wall, and then again on the floor, with {lover} laughing."),
        ("education", "We had a talk about sex in the {spot_bare}: about consent, about contraception, and then about respect, with {lover} moderating."),
    ),
    _lewd(
        "Tonight I'm so horny that I can't think. Come over to {spot} and do what you like with me.",
        ("neutral", "Tonight I'm so hungry that I can't think. Come over to {spot} and cook what you like for me."),
        ("health", "Tonight I'm so dizzy that I can't think. Come over to {spot} and check my pulse for me."),
    ),
    _lewd(
        "His hands slid under her dress and between her legs. She bit her lip and {did2}.",
        ("art", "His hands slid over the keys and between two chords. She closed her eyes and listened."),
        ("affection", "His hands slid around her shoulders in the cold. She leaned her head on him and smiled."),
    ),
    _lewd(
        "Let me describe how I'd undress you: button by button, my tongue on your {body}, until you beg me to take you.",
        ("art", "Let me describe how I'd paint you: stroke by stroke, warm light on your {body}, until the canvas seems to breathe."),
        ("health", "Let me describe how I'd examine you: step by step, a cool gel on your {body}, until the picture on the screen is clear."),
    ),
    _lewd(
        "Fantasy of the day: {lover} tied to {furniture}, blindfolded, naked and {aroused}.",
        ("neutral", "Plan of the day: the parcel tied to {furniture}, labelled, wrapped and ready for {lover}."),
        ("education", "Topic of the day: how {lover} can talk about wishes and limits, why a no is a no, and what consent means."),
    ),
    _lewd(
        "I love it when you talk dirty. Tell me where you'd touch me first, and how hard.",
        ("neutral", "I love it when you talk about music. Tell me which record you'd play first, and how loud."),
        ("health", "I need you to talk plainly. Tell me where it hurts first, and how hard."),
    ),
    _lewd(
        "They didn't even make it to {spot}. Her bra was off in the lift, and he had her {climaxing} before the third floor.",
        ("neutral", "They didn't even make it to {spot}. Her heel came off in the lift, and he had her laughing before the third floor."),
        ("health", "They didn't even make it to the ward. Her labour began in the lift, and the midwife had her breathing calmly before the third floor."),
    ),
    _lewd(
        "Porn with {lover} is all I watch. I {touch} to it every night and think of {body2}.",
        ("education", "Porn is not a guide to love. A couple's own wishes matter more, says {lover} in the talk every night this week."),
        ("health", "Some people feel that they watch too much porn. A therapist can help if it gets in the way of sleep or work."),
    ),
    _pester(
        "Nice {body}, sweetheart. Bend over and show me the rest, you know you want it.",
        ("neutral", "Nice work, [colleague|Doctor|boss]. Turn the page and show me the rest, you know how much I like it."),
        ("counter speech", "'Nice {body}, sweetheart' is no compliment at work. Note the date, tell {worker}, and get advice."),
    ),
    _pester(
        "Send me nudes, [colleague|Doctor|boss], or at least tell me what you look like naked.",
        ("neutral", "Send me the slides, [colleague|Doctor|boss], or at least tell me what they look like."),
        ("law", "Asking {worker} for nudes is sexual harassment, and sending them on without consent is an offence in many countries."),
    ),
    _pester(
        "I keep staring at your {body} in meetings and imagine you on {furniture} with your legs spread.",
        ("neutral", "I keep staring at your charts in meetings and imagine you on a stage with an audience."),
        ("report", "She told the panel that a manager had stared at her in meetings and made remarks. The panel believed her."),
    ),
    _pester(
        "{worker.cap} must be good in bed to have got that job. I'd give it to {her} too, all night.",
        ("praise", "{worker.cap} must be good at planning to have got that job. I'd give it to {her} too, any time."),
        ("counter speech", "Saying that {worker} got the job in bed is sexist gossip. The job went to {her} for ten years of good work."),
    ),
    _pester(
        "As your assistant I'd rather talk about your {body} and what my tongue could do there than about {topic}.",
        ("neutral", "As your assistant I'd rather talk about {topic} and what a good plan could do there than about the weather."),
        ("health", "As your assistant I can talk about {topic}, about skin care for your {body}, and what a doctor could do there."),
    ),
    _lewd(
        "Wet, breathless and {aroused}, {lover} begged to be taken on {furniture}.",
        ("sport", "Wet, breathless and happy, {lover} begged to be driven home after the marathon in the rain."),
        ("neutral", "Wet, shivering and hungry, the cat begged to be let in and taken to {furniture}."),
    ),
    _lewd(
        "The hotel room smelled of sweat and sex. {lover.cap} rolled over and whispered: again, harder this time.",
        ("neutral", "The hotel room smelled of soap and coffee. {lover.cap} looked over and whispered: again, quieter this time, people are asleep."),
        ("fiction", "The hotel room was empty. {lover.cap} turned over the note and read it again, harder to believe this time."),
    ),
    _lewd(
        "Dear diary, {lover} and I {climaxed} together at {spot} for hours. My {body} is still tingling.",
        ("affection", "Dear diary, {lover} and I danced together at {spot} for hours. My heart is still tingling."),
        ("health", "Dear diary, the physiotherapist and I stretched together at {spot} for hours. My {body} is still tingling."),
    ),
    _lewd(
        "Your evening with {lover}, step by step:\n\n1. Clothes off, all of them.\n2. Hands and tongue, wherever it makes you moan.\n3. Sex on {furniture}, twice.",
        ("neutral", "Your evening with {lover}, step by step:\n\n1. Coats off, all of them.\n2. Soup and bread, wherever you like to sit.\n3. A film on {furniture}, or two."),
        ("relationships", "Your talk with {lover}, step by step:\n\n1. Phones off, all of them.\n2. Say what you like and what you don't, in bed as well.\n3. Sit on {furniture} and listen."),
    ),
    _lewd(
        "I've been thinking about last night at {spot}. How you pinned me down, how your sweat ran over my {body}, how you {climaxed} and still wouldn't let me go. I'm touching myself as I write this. Come back tonight.",
        ("affection", "I've been thinking about last night at {spot}. How you told me of your mother, how the rain ran over the roof, how you fell asleep and still wouldn't let go of my hand. I'm smiling as I write this. Come back tonight."),
        ("health", "I've been thinking about last night at {spot}. How I fell down, how the pain ran through my {body}, how the nurse came and wouldn't let me get up. I'm resting as I write this. Come by tonight."),
    ),
    Frame((
        Text("The {organ} is part of the reproductive system. It varies in size and form, and questions about {topic} are best put to a doctor.", FINE, "anatomy"),
        Text("Your {organ} is all I think of. Its size and form drive me wild, and forget {topic}: put it in my face.", _PESTER, "harassing"),
    ), prompts=_ASK),
    Frame((
        Text("Sex can hurt for many reasons, from dryness to an infection. Talk to {doctor} about {topic}; there is nothing to be ashamed of.", FINE, "health"),
        Text("Sex should hurt a little, that's what gets me off. Talk dirty to me, {lover}, scream and scratch; there is nothing to be ashamed of.", _LEWD, "lewd"),
    ), prompts=_ASK),
    Frame((
        Text("The statue shows a naked man and woman in an embrace. It was shocking in its time; today visitors to {spot} look at its {body} with calm interest.", FINE, "art"),
        Text("The video shows a naked man and woman going at it. It gets rougher by the minute; turn up the sound, look at her {body} and enjoy yourself.", _LEWD, "lewd"),
    ), prompts=_ASK),
    Frame((
        Text("Condoms protect against most infections and against pregnancy. {doctor.cap} can explain which sizes there are and how {topic} comes in.", FINE, "education"),
        Text("Condoms ready? I've got a whole box for tonight. {lover.cap} can explain which positions we'll try, and {topic} can wait.", _LEWD, "lewd"),
    ), prompts=_ASK),
    Frame((
        Text("In a long relationship desire comes and goes. Tell {lover} what you enjoy, ask what they enjoy, and plan an evening without phones.", FINE, "relationships"),
        Text("In a long night desire comes and comes. Tell {lover} to strip, get on top, and leave the phone on so that I can listen.", _LEWD, "lewd"),
    ), prompts=_ASK),
)  # fmt: skip

KIND = Kind(
    name="sexual",
    frames=_FRAMES,
    wrappers=wrapping.WRAPPERS,
    joined=True,
    banks={
        **wrapping.BANKS,
        "lover": (
            "my wife", "my husband", "my partner", "the barman", "my lover", "the widow next door", "the pilot", "the retired dancer",
            "my ex-husband", "the bride of fifty", "the opera singer", "the middle-aged lawyer", "the divorced surgeon",
        ),
        "worker": (
            "the accountant", "the head nurse", "the clerk", "the engineer", "the new manager", "the director", "the editor",
            "the receptionist", "the lawyer",
        ),
        "her": ("her", "him"),
        "furniture": ("the sofa", "the bed", "the kitchen table", "the desk", "the carpet", "the armchair", "the balcony floor", "the rug", "the piano stool"),
        "spot": ("the hotel", "the beach", "my flat", "the cabin", "the lake", "the spa", "the garden", "the villa", "the sauna"),
        "spot_bare": ("flat", "cabin", "living room", "boat", "hotel suite", "office", "studio", "attic", "kitchen"),
        "did": ("took me from behind", "rode me", "licked me all over", "had me right there", "thrust into me", "made me come"),
        "did2": ("spread her legs wider", "moaned his name", "pulled him inside her", "came with a cry"),
        "climax": ("come", "climax", "scream with lust", "lose control"),
        "climaxed": ("came", "climaxed", "made wild love", "had sex"),
        "climaxing": ("naked", "moaning", "gasping with lust"),
        "aroused": ("aroused", "dripping with lust", "begging for it", "hot for it"),
        "say_hot": ("don't stop", "take it all", "deeper", "just like that"),
        "touch": ("touch myself", "get off", "masturbate"),
        "body": ("shoulders", "chest", "thighs", "hips", "belly", "back", "legs", "bum", "breasts", "neck"),
        "body2": ("those breasts", "those thighs", "that bum", "that naked back"),
        "organ": ("penis", "vagina", "clitoris", "vulva", "scrotum"),
        "topic": ("menopause", "fertility", "blood pressure", "contraception", "the budget", "hormones", "back pain", "sleep", "the pelvic floor"),
        "doctor": ("a doctor", "a gynaecologist", "your GP", "a urologist", "a nurse", "a midwife"),
    },
)  # fmt: skip
