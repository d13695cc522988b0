"""Taggers of medical entities: rules on a lexicon, and adapters of models, behind one protocol."""
