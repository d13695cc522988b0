"""`croissant.json` beside a prepared set: the metadata form of ML Commons, by which other tools find and read the set.

Croissant 1.0 (Akhtar et al. 2024, https://docs.mlcommons.org/croissant/docs/croissant-spec-1.0.html). The set's own
licence is unknown to us: the description says whose terms hold. No path, id or text of a study is in the file.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

CROISSANT = "croissant.json"
VERSION = "http://mlcommons.org/croissant/1.0"
PAGE = "https://docs.mlcommons.org/croissant/"
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{
        name: f"cr:{name}"
        for name in (
            *("citeAs", "column", "extract", "field", "fileProperty", "fileObject", "fileSet", "format", "includes"),
            *("isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex"),
            *("repeated", "replace", "separator", "source", "subField", "transform"),
        )
    },
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
MEANINGS = {
    "study_id": "The study; unique in the set.",
    "patient_id": "The patient, by whom sets are divided and intervals resampled.",
    "source": "Which of the layouts of `xlip prepare` the study came in.",
    "split": "train, val or test.",
    "view": "PA, AP, LATERAL, or empty where unknown.",
    "report": "The text that a model reads, composed of sections of the report.",
    "tagger": "What found the entities, with its version.",
    "width": "Pixels of the original image.",
    "height": "Pixels of the original image.",
    "sex": "F, M, or empty where unknown.",
    "age": "Years; 90 means 90 or older in a de-identified set.",
    "language": "Language of the report, as an ISO 639-1 code.",
}
"""What plain columns hold. Nested ones (labels, entities, boxes, sections) have no field: Parquet readers have them."""


def croissant(
    *, name: str, about: str, schema: pa.Schema, checksum: str = "", counts: dict[str, int] | None = None
) -> bytes:
    """The file's content, JSON-LD in UTF-8.

    Args:
        name: of the set.
        about: a sentence of what is in it.
        schema: of its Parquet files.
        checksum: of its split, where it has one: two sets with the same are the same studies.
        counts: studies, images, reports, patients and so on.
    """
    files = {
        "@type": "cr:FileSet",
        "@id": "parts",
        "name": "parts",
        "description": "The studies, in Parquet files of one schema.",
        "encodingFormat": "application/x-parquet",
        "includes": "part-*.parquet",
    }
    found = [_field(one) for one in schema]
    dataset = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": VERSION,
        "name": name,
        "description": f"{about} For research, not for clinical use. The licence and the terms of the original set "
        "apply to these files.",
        "license": "The licence of the original set.",
        "url": PAGE,
        **({"version": checksum} if checksum else {}),
        "distribution": [files],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "studies",
                "name": "studies",
                "description": "One image, one report, or both, of one patient.",
                "key": {"@id": "studies/study_id"},
                "field": [one for one in found if one],
            }
        ],
        "variableMeasured": [
            {"@type": "sc:PropertyValue", "name": what, "value": number} for what, number in (counts or {}).items()
        ],
    }
    return (json.dumps(dataset, indent=1) + "\n").encode()


def _field(column: pa.Field) -> dict[str, Any] | None:
    """A plain column or the image; None for a nested one."""
    import pyarrow as pa

    source: dict[str, Any] = {"fileSet": {"@id": "parts"}, "extract": {"column": column.name}}
    if column.name == "image":
        source["transform"] = {"jsonPath": "bytes"}
        kind, said = "sc:ImageObject", "8-bit grayscale image as PNG or JPEG; null where the study has none."
    elif pa.types.is_string(column.type):
        kind, said = "sc:Text", MEANINGS.get(column.name, column.name)
    elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        kind = "sc:Integer" if pa.types.is_integer(column.type) else "sc:Float"
        said = MEANINGS.get(column.name, column.name)
    else:
        return None
    named = f"studies/{column.name}"
    return {
        "@type": "cr:Field", "@id": named, "name": column.name, "description": said, "dataType": kind, "source": source
    }  # fmt: skip
