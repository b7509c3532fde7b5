"""Every phantom by name; a second modality is a folder and a line here."""

from typing import Any

from data_gen.phantom.base import Phantom
from data_gen.phantom.chest_xray.phantom import ChestXray
from data_gen.phantom.ct.phantom import CT
from data_gen.phantom.fundus.phantom import Fundus
from data_gen.phantom.mri.phantom import Mri
from data_gen.phantom.pathology.phantom import Pathology
from data_gen.phantom.ultrasound.phantom import Ultrasound
from medvlp_jax.core.config import unknown_word

PHANTOMS: dict[str, Phantom] = {
    "chest_xray": ChestXray(),
    "ct": CT(),
    "fundus": Fundus(),
    "mri": Mri(),
    "pathology": Pathology(),
    "ultrasound": Ultrasound(),
}

#: The modality where a config names none.
DEFAULT = "chest_xray"


def find_phantom(name: str) -> Phantom:
    """The phantom of that name.

    Raises:
      ValueError: there is none; the message lists them.
    """
    if name not in PHANTOMS:
        raise ValueError(unknown_word("modality", name, PHANTOMS, "modality"))
    return PHANTOMS[name]


def without_default(settings: Any) -> Any:
    """Plain settings without ``modality`` keys of the default.

    Folders that were made when there was no choice have no such key, and stay what they are.
    """
    if isinstance(settings, dict):
        return {
            key: without_default(value)
            for key, value in settings.items()
            if (key, value) != ("modality", DEFAULT)
        }
    return settings
