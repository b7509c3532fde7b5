"""One record to one row of a batch's arrays."""

import numpy as np

from medvlp_jax.data.config import DataConfig
from medvlp_jax.data.images import geometry
from medvlp_jax.data.images.augment import load_image
from medvlp_jax.data.images.base import ImageError
from medvlp_jax.data.images.decoding import decode_mask
from medvlp_jax.data.store.record import Image, Record
from medvlp_jax.data.texts.choice import stated_labels, text_key
from medvlp_jax.data.texts.text_index import eligible_images
from medvlp_jax.data.texts.tokenizer import Tokenizer
from medvlp_jax.data.texts.vary import vary

Batch = dict[str, np.ndarray]


class BatchBuilder:
    """Allocates batches and fills their rows; holds no state, so rows may be filled in threads."""

    def __init__(self, config: DataConfig, tokenizer: Tokenizer):
        self.config = config
        self.tokenizer = tokenizer
        self._label = {name: i for i, name in enumerate(config.labels)}
        self._mask = {name: i for i, name in enumerate(config.masks)}

    def empty(self, rows: int, length: int) -> Batch:
        """``rows`` padding rows (``valid`` False) with texts of ``length`` tokens."""
        c, side = self.config, self.config.image.size
        batch: Batch = {
            "image": np.zeros((rows, side, side, c.image.channels), np.uint8),
            "text": np.full((rows, length), self.tokenizer.pad_id, np.int32),
            "text_mask": np.zeros((rows, length), bool),
            "text_key": np.zeros(rows, np.uint32),
            "labels": np.full((rows, len(c.labels)), -2, np.int8),
            "text_labels": np.zeros((rows, len(c.labels)), np.uint8),
            "valid": np.zeros(rows, bool),
        }
        if c.text.with_words:
            batch["word_ids"] = np.full((rows, length), -1, np.int32)
        if c.text.variant:
            batch["text_variant"] = batch["text"].copy()
            batch["text_variant_mask"] = batch["text_mask"].copy()
        if c.with_boxes:
            batch["boxes"] = np.zeros((rows, c.max_boxes, 4), np.float32)
            batch["box_label"] = np.full((rows, c.max_boxes), -1, np.int32)
        if c.with_masks:
            batch["masks"] = np.zeros((rows, side, side, len(c.masks)), np.uint8)
            batch["mask_given"] = np.zeros((rows, len(c.masks)), bool)
        return batch

    def fill(
        self, batch: Batch, row: int, record: Record, text: str, rng: np.random.Generator | None
    ) -> list[str]:
        """Fills one row; without ``rng`` as evaluation does, without any chance.

        Returns:
          The phrases of the row's boxes, in their order.

        Raises:
          ImageError: the image or a mask cannot be decoded; the row is then left as padding.
        """
        image = self._choose(record, rng)
        at = record.images.index(image)
        pixels, matrix = load_image(image.data, image.format, self.config.image, rng)
        phrases: list[str] = []
        if self.config.with_masks:
            self._fill_masks(batch, row, record, at, matrix)
        if self.config.with_boxes:
            phrases = self._fill_boxes(batch, row, record, at, matrix)
        batch["image"][row] = pixels
        if text:
            length = batch["text"].shape[1]
            batch["text"][row], batch["text_mask"][row] = self.tokenizer.pad(text, length)
            batch["text_key"][row] = text_key(text)
            if self.config.text.with_words:
                batch["word_ids"][row] = self.tokenizer.word_ids([text], length)[0]
            if self.config.text.variant:
                share = self.config.text.variant
                varied = text if rng is None else vary(text, share, rng)
                ids, mask = self.tokenizer.pad(varied, length)
                batch["text_variant"][row], batch["text_variant_mask"][row] = ids, mask
            for name in stated_labels(record, text):
                if name in self._label:
                    batch["text_labels"][row, self._label[name]] = 1
        for name, value in record.labels.items():
            if name in self._label:
                batch["labels"][row, self._label[name]] = value
        batch["valid"][row] = True
        return phrases

    def _choose(self, record: Record, rng: np.random.Generator | None) -> Image:
        images = eligible_images(record, self.config.image)
        if not images:
            raise ImageError(f"no image of the views {self.config.image.views}")
        return images[int(rng.integers(len(images)))] if rng is not None else images[0]

    def _fill_boxes(
        self, batch: Batch, row: int, record: Record, image: int, m: geometry.Matrix
    ) -> list[str]:
        wanted = [b for b in record.boxes if b.image == image and b.label in self._label]
        if not wanted:
            return []
        corners = np.array([[b.x0, b.y0, b.x1, b.y1] for b in wanted], np.float32)
        moved, kept = geometry.move_boxes(corners, m, self.config.image.geometry.min_visible)
        if len(kept) > self.config.max_boxes:
            # The largest stay: a lost small box costs the least area.
            area = (moved[:, 2] - moved[:, 0]) * (moved[:, 3] - moved[:, 1])
            largest = np.sort(np.argsort(-area, kind="stable")[: self.config.max_boxes])
            moved, kept = moved[largest], kept[largest]
        batch["boxes"][row, : len(kept)] = moved
        batch["box_label"][row, : len(kept)] = [self._label[wanted[k].label] for k in kept]
        return [wanted[k].phrase for k in kept]

    def _fill_masks(
        self, batch: Batch, row: int, record: Record, image: int, m: geometry.Matrix
    ) -> None:
        # Decoded first: a corrupt mask must leave the row as it was.
        moved = [
            (
                self._mask[mask.label],
                geometry.warp_mask(decode_mask(mask.data), m, self.config.image.size),
            )
            for mask in record.masks
            if mask.image == image and mask.label in self._mask
        ]
        for label, pixels in moved:  # several masks of one name are one region
            batch["masks"][row, :, :, label] |= pixels
            batch["mask_given"][row, label] = True
