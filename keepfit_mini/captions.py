"""Says in English and Chinese what a drawn picture shows, in the manner of an eye atlas: findings, place, severity.

`described` captions never name the disease, so that whatever a model learns from them about a disease it learned from
its signs; `named` captions name it as well. The sentences were written for this project.
Not here: pictures (phantom.py).
"""

import numpy as np

from .config import InputError
from .phantom import SEVERITIES

# How much of a finding there is, by severity: words to put into the sentences below.
DEGREES = {
    "en": {"count": ("a few", "several", "numerous"), "size": ("small", "medium-sized", "large"),
           "grade": ("slight", "moderate", "marked"), "how": ("slightly", "clearly", "severely")},
    "zh": {"count": ("少量", "多个", "大量"), "size": ("小的", "中等大小的", "大的"),
           "grade": ("轻度", "中度", "重度"), "how": ("轻度", "明显", "严重")},
}

PLACES = {
    "macula": ("in the macula", "黄斑区"), "posterior pole": ("in the posterior pole", "后极部"),
    "superotemporal": ("in the superotemporal quadrant", "颞上象限"),
    "inferotemporal": ("in the inferotemporal quadrant", "颞下象限"),
    "superonasal": ("in the superonasal quadrant", "鼻上象限"),
    "inferonasal": ("in the inferonasal quadrant", "鼻下象限"),
    "disc": ("at the optic disc", "视盘处"), "around the disc": ("around the optic disc", "视盘周围"),
    "temporal to the disc": ("temporal to the disc", "视盘颞侧"), "mid-periphery": ("in the mid-periphery", "中周部"),
    "all over the picture": ("all over the picture", "整个眼底"),
}

# (modality, finding) -> paraphrases; {count} {size} {grade} {how} {place} are filled in.
ENGLISH = {
    ("CFP", "microaneurysms"): (
        "{count} tiny round red dots are scattered {place}.",
        "{count} pinpoint red spots with sharp edges, dilatations of capillaries, are seen {place}.",
        "{count} microaneurysms appear as minute red dots {place}."),
    ("CFP", "dot and blot haemorrhages"): (
        "{count} round dark red blots of blood lie deep in the retina {place}.",
        "{count} dot and blot haemorrhages are present {place}.",
        "There are {count} rounded deep haemorrhages with blurred edges {place}."),
    ("CFP", "flame haemorrhages"): (
        "{count} flame-shaped haemorrhages follow the nerve fibres {place}.",
        "{count} feathery streaks of superficial blood lie {place}.",
        "There are {count} splinter-like linear red haemorrhages {place}."),
    ("CFP", "hard exudates"): (
        "{count} bright yellow waxy deposits with sharp edges form a ring {place}.",
        "{count} hard exudates, glistening and yellow, are clustered {place}.",
        "Yellow lipid exudates in a circinate pattern, {grade} in amount, are seen {place}."),
    ("CFP", "cotton wool spots"): (
        "{count} fluffy white patches with soft edges lie {place}.",
        "{count} cotton wool spots are visible in the nerve fibre layer {place}.",
        "There are {count} soft whitish exudates {place}."),
    ("CFP", "neovascularisation"): (
        "A {size} tangle of fine new vessels grows {place}.",
        "A {size} lacy network of looping, irregular fine red vessels is seen {place}.",
        "{grade} neovascularisation with curled fronds is present {place}."),
    ("CFP", "drusen"): (
        "{count} round yellowish deposits lie beneath the retina {place}.",
        "{count} drusen, pale yellow and soft-edged, are grouped around the fovea.",
        "There are {count} discrete yellow-white spots at the level of the pigment epithelium {place}."),
    ("CFP", "geographic atrophy"): (
        "A {size} sharply bordered pale area bares the large choroidal vessels {place}.",
        "A {size} patch of geographic loss of the pigment epithelium is seen {place}.",
        "A {size} well-defined area of thinned, depigmented retina with visible choroidal vessels lies {place}."),
    ("CFP", "cupping"): (
        "The cup of the optic disc is {how} enlarged and the neuroretinal rim is thin.",
        "There is {grade} excavation of the disc, with vessels that bend sharply at the edge of the deep cup.",
        "The cup-to-disc ratio is {how} increased and little rim tissue is left at the disc."),
    ("CFP", "disc pallor"): (
        "The optic disc is {how} pale with sharp margins.",
        "The disc has lost its pink colour, with {grade} whitening of its rim.",
        "{grade} pallor of the optic nerve head is noted, with sharp edges and thin arteries."),
    ("CFP", "disc oedema"): (
        "The optic disc is {how} swollen, its margins are blurred and vessels are buried.",
        "There is {grade} swelling of the nerve head with indistinct borders and radiating streaks.",
        "The disc is {how} elevated and enlarged, its edge hidden by swollen nerve fibres."),
    ("CFP", "cataract haze"): (
        "The view of the fundus is {how} hazy and the vessels are blurred.",
        "A {grade} veil over the entire picture dulls all details of disc and vessels.",
        "The media are {how} cloudy; the disc and the vessels are seen only faintly."),
    ("CFP", "myopic crescent"): (
        "A {size} white crescent lies at the temporal edge of the disc.",
        "A {size} pale crescent of bare sclera borders the temporal side of the disc.",
        "Temporal to the disc there is a {size} sickle-shaped white zone where the choroid is missing."),
    ("CFP", "tessellation"): (
        "Choroidal vessels are {how} visible, shining through a thinned retina.",
        "The fundus is {how} tessellated, with an orange network of choroidal vessels.",
        "{grade} thinning of the pigment epithelium gives a tigroid look with bared choroidal vessels."),
    ("CFP", "macular hole"): (
        "A {size} round red punched-out defect lies at the fovea, with a grey cuff of fluid.",
        "At the fovea there is a {size} sharply outlined circular red gap with yellow dots in its floor.",
        "The centre of the macula shows a {size} round full-thickness defect with raised grey edges."),
    ("CFP", "epiretinal membrane"): (
        "A {grade} silvery sheen with wrinkles of the retinal surface is seen {place}.",
        "A glistening translucent sheet puckers the retina {how}, with fine radiating folds {place}.",
        "Cellophane-like reflex and {grade} radial striae distort the surface {place}."),
    ("CFP", "vein occlusion"): (
        "{count} flame and blot haemorrhages fan out along a dilated, tortuous vein {place}.",
        "A {how} engorged winding vein with haemorrhages confined to its territory is seen {place}.",
        "Sectoral haemorrhages, {grade} in extent, accompany a swollen dark vein {place}."),
    ("CFP", "laser scars"): (
        "{count} round pale scars with dark pigmented centres lie {place}.",
        "{count} punched-out chorioretinal burns, evenly spaced, are seen {place}.",
        "There are {count} regular white-yellow round marks with black pigment {place}."),
    ("CFP", "bone-spicule pigment"): (
        "{count} black bone-spicule shaped pigment clumps lie {place} and the arteries are thin.",
        "{grade} branching pigment deposits like bone corpuscles are scattered {place}, with narrow vessels.",
        "There are {count} star-shaped dark pigment clumps {place} on a greyish fundus."),
    ("FFA", "microaneurysms"): (
        "{count} pinpoint hyperfluorescent dots are scattered {place}.",
        "{count} tiny bright dots, microaneurysms that fill with dye, are seen {place}."),
    ("FFA", "leakage"): (
        "Dye leaks into the retina {place}: {grade} fuzzy hyperfluorescence that spreads in late frames.",
        "{grade} diffuse leakage with blurred edges is seen {place}."),
    ("FFA", "staining"): (
        "{count} sharply outlined hyperfluorescent patches {place} keep their size in late frames.",
        "Staining of {count} well-defined areas is visible {place}."),
    ("FFA", "non-perfusion"): (
        "A {size} dark area without capillaries, bordered by pruned vessels, lies {place}.",
        "{grade} capillary non-perfusion appears as black hypofluorescence {place}."),
    ("FFA", "neovascularisation"): (
        "A {size} frond of new vessels leaks intensely {place}.",
        "Lacy bright new vessels with {grade} profuse leakage are seen {place}."),
    ("OCT", "intraretinal fluid"): (
        "{count} dark round cystic spaces lie within a thickened retina.",
        "The macula is {how} thickened by hyporeflective cysts in its inner and outer layers."),
    ("OCT", "subretinal fluid"): (
        "A {size} dark dome of fluid lifts the retina off the pigment epithelium.",
        "A {size} optically empty space lies under the {how} detached neurosensory retina."),
    ("OCT", "drusen"): (
        "{count} bumps raise the band of the pigment epithelium.",
        "{count} drusen lift the outer reflective line in a wavy manner."),
    ("OCT", "epiretinal membrane"): (
        "A bright line on the inner surface wrinkles the retina {how} and flattens the pit.",
        "A hyperreflective sheet causes {grade} folding of the inner retina with loss of the foveal pit."),
    ("OCT", "macular hole"): (
        "A {size} gap through all layers is seen at the fovea, with cystic swollen edges.",
        "All retinal layers are missing in a {size} central defect with rounded edges."),
}
CHINESE = {
    ("CFP", "microaneurysms"): ("{place}散在{count}细小圆形红点。", "{place}可见{count}针尖样红色微血管瘤，边界清楚。"),
    ("CFP", "dot and blot haemorrhages"): ("{place}见{count}深层圆形暗红色出血斑。", "{place}可见{count}点片状出血。"),
    ("CFP", "flame haemorrhages"): ("{place}见{count}沿神经纤维走行的火焰状出血。", "{place}可见{count}线状浅层出血。"),
    ("CFP", "hard exudates"): (
        "{place}见{count}边界清楚的黄白色蜡样渗出，呈环形排列。",
        "{place}可见{count}黄色硬性渗出聚集。"),
    ("CFP", "cotton wool spots"): ("{place}见{count}边界模糊的白色絮状斑。", "{place}可见{count}棉絮斑。"),
    ("CFP", "neovascularisation"): (
        "{place}见一处{size}纤细迂曲的新生血管网。",
        "{place}可见{grade}新生血管，呈花边样。"),
    ("CFP", "drusen"): ("{place}视网膜下见{count}圆形黄白色沉着物。", "{place}可见{count}玻璃膜疣，围绕中心凹分布。"),
    ("CFP", "geographic atrophy"): (
        "{place}见一处{size}边界清楚的苍白区，透见脉络膜大血管。",
        "{place}可见{size}地图状色素上皮缺失。"),
    ("CFP", "cupping"): ("视杯{how}扩大，盘沿变窄，血管于杯缘屈膝。", "视盘{grade}凹陷，杯盘比{how}增大。"),
    ("CFP", "disc pallor"): ("视盘颜色{how}变淡，边界清楚。", "视盘{grade}苍白，淡红色消退，动脉变细。"),
    ("CFP", "disc oedema"): (
        "视盘{how}肿胀隆起，边界模糊，血管被遮蔽。",
        "视盘{grade}充血肿大，边缘不清，可见放射状条纹。"),
    ("CFP", "cataract haze"): ("眼底{how}模糊，血管及视盘隐约可见。", "屈光间质{grade}混浊，整个眼底如隔薄雾。"),
    ("CFP", "myopic crescent"): ("视盘颞侧见{size}白色弧形斑。", "视盘颞侧缘可见{size}月牙形巩膜暴露区。"),
    ("CFP", "tessellation"): (
        "视网膜变薄，{how}透见脉络膜血管，呈豹纹状。",
        "{grade}豹纹状眼底，脉络膜血管呈橘红色网状。"),
    ("CFP", "macular hole"): (
        "黄斑中心见一个{size}圆形边界锐利的红色缺损，周围有灰色晕。",
        "中心凹处可见{size}圆形全层缺损，底部有黄色小点。"),
    ("CFP", "epiretinal membrane"): (
        "{place}见{grade}金箔样反光，视网膜表面皱褶。",
        "{place}视网膜表面有半透明膜样物，{how}放射状条纹。"),
    ("CFP", "vein occlusion"): (
        "{place}静脉迂曲扩张，沿其分布{count}火焰状及片状出血。",
        "{place}静脉{how}怒张，其引流区见扇形出血。"),
    ("CFP", "laser scars"): (
        "{place}见{count}排列规则的圆形灰白色瘢痕，中央有色素。",
        "{place}可见{count}圆形光斑，边界清楚，伴色素沉着。"),
    ("CFP", "bone-spicule pigment"): (
        "{place}见{count}骨细胞样色素沉着，动脉变细。",
        "{place}散布{count}星形黑色色素，眼底呈青灰色。"),
    ("FFA", "microaneurysms"): ("{place}见{count}点状强荧光。", "{place}可见{count}针尖样亮点，为充盈染料的微血管瘤。"),
    ("FFA", "leakage"): ("{place}见{grade}荧光渗漏，晚期边界模糊扩大。", "{place}染料{how}渗漏，呈弥漫强荧光。"),
    ("FFA", "staining"): ("{place}见{count}边界清楚的荧光着染。", "{place}可见{count}片状强荧光，晚期大小不变。"),
    ("FFA", "non-perfusion"): (
        "{place}见{size}毛细血管无灌注区，呈弱荧光。",
        "{place}可见{grade}无灌注，边缘血管呈残根状。"),
    ("FFA", "neovascularisation"): (
        "{place}见{size}新生血管，染料{how}渗漏。",
        "{place}可见花边样新生血管，{grade}荧光渗漏。"),
    ("OCT", "intraretinal fluid"): (
        "视网膜{how}增厚，层间见{count}囊样低反射腔。",
        "黄斑区视网膜内可见{count}圆形暗腔。"),
    ("OCT", "subretinal fluid"): (
        "神经上皮层下见{size}低反射液腔，视网膜呈圆顶状隆起。",
        "神经上皮层与色素上皮之间{how}分离，其间为暗区。"),
    ("OCT", "drusen"): ("色素上皮层见{count}丘状隆起。", "色素上皮带{how}呈波浪状，可见{count}玻璃膜疣。"),
    ("OCT", "epiretinal membrane"): (
        "视网膜内表面见高反射带，表面{how}皱褶，中心凹变平。",
        "内表面膜样高反射，{grade}牵拉，中心凹消失。"),
    ("OCT", "macular hole"): ("中心凹处见{size}全层组织缺损，边缘囊样肿胀。", "中心凹各层{how}中断，形成缺口。"),
}

# A healthy picture, and what fills up a short caption; both without the words that name a category.
HEALTHY = {
    "CFP": (("The disc is pink with sharp margins and a small cup.",
             "Arteries and veins are of even calibre and regular course.",
             "The macula is evenly dark with a clear foveal reflex.",
             "The retina is flat and orange without any spots."),
            ("视盘淡红，边界清楚，视杯小。", "动静脉走行及管径规则。",
             "黄斑中心凹反光可见。", "视网膜平伏，未见斑点。")),
    "FFA": (("Arteries and veins fill evenly with dye.", "The foveal avascular zone is round and dark.",
             "No area leaks and capillaries are filled everywhere."),
            ("动静脉充盈均匀。", "黄斑拱环完整，呈暗区。", "未见渗漏，毛细血管充盈良好。")),
    "OCT": (("The foveal pit is smooth and symmetrical.", "All retinal layers are even and without gaps.",
             "The band of the pigment epithelium is straight and continuous."),
            ("中心凹形态光滑对称。", "视网膜各层连续均匀。", "色素上皮带平直连续。")),
}
REST = {"en": ("The rest of the picture shows nothing of note.", "Elsewhere the retina looks unremarkable.",
               "No other change is visible in this eye."),
        "zh": ("其余未见异常。", "其他部位未见明显改变。", "余视网膜平伏。")}
OPENING = {"en": ("", "", "{eye} eye. ", "{picture} of the {side} eye. "),
           "zh": ("", "", "{eye}眼。", "{eye}眼{picture}。")}
PICTURES = {"CFP": ("Fundus photograph", "眼底彩照"), "FFA": ("Fluorescein angiogram", "荧光血管造影"),
            "OCT": ("Cross-sectional scan", "断层扫描")}
NAMING = {"en": ("Diagnosis: {name}. ", "{picture} of an eye with {name}. ", "An eye with {name}. "),
          "zh": ("{name}。", "{picture}示{name}。", "诊断为{name}。")}

# The category in Chinese, and every word (lower case) that would name it: none may stand in a described caption.
NAMES = {
    "normal": ("正常视网膜", ("normal", "healthy", "正常")),
    "diabetic retinopathy": ("糖尿病视网膜病变", ("diabet", "retinopathy", "糖尿病")),
    "age-related macular degeneration": ("年龄相关性黄斑变性", ("degeneration", "age-related", "amd", "黄斑变性")),
    "glaucoma": ("青光眼", ("glaucom", "青光眼")),
    "hypertensive retinopathy": ("高血压视网膜病变", ("hypertens", "retinopathy", "高血压")),
    "retinal vein occlusion": ("视网膜静脉阻塞", ("occlusion", "occluded", "阻塞")),
    "epiretinal membrane": ("黄斑前膜", ("membrane", "前膜")),
    "macular hole": ("黄斑裂孔", ("hole", "裂孔")),
    "retinitis pigmentosa": ("视网膜色素变性", ("retinitis", "pigmentosa", "色素变性")),
    "laser scars": ("激光斑", ("laser", "photocoagulation", "激光", "光凝")),
    "optic disc oedema": ("视盘水肿", ("oedema", "edema", "水肿")),
    "optic atrophy": ("视神经萎缩", ("atroph", "萎缩")),
    "pathologic myopia": ("病理性近视", ("myopi", "近视")),
    "cataract": ("白内障", ("cataract", "lens", "白内障", "晶状体")),
    "diabetic macular oedema": ("糖尿病性黄斑水肿", ("diabet", "oedema", "edema", "糖尿病", "水肿")),
    "central serous chorioretinopathy": ("中心性浆液性脉络膜视网膜病变", ("serous", "chorioretinopathy", "浆液")),
}
NAME_IN_TEXT = {"normal": "a normal retina", "macular hole": "a macular hole", "cataract": "a cataract",
                "epiretinal membrane": "an epiretinal membrane"}
TOO_LONG = 45  # English words


def _fill(template, finding, language):
    level = SEVERITIES.index(finding.severity)
    words = {key: values[level] for key, values in DEGREES[language].items()}
    text = template.format(place=PLACES[finding.place][language == "zh"], **words)
    return text[:1].upper() + text[1:]


def caption(drawing, language="en", kind="described", seed=0):
    """What a drawing shows, in one to five sentences (English: 10 to 45 words).

    language "en" or "zh"; kind "described" (never names the category) or "named" (names it); `seed`: the phrasing.
    Raises InputError for another language or kind."""
    if language not in DEGREES or kind not in ("described", "named"):
        raise InputError(f"captions: language {language!r} must be en or zh, kind {kind!r} described or named")
    rng = np.random.default_rng([seed, 4])
    chinese = language == "zh"

    def pick(options):
        return options[rng.integers(len(options))]

    opening = ""
    if drawing.category:
        name = NAMES[drawing.category][0] if chinese else NAME_IN_TEXT.get(drawing.category, drawing.category)
        eye = {"right": "右", "left": "左"}[drawing.eye] if chinese else drawing.eye.capitalize()
        template = pick(OPENING[language] if kind == "described" else NAMING[language])
        opening = template.format(name=name, eye=eye, side=drawing.eye, picture=PICTURES[drawing.modality][chinese])
    sentences = []
    # The strongest finding comes first; what would make the caption too long is left out.
    for finding in sorted(drawing.findings, key=lambda f: -SEVERITIES.index(f.severity)):
        sentence = _fill(pick((CHINESE if chinese else ENGLISH)[drawing.modality, finding.name]), finding, language)
        if chinese or len((opening + " ".join([*sentences, sentence])).split()) <= TOO_LONG:
            sentences.append(sentence)
    if not drawing.findings:
        healthy = HEALTHY[drawing.modality][chinese]
        sentences = [healthy[i] for i in rng.permutation(len(healthy))[:rng.integers(2, 4)]]
    elif (not chinese and len(" ".join(sentences).split()) < 10) or (len(sentences) == 1 and rng.random() < 0.3):
        sentences.append(pick(REST[language]))
    return opening + ("" if chinese else " ").join(sentences)
