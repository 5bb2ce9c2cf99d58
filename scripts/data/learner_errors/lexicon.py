"""The word lists behind the errors, each a plain string: easy to read and to extend."""

from __future__ import annotations

# base past participle; only verbs whose forms do not follow the rules of inflection.py
IRREGULAR_VERBS = """
arise arose arisen, awake awoke awoken, bear bore borne, beat beat beaten, become became become, begin began begun,
bend bent bent, bet bet bet, bind bound bound, bite bit bitten, bleed bled bled, blow blew blown, break broke broken,
breed bred bred, bring brought brought, build built built, burn burnt burnt, burst burst burst, buy bought bought,
catch caught caught, choose chose chosen, come came come, cost cost cost, creep crept crept, cut cut cut, deal dealt
dealt, dig dug dug, draw drew drawn, dream dreamt dreamt, drink drank drunk, drive drove driven, eat ate eaten, fall
fell fallen, feed fed fed, feel felt felt, fight fought fought, find found found, flee fled fled, fly flew flown,
forbid forbade forbidden, forget forgot forgotten, forgive forgave forgiven, freeze froze frozen, get got got, give
gave given, go went gone, grow grew grown, hang hung hung, hear heard heard, hide hid hidden, hit hit hit, hold held
held, hurt hurt hurt, keep kept kept, kneel knelt knelt, know knew known, lay laid laid, lead led led, lean leant
leant, learn learnt learnt, leave left left, lend lent lent, let let let, lie lay lain, light lit lit, lose lost lost,
make made made, mean meant meant, meet met met, mistake mistook mistaken, pay paid paid, prove proved proven, put put
put, quit quit quit, read read read, ride rode ridden, ring rang rung, rise rose risen, run ran run, say said said,
see saw seen, seek sought sought, sell sold sold, send sent sent, set set set, shake shook shaken, shine shone shone,
shoot shot shot, show showed shown, shrink shrank shrunk, shut shut shut, sing sang sung, sink sank sunk, sit sat sat,
sleep slept slept, slide slid slid, smell smelt smelt, speak spoke spoken, spend spent spent, spill spilt spilt, spin
spun spun, split split split, spread spread spread, spring sprang sprung, stand stood stood, steal stole stolen, stick
stuck stuck, strike struck struck, swear swore sworn, sweep swept swept, swell swelled swollen, swim swam swum, swing
swung swung, take took taken, teach taught taught, tear tore torn, tell told told, think thought thought, throw threw
thrown, understand understood understood, undergo underwent undergone, upset upset upset, wake woke woken, wear wore
worn, weep wept wept, win won won, wind wound wound, withdraw withdrew withdrawn, write wrote written, overcome
overcame overcome, undertake undertook undertaken
"""

REGULAR_VERBS = """
accept accompany achieve act add admit advertise advise affect afford agree aim allow announce answer appear apply
appreciate approach argue arrange arrive ask assume attack attempt attend attract avoid base behave believe belong
benefit blame borrow bother breathe call care carry cause celebrate change charge check claim clean clear climb close
collect combine communicate compare compete complain complete concentrate concern conclude confirm connect consider
consist construct consume contact contain continue contribute control cook copy correct count cover create cross cry
damage dance decide decrease defend define deliver demand depend describe deserve design destroy determine develop die
differ disagree disappear discover discuss divide doubt dress drop earn educate employ encourage end enjoy ensure
enter establish examine exist expand expect experience explain explore express face fail fear fill finish fit fix
focus follow force form gain gather generate guess handle happen hate help hope identify ignore imagine improve
include increase indicate influence inform insist intend introduce invent invest invite involve join judge jump kill
last laugh launch like limit link listen live look love manage mark marry matter mention mind miss move need notice
obtain occur offer open operate order organize own participate pass perform plan play point pollute prefer prepare
present prevent produce promise promote propose protect provide publish pull push raise reach realize receive
recognize recommend reduce refer reflect refuse regard relate release remain remember remove rent repeat replace reply
report represent require respect respond rest result return save seem separate serve share smile solve sound start
state stay stop study succeed suffer suggest support suppose surprise surround talk taste tend test thank touch travel
treat try turn use visit vote wait walk want warn waste watch wish wonder work worry
"""

# Words taken for each other. A pair that gives good sentences either way teaches nothing, and is not here.
CONFUSION_SETS = """
their there they're; then than; to too two; your you're; its it's; affect effect; lose loose; accept except; advice
advise; weather whether; quite quiet; where were we're; who's whose; who which; past passed; principal principle;
fewer less; much many; other another others; say tell; hear listen; beside besides; some any; among between; lie lay;
rise raise; teach learn; hard hardly; late lately; near nearly; most almost; good well; bad badly; lend borrow;
interesting interested; boring bored; exciting excited; tiring tired; surprising surprised; confusing confused;
economic economical; historic historical; alone lonely; live life; leave live; believe belief; effective efficient;
succeed success; choose chose choice; breathe breath; practice practise; of off; no know now; new knew; here hear;
right write; during while; since for; they them; we us; my me; us our; himself hisself; themselves theirself; sensible
sensitive; save safe; prove proof; loss lost; use used; specially especially; beautiful beauty; difficult difficulty;
important importance; different difference; happy happiness; health healthy; danger dangerous; science scientific;
nature natural; culture cultural; easy easily; quick quickly; slow slowly; real really; usual usually; clear clearly;
careful carefully; serious seriously; possible possibility possibly; able ability; necessary necessity; confident
confidence; independent independence; free freedom; dead death died; young youth; better best; worse worst; popular
popularity; analyse analysis; emphasis emphasise; complain complaint; behave behaviour; desert dessert; device devise;
cloth clothe; personal personnel; stationary stationery; sit seat; thing think; tree three; waste waist; whole hole;
piece peace; week weak; meat meet; plain plane; road rode; sea see; wait weight
"""

MISSPELLINGS = """
accommodate acommodate accomodate, achieve acheive, across accross, address adress, aggressive agressive, apparently
apparantly, appearance apperance appearence, argument arguement, assassination assasination, basically basicly,
because becuase becouse beacause becaus, beginning begining, believe beleive belive, benefit benifit, business
bussiness buisness busines, calendar calender, career carrer, cemetery cemetary, certain certian, children childrens
childs, colleague collegue, coming comming, committee comittee, completely completly, conscious concious, convenient
convinient, course cource, decision desicion, definitely definately definitly, description discription, develop
develope devolop, development developement, dictionary dictionnary, difference diffrence, different diffrent differnt,
disappear dissapear, disappoint dissapoint, dilemma dilema, easily easly, education educaton, embarrass embarass,
enough enought enogh, environment enviroment enviromment envirement, especially especialy expecially, example exemple
exampl, excellent excelent, existence existance, experience experiance expirience, explanation explaination, family
familly, familiar familar, favourite favorit, finally finaly, foreign foriegn, forward foward, friend freind frend,
government goverment govement, grammar grammer, guarantee garantee, happened happend, height heigth, idea ideia,
immediately immediatly imediately, important importent imporant, independent independant, information informations
infomation, interesting intresting interessting, interrupt interupt, knowledge knowlege knoledge, language langauge
languege, library libary, likely likly, maybe may-be, minute minuet, necessary neccessary necessery necesary,
noticeable noticable, occasion ocasion occassion, occurred occured, opinion oppinion opinon, opportunity oportunity
oppurtunity, particular particuler, people peple peaple poeple, perhaps perhabs, persuade pursuade, piece peice,
planning planing, pleasant plesant, possible posible possable, possession posession, prefer perfer, probably probaly
propably, problem probleme problam, process proccess, product produkt, professor professer, public publick, publicly
publically, quality qualty, realize realise relize, really realy, reason reson, receive recieve receve, recommend
recomend reccomend, remember rember remeber, restaurant restaurent resturant, safety safty, schedule shedule, school
shcool scool, science sience, scientific scientifc, secretary secretery, separate seperate, similar similiar simular,
since sinse, sincerely sincerly, society sociaty socity, something somthing, specific spesific, speech speach,
statement statment, strength strenght, student studant studen, studies studys, studying studing, success succes
sucess, successful succesful successfull sucessful, surprise suprise, technology tecnology techology, their thier,
there thier, therefore therefor, they thay, thought thougt thougth, through throught trough, together togheter
togather, tomorrow tommorow tomorow, tourist turist, traffic trafic, travel travell, truly truely, understand
understend, university universty univercity, until untill, usually usualy ussually, vehicle vehical, which wich
whitch, whether wheter wether, with whit, without whithout, world wold wolrd, would woud, writing writting, young
yung, advertisement advertisment advertisiment, advantage adventage, actually actualy acctually, although althought
altough, always allways alway, another anohter, answer anwser, any eny, believes beleives, beautiful beatiful
beutiful, before befor, between beetween betwen, brought brougth, careful carefull, change chang, company compagny,
communicate comunicate, community comunity, concept consept, control controll, country contry counrty, customer
costumer, dangerous dangerouse, economic econimic, effect effet, every evry, first frist, health helth, however
howerver howver, human humen, improve inprove, increase increas, individual indivdual, influence influance, just jast,
large larg, life live, money mony, more mor, natural naturel, other ather, person persone, responsible responsable,
risk risck, said sayed, should shoud, some som, special spesial, support suport, than then, think thing, thinks
thinkes, travelling traveling, when wen, where were, while wile, work wrok, people's peoples, things thinks, future
futur, modern moderne
"""

NOUNS = """
advantage advertisement age animal answer apple area argument article aspect author baby bank bird boat body book boy
branch brother building business car career case cat century chair chance change child city class client colour
company computer concept condition cost country course cow culture customer day decision detail difference doctor dog
door effect effort employee enemy engine event example expert eye fact factor family farm father field film fish
flower form friend game garden girl goal group guide hand head hobby home horse hotel hour house human idea industry
interest island job key king language law lecture letter level lie life line machine man market meal member method
mind minute mistake moment month mother mountain movie name nation newspaper night number object office opinion park
parent part party passage patient pen people person phone picture place plan plane plant player point policy problem
process product professor program question radio reason region restaurant result risk river road room rule school
scientist sea sector shop sister skill society soldier solution son song speaker species sport state statement step
stone story street student subject system teacher team term theory thing tool topic town train traveller tree trip
type user value view village visitor war way week window woman word worker writer year
"""
IRREGULAR_NOUNS = "man men, woman women, child children, person people, foot feet, tooth teeth, life lives, mouse mice"
# nouns without a plural that learners give one
UNCOUNTABLE = """
advice information knowledge furniture homework equipment research money traffic work news progress evidence luggage
music technology pollution education health behaviour transportation software help experience time food water paper
fish
"""
PREPOSITIONS = (
    "in on at to for of with by from about into over under between among during through after before as than since"
)
PREPOSITION_SWAPS = """
in on at; on in at about; at in on; to for at in; for to of since; of for in from; with by to of; by with from; from
of by in; about of on for; into in to; over on above; under below in; between among; among between; during in while;
through by across; after before since; before after; since from for; as like; than then as; towards to; against to
with; upon on; within in
"""
ADVERBS = """
always usually often sometimes never also still already just only really probably certainly ever now soon generally
especially quickly slowly carefully easily finally recently actually mostly rarely
"""
EXTRA_WORDS = "the a to of in for is are that it so very also more be and have do will can on as with been much"
LINKS = "because but so and or which who that when if while although"
COMPOUNDS = """
a lot=alot; every body=everybody; every one=everyone; every thing=everything; some times=sometimes; some one=someone;
any one=anyone; any more=anymore; in to=into; on to=onto; may be=maybe; all ready=already; all so=also; all
ways=always; any way=anyway; how ever=however; there fore=therefore; more over=moreover; never the less=nevertheless;
now adays=nowadays; out side=outside; in side=inside; with out=without; through out=throughout; where ever=wherever;
when ever=whenever; some thing=something; no body=nobody; any thing=anything; in fact=infact; at least=atleast; as
well=aswell; in spite=inspite; such as=suchas; other wise=otherwise; every day=everyday; them selves=themselves; him
self=himself; my self=myself; it self=itself; our selves=ourselves; mean while=meanwhile; home work=homework; class
room=classroom; news paper=newspaper; high way=highway; air plane=airplane; week end=weekend; no where=nowhere; for
ever=forever; up to date=uptodate; even though=eventhough; each other=eachother; of course=ofcourse; so that=sothat
"""


def words_of(table: str) -> frozenset[str]:
    """Read a list of words."""
    return frozenset(table.split())


def rows_of(table: str, separator: str = ",") -> list[list[str]]:
    """Read rows of words with a separator between rows."""
    return [row.split() for row in table.split(separator) if row.strip()]
