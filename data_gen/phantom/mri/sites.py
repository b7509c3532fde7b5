"""All regions that the MRI phantom draws."""

from data_gen.phantom.mri.brain_site import BRAIN
from data_gen.phantom.mri.knee_site import CONDYLE, NOTCH
from data_gen.phantom.regional import Regions

MRI = Regions("MRI", (BRAIN, CONDYLE, NOTCH))
