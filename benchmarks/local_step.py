"""A whole training step of GLoRIA and of MGCA against the same in plain PyTorch."""

# pyright: reportMissingImports=false
import importlib
import time
from typing import Any, Literal

import numpy as np

from benchmarks.data import random_batch
from benchmarks.harness import Paired, Side, Tell, Worker, check_same_size, in_turn
from benchmarks.models import BERT, VOCAB
from benchmarks.report import Row, Target, paired_row
from benchmarks.settings import Settings
from benchmarks.torchvision_stand_in import ensure_torchvision
from medvlp_jax.core.presets import apply_cpu_preset

TARGET = Target(1.0, at_most=True)
#: Tokens of a caption: the longest that either recipe takes.
_TEXT_LEN = {"gloria": 97, "mgca": 112}
_NAMES = {"gloria": "GLoRIA", "mgca": "MGCA"}


def run(method: Literal["gloria", "mgca"], settings: Settings, tell: Tell) -> list[Row]:
    """Seconds of forward, loss, backward and optimizer at the recipe's sizes, float32."""
    batch, rounds = (4, 2) if settings.quick else (8, 5)
    length = _TEXT_LEN[method]
    shape: dict[str, Any] = {"method": method, "batch": batch, "text_len": length}
    our_side = Side("our step", f"{__name__}:OurLocalStep", shape)
    peer_side = Side(
        "PyTorch's step",
        f"{__name__}:TorchLocalStep",
        {**shape, "threads": settings.threads},
    )
    tell("building and compiling")
    with Worker(our_side, settings.threads) as ours, Worker(peer_side, settings.threads) as peer:
        check_same_size(ours, peer)
        paired = Paired(*in_turn([lambda w=w: w.call("step") for w in (ours, peer)], rounds, tell))
    what = f"{_NAMES[method]} step, ResNet-50 + BERT-base, {batch} x {length} tokens"
    return [paired_row(what, paired, "s", TARGET)]


def word_batch(batch: int, text_len: int) -> dict[str, np.ndarray]:
    """Images uint8 [b, 224, 224, 3], token ids, their mask, and ``word_ids`` as the pipeline's.

    Three tokens of four open a word.
    """
    image, text, mask = random_batch(batch, text_len)
    rng = np.random.default_rng(1)
    opens = rng.random(mask.shape) < 0.75
    opens[:, 1] = True
    at = np.arange(text_len)
    inside = mask & (at > 0) & (at < mask.sum(1, keepdims=True) - 1)  # between [CLS] and [SEP]
    word = np.cumsum(opens & inside, axis=1)
    ids = np.where(inside, word, np.where(at == 0, 0, -1)).astype(np.int32)
    return {"image": image, "text": text, "text_mask": mask, "word_ids": ids}


class OurLocalStep:
    """Forward, loss, backward and the optimizer in one compiled call."""

    def __init__(self, method: str, batch: int, text_len: int):
        apply_cpu_preset()
        import jax

        from medvlp_jax.core.step import init_state
        from medvlp_jax.data.device import to_device
        from medvlp_jax.run.build import Run

        config: Any = importlib.import_module(f"configs.cxr.{method}").get_config("resnet50")
        config.model.dtype = "float32"
        config.data.batch_size = batch
        config.data.text.buckets = (text_len,)
        experiment = Run(config)
        self._step, self._block = experiment.train_step, jax.block_until_ready
        self._key = jax.random.key(0)
        self._state = init_state(
            experiment.model_def, experiment.optimizer, self._key, experiment.mesh
        )
        arrays = word_batch(batch, text_len) | {"valid": np.ones(batch, bool)}
        self._batch, _ = to_device(arrays, experiment.mesh)
        self.step()  # compiles

    def step(self) -> float:
        """Seconds of one step."""
        start = time.perf_counter()
        self._state, metrics = self._step(self._state, self._batch, self._key)
        self._block((self._state, metrics))
        return time.perf_counter() - start

    def parameters(self) -> int:
        """Without the logit scale, which these losses do not have."""
        from medvlp_jax.core.state import param_count

        return param_count(self._state.params) - 1


def head(features_in: int, hidden: int, features_out: int) -> Any:
    """Two layers with batch normalisation behind each."""
    from torch import nn

    return nn.Sequential(
        nn.Linear(features_in, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, features_out),
        nn.BatchNorm1d(features_out, affine=False),
    )


def towers(method: str) -> Any:
    """Both towers and the maps into the common space."""
    import torch
    from torch import nn
    from torch.nn import functional

    ensure_torchvision()
    import timm
    from transformers import BertConfig, BertModel

    # Probabilities come from the plain implementation alone.
    attention: Any = {"attn_implementation": "eager" if method == "mgca" else "sdpa"}
    settings = BertConfig(
        vocab_size=VOCAB,
        hidden_size=BERT["width"],
        num_hidden_layers=BERT["depth"],
        num_attention_heads=BERT["heads"],
        intermediate_size=BERT["mlp_width"],
        max_position_embeddings=BERT["positions"],
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        **attention,
    )
    model: Any = nn.Module()
    model.vision = timm.create_model("resnet50", features_only=True, out_indices=(3, 4))
    model.text = BertModel(settings, add_pooling_layer=False)
    if method == "gloria":
        model.whole, model.local = nn.Linear(2048, 768), nn.Linear(1024, 768, bias=False)
    else:
        model.whole, model.local = head(2048, 2048, 128), head(1024, 2048, 128)
        model.whole_text, model.local_text = head(768, 2048, 128), head(768, 2048, 128)
        model.prototypes = nn.Parameter(functional.normalize(torch.randn(500, 128), dim=1))
    return model


def words_of(tokens: Any, word_ids: Any, first: int) -> list[Any]:
    """Of each caption the sums of its words' pieces, from word ``first`` on."""
    import torch

    out = []
    for token, ids in zip(tokens, word_ids, strict=True):
        count = int(ids.max()) + 1
        sums = torch.zeros(count, *token.shape[1:]).index_add(0, ids[ids >= 0], token[ids >= 0])
        out.append(sums[first:])
    return out


class TorchLocalStep:
    """Zero the gradients, forward, loss, backward, clip, optimizer."""

    def __init__(self, method: str, batch: int, text_len: int, threads: int):
        import torch

        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self._gloria = method == "gloria"
        self._model = towers(method).train()
        if self._gloria:
            self._optimizer: Any = torch.optim.Adam(
                self._model.parameters(), lr=5e-5, betas=(0.5, 0.999), weight_decay=1e-6
            )
        else:
            self._optimizer = torch.optim.AdamW(
                self._model.parameters(), lr=2e-5, weight_decay=0.05
            )
        arrays = word_batch(batch, text_len)
        pixels = torch.from_numpy(arrays["image"]).permute(0, 3, 1, 2).contiguous().float()
        self._image = pixels / 127.5 - 1
        self._text = torch.from_numpy(arrays["text"]).long()
        self._mask = torch.from_numpy(arrays["text_mask"]).long()
        self._word_ids = torch.from_numpy(arrays["word_ids"]).long()
        self.step()

    def step(self) -> float:
        """Seconds of one step."""
        import torch
        from torch import nn
        from torch.nn import functional

        start = time.perf_counter()
        self._optimizer.zero_grad()
        loss = self._loss_gloria() if self._gloria else self._loss_mgca()
        loss.backward()
        if self._gloria:
            nn.utils.clip_grad_norm_(self._model.parameters(), 0.25)
        self._optimizer.step()
        if not self._gloria:
            with torch.no_grad():
                table = self._model.prototypes
                table.copy_(functional.normalize(table, dim=1))
        return time.perf_counter() - start

    def _loss_gloria(self) -> Any:
        import torch
        from torch.nn import functional

        from benchmarks.torch_local_losses import gloria_loss

        m = self._model
        image = functional.interpolate(
            self._image, size=(299, 299), mode="bilinear", align_corners=True
        )
        middle, last = m.vision(image)
        states = m.text(self._text, self._mask, output_hidden_states=True).hidden_states
        tokens = torch.stack(states[-4:]).sum(dim=0)
        mask = self._mask[..., None].float()
        text = (tokens * mask).sum(dim=1) / mask.sum(dim=1)
        return gloria_loss(
            functional.normalize(m.whole(last.mean(dim=(2, 3))), dim=1),
            functional.normalize(text, dim=1),
            m.local(middle.flatten(2).transpose(1, 2)),
            words_of(tokens, self._word_ids, first=0),
        )

    def _loss_mgca(self) -> Any:
        import torch
        from torch.nn import functional

        from benchmarks.torch_local_losses import clipped_weights, mgca_loss

        m = self._model
        middle, last = m.vision(self._image)
        out = m.text(self._text, self._mask, output_attentions=True)
        tokens, attention = out.last_hidden_state, out.attentions[-1][:, :, 0].mean(dim=1)
        words = words_of(tokens, self._word_ids, first=1)
        counts = [len(w) for w in words]
        words = functional.normalize(m.local_text(torch.cat(words)), dim=1).split(counts)
        weights = [
            clipped_weights(w) for w in words_of(attention.detach(), self._word_ids, first=1)
        ]
        regions = middle.flatten(2).transpose(1, 2)
        patches = m.local(regions.reshape(-1, 1024)).reshape(*regions.shape[:2], -1)
        return mgca_loss(
            functional.normalize(m.whole(last.mean(dim=(2, 3))), dim=1),
            functional.normalize(m.whole_text(tokens[:, 0]), dim=1),
            functional.normalize(patches, dim=2),
            list(words),
            weights,
            m.prototypes,
        )

    def parameters(self) -> int:
        return sum(p.numel() for p in self._model.parameters())
