"""Heat-maps against regions, typed."""

from __future__ import annotations

from xlip.results.typed import Count, Mean, Part, Share


class RegionFigures(Part):
    """Heat-maps against regions."""

    regions: Count
    pointing: Mean
    iou: Mean
    cnr: Mean
    iou_chosen: Mean | None = None
    """At the threshold that validation regions chose; None without these, and in folders of older versions."""
    region_share: Share


class AbsentFigures(Part):
    """One kind on images that lack it."""

    images: Count
    area: Mean
    """Share of the image that is at least as hot as the threshold: 0 is right."""
    coloured: Share
    """Share of the images with any such place."""
