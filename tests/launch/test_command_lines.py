"""Whatever is typed behind a launch script ends in status 2 and one line, or works."""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys

import pytest

SCRIPTS = (
    "train", "evaluate", "finetune", "experiment", "compile", "generate", "sample", "convert",
    "convert_records", "demo", "benchmark", "quickstart", "leakage", "side_by_side",
    "label_studio", "screen",
)  # fmt: skip
CLIP = "--config=configs/cxr/clip.py:small:/no/data"


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """What the lines below name: {file}, {folder}, {syntax}, {raises}, {port}."""
    folder = tmp_path_factory.mktemp("command lines")
    (folder / "file").write_text("x")
    (folder / "syntax.py").write_text("def get_config(:\n")
    (folder / "raises.py").write_text("def get_config(word=''):\n  raise KeyError(word)\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield {
            "file": str(folder / "file"), "folder": str(folder), "port": taken.getsockname()[1],
            "syntax": str(folder / "syntax.py"), "raises": str(folder / "raises.py"),
        }  # fmt: skip


#: (script and arguments, what the line says)
WRONG = [
    # config files and the word behind the colon
    (["train", "--config=nope.py", "--workdir={folder}/w"], "there is no config file"),
    (["train", "--config=configs", "--workdir={folder}/w"], "is a folder or device"),
    (["train", "--config={syntax}", "--workdir={folder}/w"], "SyntaxError"),
    (["sample", "--config={raises}:x", "--out={folder}/w"], "KeyError"),
    (["train", "--config=", "--workdir={folder}/w"], "config file|is a folder"),
    (["train", "--config", "--workdir={folder}/w"], "workdir must have a value"),
    (["train", "--config=configs/cxr/clip.py:tiny", "--workdir={folder}/w"],
     "resnet50 or vit_b16 or small"),
    (["train", "--config=configs/cxr/chexzero.py:tiny", "--workdir={folder}/w"], "or clip_b32"),
    (["finetune", "--config=configs/cxr/finetune.py:all", "--checkpoint=x", "--out={folder}/w"],
     "probe or full or segmentation or detection"),
    (["experiment", "--config=configs/cxr/synthetic_vs_real.py:x", "--out={folder}/w"], "resnet50"),
    (["compile", "--config=configs/lm/decode.py:gpt9"], "llama3.1_8b"),
    (["compile", "--config=configs/diffusion/sample.py:sd9"], "sd1.5 or sd2.1"),
    (["generate", "--config=configs/data_gen/syncxr.py:x", "--out={folder}/w"], "demo or roentgen"),
    (["generate", "--config=configs/data_gen/curate.py:x", "--out={folder}/w"], "none or clip"),
    (["generate", "--config=configs/data_gen/captions.py:x", "--out={folder}/w"],
     "grammar or jax"),
    (["generate", "--config=configs/data_gen/phantom.py:x", "--out={folder}/w"],
     "takes nothing behind a colon"),
    (["sample", "--config=configs/data_gen/texts.py:x", "--out={folder}/w"], "or grammar"),
    (["screen", "--pictures={folder}/none", "--backend=rule", "--out={folder}/w"], "is no folder"),
    (["screen", "--pictures={folder}", "--backend=clip", "--out={folder}/w"], "needs model"),
    (["screen", "--pictures={folder}", "--keep=brain", "--out={folder}/w"], "no class of pictures"),
    # keys and values
    (["train", CLIP, "--workdir={folder}/w", "config.optim.lr=5"], "write --config.optim.lr=5"),
    (["train", CLIP, "--workdir={folder}/w", "--config.optim.lr"], "needs a value"),
    (["train", CLIP, "--workdir={folder}/w", "--config.optim.lr=nan"], "must be a finite number"),
    (["train", CLIP, "--workdir={folder}/w", "--config.optim.lrr=1"], "mean config.optim.lr"),
    (["train", CLIP, "--workdir={folder}/w", "--config.model.visoin.width=1"],
     "did you mean config.model.vision"),
    (["train", CLIP, "--workdir={folder}/w", "--config.model.vision.init=/no/weights"],
     "/no/weights does not exist"),
    (["train", CLIP, "--workdir={folder}/w", "--config.mesh.fsdp=3"], "--config.mesh.fsdp=1 would"),
    (["train", CLIP, "--workdir={folder}/w", "--config.seed=" + "9" * 31], "at most 4294967295"),
    (["train", CLIP, "--workdir={folder}/w", "--config.data.sources[0].path=gs://b/x"],
     "mount the bucket"),
    (["generate", "--config=configs/data_gen/phantom.py", "--out={folder}/w", "--config.size=0"],
     "must be at least 1"),
    (["generate", "--config=configs/data_gen/csv.py:{folder}", "--out={folder}/w",
      "--config.texts.report-text=findings", "--config.texts.a b/c.d=impression",
      "--config.csv=none.csv"], "none.csv is missing"),
    (["generate", "--config=configs/data_gen/csv.py", "--out={folder}/w",
      "--config.generator=foo"], "there are captions, chexpert"),
    (["generate", "--config=configs/data_gen/nih.py:{folder}", "--out={folder}/w",
      "--config.records_per_shard=0"], "must be at least 1"),
    (["experiment", "--config=configs/cxr/synthetic_vs_real.py:small", "--out={folder}/w",
      "--only=99999999"], "numbered 0 to"),
    # folders
    (["train", CLIP, "--workdir={file}"], "is a file, not a folder"),
    (["train", CLIP, "--workdir=gs://bucket/run"], "mount the bucket"),
    (["train", CLIP, "--workdir="], "is empty"),
    (["generate", "--config=configs/data_gen/phantom.py", "--out={file}/x"], "is a file"),
    (["evaluate", "--checkpoint=x", "--out=s3://bucket/x"], "mount the bucket"),
    (["evaluate", "--checkpoint={folder}", "--out={folder}/w"], "checkpoint"),
    (["sample", "--config=configs/data_gen/texts.py:grammar", "--out={file}"], "is a file"),
    (["convert", "--from=/no/weights", "--to={file}"], "is a file"),
    (["convert_records", "--from=/no/data", "--to={folder}/w", "--format=array_record"],
     "is no folder"),
    (["convert_records", "--from=/no/data", "--to={folder}/w", "--format=tfrecord"], "/no/data"),
    (["convert_records", "--from=/no/data", "--to={folder}/w", "--format=webdataset"], "/no/data"),
    (["convert_records", "--from=/no/data", "--to={folder}/w", "--format=parquet"], "/no/data"),
    (["convert_records", "--from=/no/data", "--to={folder}/w", "--format=zip"], "tfrecord"),
    (["label_studio", "--matched={file}", "--out={folder}/w"], "give --articles"),
    (["label_studio", "--matched={file}", "--out={folder}/w", "--articles={folder}"], "line 1"),
    (["label_studio", "--matched=/no/m.jsonl", "--out={folder}/w", "--corrected={file}"],
     "/no/m.jsonl does not exist"),
    (["label_studio", "--matched={file}", "--out={file}", "--articles={folder}"], "is a file"),
    (["generate", "--config=configs/data_gen/webdataset.py:{folder}/w", "--out={folder}/w"],
     "holds no .*tar"),
    (["generate", "--config=configs/data_gen/parquet.py:{folder}/w", "--out={folder}/w"],
     "holds no .*parquet"),
    (["generate", "--config=configs/data_gen/medmnist.py:octmnist", "--out={folder}/w",
      "--config.root={folder}", "--config.pixels=64"], "octmnist_64.npz is missing"),
    (["generate", "--config=configs/data_gen/medmnist.py:mnist", "--out={folder}/w",
      "--config.root={folder}"], "pathmnist"),
    (["quickstart", "--out={file}"], "is a file"),
    (["compile", "--config=configs/cxr/clip_b16.py", "--hlo={folder}"], "is a folder"),
    # flags
    (["evaluate", "--checkpoint=x", "--out={folder}/w", "--step=²"], "must be latest, best or"),
    (["evaluate", "--checkpoint=x", "--out={folder}/w", "--step=" + "9" * 5000], "must be latest"),
    (["evaluate", "--checkpoint=x", "--out={folder}/w", "--per_class=-1"], "per_class"),
    (["evaluate", "--checkpoint=x", "--out={folder}/w", "--truth=both"], "boxes"),
    (["demo", "--checkpoint=x", "--port={port}"], "cannot be listened on .* choose another port"),
    (["demo", "--checkpoint=x", "--port=99999"], "port"),
    (["demo", "--checkpoint=x", "--host=no such host"], "cannot be listened on"),
    (["benchmark", "--only=nothing"], "no such benchmark"),
    (["quickstart", "--steps=many"], "steps"),
    (["train", "--flagfile=/no/file"], "/no/file"),
    *(([name, "stray"], "stray|required|must have a value|must be specified") for name in SCRIPTS),
    *(([name, "--confgi=x"], "confgi") for name in SCRIPTS),
]  # fmt: skip


def typed(lines: list[list[str]]) -> list[tuple[int, str, str]]:
    root = pathlib.Path(__file__).resolve().parents[2]
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, str(pathlib.Path(__file__).parent / "forked.py")],
        input=json.dumps([[f"launch/{name}.py", *rest] for name, *rest in lines]),
        capture_output=True, text=True, cwd=root, check=True,
        env=environment | {"PYTHONPATH": str(root), "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    return json.loads(done.stdout)


def test_whatever_is_wrong_is_one_line(places):
    lines = [[a.replace("{", "%(").replace("}", ")s") % places for a in line] for line, _ in WRONG]
    for line, (_, says), (status, _, err) in zip(lines, WRONG, typed(lines), strict=True):
        assert status == 2, (line, status, err)
        assert err.startswith("error: "), (line, err)
        assert err.count("\n") == 1, (line, err)
        assert re.search(says, err), (line, err)


def test_help_is_help():
    for name, (status, out, err) in zip(
        SCRIPTS, typed([[n, "--help"] for n in SCRIPTS]), strict=True
    ):
        assert "Traceback" not in out + err, name
        assert f"launch/{name}.py" in out, name
        assert status in (0, 1), name
