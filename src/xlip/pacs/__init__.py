"""DICOM over the network: pulled, received, sent back; results as DICOM objects; worklists."""
