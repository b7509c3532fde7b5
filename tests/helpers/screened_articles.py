"""Articles with the truth about their topic: brain abnormalities, and what only sounds like them.

The words are those of titles and abstracts in the literature; some of the wanted ones are rare, and
every unwanted one has a decoy in it. The lexicon was worked on while looking at the first part; the
second was written afterwards, and nothing was changed for it.
"""

import dataclasses

import numpy as np

from data_gen.pipelines.pubmed.base import Article, Figure, Mention

_DISEASES = """
glioblastoma multiforme|low-grade astrocytoma|anaplastic oligodendroglioma|meningioma en plaque
brain metastases of lung cancer|primary CNS lymphoma|medulloblastoma|pilocytic astrocytoma
pyogenic brain abscess|herpes simplex encephalitis|tuberculous meningitis|neurocysticercosis
acute ischaemic stroke|lacunar infarction of the thalamus|intracerebral haemorrhage
aneurysmal subarachnoid haemorrhage|chronic subdural haematoma|cerebral venous sinus thrombosis
multiple sclerosis|acute disseminated encephalomyelitis|progressive multifocal leukoencephalopathy
normal pressure hydrocephalus|Chiari I malformation|Dandy-Walker malformation|moyamoya disease
temporal lobe epilepsy|hippocampal sclerosis|focal cortical dysplasia|tuberous sclerosis complex
Alzheimer's disease|vascular dementia|Creutzfeldt-Jakob disease|traumatic brain injury
diffuse axonal injury|pontine myelinolysis|posterior reversible encephalopathy syndrome
Wilson's disease with basal ganglia lesions|craniopharyngioma|pituitary macroadenoma
vestibular schwannoma of the cerebellopontine angle|colloid cyst of the third ventricle
cerebral cavernous malformation|arteriovenous malformation of the brain
a butterfly lesion of the splenium|Rathke cleft cyst|trigeminal schwannoma in Meckel's cave
cerebellar haemangioblastoma|cerebral radiation necrosis|adrenoleukodystrophy
"""
_LATER_DISEASES = """
gliosarcoma|pleomorphic xanthoastrocytoma|atypical teratoid rhabdoid tumour|choroid plexus papilloma
pineoblastoma in a child|leptomeningeal carcinomatosis|germinoma of the suprasellar region
cryptococcal meningoencephalitis|West Nile virus encephalitis|subdural empyema after sinusitis
cerebral toxoplasmosis|malignant middle cerebral artery infarction|transient global amnesia
reversible cerebral vasoconstriction syndrome|basilar artery dissection|pontine cavernoma
neonatal hypoxic-ischaemic encephalopathy|periventricular leukomalacia|lissencephaly
agenesis of the corpus callosum|arachnoid cyst of the middle fossa|spontaneous intracranial hypotension
central pontine demyelination|Marchiafava-Bignami disease|Fahr's disease|Parkinson's disease
Huntington's disease|progressive supranuclear palsy|cerebral amyloid angiopathy|epidural haematoma
penetrating head injury|carbon monoxide poisoning with globus pallidus necrosis|sarcoid of the CNS
autoimmune limbic encephalitis|Rasmussen encephalitis|dural arteriovenous fistula
"""


def _split(words: str) -> tuple[str, ...]:
    return tuple(d for d in words.replace("\n", "|").split("|") if d)


DISEASES = {"first": _split(_DISEASES), "second": _split(_LATER_DISEASES)}
_TITLES = (
    "{D}: a case report",
    "Magnetic resonance imaging of {d}",
    "Diagnostic value of CT in {d}: a retrospective study",
    "{D} in a {age}-year-old woman presenting with headache",
    "Outcome after treatment of {d}",
    "Deep learning for segmentation of {d}",
    "Predictors of mortality in {d}",
)
_ABSTRACTS = (
    "We describe a {age}-year-old man with {d}. Cranial MRI showed a hyperintense lesion. "
    "The patient recovered after treatment.",
    "Purpose: to review imaging of {d}. Methods: scans of {n} patients were read by two "
    "neuroradiologists. Results: enhancement was seen in {m} cases and oedema in most of them.",
    "Background. {D} is a neurological disorder with high morbidity. We analysed {n} consecutive "
    "cases. Symptoms were headache, seizures and hemiparesis. Brain imaging was abnormal in all.",
    "{D} was confirmed by histology after craniotomy. There was no tumour elsewhere.",
    "Objective: prognosis of {d}. Conclusion: early imaging of the brain improves outcome.",
)
_CAPTIONS = (
    "Axial T2-weighted image shows a hyperintense lesion (arrow).",
    "Non-contrast head CT demonstrating the lesion with mass effect.",
    "(A) FLAIR, (B) DWI and (C) contrast-enhanced T1-weighted MRI of the brain.",
    "Photomicrograph of the specimen, haematoxylin and eosin, \u00d7200.",
    "Digital subtraction angiography before and after embolisation.",
    "Coronal MRI at follow-up; the enhancement has resolved.",
)
_DRAWN = (
    "Kaplan-Meier curves of overall survival in both groups.",
    "Receiver operating characteristic curves of the three models.",
    "Flow chart of patient selection.",
    "Schematic of the experimental design.",
    "Bar graph of the scores; error bars are standard errors.",
    "Western blot of the lysates.",
    "Box plots of volume by group.",
    "Study design and timeline.",
)
#: (title, abstract) of what is not wanted; each is about something else.
_OTHERS = (
    ("Brain drain of nurses from rural hospitals", "Migration of {n} nurses was studied. Brain "
     "drain is a disease of health systems, and a symptom of low pay."),
    ("Renal cell carcinoma: a review of {n} cases", "Tumours of the kidney were staged. Metastases "
     "were found in lung and bone; there was no evidence of metastasis to the brain."),
    ("Hepatic abscess in adults", "We report {n} patients. Correspondence to: Department of Brain "
     "and Liver Research, University Hospital. Ultrasound showed cystic lesions."),
    ("Osteosarcoma of the femoral head", "MRI of the hip showed a mass in {n} patients. We thank "
     "the Brain Tumour Charity for statistical advice on the tumour registry."),
    ("Pulmonary embolism after knee surgery", "CT showed emboli in {n} patients. Funded by the "
     "Stroke Association and the National Brain Foundation."),
    ("Glioma growth in mice with a deficient receptor", "Mice were injected with glioma cells. "
     "Tumours of the mouse brain were measured in {n} mice by MRI. Mice survived {m} days."),
    ("Focal cerebral ischaemia in the rat", "Rats underwent occlusion of the middle cerebral "
     "artery. Infarct volume in rat brains was smaller after treatment of {n} rats."),
    ("Epilepsy in dogs: diagnostic imaging", "Canine epilepsy was studied in {n} dogs. MRI of the "
     "brain of each dog was reviewed by veterinary radiologists."),
    ("Left ventricular stroke volume in sepsis", "Stroke volume and stroke work were measured in "
     "{n} patients with infection. Stroke index fell with disease."),
    ("Functional connectivity of the default mode network in volunteers", "Brain activity of {n} "
     "healthy volunteers was recorded in a memory task. Activation of the brain was symmetric."),
    ("Brain size and longevity in songbirds", "Brain mass was measured in {n} species of birds. "
     "Larger brains went with longer life in birds."),
    ("Breast cancer screening in the elderly", "Mammography of {n} women. Body mass index and "
     "disease were recorded. Brain natriuretic peptide was normal."),
    ("Two-stroke engine emissions and asthma", "Emissions of two-stroke engines were measured in "
     "{n} towns. Respiratory disease was frequent."),
    ("Gut microbiota of colitis", "Inflammation and lesions of the colon in {n} patients. The gut "
     "brain axis is discussed as a hypothesis."),
    ("Protein quantification by mass spectrometry", "Mass spectrometry of {n} samples. Proteins of "
     "infected cells were identified; brain heart infusion agar was used."),
    ("Heat stroke in construction workers", "Heat stroke was found in {n} workers with symptoms. "
     "Kidney injury was frequent."),
    ("Squamous cell carcinoma of the head and neck", "Tumours of the larynx in {n} patients were "
     "treated with radiation. Lesions of the tongue recurred."),
    ("Diabetic retinopathy: fundus photographs", "Lesions of the retina were graded in {n} "
     "patients. The optic nerve head was normal."),
    ("Students' brainstorming about climate", "Brainstorming sessions of {n} students. Ideas of "
     "disease prevention were counted."),
    ("Lumbar disc herniation: outcome of surgery", "MRI of the spine in {n} patients. Herniation "
     "and stenosis were treated. Pain improved."),
    ("Structural brain development in healthy children", "Cortical thickness of {n} healthy "
     "children was measured with MRI. Brain volume grew with age."),
    ("A survey of the Montreal Neurological Institute's users", "{n} users of a software were "
     "asked. The European Brain Council supports the programme."),
)  # fmt: skip
_LATER_OTHERS = (
    ("Brain drain in academic medicine", "Emigration of {n} physicians was modelled; brain drain "
     "weakens the care of infectious disease."),
    ("Giant cell arteritis of the temporal artery", "Biopsy of the temporal artery of {n} patients "
     "with inflammation. Address: Centre for Brain and Vessel Disease, City Hospital."),
    ("Pheochromocytoma of the adrenal gland", "Tumours of {n} patients were removed. No metastases "
     "to liver, bone or brain were seen."),
    ("Head lice in schoolchildren", "Infestation of the head was found in {n} children."),
    ("Intramuscular haemangioma of the calf", "MRI of the leg showed lesions in {n} patients. We "
     "gratefully acknowledge the Cerebral Palsy Foundation."),
    ("Traumatic brain injury in the piglet", "Piglets were injured; oedema of the porcine brain was "
     "measured in {n} piglets. Piglet brains swelled."),
    ("Meningitis vaccine uptake", "Uptake of a vaccine in {n} districts was modelled."),
    ("Zebrafish models of tumour growth", "Zebrafish larvae with brain tumours were imaged. Of {n} "
     "zebrafish, a third had tumours in the zebrafish brain."),
    ("Normal aging and reaction time", "Reaction times of {n} healthy adults; brain activity was "
     "not recorded."),
    ("Caries of the first molar", "Lesions of teeth of {n} patients; the National Institute of "
     "Neurological Disorders and Stroke funds the cohort."),
    ("Stroke rate of competitive rowers", "Stroke rate and stroke length of {n} rowers; injuries "
     "of the back were frequent."),
    ("Ventricular septal defect in infants", "Defects of the ventricles of the heart of {n} "
     "infants were closed."),
    ("Adrenal cortical carcinoma", "Tumours of the adrenal cortex of {n} patients were staged."),
    ("Lupus nephritis", "Biopsies of {n} patients. Neurological involvement was absent; no lesion "
     "of the brain was found."),
    ("Mass casualty incidents: a brainstorm of planners", "Disaster planning by {n} planners."),
    ("Cardiac myxoma as an incidental finding", "Echocardiography of {n} patients showed a mass in "
     "the atrium. Embolism to a limb occurred."),
    ("Resting heart rate of chess players", "Brain power is a figure of speech; {n} players."),
    ("Fracture of the orbital floor", "CT of {n} patients with fractures of the orbit."),
)  # fmt: skip
OTHERS = {"first": _OTHERS, "second": _LATER_OTHERS}
_OTHER_CAPTIONS = (
    "Contrast-enhanced CT of the abdomen shows the lesion.",
    "Chest radiograph on admission.",
    "Mean weight in the two groups.",
    "Photograph of the specimen.",
    "Number of participants by year.",
)
_SENTENCES = (
    "Details are shown in Figure {k}.",
    "The patient was discharged after four days (Figure {k}).",
    "There was no sign of brain metastasis (Figure {k}).",
)


@dataclasses.dataclass(frozen=True)
class Screened:
    """An article, whether it is wanted, and which of its figures are."""

    article: Article
    wanted: bool
    figures: tuple[bool, ...]


def _fill(rng: np.random.Generator, text: str, disease: str = "") -> str:
    return text.format(
        d=disease,
        D=disease[:1].upper() + disease[1:],
        age=int(rng.integers(3, 90)),
        n=int(rng.integers(20, 400)),
        m=int(rng.integers(5, 20)),
    )


def _one(rng: np.random.Generator, words: tuple) -> object:
    return words[int(rng.integers(len(words)))]


def articles(count: int, seed: int, part: str = "first") -> list[Screened]:
    """Articles, half of them wanted; each wanted disease and each decoy comes in turn."""
    rng = np.random.default_rng(seed)
    diseases, others = DISEASES[part], OTHERS[part]
    out = []
    for i in range(count):
        wanted = i % 2 == 0
        if wanted:
            disease = diseases[i // 2 % len(diseases)]
            title, abstract = (
                _fill(rng, str(_one(rng, t)), disease) for t in (_TITLES, _ABSTRACTS)
            )
        else:
            title, abstract = (_fill(rng, t) for t in others[i // 2 % len(others)])
        figures, truth = [], []
        for k in range(int(rng.integers(1, 6))):
            drawn = wanted and rng.random() < 0.35
            captions = _DRAWN if drawn else _CAPTIONS if wanted else _OTHER_CAPTIONS
            paragraph = f"{_one(rng, _SENTENCES)}".format(k=k + 1)
            mention = Mention(paragraph, paragraph.index("Figure"), len(paragraph) - 1)
            figures.append(
                Figure(f"f{k}", f"Figure {k + 1}", str(_one(rng, captions)), mentions=(mention,))
            )
            truth.append(wanted and not drawn)
        article = Article(f"PMC{i + 1}", title=title, abstract=abstract, figures=tuple(figures))
        out.append(Screened(article, wanted, tuple(truth)))
    return out
