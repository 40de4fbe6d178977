"""Languages of tracks: what a source calls them, as the codes of ISO 639-2 that containers hold."""

from __future__ import annotations

# The terminologic codes of ISO 639-2 for the codes of ISO 639-1, and for a few others that are
# part of a language of ISO 639-2.
_CODES = """
    aa:aar ab:abk ae:ave af:afr ak:aka am:amh an:arg ar:ara as:asm av:ava ay:aym az:aze ba:bak
    be:bel bg:bul bh:bih bi:bis bm:bam bn:ben bo:bod br:bre bs:bos ca:cat ce:che ch:cha co:cos
    cr:cre cs:ces cu:chu cv:chv cy:cym da:dan de:deu dv:div dz:dzo ee:ewe el:ell en:eng eo:epo
    es:spa et:est eu:eus fa:fas ff:ful fi:fin fj:fij fo:fao fr:fra fy:fry ga:gle gd:gla gl:glg
    gn:grn gu:guj gv:glv ha:hau he:heb hi:hin ho:hmo hr:hrv ht:hat hu:hun hy:hye hz:her ia:ina
    id:ind ie:ile ig:ibo ii:iii ik:ipk io:ido is:isl it:ita iu:iku ja:jpn jv:jav ka:kat kg:kon
    ki:kik kj:kua kk:kaz kl:kal km:khm kn:kan ko:kor kr:kau ks:kas ku:kur kv:kom kw:cor ky:kir
    la:lat lb:ltz lg:lug li:lim ln:lin lo:lao lt:lit lu:lub lv:lav mg:mlg mh:mah mi:mri mk:mkd
    ml:mal mn:mon mr:mar ms:msa mt:mlt my:mya na:nau nb:nob nd:nde ne:nep ng:ndo nl:nld nn:nno
    no:nor nr:nbl nv:nav ny:nya oc:oci oj:oji om:orm or:ori os:oss pa:pan pi:pli pl:pol ps:pus
    pt:por qu:que rm:roh rn:run ro:ron ru:rus rw:kin sa:san sc:srd sd:snd se:sme sg:sag si:sin
    sk:slk sl:slv sm:smo sn:sna so:som sq:sqi sr:srp ss:ssw st:sot su:sun sv:swe sw:swa ta:tam
    te:tel tg:tgk th:tha ti:tir tk:tuk tl:tgl tn:tsn to:ton tr:tur ts:tso tt:tat tw:twi ty:tah
    ug:uig uk:ukr ur:urd uz:uzb ve:ven vi:vie vo:vol wa:wln wo:wol xh:xho yi:yid yo:yor za:zha
    zh:zho zu:zul iw:heb in:ind ji:yid mo:ron cmn:zho yue:zho
"""
# The bibliographic codes of ISO 639-2 where they differ from the terminologic ones.
_TWO_SPELLINGS = """
    bod:tib ces:cze cym:wel deu:ger ell:gre eus:baq fas:per fra:fre hye:arm isl:ice kat:geo
    mkd:mac mri:mao msa:may mya:bur nld:dut ron:rum slk:slo sqi:alb zho:chi
"""
_THREE_LETTERS = dict(pair.split(":") for pair in _CODES.split())
_BIBLIOGRAPHIC = dict(pair.split(":") for pair in _TWO_SPELLINGS.split())
_TERMINOLOGIC = {other: code for code, other in _BIBLIOGRAPHIC.items()}
# What libavformat's table of QuickTime's old language numbers spells in its own way.
_QUICKTIME = dict(fre="fra", swe="sve", cze="ces", slo="slk", rum="ron") | {
    "hrv": "hr ",
    "srp": "sr ",
    "fao": "fo ",
    "pan": "pa ",
}


def iso639_2(tag: str, container: str) -> str:
    """The code of ISO 639-2 for a language tag: 'de', 'deu', 'pt-BR' or 'zh-Hans-CN' (BCP 47).

    container: libavformat's name. MP4 spells languages the terminologic way ('deu'); others, as
    Matroska, the bibliographic way ('ger'); QuickTime as its table has them. Gives 'und' for what
    is no language tag.
    """
    language = tag.strip().replace("_", "-").partition("-")[0].lower()
    code = _THREE_LETTERS.get(language, language)
    if len(code) != 3 or not (code.isascii() and code.isalpha()):
        return "und"
    if container == "mp4":
        return _TERMINOLOGIC.get(code, code)
    code = _BIBLIOGRAPHIC.get(code, code)
    return _QUICKTIME.get(code, code) if container == "mov" else code
