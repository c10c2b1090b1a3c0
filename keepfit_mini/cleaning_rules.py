"""What cleaning looks for in a caption: cross references in English and Chinese, credits, panel marks, debris of recognition.

Every pattern is bounded or possessive: time grows with the length, whatever the text is. Not about: the order in which they are
used, and what is noted of it (cleaning.py).
"""

from __future__ import annotations

import re
from collections.abc import Callable

MARK = "\0"  # where something was removed; control characters never survive cleaning.plain_characters()
HAN = "\u3400-\u9fff"

# --------------------------------------------------------------------------------------------------------- English references

_DIGIT = r"(?:\d|[lO](?![a-z]))"  # as recognised: 3-lOE
_NUMBER = rf"(?=[lO.-]{{0,3}}\d){_DIGIT}{{1,3}}(?:(?:- ?|[–—.]){_DIGIT}{{1,3}}){{0,2}}(?![\dlO/])"
_STOP = r"(?= ?(?:[],;:)/]|\.(?!\d)|$|(?:and|&) |for (?:comp|det)))"
_PANEL = r"(?: ?\([A-Pa-h]\)|(?:[A-P](?:[-–][A-P])?|[a-h])(?![A-Za-z0-9]))"
_MORE = (r"(?:(?:, ?(?:and )?| ?[&/] ?| and | to | through )"
         rf"(?:(?:(?:FIG(?:URE)?S?|[Ff]ig(?:ure)?s?)\.? ?)?{_NUMBER}{_PANEL}?{_STOP}|[A-P]{_STOP}"
         r"|\d{1,2}[-–]\d{1,3}[A-CE-P](?![A-Za-z0-9])"  # "2-4D" may be dioptres
         r"|(?:(?<=and )|(?<=to )|(?<=ough ))[B-P](?![\w'-])(?! (?:scan|mode|type|wave))))")  # fmt: skip
_FIG = r"\b(?:FIGURES?|[Ff]igures?|FIGS?|[Ff]igs?)\.? ?(?!8[ -](?:shap|pattern|config|appear|like|loop|sign))"
REF = (rf"(?:{_FIG}(?:{_NUMBER}{_PANEL}?(?: [A-P]{_STOP})?|[A-P](?![\w'-])|(?<=F....e )[a-h](?= ?[].,;:)])){_MORE}{{0,6}}"
       r"(?: (?:above|below)(?= ?(?:[].,;:)]|$)))?)")  # fmt: skip
# what counts as a reference only after words such as "same eye as" or "see"
BACK = (r"(?:(?:the )?(?:previous|preceding|above|next|following) (?:figure|image|picture|photograph|panel|case|patient)s?\b"
        r"|(?:the )?(?:panels?|part|picture) [A-P](?: and [B-P])?(?![\w'-])|above(?= ?(?:[].,;:)]|$))"
        r"|(?:[Tt]able|[Cc]hapter|[Pp]age|[Pp]late|[Cc]ase)s? \d{1,3}(?:[-.]\d{1,3}){0,2}(?!\d)[A-P]?|(?:the )?text(?= ?[].,;:)])"
        r"|[A-P](?: and [B-P]|[-–][B-P])?(?![\w'-])"
        r"(?= ?(?:[].,;:)]|$)| (?:with|after|before|at|in|on|but|showing|taken|\d)))")  # fmt: skip
ANY = rf"(?:{REF}|{BACK})"
WHO = r"(?:pati?ent|person|eye|case|subject|individual|man|woman|boy|girl|child|infant|baby)s?"
VERB = (r"(?:has|had|have|is|was|are|were|shows?|showed|presents|presented|developed|underwent|demonstrate[sd]"
        r"|reveal(?:s|ed)?|received|exhibits)\b")  # fmt: skip
START = r"(?:^|(?<=[.!?])|(?<=[.!?] ))"
_AS = r"(?:as|in|(?:shown|seen|illustrated) in|of) (?:(?:that |those |the one )?(?:shown |seen |illustrated )?in |of )?"
_IN = r"(?:in |that in |those in |shown in )?"


def first_capital(found: re.Match[str]) -> str:
    """Group 1, with a capital where the match began with one."""
    return found[1][0].upper() + found[1][1:] if found[0][0].isupper() else found[1]


# a pattern that a MARK replaces, or (pattern, what takes its place), in this order
ENGLISH: list[str | tuple[str, str | Callable]] = [
    rf",? (?:which|who|that|and) (?:is|was|are|were) (?:(?:in|of|from) )?(?:the )?same {WHO} {_AS}{ANY}",
    (rf"{START}(?:The s|S)ame ({WHO}) {_AS}{ANY}(?= {VERB}|, [^,.;]{{1,80}}, {VERB})", r"The \1"),
    rf"(?:\b(?:This|It) (?:is|was) )?(?:\b(?i:in|of|from|for|with|at|on|by) )?(?:\b(?i:the|this) )?\b[Ss]ame {WHO} {_AS}{ANY}",
    rf"\b[Ss]ame {WHO} \({ANY}\)|(?<=\()[Ss]ame {WHO}(?=[,;)])|\bSame as (?:in )?{ANY}",
    (rf"(?:{START}|(?<=[Tt]he ))[Ss]ame ((?:[a-z-]{{1,20}} ){{0,2}}[a-z-]{{1,20}}) as {_IN}{REF}", first_capital),
    rf"\b(?:[Ww]ith|[Ff]or) {REF},? (?:(?:for|of|in|from) )?(?:the )?(?:(?:same ){{1,2}}|one ){WHO}",
    rf"{REF} (?:shows?|is|was) the same {WHO}",
    rf"\b(?:of|in|from) (?:the )?same (?:{WHO.replace('eye|', '')}|(?<=of the same )eyes?)\b(?!'| as\b)",
    rf"{START}(?:[Tt]he s|S)ame {WHO}(?= ?[.,;]| ?$)",
    rf"{START}(?:The s|S)ame {WHO} (?=\d|(?:after|before|with|at|in|on|showing|one|two|three|four|six|several) )",
    (rf"{START}The same (?={WHO} {VERB})", "The "),
    rf"{START}Same (?=(?:area|lesion|field|region)\b(?! (?:as|of)\b))",
    rf"\b[Ss]ee (?:also )?{REF} for (?:comparison|details|the (?:fundus |color )?(?:photograph|angiogram|image))\b",
    rf"\b(?:[Ss]imilar|[Ii]dentical) to (?:that|those) (?:seen |shown )?in {REF}",
    rf"\b(?:The|This) {WHO} is the same as {_IN}{ANY}",
    rf"\b(?:[Pp]lease |[Aa]lso )?(?:[Ff]or (?:details|comparison),? )?(?:[Ss]ee|[Cc]f\.?)(?: also)? (?:in )?{ANY}",
    rf"\b(?:[Tt]his |It )(?:image )?is (?:shown in )?{REF}(?: patient\b)?",
    rf"(?:\b(?:is|are|was|were|[Aa]s) )?\b(?:shown|illustrated|depicted|demonstrated|pictured) (?:also )?in {ANY}",
    rf"\b[Aa]s (?:seen |described |noted )?(?:in )?{REF}|\b[Aa]s (?:seen |described |noted )in {BACK}",
    rf"\b(?:[Ww]hen )?[Cc]ompared? (?:with |to )?{_IN}{REF}|\b[Ii]n (?:comparison|contrast) (?:with|to) {_IN}{REF}",
    rf"\b(?:This |It )?(?:[Cc]orrespond(?:s|ing)?|[Rr]efer) to {_IN}{REF}",
    rf"\b(?:[Uu]nlike|[Cc]ontinued (?:from|in)|versus|vs\.?) {_IN}{REF}",
    rf", {REF} patient(?=,)",
    (rf"\b(of|for|in) patient {REF}", r"\1 the patient"),
    (rf"\b{REF} (?=patients?\b(?! with| after| of))(?<!\. )", ""),
    rf"\bin {REF} of (?:a|the) patient\b",
    rf"\b(?i:in|of|from|with|to|on|at|by|than|for) {REF}",
    # an angiogram or a stage "of A" is another panel's; "of A large lesion" is a slip of the pen
    r"(?:(?<=gram)|(?<=grams)|(?<=graph)|(?<=FFA)|(?<=CGA)|(?<=stage)) of [A-P](?![\w'-])(?= ?(?:[].,;:)]|$)| at\b| [A-Z][a-z])",
    (r"(?<=gram) of [A-P](?= the\b)", ","),
    rf"(?<!type)(?<!grade)(?<!stage)(?<!group)(?<!class) of [A-P](?= {VERB})",
    r"\b(?:[Ww]hen )?[Cc]ompared? (?:with|to) [A-P](?= ?(?:[].,;:)]|$))",
    r"(?<=gram) of [Ff]igure(?= ?\.?$)",
    REF,
]  # fmt: skip

# --------------------------------------------------------------------------------------------------------- Chinese references

_NOT_PANEL = "(?![A-Za-z0-9超型形扫波级期区-])"
_NUMBER_ZH = (r"\d{1,3}(?: ?[-–—.] ?\d{1,3}){0,2}(?![\d张幅例个次年月天岁周时分秒])"
              rf"(?: ?[（(][A-P][）)]| ?[A-Pa-h]{_NOT_PANEL})?")  # fmt: skip
_MORE_ZH = rf"(?: ?(?:[、，,~～\-–]|和|及|与|至) ?(?:(?:彩|附)?图? ?\d{{1,3}}[-–.]{_NUMBER_ZH}|[A-P]{_NOT_PANEL}))"
FIGURE_ZH = rf"(?<![电地])[彩附]?图 ?(?:{_NUMBER_ZH}|[A-P]{_NOT_PANEL}){_MORE_ZH}{{0,6}}"
LEADING = [
    rf"^(?>{REF}(?:, [B-P](?= [A-Z])){{0,7}}[.:,]? ?)(?!{VERB}|same )",
    rf"^(?>{FIGURE_ZH}[.:：．、]? ?的?)(?!所?示|显示|为|同一|与|患者)",
]
ANY_ZH = rf"(?: ?{FIGURE_ZH}(?: (?=[^ A-Za-z\d]))?|(?:上|下|左|右|前)一?图)"
WHO_ZH = "(?:名|位|例|只|个)?(?:患者|病人|病例|患儿|受检者|个体|人|例|患眼|眼)"
CHINESE: list[str] = [
    rf"(?:[该此本]例|[该此本]患者)?(?:与|和|同){ANY_ZH}(?:中)?(?:患者|病例)?(?:为|是|系|属于?)?同(?:一|为一|属一)?{WHO_ZH}的?",
    rf"(?:[该此本]患者)?(?:为|系)?(?:与|和)?{ANY_ZH}的?同一{WHO_ZH}的?",
    rf"同一{WHO_ZH}[，,]? ?(?:同|见|参见|如){ANY_ZH}(?:所示)?",
    rf"(?:与|同|和){ANY_ZH}(?:中)?(?:所示)?(?:相?比较|相比|对比|对照|对应)",
    rf"(?:患者|病人|病例)同{ANY_ZH}",
    rf"(?:(?:请|可|并)?(?:参见|参阅|参看|参考|详见|另见|见|对照|对比|比较)|如|同|为|较|续){ANY_ZH}(?:患者|病例)?(?:所示|所见|所述)?(?:的(?=对侧|另|左|右))?",
    rf"(?:与|和){ANY_ZH}(?:所示|所见)?",
    rf"(?:^|(?<=[。；;！？]))(?:同一{WHO_ZH}的?)++(?!所)",
    rf"{FIGURE_ZH}(?:所示|显示|示(?![教意])|(?=患者))?[为的]?",
]

# -------------------------------------------------------------------------------------------------------------------- credits

# up to the end of the sentence, which a title or an initial is not, but "M.D." is where no comma follows
_NAMES = (r"(?:\b(?:Drs?|Prof|Mr|Mrs|Ms|Ph|(?<!M\.)(?<!h\.)[A-Z]|Jr|al|eds?|vol|pp?|Inc|Ltd)\.|D\.(?=[,;]| and )"
          r"|[^.()\0]){1,300}+")  # fmt: skip
_INSIDE = r"[^()（）]{0,300}"
_WORDS = r"(?i:courtesy\b|(?:with|by) (?:kind )?permission|copyright\b|©|(?:reprinted|reproduced|adapted|modified) (?:with|from))"
_PICTURE = r"\b(?:[Pp]hoto(?:graph)?s?|[Ii]mages?|Figures?) "
CREDITS = [
    rf"\((?=[^()]{{0,80}}?{_WORDS}){_INSIDE}(?:\({_INSIDE}\){_INSIDE})?\)",
    rf"\((?:From|After) {_INSIDE}\b(?:19|20)\d\d\b{_INSIDE}\)",
    rf"(?:{_PICTURE})?\b(?:[Bb]y |[Ww]ith )?[Cc]ourtesy (?:of |(?=Drs?\b|Prof\b)){_NAMES}\.?",
    rf"\b(?:(?:(?:Reprint|Reproduc|Adapt|Modifi|Us)ed )?(?:[Ww]ith|[Bb]y) permission(?= of| from|[.,;]|$)"
    rf"|(?:Reprinted|Reproduced|Adapted|Modified) from (?=[A-Z]))(?:{_NAMES})?\.?",
    r"[（(][^（()）]{0,40}(?:由[^（()）]{1,40}(?:提供|惠赠)|惠赠|供图|引自|摘自|许可|授权)[^（()）]{0,40}[）)]",
    r"(?:本|此)?(?:图片|照片|图)[^，。；、]{0,12}由[^，。；]{1,40}(?:提供|惠赠)[。]?",
]

# ------------------------------------------------------------------------------------------------------------------- mending

_MARK_END = r"(?:[-–,&]| and )"
PANEL_MARKS = "^(?:" + "|".join([
    rf"(?:\([A-Pa-p](?: ?{_MARK_END} ?[A-Pa-p]){{0,7}}\)[.,:]? ?)(?=\S)",
    rf"[A-HJ-P](?: ?{_MARK_END} ?[A-P]){{0,7}}(?:[,:] (?!V\b)|[.．] ?(?=[A-Z\d{HAN}][^.])|[)] ?)(?=\S)",
    rf"[a-p][.．)] (?=[A-Z{HAN}])",
    rf"(?:[（(][A-Pa-p][）)] ?|[A-Pa-p](?:[）)，,.．、:：] ?| ))(?=[{HAN}])(?![超型形扫波级期区])",
]) + ")++"  # fmt: skip
_FILL = r"(?:also|seen|same|e\.g|for|comparison|and|or|as|in|of|from|see|the|text|compared?|with|to|shown)\b|[,;:.，；、 ]"
_BRACKET = rf"[（(\[](?=[^][()（）]{{0,80}}{MARK})(?:{_FILL}|{MARK}){{1,30}}+[]）)]"
TIDY: list[tuple[str, str]] = [
    (rf"{MARK}(?: ?[,;]? ?{MARK})++", MARK),
    (rf"(?<=\w) ?{_BRACKET}", ""),
    (_BRACKET, MARK),
    (rf"([（(\[]) ?{MARK} ?[,;:，；、]? ?", r"\1"),
    (rf" ?[,;:，；、]? ?{MARK} ?[,;，；、]? ?([]）)])", r"\1"),
    (rf"(^|[。！？；;]){MARK}[ ，、；。,;.]*+(?=[{HAN}])", r"\1"),
    (rf"(?<=[{HAN}）)\d])[，、,]? ?{MARK} ?(?=[，。；、！？])", ""),
    (rf"(?<=[，。；、]){MARK}[，；、。]?", ""),
    (rf"(?<=[{HAN}，。；、）]) ?{MARK} ?(?=[{HAN}（])", ""),
    (rf" ?, ?{MARK} ?, (?={VERB})", " "),
    (rf" ?,? ?{MARK} ?(?=[,.;:!?](?!\d)|$)", ""),
    (rf" ?,? ?{MARK} ?(?=[A-Z][a-z])", ". "),
    (rf" ?{MARK} ?", " "),
]
FIRST = re.compile(rf"(^|[.!?][\")]? ?){MARK}(?:[ ,;:]|\.(?!\d))*+(?i:(?:with|and|is|are|was|were) )?([a-z]?)")
OCR: list[tuple[str, str, str]] = [
    (r"(?<=\d)掳", "°", "wrongly decoded character mended"),
    (r"(?<![\w|¦•■□▪●◆►¬])[|¦•■□▪●◆►¬]++ ?|[|¦•■□▪●◆►¬]++(?!\w)", " ", "recognition debris removed"),
    (r"(?<![|¦•~^_])[~^_](?:[ ]?[~^_])++", " ", "recognition debris removed"),
    (r"^[~^_](?= )|(?<= )[~^_](?=$|[,.;])", "", "recognition debris removed"),
    (r"(?<![A-Za-z\d])l(?=/\d|\.\d|\d{1,2}[/:.]\d)", "1", "recognition mended"),
    (r"(?<=\d)[lI](?=\d|/\d| (?:years?|months?|weeks?|days?)\b)", "1", "recognition mended"),
    (r"(?<![A-Za-z\d.])(\d{1,3})O(?=/\d| (?:years?|months?|weeks?|days?|mm|cm)\b)", r"\g<1>0", "recognition mended"),
    (r"  ++", " ", "doubled blank removed"),
    (rf"(?<=[{HAN}，。；：、！？（）]) (?=[{HAN}，。；：、！？（）])", "", "blank between Chinese characters removed"),
    (r"(?<=[\w)\]\"']) (?=[,;](?!\d)|\.(?![\d.])|[，。；：、])", "", "blank before punctuation removed"),
    (r"(?<=[a-z]{2}) (?=:)|(?<=[\w.*]) (?=[])])|(?<=[(\[]) (?=\S)", "", "blank beside punctuation removed"),
    (r"(?<![,;])([,;])(?: ?\1)++", r"\1", "doubled punctuation removed"),
    (r"(?<=\w)[,;] ?\.(?![\d.])", ".", "doubled punctuation removed"),
    (r"(?<=[a-z]{5})(?<!approx)\.,(?= )", ",", "doubled punctuation removed"),
    (r"(?<=[a-z)])\.\.(?!\.)", ".", "doubled punctuation removed"),
    (r"([，。；：、！？])\1++", r"\1", "doubled punctuation removed"),
    (r"[，；、](?=[。！？])", "", "doubled punctuation removed"),
    (r"(?<=[A-Za-z]{2}),(?=[A-Za-z]{2})|(?<=[a-z]{2})\.(?=[A-Z])", r"\g<0> ", "blank after punctuation added"),
    (r"^(?:[ ,;:，；：、。)）]|\.(?![\d.]))++|^(?:is|was) (?=(?:the|an?) )", "", "lonely beginning removed"),
]  # fmt: skip
