"""Words for what an MRI slice shows: rules of the report grammar, by finding.

Slots: ``sev`` and ``adv`` (severity), ``side``, ``zone``, ``place`` (side and zone), ``size``,
``signal`` (how it looks under the sequence), ``seq`` (the sequence), and flags of a finding.
"""

from data_gen.phantom.grammar import Alternatives

RULES: dict[str, Alternatives] = {
    "brain tumor.np": (
        ("{sev} {place} tumor", 2),
        ("{sev} {place} mass", 2),
        "{size} {place} brain tumor",
        "{?ring}{?contrast}ring-enhancing {place} mass",
        "{?solid}{?contrast}avidly enhancing {place} tumor",
        "{sev} intra-axial {place} tumor{halo}",
        "{place} mass{halo}, {size} across",
        "{place} brain tumor{halo}",
    ),
    "brain tumor.full": (
        ("There is a {sev} {signal} mass in the {place_lobe}{halo}", 2),
        "A {size} {signal} mass is centred in the {place_lobe}{halo}",
        "{?ring}{?contrast}A ring-enhancing mass with a necrotic centre lies in the {place_lobe}"
        "{halo}, measuring {size}",
        "{?solid}{?contrast}A solid mass in the {place_lobe} enhances avidly{halo}",
        "The {place_lobe} harbours a {sev} tumor of {size}{halo}",
        "{?ring}A thick-walled mass of {size} occupies the {place_lobe}{halo}",
        "{sev} mass in the {place_lobe}{halo}, {signal} on {seq}, suspicious for a tumor",
    ),
    "infarct.np": (
        ("{sev} {place} infarct", 3),
        "{?deep}{side} lacunar infarct of the basal ganglia",
        "{?wedge}wedge-shaped {place} infarct",
        "{sev} ischemic infarct of the {place_lobe}",
        "{place} ischemic stroke, {sev}",
        "{?diffusion}{place} infarct with restricted diffusion",
    ),
    "infarct.full": (
        (
            "There is a {sev} area of {signal_noun} in the {place_lobe}, typical of an infarct",
            2,
        ),
        "{?wedge}A wedge-shaped {signal} area reaches the cortex of the {place_lobe}, consistent "
        "with an ischemic infarct",
        "{?deep}A small rounded {signal} focus in the {side} basal ganglia represents a lacunar "
        "infarct",
        "{?diffusion}Restricted diffusion in the {place_lobe} indicates an acute infarct, {sev} in "
        "extent",
        "The {place_lobe} shows {signal_noun} with loss of the cortical ribbon, typical of a {sev} "
        "infarct",
        "{sev} ischemic infarct in the {place_lobe}",
    ),
    "white matter lesions.np": (
        ("{sev} {pattern} white matter lesions", 3),
        "{many} {pattern} white matter lesions",
        "{many} {signal} lesions of the white matter",
        "{sev} burden of white matter lesions on both sides",
        "multiple foci in the white matter, {sev}",
    ),
    "white matter lesions.full": (
        ("{many} {signal} lesions are scattered in the white matter of both hemispheres", 2),
        "There are {many} {signal} white matter lesions, {pattern} in distribution",
        "{?near}Ovoid {signal} white matter lesions lie around both lateral ventricles",
        "The white matter of both sides contains {many} rounded {signal} foci",
        "{sev} {pattern} white matter disease with {many} {signal} lesions",
    ),
    "brain edema.np": (
        ("{sev} {place} edema", 3),
        "{sev} vasogenic edema of the {place_lobe}",
        "{sev} edema of the {place} white matter",
        "{place} brain edema, {sev}",
    ),
    "brain edema.full": (
        ("{sev} vasogenic edema is seen in the {place_lobe}", 2),
        "Finger-like {signal_noun} spreads through the {place} white matter and spares the cortex, "
        "in keeping with {sev} edema",
        "The white matter of the {place_lobe} is {signal}, due to {sev} edema",
        "There is {sev} edema of the {place} white matter without a mass in this slice",
    ),
    "hemorrhage.np": (
        ("{sev} {place} hemorrhage", 3),
        "{stage} {place} hematoma, {size}",
        "{sev} {stage} hematoma of the {place_lobe}",
        "{sev} intracerebral hemorrhage in the {place_lobe}",
    ),
    "hemorrhage.full": (
        ("There is a {sev} {stage} hematoma in the {place_lobe}, {size} across", 2),
        "A {stage} intracerebral hemorrhage of {size} is present in the {place_lobe}",
        "{?late}A hematoma with a dark hemosiderin rim lies in the {place_lobe}",
        "Blood products of {stage} age are seen in the {place_lobe}, a {sev} hemorrhage",
        "The {place_lobe} contains a {sev} parenchymal hemorrhage with surrounding edema",
    ),
    "hydrocephalus.np": (
        ("{sev} hydrocephalus", 3),
        "{sev} dilatation of the lateral ventricles",
        "hydrocephalus with {adv} enlarged ventricles",
        "{sev} ventricular enlargement with effaced sulci",
    ),
    "hydrocephalus.full": (
        ("The lateral ventricles are {adv} dilated, in keeping with hydrocephalus", 2),
        "There is {sev} hydrocephalus with effacement of the sulci",
        "{adv_cap} enlarged ventricles out of proportion to the sulci indicate hydrocephalus",
        "Both lateral ventricles are {adv} enlarged: hydrocephalus",
    ),
    "meniscal tear.np": (
        ("{kind} tear of the {zone} of the {meniscus} meniscus", 2),
        "{sev} {meniscus} meniscal tear",
        "{side} {meniscus} meniscal tear, {zone}",
        "{kind} {meniscus} meniscus tear",
    ),
    "meniscal tear.full": (
        ("A {kind} tear runs through the {zone} of the {meniscus} meniscus", 2),
        "There is a {kind} signal in the {zone} of the {meniscus} meniscus that reaches its "
        "surface, a tear",
        "The {zone} of the {meniscus} meniscus is torn, {kind} in pattern",
        "{sev} {kind} tear of the {meniscus} meniscus, in its {zone}",
    ),
    "acl tear.np": (
        ("{kind} tear of the anterior cruciate ligament", 2),
        "{kind} {side} ACL tear",
        "{kind} rupture of the ACL",
        "torn anterior cruciate ligament, {kind}",
    ),
    "acl tear.full": (
        ("There is a {kind} tear of the anterior cruciate ligament", 2),
        "{?whole}The fibres of the anterior cruciate ligament are interrupted, a complete tear",
        "{?part}Some fibres of the anterior cruciate ligament are interrupted, a partial tear",
        "The anterior cruciate ligament is swollen and ill-defined, with a {kind} tear",
        "{kind} ACL rupture with high signal between its stumps",
    ),
    "joint effusion.np": (
        ("{sev} joint effusion", 3),
        "{sev} {side} knee effusion",
        "{sev} suprapatellar effusion",
        "{sev} effusion of the knee joint",
    ),
    "joint effusion.full": (
        ("There is a {sev} joint effusion", 2),
        "A {sev} effusion distends the suprapatellar pouch",
        "Fluid fills the suprapatellar recess, a {sev} effusion",
        "{sev} effusion of the {side} knee joint",
    ),
}
