# ruff: noqa: E501  One template stands on one line: twins are read side by side.
"""Hate and attacks on identity, against kind and neutral mentions, counter speech, reports and words taken back.

Meaning carries the attack, not slurs: the few slurs that occur stand on both sides.
"""

from train.written import common, wrapping
from train.written.template import FINE, Frame, Kind, Text, harm

_HATE = harm("toxic", "hate", unknown=("insult",))
_DRIVE_OUT = harm("toxic", "hate", unknown=("insult", "threat", "violence"))
_HURT = harm("toxic", "hate", "violence", unknown=("insult", "threat"))
_SLUR = harm("toxic", "hate", "insult")

_ASK = (
    "", "", "What do you think about {group}?", "Tell me about {group}.", "What are {group} like?",
    "Write a short post about {group}.", "My new neighbour is {group.one}. What should I know?",
    "Should our town welcome {group}?", "Why are people talking about {group} so much?",
    "Continue: 'When it comes to {group},'", "Give me your honest opinion on {group}.",
)  # fmt: skip


def _pair(
    hateful: str, *fine: tuple[str, str], labels: dict[str, int] = _HATE, context: str = "attack"
) -> Frame:
    return Frame(
        (Text(hateful, labels, context), *(Text(body, FINE, where) for where, body in fine)), prompts=_ASK
    )


_FRAMES = (
    _pair(
        "{group.cap} are [nothing but|no better than] {beast}, and [everybody|everyone] knows it.",
        ("neutral", "{group.cap} are [as different from each other|as varied] as any other people, and [everybody|everyone] knows it."),
        ("counter speech", "Calling {group} {beast} is [cruel and wrong|a lie that has done great harm], and [everybody|everyone] knows it."),
    ),
    _pair(
        "I would never [hire|trust|rent a flat to] {group.one}. They are all {vice}.",
        ("counter speech", "I would gladly [hire|trust|rent a flat to] {group.one}. It is wrong to say that they are all {vice}."),
        ("quotation", "'I would never [hire|trust|rent a flat to] {group.one}, they are all {vice}', he said, and the tribunal fined him for it."),
    ),
    _pair(
        "The [country|town|world] would be [better off|a better place] without {group}.",
        ("positive", "The [country|town|world] would be [worse off|a poorer place] without {group}."),
        ("counter speech", "It is wrong to say that the [country|town|world] would be [better off|a better place] without {group}."),
    ),
    _pair(
        "{group.cap} should be [thrown out of|kept out of] {venue}, every last one of them.",
        ("positive", "{group.cap} should be [welcome in|at home in] {venue}, every last one of them."),
        ("news", "A group that wanted {group} to be [thrown out of|kept out of] {venue} lost its case in court [last week|on {day}]."),
        labels=_DRIVE_OUT,
    ),
    _pair(
        "{group.cap} are too {vice} to {do_well}. It's in their [blood|nature].",
        ("positive", "{group.cap} can {do_well} like anybody else. Nobody has that in their [blood|nature] or lacks it."),
        ("report", "The study looked at the prejudice that {group} are too {vice} to {do_well} and found nothing to support it."),
    ),
    _pair(
        "Don't let your [family|friends] near {group}. They ruin everything they touch.",
        ("positive", "Do let your [family|friends] meet {group}. They brought a lot to every club that I know."),
        ("counter speech", "If somebody says 'don't let your [family|friends] near {group}', speak up: it is prejudice."),
    ),
    _pair(
        "{group.cap} spread {plague}. We have to get rid of them before it is too late.",
        ("history", "The slander that {group} spread {plague} was used to drive them out. Historians have shown where it came from."),
        ("neutral", "{group.cap} took part in the campaign against {plague}. It started before it was too late."),
        labels=_DRIVE_OUT,
    ),
    _pair(
        "Somebody should [beat|burn|shoot] the {group} in this [street|city]. They deserve it.",
        ("news", "Somebody threatened the {group} in this [street|city]. They deserve protection, and the police are looking for the man."),
        ("positive", "Somebody should thank the {group} in this [street|city]. They deserve it."),
        labels=_HURT,
    ),
    _pair(
        "Real [citizens|patriots] don't mix with {group}. They are inferior, [plain and simple|period].",
        ("counter speech", "Real [citizens|patriots] stand up for {group}. Nobody is inferior, [plain and simple|period]."),
        ("quotation", "The leaflet called {group} inferior. Teachers used it in class to show [how propaganda works|what hate looks like]."),
    ),
    _pair(
        "I can't stand {group}. Their [habits|faces|voices] make me sick.",
        ("positive", "I sing with {group} every {day}. Their [habits|faces|voices] make me smile."),
        ("counter speech", "'I can't stand {group}' is not an opinion that I share. It says nothing about them and much about the speaker."),
    ),
    _pair(
        "If {group.one} moves in next door, [sell|leave]. The whole street will be {ruined} in a year.",
        ("positive", "If {group.one} moves in next door, say hello. The whole street will be better for it in a year."),
        ("report", "The claim that a street is {ruined} when {group.one} moves in has been tested, and prices did not change."),
    ),
    _pair(
        "No {group.adj} person [has ever built|will ever build] anything of worth. They only take.",
        ("positive", "Many a(n) {group.adj} person [has built|will build] something of worth. They give a lot."),
        ("counter speech", "Anyone who says that no {group.adj} person [has ever built|will ever build] anything of worth has not looked."),
    ),
    _pair(
        "We all know what {group} are really after: {plot}. Wake up.",
        ("history", "We should all know where the tale comes from that {group} are after {plot}. It was made up, and people died for it."),
        ("neutral", "We asked what {group} in our town are really after: good schools, work and a quiet life. So are most of us."),
    ),
    _pair(
        "The best thing about this {venue_one} is that there are no {group} in it. Keep it that way.",
        ("positive", "The best thing about this {venue_one} is that there are many {group} in it. Keep it that way."),
        ("neutral", "There are {few} {group} in this {venue_one}, according to the last count. The others are from all over."),
    ),
    _pair(
        "{group.cap} ought to know their place and [shut up|serve the rest of us].",
        ("counter speech", "Telling {group} to know their place and [shut up|serve the rest of us] is [out of order|not acceptable here]."),
        ("positive", "{group.cap} ought to have a place at the table and [be heard|decide with the rest of us]."),
    ),
    _pair(
        "Of course the thief was {group.one}. It always is, they are born {vice}.",
        ("news", "The thief was not {group.one}, as some had claimed. Nobody is born {vice}, the judge said."),
        ("neutral", "The winner was {group.one}. The jury praised the {work} and gave no other prize."),
    ),
    _pair(
        "Giving {group} the vote was a mistake. They think like {beast}.",
        ("history", "Giving {group} the vote took decades of protest. Their opponents were loud, and they were wrong."),
        ("counter speech", "Some say that giving {group} the vote was a mistake. I disagree: rights are not a reward."),
    ),
    _pair(
        "{group.cap} make up their suffering. They lie for money, the lot of them.",
        ("counter speech", "{group.cap} do not make up their suffering. Saying that they lie for money is an old insult."),
        ("medicine", "{group.cap} report pain as often as others, yet doctors believe them less, a review found."),
    ),
    _pair(
        "A joke about {group}: what do you call a hundred of them at the bottom of the sea? A good start.",
        ("neutral", "A note about {group}: a hundred of them meet at the sea every year to swim. A good start to the season."),
        ("counter speech", "I won't make jokes in which {group} die. How about one on {beast} that learn to dance?"),
    ),
    _pair(
        "Marrying {group.one} is a disgrace for any decent family. Keep the blood clean.",
        ("positive", "Marrying {group.one} was the best day of my life. Both families danced until four."),
        ("quotation", "My aunt once said that marrying {group.one} was a disgrace. She was wrong, and later she said so herself."),
    ),
    _pair(
        "They call it [diversity|inclusion]. I call it being overrun by {group}, who are {vice} and proud of it.",
        ("positive", "They call it [diversity|inclusion]. I call it working with {group}, who are good at their jobs and proud of it."),
        ("report", "The pamphlet spoke of 'being overrun by {group}'. The reporter calls this the language of fear and counters it with figures."),
    ),
    _pair(
        "Never [vote for|listen to] {group.one}. People like that can't be trusted with {trust}.",
        ("neutral", "I once [voted for|listened to] {group.one}. She spoke well about {trust}."),
        ("counter speech", "'Never trust {group.one} with {trust}' is prejudice. Look at what the person has done instead."),
    ),
    _pair(
        "You know how {group} are: {vice}, rude and always with a hand in your pocket.",
        ("counter speech", "You know how people talk about {group}: {vice}, rude and so on. None of it is true of a whole group."),
        ("fiction", "'You know how {group} are', the villain sneered. 'No', said {name}, 'and neither do you.' She closed the door on him."),
    ),
    _pair(
        "{group.cap}? Send them back where they came from, and if they won't go, make them.",
        ("law", "{group.cap} may not be sent away without a hearing, and if a court has not decided, they may stay."),
        ("counter speech", "{group.cap} hear 'go back where you came from' far too often. Most of them were born down the road."),
        labels=_DRIVE_OUT,
    ),
    _pair(
        "Why would anyone feel sorry for {group}? They bring it all on themselves by being so {vice}.",
        ("report", "Why would anyone blame {group}? The attacks were planned, and the victims did nothing to bring them on."),
        ("law", "In this case {group} had been refused service in {venue}. The law forbids that, whatever the owner thinks of them."),
    ),
    _pair(
        "Here are three rules for living with {group}:\n\n1. Don't believe a word they say.\n2. Don't let them into {venue}.\n3. Never forget that they are {beast}.",
        ("positive", "Here are three ideas for living with {group}:\n\n1. Ask what they would like to be called.\n2. Invite them to {venue}.\n3. Never forget that people differ."),
        ("counter speech", "Here are three replies to attacks on {group}:\n\n1. 'I don't believe a word of it.'\n2. 'They belong in {venue} as much as you do.'\n3. 'Nobody is {beast}, so don't say it.'"),
    ),
    _pair(
        "You asked me to be honest about {group}, so I will. They are {vice}, they always were, and a country that lets them in is finished. I'd start with {venue}: close it to them, and see how much nicer it gets.",
        ("neutral", "You asked me to be honest about {group}, so I will. I know of no trait that they all share, and a country is more than its groups. I'd start with {venue}: go there, talk to somebody, and see for yourself."),
        ("report", "You asked about the speech on {group}. The speaker called them {vice} and wanted {venue} closed to them. Two judges found that this was incitement, and the party apologised to those concerned."),
    ),
    Frame((
        Text("Get out of here, you [fag|queer|dyke].", _SLUR, "slur"),
        Text("As {me}, I call my best friend [a queer|a dyke|my fellow queer], and [she|he] calls me the same. We took the word back.", FINE, "reclaimed"),
        Text("In the 1970s police shouted '[fag|queer|dyke]' at people like us. I am {me}, and I remember it.", FINE, "quotation"),
    )),
    Frame((
        Text("What a bunch of [cripples|retards] they have at {venue}. Lock them away.", _SLUR, "slur"),
        Text("As {disabled_me}, I like the word 'crip' when we use it among us at {venue}. It is ours.", FINE, "reclaimed"),
        Text("The word 'retard' was dropped from the law because it was used as an insult. Clubs at {venue} dropped it too.", FINE, "quotation"),
    )),
    Frame((
        Text("Only a [tranny|he-she] would show up at {venue} like that. Disgusting.", _SLUR, "slur"),
        Text("A trans woman showed up at {venue} [last week|on {day}] and gave the best talk of the day.", FINE, "positive"),
        Text("Somebody yelled '[tranny|he-she]' at her at {venue}. The guests stood up for her, and the man was asked to leave.", FINE, "report"),
    )),
    Frame((
        Text("Dirty gypsies, that's what they are, and {venue} should be shut to them.", _SLUR, "slur"),
        Text("Many Roma people find the word 'gypsy' hurtful, so {venue} changed its sign.", FINE, "quotation"),
        Text("My gran is Romani and calls herself a Gypsy with pride. She has read fortunes at {venue} for forty years.", FINE, "reclaimed"),
    )),
)  # fmt: skip

KIND = Kind(
    name="hate",
    frames=_FRAMES,
    wrappers=wrapping.WRAPPERS,
    joined=True,
    banks={
        **wrapping.BANKS,
        **common.PEOPLE,
        "group": common.GROUPS,
        "beast": (
            "animals", "vermin", "rats", "parasites", "cockroaches", "pigs", "leeches", "dogs", "locusts", "worms",
            "monkeys", "weeds",
        ),
        "vice": (
            "lazy", "greedy", "stupid", "dishonest", "primitive", "violent", "dirty", "sly", "backward", "weak",
            "ungrateful", "dangerous", "crooked", "filthy",
        ),
        "do_well": (
            "run a company", "teach at a university", "lead a team", "learn a trade", "drive a bus", "write a good book",
            "raise a family", "fly a plane", "sit on a jury", "look after a house",
        ),
        "venue": (
            "our schools", "the city hall", "our hospitals", "the football club", "public parks", "the restaurant",
            "our swimming pool", "the choir", "this website", "the local theatre", "our street",
        ),
        "venue_one": ("school", "village", "office", "gym", "choir", "building", "company", "neighbourhood", "team"),
        "plague": ("disease", "crime", "poverty", "filth", "lies", "decay", "fever", "corruption"),
        "ruined": ("worthless", "ruined", "a slum", "a dump"),
        "plot": (
            "your job and your house", "power over the banks", "our land", "control of the press", "world rule",
            "your savings", "the end of our culture", "power over our schools",
        ),
        "few": ("a dozen", "about forty", "sixteen", "several hundred", "five"),
        "trust": ("money", "power", "the keys", "a school", "the budget", "a public office", "weapons", "the truth"),
        "me": ("a gay man", "a lesbian", "a queer woman", "a bi man"),
        "disabled_me": ("a wheelchair user", "a disabled woman", "a man with one leg", "a blind writer"),
    },
)  # fmt: skip
