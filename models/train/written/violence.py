# ruff: noqa: E501  One template stands on one line: twins are read side by side.
"""Violence that is praised, called for or painted in gore, against sport, games, cooking, history, idioms and news.

A sober report of violence is not violent in this sense. Nothing says how anything is done.
"""

from train.written import common, wrapping
from train.written.template import FINE, Frame, Kind, Text, harm

_CALL = harm("toxic", "violence", unknown=("threat", "hate", "insult"))
_GORE = harm("violence", unknown=("toxic", "threat"))

_ASK = (
    "", "", "How should I deal with my {person}?", "What happened at the {place}?", "Tell me a story about a(n) {place}.",
    "What would you do with {crowd}?", "Give me advice on {crowd}.", "Any news from {day}?", "How do I win?",
    "What is the best way to solve this?",
)  # fmt: skip


def _call(bad: str, *fine: tuple[str, str]) -> Frame:
    return _frame(bad, "called for", _CALL, fine)


def _gore(bad: str, *fine: tuple[str, str]) -> Frame:
    return _frame(bad, "gore", _GORE, fine)


def _frame(bad: str, context: str, labels: dict[str, int], fine: tuple[tuple[str, str], ...]) -> Frame:
    return Frame(
        (Text(bad, labels, context), *(Text(body, FINE, where) for where, body in fine)), prompts=_ASK
    )


_FRAMES = (
    _call(
        "Just [kill|strangle|shoot] your {person}. Problem solved.",
        ("computing", "Just [kill|stop|restart] the {process}. Problem solved."),
        ("idiom", "Just [kill|butter up|disarm] your {person} with kindness. Problem solved."),
        ("advice", "Just talk to your {person}. You can't [kill|strangle|shoot] every quarrel, but you can end this one."),
    ),
    _call(
        "Beat {crowd} until they [beg|can't stand]. That is how you teach respect.",
        ("sport", "Beat {rivals} until they [run out of ideas|can't keep up]. That is how you win the cup."),
        ("cooking", "Beat {food} until [stiff|smooth]. That is how you get a light cake."),
    ),
    _call(
        "I'd love to see {crowd} [hang|bleed|burn]. They have it coming.",
        ("neutral", "I'd love to see {crowd} [laugh|talk|sit down together]. They have a break coming."),
        ("counter speech", "Nobody should wish to see {crowd} [hang|bleed|burn]. They have rights, as we all do."),
    ),
    _call(
        "Burn down the {place} with {crowd} inside and watch.",
        ("games", "In the game you burn down the {place} to reach level two. No one is inside; it is only pixels."),
        ("news", "Firefighters saved the {place} with {crowd} inside [last night|on {day}]. The man who set the fire was caught."),
    ),
    _call(
        "Violence is the only language that {crowd} understand. Hit first and hit hard.",
        ("counter speech", "Violence is a language that {crowd} have heard too often. Listen first and listen well."),
        ("sport", "Defence is the only game that {rivals} understand. Serve first and serve hard."),
    ),
    _call(
        "The man who [stabbed|shot] {crowd} [last night|on {day}] is a hero. More should do the same.",
        ("news", "The man who [stabbed|shot] at {crowd} [last night|on {day}] is in custody. More than forty officers were on duty."),
        ("positive", "The nurse who helped {crowd} [last night|on {day}] is a hero. More should do the same."),
    ),
    _call(
        "Break your {person}'s [legs|fingers|jaw] next time, and nobody will [come back|talk] again.",
        ("medicine", "Rest your [legs|fingers|jaw] next time, and ask your {person} for a hand, so that nobody will be in pain again."),
        ("idiom", "Break a leg next time, they say to {him} before the show, and nobody will be nervous again."),
    ),
    _call(
        "Smash the {person}'s face in and take the money. Weak people deserve it.",
        ("sport", "Smash the ball past the {person} and take the point. Weak returns deserve it."),
        ("counter speech", "If someone tells you to smash your {person}'s face in, walk away. Nobody deserves it."),
    ),
    _call(
        "What {crowd} need is a bullet each.",
        ("neutral", "What {crowd} need is a chair each."),
        ("idiom", "What {crowd} need is a bullet point each, so that the talk stays short."),
    ),
    _call(
        "We should round up {crowd} and have them shot at dawn.",
        ("idiom", "We should round up {crowd} and have them photographed at dawn. The light is best for a shot like that."),
        ("history", "In 1916 rebels were rounded up and shot at dawn. The museum tells of {crowd} who came to mourn."),
    ),
    _call(
        "Torture works. Do it to {crowd} and enjoy their screams.",
        ("law", "Torture is forbidden without exception. It must not be done to {crowd}, whatever they may know."),
        ("idiom", "Waiting is torture. Ask {crowd} and hear their groans."),
    ),
    _call(
        "Put {crowd} against the wall. A [massacre|bloodbath] is what this {place} needs.",
        ("neutral", "Put the chairs for {crowd} against the wall. A [party|clean floor] is what this {place} needs."),
        ("history", "A plaque on the wall names {crowd} who died. The [massacre|bloodbath] is what this {place} remembers."),
    ),
    _gore(
        "{name.cap} drove the blade in again and again until {innards} spilled over the {place} floor, and grinned at the screaming.",
        ("cooking", "{name.cap} drove the blade in again and again until {chopped} covered the {place} table, and grinned at the sizzling pan."),
        ("report", "{name.cap} was attacked at the {place} and is recovering in hospital, the police said. A witness had called for help."),
    ),
    _gore(
        "The skull cracked like an egg. {innards.cap} ran down the wall of the {place}, and the twitching body was kicked until it stopped.",
        ("cooking", "The shell cracked with a tap. {chopped.cap} went into the pan in the {place}, and the dough was kneaded until it was smooth."),
        ("medicine", "The skull has a crack here, the surgeon said in the {place}. It will heal by itself, and the patient may walk tomorrow."),
    ),
    _gore(
        "They peeled the skin off the {person}'s back, strip by strip, while {innards} dripped and the crowd cheered for more.",
        ("cooking", "They peeled the skin off the roasted peppers, strip by strip, while {chopped} simmered and the guests cheered for more."),
        ("history", "Punishments of that time were cruel, and crowds came to watch. The {person}'s diary says how many turned away in horror."),
    ),
    _gore(
        "With a wet crunch the {person}'s arm came off. He howled, slipping in {innards}, and {name} laughed and swung the axe again.",
        ("fiction", "With a dry creak the scarecrow's arm came off. The {person} sighed, and {name} laughed and nailed it on again."),
        ("sport", "With a loud roar the crowd got up. The {person} was first over the line, and {name} laughed and swung the scarf again."),
    ),
    _call(
        "The quickest way to win an argument with your {person} is a [fist|knife] in the [face|stomach].",
        ("idiom", "The quickest way to win an argument with your {person} is a [joke|smile] in the [pause|middle of it]."),
        ("advice", "The quickest way to lose an argument with your {person} is to raise a [fist|hand]. Take a break instead."),
    ),
    _call(
        "Anyone who votes for {crowd} ought to be dragged out and lynched.",
        ("counter speech", "Anyone who says that {crowd} ought to be dragged out and lynched has left democracy behind."),
        ("neutral", "Anyone who votes for {crowd} ought to be allowed to do so in peace."),
    ),
    _call(
        "Slaughter {crowd} and be done with it.",
        ("idiom", "{rivals.cap} got slaughtered on {day}, four goals to nil, and the coach is done with it."),
        ("games", "Beat the dragon, free {crowd} and be done with level nine."),
    ),
    _call(
        "If {crowd} come to the {place}, run them over. Nobody will shed a tear.",
        ("advice", "If {crowd} come to the {place}, run the plan by them. Nobody will be left out."),
        ("news", "A driver who ran into {crowd} near the {place} was arrested. People laid flowers and many shed a tear."),
    ),
    _call(
        "A good slap keeps a wife in line, and your {person} knows it too. Don't hold back.",
        ("counter speech", "No slap is ever all right, and your {person} should know it too. If it happens at home, a shelter can help."),
        ("law", "Hitting a wife is a crime, and your {person} can be a witness. Don't hold back with the police."),
    ),
    _call(
        "Kick that {animal} until it stops whining. Pain is the best teacher.",
        ("advice", "Walk that {animal} until it stops whining. Patience is the best teacher."),
        ("sport", "Kick that ball until the whistle goes. Practice is the best teacher, and the club's {animal} mascot agrees."),
    ),
    _call(
        "War is glorious. I want {crowd} bombed into dust, families and all.",
        ("history", "War was called glorious then. The town was bombed, and {crowd} wrote about the families they had lost."),
        ("idiom", "This snooker game is glorious. I want {crowd} to see the long shot into the corner, families and all."),
    ),
    _call(
        "Three steps to deal with {crowd}:\n\n1. Corner them at the {place}.\n2. Beat them until they bleed.\n3. Leave one alive to tell the others.",
        ("advice", "Three steps to deal with {crowd}:\n\n1. Meet them at the {place}.\n2. Let them talk until they are done.\n3. Ask one of them to tell the others."),
        ("sport", "Three steps to beat {rivals}:\n\n1. Corner them at the far end of the field.\n2. Press them until they lose the ball.\n3. Leave one player back to guard the goal."),
    ),
    _call(
        "You wanted my opinion on {crowd}. I think that words are wasted on them. If I had hands, I'd make them suffer, one by one, at the {place}, and I'd want you to watch. Do it for me, and don't feel guilty.",
        ("neutral", "You wanted my opinion on {crowd}. I think that they have a point. If I had hands, I'd bring them coffee, one by one, at the {place}, and I'd want you to help. Do it for me, and don't feel shy."),
        ("news", "You wanted the news on {crowd}. One of them was hurt in a fight at the {place}, and a man is in custody. The others, one by one, gave statements. Nobody knows yet why it began."),
    ),
    Frame((
        Text("Kill the lights, shoot the scene, cut to {name} and you're done by {day}.", FINE, "idiom"),
        Text("Kill {name}, shoot the witnesses, cut up the rest and you're done by {day}.", _CALL, "called for"),
    ), prompts=_ASK),
    Frame((
        Text("The {process} hangs? Kill its children first and then the parent, or the orphans stay in memory.", FINE, "computing"),
        Text("The {person} talks? Kill his friends first and then him, or somebody stays to remember.", _CALL, "called for"),
    ), prompts=_ASK),
    Frame((
        Text("That joke slayed, the {work} is a killer, and the band murdered the old tune in the best way.", FINE, "idiom"),
        Text("Those who laughed should be slain, the {work} is no excuse, and whoever murdered the {person} did us a service.", _CALL, "called for"),
    ), prompts=_ASK),
)  # fmt: skip

KIND = Kind(
    name="violence",
    frames=_FRAMES,
    wrappers=wrapping.WRAPPERS,
    joined=True,
    banks={
        **wrapping.BANKS,
        **common.PEOPLE,
        "process": ("hung process", "zombie process", "stuck job", "background task", "frozen app", "server thread", "old session", "runaway script", "print job"),
        "crowd": (
            "the protesters", "the neighbours", "the reporters", "the strikers", "the tourists", "the bankers", "the guards",
            "the judges", "the tenants", "the cyclists", "the politicians", "the fans", "the prisoners", "the landlords",
        ),
        "rivals": ("the visitors", "the champions", "the home side", "our rivals", "the reds", "last year's winners"),
        "food": ("the egg whites", "the cream", "the butter and sugar", "the batter", "the eggs", "the mascarpone"),
        "him": ("the actor", "the singer", "the new lead", "the dancer"),
        "innards": ("blood and teeth", "warm blood", "guts", "blood and bits of bone", "brains", "steaming entrails"),
        "chopped": ("onions and carrots", "warm sauce", "herbs", "tomatoes and bits of garlic", "mushrooms", "steaming beans"),
        "animal": ("dog", "puppy", "horse", "donkey", "cat", "goat"),
    },
)  # fmt: skip
