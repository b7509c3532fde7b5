"""torchvision where it cannot be loaded: the few names that open_clip and timm import.

A torchvision built for CUDA does not load beside a CPU build of torch. Building models needs none
of it. The input pipeline needs four transforms and evaluation two more, which are rewritten here on
PIL, as torchvision itself does them for PIL images.
"""

# pyright: reportMissingImports=false
import importlib.machinery
import math
import random
import sys
import types
from enum import Enum
from typing import Any

_NAMES = (
    "torchvision",
    "torchvision.transforms",
    "torchvision.transforms.functional",
    "torchvision.ops",
    "torchvision.ops.misc",
    "torchvision.datasets",
    "torchvision.models",
    "torchvision.models.feature_extraction",
    "torchvision.utils",
)


def ensure_torchvision() -> str:
    """Imports torchvision, or puts the stand-in into ``sys.modules``; returns which it is."""
    if "torchvision" not in sys.modules:
        try:
            import torchvision
        except (ImportError, RuntimeError):  # RuntimeError: its operators are not registered
            for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
                del sys.modules[name]
            _install()
        else:
            return f"torchvision {torchvision.__version__}"
    return f"torchvision {sys.modules['torchvision'].__version__}"


class _Unused(types.ModuleType):
    """A module whose every other public name is an empty class: imported, never called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def _install() -> None:
    modules = {name: _Unused(name) for name in _NAMES}
    for name, module in modules.items():
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        module.__path__ = []
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, module)
    vars(modules["torchvision"])["__version__"] = "stand-in"
    for word in (
        InterpolationMode,
        Compose,
        RandomResizedCrop,
        Resize,
        CenterCrop,
        ToTensor,
        Normalize,
    ):
        setattr(modules["torchvision.transforms"], word.__name__, word)
    for word in (InterpolationMode, to_tensor):
        setattr(modules["torchvision.transforms.functional"], word.__name__, word)
    sys.modules.update(modules)


class InterpolationMode(Enum):
    NEAREST = 0
    LANCZOS = 1
    BILINEAR = 2
    BICUBIC = 3
    BOX = 4
    HAMMING = 5
    NEAREST_EXACT = 6  # named when transformers is imported


class Compose:
    def __init__(self, transforms: list[Any]):
        self.transforms = transforms

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image


class RandomResizedCrop:
    """A crop of random area and aspect, resized to ``size``; for PIL images."""

    def __init__(
        self,
        size: int | tuple[int, int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
    ):
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        self.scale, self.ratio, self.interpolation = scale, ratio, interpolation

    def __call__(self, image: Any) -> Any:
        box = self._box(*image.size)
        height, width = self.size
        # Crop and resize apart: PIL can do both at once, torchvision does not.
        return image.crop(box).resize((width, height), self.interpolation.value)

    def _box(self, width: int, height: int) -> tuple[int, int, int, int]:
        low, high = (math.log(r) for r in self.ratio)
        for _ in range(10):
            area = width * height * random.uniform(*self.scale)
            aspect = math.exp(random.uniform(low, high))
            w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < w <= width and 0 < h <= height:
                left, top = random.randint(0, width - w), random.randint(0, height - h)
                return left, top, left + w, top + h
        # None fitted: the largest crop in the middle whose aspect is allowed.
        w = min(width, round(height * self.ratio[1]))
        h = min(height, round(width / self.ratio[0]))
        left, top = (width - w) // 2, (height - h) // 2
        return left, top, left + w, top + h


class Resize:
    """The shorter side becomes ``size``; for PIL images."""

    def __init__(self, size: int, interpolation: InterpolationMode = InterpolationMode.BILINEAR):
        self.size, self.interpolation = size, interpolation

    def __call__(self, image: Any) -> Any:
        short, long = sorted(image.size)
        other = int(self.size * long / short)
        new = (self.size, other) if image.width <= image.height else (other, self.size)
        return image if new == image.size else image.resize(new, self.interpolation.value)


class CenterCrop:
    """The middle ``size`` (height, width) of a PIL image that is at least as large."""

    def __init__(self, size: tuple[int, int]):
        self.size = tuple(size)

    def __call__(self, image: Any) -> Any:
        height, width = self.size
        left, top = round((image.width - width) / 2.0), round((image.height - height) / 2.0)
        return image.crop((left, top, left + width, top + height))


class ToTensor:
    """What open_clip derives its own transform from."""


def to_tensor(image: Any) -> Any:
    """A PIL image as float32 [c, h, w] in 0..1."""
    import numpy as np
    import torch

    pixels = torch.from_numpy(np.array(image, np.uint8, copy=True))
    pixels = pixels.view(image.size[1], image.size[0], len(image.getbands()))
    return pixels.permute(2, 0, 1).contiguous().to(torch.float32).div(255)


class Normalize:
    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]):
        self.mean, self.std = mean, std

    def __call__(self, pixels: Any) -> Any:
        import torch

        mean, std = (
            torch.tensor(v, dtype=pixels.dtype)[:, None, None] for v in (self.mean, self.std)
        )
        return pixels.clone().sub_(mean).div_(std)
