"""The verbs of the quickstart corpus, as plain tables that ``lexicon.py`` reads.

One verb a line: ``english | german variants | subjects | objects``, kinds of noun as in ``words.NOUNS``.
English: ``base[/past/participle] rest``; regular forms are derived. German: ``infinitive``, or ``infinitive er-form
preterite participle`` where irregular; a dot ends a separable prefix, ``sich`` marks a reflexive verb, a final ``+``
a perfect with ``sein``. Prepositional verbs give the German preposition and its case before the variants.
"""

INTRANSITIVE = """
sleep/slept/slept | schlafen schläft schlief geschlafen | person animal
work | arbeiten | person
laugh | lachen | person
cry | weinen | person
dance | tanzen | person
sing/sang/sung | singen singt sang gesungen | person animal
swim/swam/swum | schwimmen schwimmt schwamm geschwommen + | person animal
smile | lächeln | person
wait | warten | person
get/got/got up | auf.stehen steht stand gestanden + | person
wake/woke/woken up | auf.wachen + | person animal
fall/fell/fallen asleep | ein.schlafen schläft schlief geschlafen + | person animal
arrive | an.kommen kommt kam gekommen + | person vehicle
come/came/come back | zurück.kommen kommt kam gekommen + | person animal
disappear | verschwinden verschwindet verschwand verschwunden + | person animal vehicle
rest | sich aus.ruhen;sich erholen | person
begin/began/begun | an.fangen fängt fing gefangen;beginnen beginnt begann begonnen | event
take/took/taken place | statt.finden findet fand gefunden | event
end | enden;auf.hören | event"""

TRANSITIVE = """
buy/bought/bought | kaufen | person | thing text vehicle clothes furniture device
sell/sold/sold | verkaufen | person | thing vehicle furniture device
see/saw/seen | sehen sieht sah gesehen | person animal | person animal vehicle thing
find/found/found | finden findet fand gefunden | person | thing text clothes
lose/lost/lost | verlieren verliert verlor verloren | person | thing text
read/read/read | lesen liest las gelesen | person | text
write/wrote/written | schreiben schreibt schrieb geschrieben;verfassen | person | text
eat/ate/eaten | essen isst aß gegessen | person | food
drink/drank/drunk | trinken trinkt trank getrunken | person | drink
order | bestellen | person | food drink
visit | besuchen | person | person
meet/met/met | treffen trifft traf getroffen | person | person
know/knew/known | kennen kennt kannte gekannt | person | person
love | lieben | person | person animal
look for | suchen | person animal | thing person animal
call | an.rufen ruft rief gerufen | person | person
invite | ein.laden lädt lud geladen | person | person
open | öffnen;auf.machen | person | opening
close | schließen schließt schloss geschlossen;zu.machen | person | opening
clean | putzen;reinigen | person | opening vehicle clothes
repair | reparieren | person | vehicle device furniture
carry | tragen trägt trug getragen | person | thing opening furniture
wear/wore/worn | tragen trägt trug getragen | person | clothes
bring/brought/brought along | mit.bringen bringt brachte gebracht | person | thing food drink
pick up | ab.holen | person | person
put/put/put on | an.ziehen zieht zog gezogen | person | clothes
take/took/taken off | aus.ziehen zieht zog gezogen;ab.legen | person | clothes
watch | beobachten | person animal | person animal
steal/stole/stolen | stehlen stiehlt stahl gestohlen | person | thing vehicle
photograph | fotografieren | person | person animal vehicle
understand/understood/understood | verstehen versteht verstand verstanden | person | person text
forget/forgot/forgotten | vergessen vergisst vergaß vergessen | person | thing text
greet | grüßen;begrüßen | person | person
feed/fed/fed | füttern | person | animal
wash | waschen wäscht wusch gewaschen | person | clothes vehicle animal
use | benutzen;verwenden | person | device thing
throw/threw/thrown away | weg.werfen wirft warf geworfen | person | thing text food
turn on | ein.schalten;an.machen | person | device
turn off | aus.schalten;aus.machen | person | device
need | brauchen;benötigen | person | thing device vehicle clothes"""

DATIVE = """
help | helfen hilft half geholfen | person | person
thank | danken | person | person
answer | antworten | person | person
trust | vertrauen | person | person
follow | folgen + | person animal vehicle | person animal vehicle
congratulate | gratulieren | person | person
listen to | zu.hören | person | person
watch | zu.sehen sieht sah gesehen | person | animal
belong to | gehören | thing vehicle device | person"""

# the last field says whether English also has "give him the book"
DITRANSITIVE = """
give/gave/given | geben gibt gab gegeben | person | thing text food | shift
show/showed/shown | zeigen | person | thing text device clothes | shift
send/sent/sent | schicken;senden | person | text thing | shift
lend/lent/lent | leihen leiht lieh geliehen | person | thing text vehicle | shift
tell/told/told | erzählen | person | story | shift
offer | an.bieten bietet bot geboten | person | food drink | shift
bring/brought/brought | bringen bringt brachte gebracht | person | food drink thing | shift
explain | erklären;erläutern | person | text device | to
return | zurück.geben gibt gab gegeben | person | thing text | to
recommend | empfehlen empfiehlt empfahl empfohlen | person | text event | to"""

PREPOSITIONAL = """
wait for | auf acc | warten | person | person vehicle
think/thought/thought of | an acc | denken denkt dachte gedacht | person | person event
talk to | mit dat | sprechen spricht sprach gesprochen;reden | person | person
talk about | über acc | sprechen spricht sprach gesprochen;reden | person | person text event
dream of | von dat | träumen | person | person event animal
laugh about | über acc | lachen | person | person text
play with | mit dat | spielen | person animal | person animal
take/took/taken care of | um acc | sich kümmern | person | person animal
look forward to | auf acc | sich freuen | person | event text
remember | an acc | sich erinnern | person | person event
complain about | über acc | sich beschweren;sich beklagen | person | person event food
fall/fell/fallen in love with | in acc | sich verlieben | person | person
look after | auf acc | auf.passen | person | person animal
take/took/taken part in | an dat | teil.nehmen nimmt nahm genommen | person | event
ask for | nach dat | fragen | person | text thing person
say/said/said goodbye to | von dat | sich verabschieden | person | person"""

MOTION = """
go/went/gone | gehen geht ging gegangen + | person | place
walk | laufen läuft lief gelaufen +;gehen geht ging gegangen + | person animal | place
run/ran/run | rennen rennt rannte gerannt +;laufen läuft lief gelaufen + | person animal | place
drive/drove/driven | fahren fährt fuhr gefahren + | person | place city
fly/flew/flown | fliegen fliegt flog geflogen + | person | city
travel | reisen +;fahren fährt fuhr gefahren + | person | city
go/went/gone back | zurück.gehen geht ging gegangen + | person | place
return | zurück.kehren + | person | city place"""

LOCATION = """
live | wohnen;leben | person | city place
work | arbeiten | person | city place
sit/sat/sat | sitzen sitzt saß gesessen | person animal | place furniture
stand/stood/stood | stehen steht stand gestanden | person vehicle | place
stay | bleiben bleibt blieb geblieben + | person | city place
lie/lay/lain | liegen liegt lag gelegen | thing text clothes | furniture
wait | warten | person | place
play | spielen | animal person | place"""

PLACEMENT = """
put/put/put | legen;stellen | person | thing text clothes
place | stellen;legen | person | thing device
throw/threw/thrown | werfen wirft warf geworfen | person | thing text clothes"""

REPORTING = """
say/said/said | sagen
think/thought/thought | glauben;denken denkt dachte gedacht
believe | glauben
know/knew/known | wissen weiß wusste gewusst
hope | hoffen
hear/heard/heard | hören
notice | bemerken;merken
claim | behaupten
write/wrote/written | schreiben schreibt schrieb geschrieben
tell/told/told | sagen;erzählen | hearer"""

INFINITIVAL = """
try | versuchen
decide | beschließen beschließt beschloss beschlossen;sich entscheiden entscheidet entschied entschieden
begin/began/begun | an.fangen fängt fing gefangen;beginnen beginnt begann begonnen
forget/forgot/forgotten | vergessen vergisst vergaß vergessen
promise | versprechen verspricht versprach versprochen
hope | hoffen
plan | planen"""
