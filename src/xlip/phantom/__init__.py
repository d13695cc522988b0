"""The chest X-ray phantom: computer-made frontal radiographs with a known truth. A test bed, not clinical data."""

from __future__ import annotations

from xlip.phantom.findings import PHANTOM_KINDS
from xlip.phantom.generate import PHANTOM_NOTICE, Finding, Phantom, generate

__all__ = ["PHANTOM_KINDS", "PHANTOM_NOTICE", "Finding", "Phantom", "generate"]
