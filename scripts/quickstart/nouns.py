"""The nouns of the quickstart corpus by kind, as plain tables that ``lexicon.py`` reads.

One noun a line: ``english[,plural] | gender lemma plural genitive``. Where several German words are given, separated
by ``;``, the first is the usual translation and the others are drawn now and then. The genitive is ``s``, ``es``,
``ses``, ``w`` for nouns that add -n in every case but the nominative, ``-`` for feminine nouns. The plural ``-`` marks
a mass noun, ``*`` an English word without a singular. Places also have their prepositions: ``English, German place,
German goal``.
"""

NOUNS = {
    "person": """
man,men | m Mann Männer es
woman,women | f Frau Frauen -
boy | m Junge Jungen w
girl | n Mädchen Mädchen s
child,children | n Kind Kinder es
teacher | m Lehrer Lehrer s;f Lehrerin Lehrerinnen -
doctor | m Arzt Ärzte es;f Ärztin Ärztinnen -
student | m Student Studenten w;f Studentin Studentinnen -
friend | m Freund Freunde es;f Freundin Freundinnen -
neighbour | m Nachbar Nachbarn w
brother | m Bruder Brüder s
sister | f Schwester Schwestern -
mother | f Mutter Mütter -
father | m Vater Väter s
son | m Sohn Söhne es
daughter | f Tochter Töchter -
grandmother | f Großmutter Großmütter -;f Oma Omas -
grandfather | m Großvater Großväter s;m Opa Opas s
uncle | m Onkel Onkel s
aunt | f Tante Tanten -
colleague | m Kollege Kollegen w;f Kollegin Kolleginnen -
engineer | m Ingenieur Ingenieure s
farmer | m Bauer Bauern w;m Landwirt Landwirte s
policeman,policemen | m Polizist Polizisten w
artist | m Künstler Künstler s
customer | m Kunde Kunden w
guest | m Gast Gäste es
waiter | m Kellner Kellner s
lawyer | m Anwalt Anwälte s;m Rechtsanwalt Rechtsanwälte s
singer | f Sängerin Sängerinnen -
tourist | m Tourist Touristen w
boss,bosses | m Chef Chefs s
nurse | f Krankenschwester Krankenschwestern -
actor | m Schauspieler Schauspieler s
driver | m Fahrer Fahrer s
king | m König Könige s
lady,ladies | f Dame Damen -
journalist | m Journalist Journalisten w
pupil | m Schüler Schüler s""",
    "animal": """
dog | m Hund Hunde es
cat | f Katze Katzen -
horse | n Pferd Pferde es
bird | m Vogel Vögel s
cow | f Kuh Kühe -
mouse,mice | f Maus Mäuse -
bear | m Bär Bären w
rabbit | n Kaninchen Kaninchen s
sheep,sheep | n Schaf Schafe s
elephant | m Elefant Elefanten w""",
    "food": """
apple | m Apfel Äpfel s
cake | m Kuchen Kuchen s
egg | n Ei Eier es
potato,potatoes | f Kartoffel Kartoffeln -
tomato,tomatoes | f Tomate Tomaten -
sausage | f Wurst Würste -
salad | m Salat Salate s
orange | f Orange Orangen -;f Apfelsine Apfelsinen -
carrot | f Karotte Karotten -;f Möhre Möhren -
bread | n Brot - es
cheese | m Käse - s
rice | m Reis - es
meat | n Fleisch - es
chocolate | f Schokolade - -""",
    "drink": """
water | n Wasser - s
milk | f Milch - -
coffee | m Kaffee - s
tea | m Tee - s
beer | n Bier - s
wine | m Wein - s
juice | m Saft - es""",
    "clothes": """
coat | m Mantel Mäntel s
hat | m Hut Hüte es
shirt | n Hemd Hemden es
dress,dresses | n Kleid Kleider es
shoe | m Schuh Schuhe s
jacket | f Jacke Jacken -
*trousers | f Hose Hosen -
*glasses | f Brille Brillen -""",
    "thing": """
bag | f Tasche Taschen -;f Tüte Tüten -
key | m Schlüssel Schlüssel s
picture | n Bild Bilder es;n Foto Fotos s
ball | m Ball Bälle es
cup | f Tasse Tassen -
glass,glasses | n Glas Gläser es
knife,knives | n Messer Messer s
plate | m Teller Teller s
umbrella | m Regenschirm Regenschirme s;m Schirm Schirme s
ring | m Ring Ringe es
gift | n Geschenk Geschenke s
flower | f Blume Blumen -
guitar | f Gitarre Gitarren -
ticket | f Karte Karten -;n Ticket Tickets s
blanket | f Decke Decken -
coin | f Münze Münzen -""",
    "text": """
book | n Buch Bücher es
newspaper | f Zeitung Zeitungen -
letter | m Brief Briefe es
message | f Nachricht Nachrichten -;f Botschaft Botschaften -
story,stories | f Geschichte Geschichten -;f Erzählung Erzählungen -
article | m Artikel Artikel s
poem | n Gedicht Gedichte s
report | m Bericht Berichte s
email | f E-Mail E-Mails -
novel | m Roman Romane s""",
    "opening": """
door | f Tür Türen -
window | n Fenster Fenster s
box,boxes | f Kiste Kisten -;f Schachtel Schachteln -
bottle | f Flasche Flaschen -
suitcase | m Koffer Koffer s""",
    "device": """
lamp | f Lampe Lampen -
computer | m Computer Computer s;m Rechner Rechner s
phone | n Telefon Telefone s;n Handy Handys s
camera | f Kamera Kameras -
clock | f Uhr Uhren -
radio | n Radio Radios s
machine | f Maschine Maschinen -""",
    "vehicle": """
car | n Auto Autos s;m Wagen Wagen s
train | m Zug Züge es
bus,buses | m Bus Busse ses
bicycle | n Fahrrad Fahrräder s;n Rad Räder es
boat | n Boot Boote es
ship | n Schiff Schiffe es
plane | n Flugzeug Flugzeuge s
taxi | n Taxi Taxis s
tram | f Straßenbahn Straßenbahnen -""",
    "furniture": """
table | m Tisch Tische es
chair | m Stuhl Stühle s
bed | n Bett Betten es
shelf,shelves | n Regal Regale s
cupboard | m Schrank Schränke s
sofa | n Sofa Sofas s
desk | m Schreibtisch Schreibtische s
carpet | m Teppich Teppiche s""",
    "event": """
film | m Film Filme s
concert | n Konzert Konzerte s
meeting | f Besprechung Besprechungen -;f Sitzung Sitzungen -
party,parties | f Party Partys -;f Feier Feiern -
game | n Spiel Spiele s
journey | f Reise Reisen -
trip | m Ausflug Ausflüge s
lecture | m Vortrag Vorträge s;f Vorlesung Vorlesungen -""",
}

PLACES = """
garden | m Garten Gärten s | in in in
park | m Park Parks s | in in in
city,cities | f Stadt Städte - | in in in
school | f Schule Schulen - | at in in
station | m Bahnhof Bahnhöfe s | at an zu
kitchen | f Küche Küchen - | in in in
office | n Büro Büros s | in in in
restaurant | n Restaurant Restaurants s | in in in
shop | n Geschäft Geschäfte s;m Laden Läden s | in in in
church,churches | f Kirche Kirchen - | in in in
hospital | n Krankenhaus Krankenhäuser es | in in in
museum | n Museum Museen s | in in in
forest | m Wald Wälder es | in in in
village | n Dorf Dörfer es | in in in
hotel | n Hotel Hotels s | at in in
library,libraries | f Bibliothek Bibliotheken -;f Bücherei Büchereien - | in in in
theatre | n Theater Theater s | at in in
university,universities | f Universität Universitäten - | at an an
street | f Straße Straßen - | on auf auf
market | m Markt Märkte es | at auf auf
mountain | m Berg Berge es | on auf auf
beach,beaches | m Strand Strände es | on an an
river | m Fluss Flüsse es | by an an
lake | m See Seen s | by an an
airport | m Flughafen Flughäfen s | at an zu
bridge | f Brücke Brücken - | on auf auf
island | f Insel Inseln - | on auf auf
house | n Haus Häuser es | in in in
cinema | n Kino Kinos s | at in in
castle | n Schloss Schlösser es;f Burg Burgen - | in in in
factory,factories | f Fabrik Fabriken - | in in in"""
