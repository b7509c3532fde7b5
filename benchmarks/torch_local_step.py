"""The peer of a GLoRIA or MGCA step: timm's ResNet-50, transformers' BERT and the plain losses."""

# pyright: reportMissingImports=false
import time
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from benchmarks.local_data import word_batch
from benchmarks.models import BERT, VOCAB
from benchmarks.torch_local_losses import clipped_weights, gloria_loss, mgca_loss
from benchmarks.torchvision_stand_in import ensure_torchvision


def head(features_in: int, hidden: int, features_out: int) -> nn.Module:
    """Two layers with batch normalisation behind each."""
    return nn.Sequential(
        nn.Linear(features_in, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, features_out),
        nn.BatchNorm1d(features_out, affine=False),
    )


class Towers(nn.Module):
    """Both towers and the maps into the common space."""

    def __init__(self, method: str):
        super().__init__()
        ensure_torchvision()
        import timm
        from transformers import BertConfig, BertModel

        self.vision = timm.create_model("resnet50", features_only=True, out_indices=(3, 4))
        settings = BertConfig(
            vocab_size=VOCAB,
            hidden_size=BERT["width"],
            num_hidden_layers=BERT["depth"],
            num_attention_heads=BERT["heads"],
            intermediate_size=BERT["mlp_width"],
            max_position_embeddings=BERT["positions"],
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            # Probabilities come from the plain implementation alone.
            attn_implementation="eager" if method == "mgca" else "sdpa",  # type: ignore[call-arg]
        )
        self.text = BertModel(settings, add_pooling_layer=False)
        if method == "gloria":
            self.whole, self.local = nn.Linear(2048, 768), nn.Linear(1024, 768, bias=False)
        else:
            self.whole, self.local = head(2048, 2048, 128), head(1024, 2048, 128)
            self.whole_text, self.local_text = head(768, 2048, 128), head(768, 2048, 128)
            self.prototypes = nn.Parameter(functional.normalize(torch.randn(500, 128), dim=1))


def words_of(tokens: Any, word_ids: Any, first: int) -> list[Any]:
    """Of each caption the sums of its words' pieces, from word ``first`` on."""
    out = []
    for token, ids in zip(tokens, word_ids, strict=True):
        count = int(ids.max()) + 1
        sums = torch.zeros(count, *token.shape[1:]).index_add(0, ids[ids >= 0], token[ids >= 0])
        out.append(sums[first:])
    return out


class TorchLocalStep:
    """Zero the gradients, forward, loss, backward, clip, optimizer."""

    def __init__(self, method: str, batch: int, text_len: int, threads: int):
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        self._gloria = method == "gloria"
        self._model = Towers(method).train()
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


def make(method: str, batch: int, text_len: int, threads: int) -> TorchLocalStep:
    return TorchLocalStep(method, batch, text_len, threads)
