"""Which regions of the body a study shows, from what its series say.

Body Part Examined (0018,0015) is a term of PS3.16 Annex L, a local word, or missing; descriptions
are free text. Both are brought to regions, few and coarse, so that a brain is compared with a head.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

__all__ = ["regions_named", "regions_told"]

_TERMS: Final = """
    HEAD: HEAD BRAIN SKULL CRANIUM FACE ORBIT ORBITS SINUS SINUSES IAC PITUITARY MANDIBLE TMJ NEURO
    NECK: NECK THYROID LARYNX PHARYNX PAROTID CAROTID CAROTIDS
    CHEST: CHEST THORAX LUNG LUNGS RIB RIBS STERNUM MEDIASTINUM CTPA
    HEART CHEST: HEART CARDIAC CORONARY CORONARIES ECHOCARDIOGRAPHY
    ABDOMEN: ABDOMEN ABDOMINAL LIVER HEPATIC KIDNEY KIDNEYS RENAL SPLEEN PANCREAS GALLBLADDER STOMACH
    ABDOMEN: BOWEL COLON KUB
    PELVIS: PELVIS PELVIC BLADDER PROSTATE UTERUS OVARY RECTUM SACRUM
    PELVIS HIP: HIP HIPS
    BREAST: BREAST BREASTS MAMMA MAMMO MAMMOGRAM MAMMOGRAPHY
    CSPINE: CSPINE CERVICALSPINE
    TSPINE: TSPINE THORACICSPINE
    LSPINE: LSPINE LUMBARSPINE LUMBAR LSSPINE
    CSPINE TSPINE LSPINE: SPINE WHOLESPINE
    SHOULDER: SHOULDER SHOULDERS CLAVICLE SCAPULA
    ARM: ARM HUMERUS
    ARM ELBOW: ELBOW
    FOREARM: FOREARM RADIUS ULNA
    HAND: HAND HANDS WRIST WRISTS FINGER FINGERS THUMB
    THIGH: THIGH FEMUR
    KNEE: KNEE KNEES PATELLA
    LEG: LEG LEGS CALF TIBIA FIBULA
    FOOT: FOOT FEET ANKLE ANKLES TOE TOES CALCANEUS HEEL
    HEAD NECK: HEADNECK
    NECK CHEST: NECKCHEST
    NECK CHEST ABDOMEN: NECKCHESTABDOMEN
    NECK CHEST ABDOMEN PELVIS: NECKCHESTABDPELV
    CHEST ABDOMEN: CHESTABDOMEN
    CHEST ABDOMEN PELVIS: CHESTABDPELVIS
    ABDOMEN PELVIS: ABDOMENPELVIS
    HEAD NECK CHEST ABDOMEN PELVIS CSPINE TSPINE LSPINE: WHOLEBODY
"""

_REGIONS: Final[dict[str, frozenset[str]]] = {
    term: frozenset(regions.split())
    for regions, _, terms in (line.partition(":") for line in _TERMS.strip().splitlines())
    for term in terms.split()
}
_LETTERS: Final = re.compile(r"[^\W_]+")


def regions_named(terms: Iterable[str]) -> frozenset[str]:
    """Return the regions of terms of Body Part Examined; a term that is not known is a region."""
    found: set[str] = set()
    for term in terms:
        plain = "".join(_LETTERS.findall(term.upper()))
        if plain:
            found |= _REGIONS.get(plain, frozenset({plain}))
    return frozenset(found)


def regions_told(texts: Iterable[str]) -> frozenset[str]:
    """Return the regions that words of descriptions name; two words may be one term: "C-Spine"."""
    found: set[str] = set()
    for text in texts:
        words = _LETTERS.findall(text.upper())
        joined = {first + second for first, second in pairwise(words)} & _REGIONS.keys()
        # "C-Spine" is the cervical one; its second word alone would be all of it.
        single = [word for word in words if not any(term.endswith(word) for term in joined)]
        for term in (*joined, *single):
            found |= _REGIONS.get(term, frozenset())
    return frozenset(found)
