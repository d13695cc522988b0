"""Grids of trainings that differ in named switches, measured alike and compared in pairs."""
