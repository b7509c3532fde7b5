"""BLIP's training loss in PyTorch on transformers' modules: what ours is measured against.

transformers has the towers and the heads, and none of the losses of pre-training.
"""

# pyright: reportMissingImports=false, reportMissingModuleSource=false
import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def config_of(settings: dict[str, Any]) -> Any:
    """A ``BlipConfig`` from plain values, with attention that adds its mask."""
    from transformers import BlipConfig

    config: Any = BlipConfig(**settings)
    for one in (config, config.text_config, config.vision_config):
        one._attn_implementation = "eager"
    return config


class TorchBlip(nn.Module):
    """Both branches, the momentum encoder and the queue.

    Args:
      settings: of ``BlipConfig``.
      queue: vectors that are remembered.
      hardest: take the likeliest negative instead of drawing one.
    """

    image_queue: Tensor
    text_queue: Tensor
    key_queue: Tensor
    valid_queue: Tensor
    average: Any

    def __init__(
        self,
        settings: dict[str, Any],
        queue: int,
        *,
        momentum: float = 0.995,
        alpha: float = 0.4,
        alpha_steps: int = 0,
        smoothing: float = 0.1,
        hardest: bool = False,
    ):
        from transformers.models.blip.modeling_blip import BlipVisionModel
        from transformers.models.blip.modeling_blip_text import BlipTextLMHeadModel, BlipTextModel

        super().__init__()
        config = config_of(settings)
        self.settings = config
        self.vision_model = BlipVisionModel(config.vision_config)
        self.text_encoder = BlipTextModel(config.text_config, add_pooling_layer=False)
        self.text_decoder = BlipTextLMHeadModel(config.text_config)
        self._share()
        width = config.image_text_hidden_size
        self.vision_proj = nn.Linear(config.vision_config.hidden_size, width)
        self.text_proj = nn.Linear(config.text_config.hidden_size, width)
        self.itm_head = nn.Linear(config.text_config.hidden_size, 2)
        self.temp = nn.Parameter(torch.tensor(0.07))
        self.rows = queue
        for name in ("image_queue", "text_queue"):
            self.register_buffer(name, functional.normalize(torch.randn(queue, width), dim=1))
        self.register_buffer("key_queue", torch.zeros(3, queue, dtype=torch.long))
        self.register_buffer("valid_queue", torch.ones(queue, dtype=torch.bool))
        self.place = self.batches = 0
        self.decay, self.alpha, self.alpha_steps = momentum, alpha, alpha_steps
        self.smoothing, self.hardest = smoothing, hardest
        self.begin()

    def begin(self) -> None:
        """The averages start from the weights."""
        self.average = nn.ModuleDict(
            {name: copy.deepcopy(getattr(self, name)) for name in
             ("vision_model", "text_encoder", "vision_proj", "text_proj")}
        ).requires_grad_(False)  # fmt: skip

    def _share(self) -> None:
        """Encoder and decoder have all but their self-attention in common."""
        own, other = self.text_encoder, self.text_decoder.bert
        other.embeddings = own.embeddings
        for mine, theirs in zip(own.encoder.layer, other.encoder.layer, strict=True):
            for part in ("crossattention", "intermediate", "output"):
                setattr(theirs, part, getattr(mine, part))
        words = self.text_decoder.cls.predictions
        words.decoder.weight = own.embeddings.word_embeddings.weight
        words.decoder.bias = words.bias

    def learned(self) -> list[nn.Parameter]:
        """Every parameter that is trained, once."""
        return [p for p in self.parameters() if p.requires_grad]

    def forward(
        self, image: Tensor, ids: Tensor, mask: Tensor, keys: Sequence[Tensor], valid: Tensor
    ) -> dict[str, Tensor]:
        """The three losses of a batch; moves averages and queue.

        Args:
          image: normalised pixels, channels first.
          ids, mask: texts, 1 for real tokens.
          keys: of records, of texts, of groups; 0 is equal to nothing.
          valid: rows that are no padding.
        """
        rows = len(ids)
        tokens = self.vision_model(image).last_hidden_state
        hidden = self.text_encoder(ids, attention_mask=mask).last_hidden_state
        image_vector = functional.normalize(self.vision_proj(tokens[:, 0]), dim=-1)
        text_vector = functional.normalize(self.text_proj(hidden[:, 0]), dim=-1)
        with torch.no_grad():
            self.temp.clamp_(0.001, 0.5)
            self._follow()
            image_m, text_m = self._averaged(image, ids, mask)
            all_keys = torch.cat([torch.stack(list(keys)), self.key_queue], dim=1)
            counts = torch.cat([valid, self.valid_queue])
            positive, left_out = _relation(keys, all_keys, counts)
            images = torch.cat([image_m, self.image_queue])
            texts = torch.cat([text_m, self.text_queue])
            done = self.batches - 1
            rise = min(1.0, done / self.alpha_steps) if self.alpha_steps else 1.0
            hard = positive / positive.sum(1, keepdim=True).clamp(min=1)
            targets = [
                self.alpha * rise * _softmax(vector @ others.T / self.temp, left_out)
                + (1 - self.alpha * rise) * hard
                for vector, others in ((image_m, texts), (text_m, images))
            ]
        to_text, to_image = image_vector @ texts.T / self.temp, text_vector @ images.T / self.temp
        parts = [
            -(functional.log_softmax(s.masked_fill(left_out, -1e30), 1) * t)
            .masked_fill(left_out, 0).sum(1)[valid].mean()
            for s, t in ((to_text, targets[0]), (to_image, targets[1]))
        ]  # fmt: skip
        self._push(image_m, text_m, keys, valid)
        allowed = ~positive[:, :rows] & ~left_out[:, :rows]
        other_text = self._negatives(to_text[:, :rows], allowed)
        other_image = self._negatives(to_image[:, :rows], allowed)
        itm = self._match(ids, mask, tokens, other_text, other_image, valid, allowed.any(1))
        written = ids.clone()
        written[:, 0] = self.settings.text_config.vocab_size - 2
        labels = ids.masked_fill(~(mask.bool() & valid[:, None]), -100)
        logits = self.text_decoder(
            written, attention_mask=mask, encoder_hidden_states=tokens, use_cache=False
        ).logits
        lm = functional.cross_entropy(
            logits[:, :-1].flatten(0, 1),
            labels[:, 1:].flatten(),
            ignore_index=-100,
            label_smoothing=self.smoothing,
        )
        return {"itc": (parts[0] + parts[1]) / 2, "itm": itm, "lm": lm}

    def _match(
        self,
        ids: Tensor,
        mask: Tensor,
        tokens: Tensor,
        other_text: Tensor,
        other_image: Tensor,
        valid: Tensor,
        some: Tensor,
    ) -> Tensor:
        ids = ids.clone()
        ids[:, 0] = self.settings.text_config.vocab_size - 1
        hidden = self.text_encoder(
            torch.cat([ids, ids, ids[other_text]]),
            attention_mask=torch.cat([mask, mask, mask[other_text]]),
            encoder_hidden_states=torch.cat([tokens, tokens[other_image], tokens]),
        ).last_hidden_state
        rows = len(ids)
        truth = (torch.arange(3 * rows) < rows).long()
        counts = torch.cat([valid, valid & some, valid & some])
        return functional.cross_entropy(self.itm_head(hidden[:, 0])[counts], truth[counts])

    def _negatives(self, logits: Tensor, allowed: Tensor) -> Tensor:
        weights = (functional.softmax(logits.detach(), dim=1) + 1e-4) * allowed
        if self.hardest:
            return weights.argmax(1)
        return torch.multinomial(weights, 1)[:, 0]

    def _averaged(self, image: Tensor, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        part = self.average
        tokens = part["vision_model"](image).last_hidden_state
        hidden = part["text_encoder"](ids, attention_mask=mask).last_hidden_state
        return (
            functional.normalize(part["vision_proj"](tokens[:, 0]), dim=-1),
            functional.normalize(part["text_proj"](hidden[:, 0]), dim=-1),
        )

    def _follow(self) -> None:
        self.batches += 1
        for name, average in self.average.items():
            own = getattr(self, name).parameters()
            for slow, fast in zip(average.parameters(), own, strict=True):
                slow.mul_(self.decay).add_(fast.detach(), alpha=1 - self.decay)

    def _push(self, image: Tensor, text: Tensor, keys: Sequence[Tensor], valid: Tensor) -> None:
        place = slice(self.place, self.place + len(image))
        self.image_queue[place], self.text_queue[place] = image, text
        self.key_queue[:, place] = torch.stack(list(keys))
        self.valid_queue[place] = valid
        self.place = (self.place + len(image)) % self.rows


def _softmax(logits: Tensor, left_out: Tensor) -> Tensor:
    return functional.softmax(logits.masked_fill(left_out, -1e30), dim=1)


def _relation(keys: Sequence[Tensor], others: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    record, text, group = (
        (own[:, None] == other[None]) & (own != 0)[:, None]
        for own, other in zip(keys, others, strict=True)
    )
    positive = (record | text) & counts
    return positive, ~positive & (group | ~counts)
