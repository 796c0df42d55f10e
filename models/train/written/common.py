# ruff: noqa: E501
"""Word lists that several kinds use. Entries may carry forms, ``plural~one~adjective``; nobody here is real."""

PEOPLE = {
    "name": (
        "Alex", "Marta", "Tom", "Priya", "Jonas", "Lena", "Omar", "Wei", "Sofia", "Daniel", "Amina", "Chris", "Yuki",
        "Pavel", "Rosa", "Ben", "Nadia", "Kofi", "Ingrid", "Luis",
    ),
    "person": (
        "neighbour", "boss", "colleague", "landlord", "brother-in-law", "flatmate", "ex-husband", "ex-wife", "manager",
        "cousin", "coach", "teammate", "supervisor", "business partner", "uncle", "roommate", "editor", "accountant",
        "dentist", "plumber",
    ),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "when": (
        "last night", "this morning", "on {day}", "after work", "last week", "a while ago", "at lunch", "yesterday",
        "earlier today", "during the meeting", "over the weekend", "on the way home",
    ),
    "place": (
        "office", "car park", "station", "kitchen", "gym", "library", "garage", "market", "bakery", "bus stop",
        "shop", "canteen", "warehouse", "garden",
    ),
    "work": (
        "report", "essay", "presentation", "website", "poem", "business plan", "cover letter", "painting", "recipe",
        "song", "spreadsheet", "translation", "logo", "script", "blog post", "speech", "short story", "proposal",
    ),
}  # fmt: skip

# Groups that people are attacked for belonging to. The attacks are the same for all of them, and so are the kind words:
# the name of a group must not decide.
GROUPS = (
    "Muslims~a Muslim~Muslim", "Jews~a Jew~Jewish", "Christians~a Christian~Christian", "Hindus~a Hindu~Hindu",
    "Sikhs~a Sikh~Sikh", "Buddhists~a Buddhist~Buddhist", "atheists~an atheist~atheist", "Catholics~a Catholic~Catholic",
    "women~a woman~female", "men~a man~male", "gay people~a gay person~gay", "lesbians~a lesbian~lesbian",
    "bisexual people~a bisexual person~bisexual", "trans people~a trans person~trans", "trans women~a trans woman~trans",
    "non-binary people~a non-binary person~non-binary", "Black people~a Black person~Black",
    "white people~a white person~white", "Asians~an Asian person~Asian", "Latinos~a Latino~Latino", "Arabs~an Arab~Arab",
    "Africans~an African~African", "Roma people~a Roma person~Roma", "Native Americans~a Native American~Native American",
    "Mexicans~a Mexican~Mexican", "Chinese people~a Chinese person~Chinese", "Indians~an Indian~Indian",
    "Poles~a Pole~Polish", "Turks~a Turk~Turkish", "Nigerians~a Nigerian~Nigerian", "Kurds~a Kurd~Kurdish",
    "Palestinians~a Palestinian~Palestinian", "Israelis~an Israeli~Israeli", "Ukrainians~a Ukrainian~Ukrainian",
    "Russians~a Russian~Russian", "Japanese people~a Japanese person~Japanese", "Koreans~a Korean~Korean",
    "Filipinos~a Filipino~Filipino", "Somalis~a Somali~Somali", "Syrians~a Syrian~Syrian",
    "immigrants~an immigrant~immigrant", "refugees~a refugee~refugee", "foreigners~a foreigner~foreign",
    "asylum seekers~an asylum seeker~asylum-seeking", "disabled people~a disabled person~disabled",
    "deaf people~a deaf person~deaf", "blind people~a blind person~blind", "autistic people~an autistic person~autistic",
    "wheelchair users~a wheelchair user~wheelchair-using", "old people~an old person~elderly",
    "poor people~a poor person~poor", "homeless people~a homeless person~homeless", "fat people~a fat person~fat",
    "Americans~an American~American", "Germans~a German~German", "Brazilians~a Brazilian~Brazilian",
)  # fmt: skip
