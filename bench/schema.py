"""Write the JSON schemas beside `xlip.results` from the typed figures (`make schema`)."""

from __future__ import annotations

import json
from pathlib import Path

from xlip.results import schema

if __name__ == "__main__":
    for name, made in schema.SCHEMAS.items():
        text = json.dumps(made(), indent=1) + "\n"
        Path(schema.__file__).with_name(name).write_text(text, "utf-8")
