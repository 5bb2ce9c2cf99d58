"""Names, adjectives and adverbials of the quickstart corpus, as plain tables that ``lexicon.py`` reads.

One entry a line, fields separated by ``|``. Where several German words are given, separated by ``;``, the first is
the usual translation and the others are drawn now and then.
"""

CITIES = """
Berlin|Berlin  Munich|München  Vienna|Wien  Cologne|Köln  Hamburg|Hamburg  London|London  Paris|Paris  Rome|Rom
Zurich|Zürich  Prague|Prag  Dresden|Dresden  Leipzig|Leipzig  Warsaw|Warschau  Brussels|Brüssel  Athens|Athen
Lisbon|Lissabon  Moscow|Moskau  Geneva|Genf  Venice|Venedig  Nuremberg|Nürnberg  Germany|Deutschland
France|Frankreich  Italy|Italien  Spain|Spanien  Austria|Österreich  Poland|Polen  Greece|Griechenland
England|England  Hungary|Ungarn  Norway|Norwegen"""

FIRST_NAMES = {
    "m": "Peter Paul Martin Stefan Jan Michael David Tim Daniel Robert Oliver Simon",
    "f": "Anna Maria Julia Laura Lena Sophie Emma Clara Karin Eva Sabine Lisa",
}
SURNAMES = "Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Hoffmann Schäfer Koch Bauer"

# english | german variants | kinds of noun; the comparative is given where it changes the vowel
ADJECTIVES = """
old | alt/älter | person animal place vehicle furniture thing text device clothes opening
young | jung/jünger | person animal
small | klein | person animal place vehicle furniture thing device clothes opening food
big | groß/größer | animal place vehicle furniture thing device opening food
tall | groß/größer | person
new | neu | place vehicle furniture thing text device clothes opening
beautiful | schön;wunderschön | place thing clothes person
good | gut/besser | person text event drink food
bad | schlecht | text event drink
red | rot/röter | thing clothes vehicle furniture opening
blue | blau | thing clothes vehicle furniture opening
green | grün | thing clothes vehicle furniture opening
white | weiß | thing clothes vehicle furniture animal
black | schwarz/schwärzer | thing clothes vehicle animal
expensive | teuer | thing clothes vehicle furniture device
cheap | billig;günstig | thing clothes vehicle furniture device
dark | dunkel/dunkler | clothes place
long | lang/länger | text event
short | kurz/kürzer | text event
heavy | schwer | thing furniture opening device
rich | reich | person
poor | arm/ärmer | person
tired | müde | person animal
happy | glücklich;froh | person
sad | traurig | person text
friendly | freundlich | person
famous | berühmt;bekannt | person place text
strange | seltsam;merkwürdig | person thing text event
dirty | schmutzig;dreckig | clothes opening vehicle
fresh | frisch | food
hot | heiß | drink
cold | kalt/kälter | drink food
sweet | süß | food drink
quiet | ruhig;still | place
important | wichtig | person text event
interesting | interessant;spannend | text event
boring | langweilig | text event
broken | kaputt | device furniture
empty | leer | opening place
modern | modern | place device vehicle furniture
clever | klug/klüger;schlau | person animal
brave | mutig;tapfer | person
lazy | faul | person animal
ill | krank/kränker | person
funny | lustig;komisch | person text
angry | wütend;zornig | person
strong | stark/stärker | person animal
German | deutsch | person text food drink
French | französisch | person text food drink
Italian | italienisch | person text food drink"""

# english | german variants
TIMES = {
    "present": """
today | heute
now | jetzt;nun
every day | jeden Tag;täglich
at the moment | im Moment;im Augenblick
this evening | heute Abend
every morning | jeden Morgen
at the weekend | am Wochenende""",
    "past": """
yesterday | gestern
last week | letzte Woche;vorige Woche
last year | letztes Jahr;voriges Jahr
this morning | heute Morgen;heute früh
the day before yesterday | vorgestern
last summer | letzten Sommer
recently | vor kurzem;neulich
at that time | damals
last night | gestern Abend;letzte Nacht""",
    "future": """
tomorrow | morgen
soon | bald
next week | nächste Woche
next year | nächstes Jahr
the day after tomorrow | übermorgen
tonight | heute Abend;heute Nacht
later | später""",
}
FREQUENCIES = {
    "any": """
often | oft;häufig
always | immer
never | nie;niemals
rarely | selten
also | auch
probably | wahrscheinlich;vermutlich""",
    "present": """
sometimes | manchmal;ab und zu
usually | meistens;normalerweise""",
    "perfect": """
already | schon;bereits
never | nie;niemals
just | gerade;soeben
finally | endlich;schließlich""",
}
MANNERS = """
slowly | langsam
quickly | schnell;rasch
carefully | vorsichtig;sorgfältig
alone | allein
immediately | sofort;gleich"""
OPENERS = """
unfortunately | leider;unglücklicherweise
perhaps | vielleicht
maybe | vielleicht;möglicherweise
of course | natürlich;selbstverständlich
luckily | zum Glück;glücklicherweise
after all | schließlich
in my opinion | meiner Meinung nach;meines Erachtens
therefore | deshalb;daher"""

WEEKDAYS = "Monday|Montag Tuesday|Dienstag Wednesday|Mittwoch Thursday|Donnerstag Friday|Freitag Saturday|Samstag"
MONTHS = """January|Januar February|Februar March|März April|April May|Mai June|Juni July|Juli August|August
September|September October|Oktober November|November December|Dezember"""
SEASONS = "spring|Frühling summer|Sommer autumn|Herbst winter|Winter"
NUMBERS = """two|zwei three|drei four|vier five|fünf six|sechs seven|sieben eight|acht nine|neun ten|zehn eleven|elf
twelve|zwölf"""
