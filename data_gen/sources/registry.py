"""The data sets that can be imported, by name."""

from data_gen.sources import (
    chexpert,
    covid_rural,
    covidx,
    csv,
    medmnist,
    mimic_cxr,
    ms_cxr,
    nih,
    openi,
    padchest,
    parquet,
    rsna,
    siim,
    vindr,
    webdataset,
)
from data_gen.sources.importing.source import Source
from data_gen.sources.labelled import fundus, radimagenet
from data_gen.sources.literature import llava_captions, llava_med, mm_retinal, pmc_oa, quilt, roco
from data_gen.sources.suites import reader as suite

SOURCES: dict[str, Source] = {
    "csv": csv.SOURCE,
    "chexpert": chexpert.SOURCE,
    "mimic_cxr": mimic_cxr.SOURCE,
    "nih": nih.SOURCE,
    "openi": openi.SOURCE,
    "rsna": rsna.SOURCE,
    "siim": siim.SOURCE,
    "padchest": padchest.SOURCE,
    "vindr": vindr.SOURCE,
    "ms_cxr": ms_cxr.SOURCE,
    "covidx": covidx.SOURCE,
    "covid_rural": covid_rural.SOURCE,
    "webdataset": webdataset.SOURCE,
    "parquet": parquet.SOURCE,
    "medmnist": medmnist.SOURCE,
    "roco": roco.SOURCE,
    "pmc_oa": pmc_oa.SOURCE,
    "llava_med": llava_med.SOURCE,
    "llava_captions": llava_captions.SOURCE,
    "quilt": quilt.SOURCE,
    "mm_retinal": mm_retinal.SOURCE,
    "radimagenet": radimagenet.SOURCE,
    "fundus": fundus.SOURCE,
    "suite": suite.SOURCE,
}
