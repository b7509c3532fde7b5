"""Figures and captions: ROCO v2, PMC-OA, LLaVA-Med, Quilt-1M and MM-Retinal in their layouts."""

import json

import pytest

from data_gen.sources import run_import
from data_gen.sources.importing.base import Rejects, SourceError
from data_gen.sources.importing.rejects import check_rows
from data_gen.sources.importing.source import check_counts, listed
from data_gen.sources.literature import (
    llava_captions,
    llava_med,
    mm_retinal,
    pmc_oa,
    quilt,
    roco,
)
from medvlp_jax.data.store.dataset import open_dataset
from medvlp_jax.data.store.record import Text, Turn

from .layouts import image_file, run, write


def checked(source, root, **settings):
    records, places, rejects = run(source, root=root, **settings)
    kept = rejects.rows - rejects.refused - rejects.left_out.total()
    check_rows(rejects, kept)
    return records, places


def caption(text):
    return (Text(text, "caption", "publication"),)


def test_roco(tmp_path):
    write(tmp_path / "train_captions.csv", 'ID,Caption\nR_1,"A CT, axial."\nR_2,Gone.\n,None.\n')
    write(tmp_path / "train_concepts.csv", "ID,CUIs\nR_1,C0040405;C1306645\n")
    write(tmp_path / "valid_captions.csv", "ID,Caption\nV_1,A film.\n")
    image_file(tmp_path / "train/R_1.jpg")
    image_file(tmp_path / "valid/V_1.jpg")
    records, rejects = checked(roco.SOURCE, tmp_path)
    assert {id: r.split for id, r in records.items()} == {"R_1": "train", "V_1": "validation"}
    assert records["R_1"].texts == caption("A CT, axial.")
    assert records["R_1"].provenance["umls"] == ["C0040405", "C1306645"]
    assert [kind for _, kind in rejects] == ["missing image", "no image"]
    config = roco.SOURCE.config(root=str(tmp_path))
    lines = check_counts(roco.SOURCE, config, listed(roco.SOURCE, config, Rejects()))
    assert "train: 2 records, published 59,958" in lines[0]
    with pytest.raises(SourceError, match=r"train_captions\.csv"):
        checked(roco.SOURCE, tmp_path / "train")


def test_quilt(tmp_path):
    rows = ["caption,image_path,subset,split", "One.,a.jpg,quilt,train", "Two.,a.jpg,quilt,train"]
    rows += ["Three.,b.jpg,pubmed,val", "Four.,a.jpg,quilt,val", "Five.,,quilt,train"]
    write(tmp_path / "quilt_1M_lookup.csv", "\n".join(rows) + "\n")
    for name in "ab":
        image_file(tmp_path / f"quilt_1m/{name}.jpg")
    records, rejects = checked(quilt.SOURCE, tmp_path)
    assert records["a.jpg"].texts == caption("One.") + caption("Two.")
    assert records["a.jpg"].images[0].modality == "pathology"
    assert (records["b.jpg"].split, records["b.jpg"].provenance["subset"]) == (
        "validation",
        "pubmed",
    )
    assert [kind for _, kind in rejects] == ["bad row", "no image"]


def test_pmc_oa(tmp_path):
    lines = [
        {"image": f"PMC{i}_Fig1_{k}.jpg", "caption": f"{i} {k}."} for i in (1, 2) for k in (1, 2)
    ]
    lines[0]["alignment_score"] = 0.5
    text = "".join(json.dumps(line) + "\n" for line in lines)
    write(tmp_path / "pmc_oa.jsonl", text + "{cut\n" + '{"caption": "no image"}\n')
    for line in lines:
        image_file(tmp_path / "images" / line["image"])
    records, rejects = checked(pmc_oa.SOURCE, tmp_path)
    assert len(records) == 4
    first = records["PMC1_Fig1_1.jpg"]
    assert (first.texts, first.patient_id) == (caption("1 1."), "PMC1")
    assert first.provenance["alignment_score"] == 0.5
    assert len({(r.patient_id, r.split) for r in records.values()}) == 2  # articles stay together
    assert rejects == [("pmc_oa.jsonl line 5", "bad row"), ("pmc_oa.jsonl line 6", "bad row")]
    (tmp_path / "pmc_oa.jsonl").rename(tmp_path / "test.jsonl")
    records, _ = checked(pmc_oa.SOURCE, tmp_path)
    assert {r.split for r in records.values()} == {"test"}


def entry(key="conversations", **more):
    said = [{"from": "human", "value": "What is it?\n<image>"}, {"from": "gpt", "value": "A film."}]
    return {"id": "1", "image": "PMC1_F1.jpg", key: said} | more


def test_llava_med(tmp_path):
    entries = [
        entry("conversatons"),
        entry(id="2", domain={"chest_xray": True, "mri": False}),
        entry(id="3", conversations=[{"from": "robot", "value": "x"}]),
        {"id": "4"},
        "no entry",
    ]
    entries[1]["conversations"][0]["value"] = "What does the figure show?"
    write(tmp_path / "llava_med_alignment_500k.json", json.dumps(entries))
    image_file(tmp_path / "images/PMC1_F1.jpg")
    report = run_import(
        "llava_med",
        {"root": str(tmp_path), "split_fractions": {"train": 1.0}},
        tmp_path / "out",
        progress=False,
    )
    assert report.rows == {"read": 5, "in records": 2, "refused": 3}
    first, second = open_dataset(tmp_path / "out", "train")
    assert first.turns == (Turn("user", "What is it?", (0,)), Turn("assistant", "A film."))
    assert first.texts == caption("A film.")
    assert second.turns[0] == Turn("user", "What does the figure show?", (0,))
    assert (second.images[0].modality, second.provenance["domains"]) == ("xray", ["chest_xray"])
    told, _ = checked(llava_med.SOURCE, tmp_path, captions="never")
    assert told["1"].texts == ()
    (tmp_path / "llava_med_alignment_500k.json").rename(tmp_path / "llava_med_instruct_60k.json")
    told, _ = checked(llava_med.SOURCE, tmp_path)  # an answer to a question is no caption
    assert told["1"].texts == ()
    assert told["1"].turns == first.turns
    write(tmp_path / "llava_med_instruct_60k.json", "{}")
    with pytest.raises(SourceError, match="no list of conversations"):
        checked(llava_med.SOURCE, tmp_path)


def test_llava_captions(tmp_path):
    told = {"pair_id": "PMC1_F1", "fig_caption": "A film.", "in_text_mention": None}
    again = told | {
        "pair_id": "PMC1_F2",
        "in_text_mention": [{"tokens": "See it."}, {"tokens": "x"}],
    }
    entries = {"chest_xray": [told, again], "mri": [told, {"pair_id": 3}, "no entry"]}
    path = write(tmp_path / "llava_med_instruct_fig_captions.json", json.dumps(entries))
    for name in ("PMC1_F1", "PMC1_F2"):
        image_file(tmp_path / f"images/{name}.jpg")
    records, rejects = checked(llava_captions.SOURCE, tmp_path)
    assert records["PMC1_F1"].texts == caption("A film.")
    assert records["PMC1_F2"].texts == (*caption("A film."), Text("See it.", "caption", "mention"))
    assert {r.images[0].modality for r in records.values()} == {"xray"}
    assert {(r.patient_id, r.split) for r in records.values()} == {
        ("PMC1", records["PMC1_F1"].split)
    }
    assert [kind for _, kind in rejects] == ["duplicate id", "bad row", "bad row"]
    alone, _ = checked(llava_captions.SOURCE, tmp_path, mentions=0)
    assert alone["PMC1_F2"].texts == caption("A film.")
    path.unlink()
    lines = json.dumps(told | {"domain": "mri"}) + "\n{cut\n"
    write(tmp_path / "llava_med_fig_captions.jsonl", lines)
    records, rejects = checked(llava_captions.SOURCE, tmp_path)
    assert records["PMC1_F1"].images[0].modality == "mri"
    assert rejects == [("llava_med_fig_captions.jsonl line 2", "bad row")]


def test_captions_of_figures_are_not_taken_for_conversations(tmp_path):
    write(tmp_path / "llava_med_instruct_fig_captions.json", "{}")
    write(tmp_path / "llava_med_instruct_60k.json", json.dumps([entry()]))
    image_file(tmp_path / "images/PMC1_F1.jpg")
    assert list(checked(llava_med.SOURCE, tmp_path)[0]) == ["1"]


def test_mm_retinal(tmp_path):
    rows = [",image,caption", "0,39_MM_Retinal_dataset/CFP/figure01-01A.jpg,Normal right eye"]
    rows += ['1,39_MM_Retinal_dataset/CFP/figure01-01B.jpg,"Normal, left eye"', "2,,Nothing"]
    write(tmp_path / "39_MM_Retinal_dataset.csv", "\n".join(rows) + "\n")
    write(tmp_path / "FFA.csv", ",Image_ID,en_caption\n0,figure01-01C,['A late angiogram.']\n")
    for name in ("CFP/figure01-01A", "CFP/figure01-01B", "FFA/figure01-01C"):
        image_file(tmp_path / f"{name}.jpg")
    records, rejects = checked(mm_retinal.SOURCE, tmp_path)
    assert rejects == [("39_MM_Retinal_dataset.csv row 4", "no image")]
    assert records["CFP/figure01-01B"].texts == caption("Normal, left eye")
    assert records["FFA/figure01-01C"].texts == caption("A late angiogram.")
    assert {id: r.images[0].modality for id, r in records.items()} == {
        "CFP/figure01-01A": "fundus", "CFP/figure01-01B": "fundus", "FFA/figure01-01C": "other"
    }  # fmt: skip
    assert len({(r.patient_id, r.split) for r in records.values()}) == 1  # panels of one figure
    with pytest.raises(SourceError, match=r"no column 'title' \(config\.caption\)"):
        checked(mm_retinal.SOURCE, tmp_path, caption="title")
    for path in tmp_path.glob("*.csv"):
        path.rename(path.with_suffix(".xlsx"))
    with pytest.raises(SourceError, match=r"save 39_MM_Retinal_dataset\.xlsx as CSV"):
        checked(mm_retinal.SOURCE, tmp_path)
