"""From findings to the arrays of sites that the renderer of a region reads."""

import numpy as np

from data_gen.phantom.ct.findings import Study
from data_gen.phantom.ct.picture.items import site_array
from data_gen.phantom.ct.sites.abdomen import ABDOMEN
from data_gen.phantom.ct.sites.chest import CHEST
from data_gen.phantom.ct.sites.head import HEAD
from data_gen.phantom.ct.sites.values import At, Sites

_REGIONS = {"abdomen": ABDOMEN, "chest": CHEST, "head": HEAD}


def site_arrays(study: Study, at: At) -> dict[str, np.ndarray]:
    """Sites of all kinds of the study's region; what it does not show has no owner."""
    places = _REGIONS[study.region]
    sites: dict[str, Sites] = {kind: [] for kind, _ in places.values()}
    for owner, finding in enumerate(study.findings):
        kind, make = places[finding.name]
        sites[kind] += make(study, finding, owner, at)
    return {kind: site_array(found) for kind, found in sites.items()}
