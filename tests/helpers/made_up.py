"""A made-up run: noisy embeddings of random studies, through the real evaluators into a report."""

import numpy as np
from fake_model import read, tokenize

from medvlp_jax.eval.embedded import Embedded
from medvlp_jax.eval.grounding.evaluator import Grounding
from medvlp_jax.eval.metrics.bootstrap import Bootstrap
from medvlp_jax.eval.page.inputs import heatmaps_of
from medvlp_jax.eval.registry import evaluate
from medvlp_jax.eval.results import collect
from medvlp_jax.eval.retrieval import Retrieval
from medvlp_jax.eval.zeroshot.baselines import Baseline
from medvlp_jax.eval.zeroshot.evaluator import ZeroShot
from medvlp_jax.eval.zeroshot.promptbank import load_bank
from medvlp_jax.pages.boxes import LabelledBox
from medvlp_jax.pages.studies import Reject, Sample

CLASSES = ("cardiomegaly", "pleural effusion", "pneumothorax", "nodule", "fracture", "no finding")
COMMAND = "python launch/evaluate.py --workdir=runs/made_up --config.eval.batch_size=8"


class Studies:
    """Random labels, boxes and pictures; the last column of labels is 'no finding'."""

    def __init__(self, n=48, side=32, seed=0, classes=CLASSES, pictures=None):
        rng = np.random.default_rng(seed)
        self.classes, self.n = classes, n
        k = len(classes)
        self.labels = (rng.random((n, k)) < 0.25).astype(np.int8)
        self.labels[:, -1] = self.labels[:, :-1].sum(1) == 0
        self.boxes = np.zeros((n, 4, 4), np.float32)
        self.box_label = np.full((n, 4), -1, np.int32)
        for i in range(n):
            for m, c in enumerate(np.flatnonzero(self.labels[i, :-1])[:4]):
                x, y = rng.uniform(0, 0.6, 2)
                w, h = rng.uniform(0.15, 0.4, 2)
                self.boxes[i, m] = x, y, x + w, y + h
                self.box_label[i, m] = c
        if pictures is None:
            pictures = rng.integers(0, 255, (n, side, side, 1), dtype=np.uint8)
        self.image = pictures
        self.view = np.array(["PA", "AP"])[rng.integers(0, 2, n)]

    def batches(self, size=8):
        for start in range(0, self.n, size):
            rows = np.minimum(np.arange(start, start + size), self.n - 1)
            ids, mask = tokenize([f"report {i:05d}" for i in rows])
            yield {
                "image": self.image[rows],
                "labels": self.labels[rows],
                "boxes": self.boxes[rows],
                "box_label": self.box_label[rows],
                "text": ids,
                "text_mask": mask,
                "text_key": (rows % 40).astype(np.uint32),
                "valid": np.arange(start, start + size) < self.n,
                "id": np.array([f"study-{i:05d}" for i in rows]),
                "view": self.view[rows],
            }

    def predict_of(self, noise, seed=0, grid=8):
        """A predict function whose embeddings know the labels, more or less."""
        k, size = len(self.classes), 32
        rng = np.random.default_rng(seed)
        axis = np.linalg.qr(rng.normal(size=(size, size)))[0]
        lookup = {self.image[i].tobytes(): i for i in range(self.n)}
        own = rng.normal(size=(self.n, size)) * noise
        names = sorted(self.classes, key=len, reverse=True)

        def of_text(text):
            if text.startswith("report "):
                i = int(text.split()[1])
                return self.labels[i] @ axis[:k] + own[i] + 1.2 * rng.normal(size=size)
            found = next((c for c in names if c in text.lower()), None)
            if found is None:
                return axis[-1]
            sign = -1 if text.lower().startswith("no ") else 1
            return axis[self.classes.index(found)] * sign + axis[-1]

        def predict(name, batch):
            if name == "text_embed":
                return np.stack([of_text(t) for t in read(batch)])
            rows = [lookup[image.tobytes()] for image in batch["image"]]
            if name == "image_embed":
                return self.labels[rows] @ axis[:k] + own[rows] + axis[-1]
            out = np.random.default_rng(rows[0]).normal(size=(len(rows), grid, grid, size)) * noise
            for b, i in enumerate(rows):
                for box, c in zip(self.boxes[i], self.box_label[i], strict=True):
                    if c >= 0:
                        x0, y0, x1, y1 = np.clip((box * grid).round().astype(int), 0, grid)
                        out[b, y0:y1, x0:x1] += axis[c]
            return out

        return predict


def run(studies, validation, noise=0.5, resamples=200, classes=None, grid=8):
    """``{name: EvalResult}`` of every evaluator on the made-up set."""
    boot = Bootstrap(resamples)
    classes = classes or studies.classes
    test = Embedded("made-up", studies.batches, studies.classes)
    other = Embedded("made-up", validation.batches, studies.classes, split="val")
    common = {"validation": other, "bootstrap": boot}
    bank = load_bank("brief")
    evaluators = {
        "made-up-zeroshot": ZeroShot(test, classes, bank, tokenize, **common),
        "made-up-mean brightness": Baseline(test, classes, rule="mean brightness", **common),
        "made-up-lung-to-body contrast": Baseline(
            test, classes, rule="lung-to-body contrast", **common
        ),
        "made-up-retrieval": Retrieval(test, bootstrap=boot),
        "made-up-grounding": Grounding(
            test, [c for c in classes if c != "no finding"], bank, tokenize, **common
        ),
    }
    seen = studies.predict_of(noise, grid=grid)
    unseen = validation.predict_of(noise, grid=grid)
    known = {image.tobytes() for image in studies.image}

    def predict(name, batch):
        mine = "image" not in batch or batch["image"][0].tobytes() in known
        return (seen if mine else unseen)(name, batch)

    return evaluate(evaluators, predict), boot


def results_of(evaluations, boot, **more):
    return collect(
        evaluations,
        name="made-up run",
        command=COMMAND,
        seed=7,
        config={"model": {"width": 192, "depth": 6}, "data": {"note": "<b>not markup</b>"}},
        bootstrap=boot,
        **more,
    )


def history(steps=400):
    rng = np.random.default_rng(0)
    lines = []
    for step in range(1, steps + 1):
        if step % 5 == 0:
            loss = 0.6 + 3.4 * np.exp(-step / 120) + 0.08 * rng.normal()
            speed = 61 + 2 * rng.normal()
            lines.append({"step": step, "kind": "train", "time": 1.0 * step, "loss": float(loss),
                          "pairs_per_second": float(speed)})  # fmt: skip
        if step % 80 == 0:
            auc = 0.93 - 0.4 * np.exp(-step / 150)
            lines.append({"step": step, "kind": "eval", "time": 1.0 * step,
                          "val-zeroshot/auc_macro": float(auc)})  # fmt: skip
    return lines


def seen_lines(steps, sources):
    """Lines of a log about what was shown; a source called "b" had unreadable records."""
    for step in steps:
        line = {"step": step, "kind": "seen"}
        for i, name in enumerate(sources):
            n = float(step * 10 * (i + 1))
            line |= {
                f"source/{name}/records": n,
                f"source/{name}/epochs": n / 100,
                f"source/{name}/texts/caption": n,
            }
        line |= {f"modality/{m}/{k}": step * 5.0 for m in ("ct", "mri") for k in
                 ("records", "epochs", "texts/caption")}  # fmt: skip
        yield line | ({"source/b/replaced": 3.0} if "b" in sources else {})


def samples(studies, count=4):
    words = "There is a {} in the right lung. No acute osseous abnormality."
    out = []
    for i in range(count):
        names = [studies.classes[c] for c in studies.box_label[i] if c >= 0]
        out.append(
            Sample(
                image=studies.image[i],
                texts=(
                    ("findings", words.format(", a ".join(names) or "clear field")),
                    ("impression", "Findings as above, < 2 cm."),
                ),
                boxes=tuple(
                    LabelledBox(*b.tolist(), label=studies.classes[c], phrase=studies.classes[c])
                    for b, c in zip(studies.boxes[i], studies.box_label[i], strict=True)
                    if c >= 0
                ),
                labels=dict.fromkeys(names, 1) | {"edema": -1},
                id=f"study-{i:05d}",
                view=str(studies.view[i]),
            )
        )
    return out


def rejects(studies):
    return [
        Reject("lung field cut off", "study-90001", studies.image[0][..., 0]),
        Reject("report contradicts itself", texts=(("findings", "No effusion. Large effusion."),)),
    ]


DATA = {
    "sets": [
        {"name": "phantom", "split": "train", "records": 4000,
         "labels": {c: {"positive": 300 + 90 * i, "negative": 3000, "uncertain": 12 * i}
                    for i, c in enumerate(CLASSES)}},
        {"name": "phantom", "split": "test", "records": 600,
         "labels": {c: {"positive": 60 + 5 * i, "negative": 500, "uncertain": 0}
                    for i, c in enumerate(CLASSES[:-1])}},
    ],
    "generation": {"generator": "phantom", "pictures per second": 71.2},
    "rejects": {"lung field cut off": 12, "report contradicts itself": 3},
}  # fmt: skip

__all__ = ["DATA", "Studies", "heatmaps_of", "history", "rejects", "results_of", "run", "samples"]
