"""Descriptions as they stand on scanners, of all makers and in nine languages, and identity planted in them in every form people use.

The protocols are of the kind that public documents show (HCP, UK Biobank, ADNI, ABCD, dHCP, CMRR, vendors' trees, hospital habits), written for this
table. No person existed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

PROTOCOLS: dict[str, str] = {
    "Siemens": """
t1_mprage_sag_p2_iso|T1_MPRAGE_SAG_1mm_iso_ADNI3|t2_tse_tra_512|t2_tse_dark-fluid_tra_p2|t2_space_sag_p2_iso|t2_space_dark-fluid_sag_p2_iso_1.0
AAHead_Scout_64ch-head-coil
AAHead_Scout_64ch-head-coil_MPR_sag|localizer|localizer_BRAIN|ep2d_diff_3scan_trace_p2_TRACEW|ep2d_diff_MDDW_64_p2_ADC|ep2d_diff_4scan_trace_p2_s2_FA
ep2d_bold_moco_p2
MoCoSeries|gre_field_mapping|gre_field_mapping_2mm|t2_swi_tra_p2_1.5mm|SWI_Images|mIP_Images(SW)|Mag_Images|Pha_Images|tof_fl3d_tra_p2_multi-slab
TOF_3D_multi-slab_MIP_SAG
t1_fl2d_tra_ce|t1_vibe_dixon_tra_fs_ce|t1_mp2rage_sag_iso_INV1|t1_mp2rage_sag_iso_UNI-DEN|t1_mp2rage_T1_Images|rfMRI_REST_AP|rfMRI_REST_PA_SBRef
tfMRI_MOTOR_LR|dMRI_dir98_AP
dMRI_dir99_PA_SBRef|SpinEchoFieldMap_AP|T1w_MPR_vNav|T2w_SPC_vNav_setter|cmrr_mbep2d_bold_MB8_2mm|cmrr_mbep2d_diff_b3000|BIAS_BC_32ch|BIAS_AFI
pcasl_3d_tra_4.5mm|asl_pasl_2d_PICORE
ep2d_perf_p2_GBP|relCBF|PosDisp: [4] t2_tse_tra|t2_de3d_we_sag|pd+t2_tse_tra_fs|t1_tirm_sag_dark-fluid|t2_tirm_cor|t2_stir_sag_cervical
t2_haste_sag_spine|t1_se_sag_lwk
t2_tse_sag_hws_384|t2_tse_tra_bws_me2d|me2d_tra_hws|qsm_gre_6echo_bipolar|t2_trufi_cor_bh|cine_trufi_sax|svs_se_30_hippocampus|csi_se_135_slab
gre_mtv_on_0.8mm|fl3d_MTsat_PDw
kp_seg_vibe_tra_dynamic|wip_901_resolve_4scan_tra|resolve_3scan_trace_tra_192|ASL_3D_tra_iPAT2_4mm_highres|NODDI_b700_b2000_dir64
T2_FLAIR_3D_SPACE_post_KM|T1 MPRAGE nach KM
""",
    "GE": """
Ax T1 FSPGR|Sag T1 BRAVO|Sag 3D T1 FSPGR ADNI|Ax T2 PROPELLER|Ax T2 FLAIR FS|Sag CUBE T2 FLAIR|Sag CUBE T1 +C|3D Ax SWAN|Ax DWI b=1000
Ax DTI 32 dir asset|ADC (10^-6 mm2/s)
Apparent Diffusion Coefficient (mm2/s)|3 Plane Loc SSFSE|3-pl T2* FGRE|ASSET calibration|Calibration Scan|Ax 3D TOF MRA|COL:Ax 3D TOF MRA|PJN:MRA COW
3D ASL 1525|CBF (Transit Corrected)
Ax GRE T2*|Ax fMRI rest EPI|fMRI resting state 400 vol|Cor T1 FSE fat sat|Sag STIR C-spine|Sag T2 FRFSE L-spine|Ax MERGE C spine|O-Ax T2 fs +GD
Ax LAVA Flex +C 30s|WATER: Ax LAVA Flex
InPhase: Ax LAVA Flex|Screen Save|ORIG T1 MPRAGE PROMO|FILT_PHA: Ax SWAN|MAG: QSM 3D GRE|Hyperband DTI b2000 45dir|MUSE DWI b800|HyperMEPI BOLD 2.4iso
ABCD T1w MPRAGE PROMO|ABCD dMRI
ABCD fMRI rest distortion map AP|SILENZ T1w 1.2|Ax T1 SE pre|Ax T1 SE post gad|Cor 3D FIESTA IAC|Sag FIESTA-C|DISCO dynamic +C|VIBRANT bilateral
PROSE prostate MRS|IDEAL T2 sag knee
""",
    "Philips": """
SURVEY|Survey_SHC_SmartBrain|sT1W_3D_TFE|T1W_3D_TFE_SENSE|sT1W_3D_FFE|T2W_TSE_SENSE|T2W_TSE_tra_HR|T2W_FLAIR_SENSE_tra|3D_FLAIR_VISTA
sFLAIR_3D_VIEW_SAG|3D_Brain_VIEW_FLAIR_SHC|DTI_high_iso_32
DTI_medium_iso_SENSE|dDTI_high_iso|DWI_SSh_b1000|eDWI_SSh|dADC map|FE_EPI_rest_state|FE_EPI bold SENSE 2.0s|B0_map_dTE_2.3ms|B1 calibration Body
Ref_SENSE_Head_32|REF_Body|VEN_BOLD_HR|SWIp_SENSE
s3DI_MC_HR|TOF_inhance_3D|M_PCA|PCA_sag_venc30|pCASL_3D_GRASE_pld1800|WIP pCASL_baseline SENSE|WIP T1W_3D_TFE_CS5|mDIXON_quant_BH|mDIXON-W T1 TSE FS
T2_STIR_sag_LWS|T1W_TSE_sag_C-spine|PDW_SPAIR_cor_knee
bFFE_cine_SA|VCG_LL_scout|MPR_sT1W_cor|Reg - T1W_3D_TFE_Gd|T1W_3D_TFE_Gd_sag|THRIVE_dyn_6ph|MRCP_3D_HR|sBTFE_BH|QFlow_aqueduct|MultiVane_XD_T2_ax
B-TFE_2ch|SENSE_ref_scan|NeuroMix_DWI_zoom
""",
    "UIH": """
t1_gre_fsp3d_sag_iso|t1_gre_fsp_3d_sag_ACS3|t2_fse_tra_fs|t2_arms_fse_tra|t2_flair_fse_tra_fs|t2_mx3d_flair_sag|epi_dwi_tra_b1000
epi_dti_64dir_tra_ADC|epi_bold_tra_rest|swi_gre_3d_tra_minIP|tof_gre3d_tra
asl_gre_3d_tra_CBF|scout_brain_3plane|autoalign_scout_head|t1_quick3d_fs_tra_bh|esp_swi_tra|uDWI_tra_b50_800|msense_epi_bold|t2_fse_sag_cspine_uCS
bssfp_cine_sax|t1_mprage_HYPERFINE_64mT|fse_arms_cor_hippo
""",
    "Canon": """
Locator multi|FE3D_SWI_tra|FSE_T2_ax|FLAIR_ax_FatSAT|SE_T1_sag|DWI_b1000_AX_SPEEDER|MPRAGE_3D_SAG_AiCE|3D_FASE_T2_MRCP|FFE3D_fsbb_BSI
TOF_MRA_PBS 3slab|PASTA_T1_fs|JET_T2_ax|mVox_FLAIR_Sag|Quick3D_dyn_ce
EPI_DTI_30axes_AX|EPI_fMRI_ax|ASL_mTI_3D|UTE_3D_rad|Exsper_DWI|Compressed SPEEDER T1 3D|FSE-XL T2 Cor TMJ|True SSFP cine|Atlas Head Neck locator
isoFSE_STIR_sag|ADAGE_c-spine|RADAR T2 ax|H-Sinc TOF
""",
    "German": """
T1 MPRAGE sagittal nativ|T1 axial nach Kontrastmittel|T2 FLAIR koronar 3 mm|Diffusion axial b 1000|Kopf Schädel Routine|MRT Schädel mit KM
MRT HWS sagittal|LWS T2 sagittal Wirbelsäule|Übersicht drei Ebenen
Hirn Perfusion dynamisch|Ruhe fMRT offene Augen|Ruhe fMRT Augen geschlossen|Gesichter Aufgabe Lauf 1|Verlaufskontrolle MS Protokoll
Epilepsie Protokoll Hippocampus koronar|Hypophyse dünne Schichten|Fingertippen rechts|Feldkarte kurz
KH transversal links|Knie rechts PD fettgesättigt|Angio Hals Gefäße|Messung wiederholt Bewegung|Schläfenlappen schräg koronar|Innenohr beidseits
""",
    "French": """
T1 EG 3D sagittal|T2 axiale crâne|Cérébral avec injection|T1 après gadolinium|T1 sans injection|FLAIR 3D coupes fines|Diffusion axiale cérébrale
Séquence de repérage|IRM encéphale|Rachis cervical sagittal T2|Moelle dorsale STIR
Hypophyse coronale dynamique|ARM polygone de Willis|Repos yeux ouverts|Tâche motrice main droite|Suivi SEP protocole OFSEP
Angio TOF troncs supra aortiques|Genou gauche coupe coronale|Spectroscopie monovoxel|Carte de champ
""",
    "Dutch": """
Hersenen T1 voor contrast|T1 na contrast|FLAIR transversaal hersenen|Rust fMRI ogen open|Rust scan ogen dicht|Wervelkolom lumbaal sagittaal
Schedel overzicht|Diffusie 32 richtingen|Knie rechts coronaal|Taak werkgeheugen blok 2|Hoofd hals vaten
""",
    "Spanish": """
Cráneo T1 sagital|T2 axial cerebro|Difusión axial|FLAIR coronal cerebral|T1 con contraste|T1 sin contraste|Columna lumbar sagital T2
Cervical STIR sagital|Angio arterial cuello|Reposo ojos cerrados|Rodilla derecha DP|Hipófisis dinámico|Perfusión cerebral|Espectroscopia hipocampo
Encéfalo rutina
""",
    "Italian": """
Encefalo T1 sagittale|T2 assiale|FLAIR assiale encefalo|Diffusione DWI assiale|T1 dopo contrasto|T1 senza mdc|Rachide cervicale T2 sagittale
Colonna lombare STIR|Angio TOF intracranico|Riposo occhi chiusi|Ginocchio destro|Ipofisi dinamica|Controllo sclerosi multipla
""",
    "Danish": """
Hjerne T1 sagittal|T2 transversal hjerne|Cerebrum med kontrast|Cerebrum uden kontrast|Hvile fMRI åbne øjne|Hvile lukkede øjne
Columna lumbalis sagittal|Nakke STIR|Kontrol dissemineret sklerose|Hoved oversigt|Knæ højre|Diffusion hjerne
""",
    "Japanese": """
Toubu T1 shijo|Tobu FLAIR oudan|Toubu MRA TOF|Zoei T1 kanjo|Zenshin DWIBS|Keitsui T2 shijo|Yotsui STIR shijo|Noukan T2 oudan|Kensa ichi kime
Kaiba kanjo|Ansei ji fMRI|Kata hidari PD
""",
}


@dataclass(frozen=True)
class Person:
    """Somebody who never was. name: as in PatientName; born: (year, month, day)."""

    name: str
    number: str
    born: tuple[int, int, int]
    telephone: str
    mail: str


PEOPLE = (
    Person("SMITH^John", "MRN-004711", (1962, 3, 4), "+45 86 12 34 56", "jsmith@example.org"),
    Person("Müller^Jürgen", "0098765", (1957, 11, 23), "0521 7739214", "j.mueller@klinik.example"),
    Person("O'Brien^Siobhán", "AB 12.345", (1988, 7, 9), "(555) 201-7788", "siobhan@obrien.example"),
    Person("García-López^María José", "H/8812-77", (1971, 12, 1), "+34 91 555 12 12", "mjgl@hospital.example"),
    Person("van der Berg^Anneke", "774488112", (1949, 5, 30), "020-5667712", "a.vdberg@zkh.example"),
    Person("Sørensen^Bjørn", "300562-1177", (1962, 5, 30), "8612 3456", "bs@region.example"),
    Person("Li^Wei=李^伟", "CN00921", (1990, 2, 14), "138 0013 8000", "liwei@h.example"),
    Person("Yamada^Tarou=山田^太郎=やまだ^たろう", "JP-77120", (1978, 8, 8), "03-3211-5566", "tarou@yamada.example"),
    Person("Иванов^Пётр", "RU445566", (1966, 1, 17), "+7 495 123-45-67", "ivanov@mail.example"),
    Person("White^Young", "W1T0042", (1959, 4, 2), "555-0142", "white.y@lab.example"),
    Person("Dixon^May", "5566778", (2001, 10, 27), "+44 20 7946 0991", "may@dixon.example"),
    Person("Quibblewick^Zephyrina Anne", "ZQ-1188-C", (1983, 6, 19), "01632 960 983", "zq@nowhere.example"),
)
PLACES = ("{p} {s}", "{s} {p}", "{p}_{s}", "{p} ({s})", "{p} - {s}", "{p} for {s}", "{s}: {p}", "{p}, {s}")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")


def name_forms(person: Person) -> list[str]:
    """The ways in which a name is typed."""
    forms = []
    for group in person.name.split("="):
        family, given = group.split("^")
        initial = given[0]
        if ord(group[0]) < 0x250:
            forms += [f"{given} {family}", f"{family}, {given}", f"{family}^{given}", f"{family.upper()} {initial}.", f"{initial}. {family}"]
            forms += [f"{family}_{given}", f"{family.upper()}{given.upper()}".replace(" ", ""), f"{given}{family}".replace(" ", "").replace("'", "")]
            forms += [f"{family}_{initial}", family.lower(), given]
        else:
            forms += [f"{family}{given}", f"{family} {given}", family + "^" + given]
    return forms


def date_forms(born: tuple[int, int, int]) -> list[str]:
    """The ways in which a day is typed."""
    y, m, d = born
    word = MONTHS[m - 1]
    return [
        f"{y}-{m:02}-{d:02}", f"{y}{m:02}{d:02}", f"{d:02}.{m:02}.{y}", f"{m:02}/{d:02}/{y}", f"{d} {word} {y}", f"{d} {word[:3]} {y}", f"{word} {d}, {y}",
        f"{d:02}.{m:02}.{y % 100:02}", f"{d:02}-{word[:3].upper()}-{y}", f"{d:02}{m:02}{y % 100:02}", f"{y % 100:02}{m:02}{d:02}", f"{y}/{m:02}/{d:02}",
        f"{d}.{m}.{y}", f"{y} {word[:3]} {d}",
    ]  # fmt: skip


def number_forms(person: Person) -> list[str]:
    """The ways in which numbers and addresses of a person are typed."""
    bare = "".join(c for c in person.number if c.isalnum())
    return [person.number, bare, person.number.lower(), f"ID {person.number}", f"tel {person.telephone}", person.telephone.replace(" ", "-"), person.mail]


@dataclass(frozen=True)
class Planted:
    """A description with identity in it. said: what stands in the header; protocol: what of it is nobody's; secrets: what must not be left, folded."""

    maker: str
    person: Person
    said: str
    protocol: str
    secret: str


def planted(seed: int = 0) -> Iterator[Planted]:
    """Every protocol once or more, each with one form of one person planted before, behind or in the middle of it."""
    chance = random.Random(seed)
    for maker, text in PROTOCOLS.items():
        for protocol in [p.strip() for line in text.strip().splitlines() for p in line.split("|")]:
            for person in chance.sample(PEOPLE, 3):
                secret = chance.choice([name_forms, lambda p: date_forms(p.born), number_forms, name_forms])(person)
                form = chance.choice(secret)
                said = chance.choice(PLACES).format(p=protocol, s=form)
                yield Planted(maker, person, said, protocol, form)


def all_protocols() -> list[tuple[str, str]]:
    """(maker or language, description) of the whole table."""
    return [(maker, p.strip()) for maker, text in PROTOCOLS.items() for line in text.strip().splitlines() for p in line.split("|")]
