"""Invented hospital archives as DICOM trees with a table of reports, whole and damaged.

`clean` writes an archive and returns what is true of it. Each of `DAMAGES` changes one thing in such an archive, as
exporters, spreadsheets and people do; `check` says whether `prepare` lost, guessed or leaked anything in silence.
"""

from __future__ import annotations

import csv
import io
import random
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from xlip.phantom import generate

CR = "1.2.840.10008.5.1.4.1.1.1"
SIZE = 72
PEOPLE = (
    ("Quillfeather^Ottoline", "MRN7731904", "19520317", "F"),
    ("Brzeczek^Wladimir", "MRN4410278", "19671102", "M"),
    ("Okonkwo-Thistlewood^Ngozi", "MRN9023315", "19810724", "F"),
    ("Teufelsdroeckh^Diogenes", "MRN1187642", "19390509", "M"),
    ("Vandersloot^Machteld", "MRN5560931", "19950130", "F"),
    ("Ibarruri^Xabier", "MRN3348827", "19740816", "M"),
)
DOCTOR = "Pfannenstiel^Adelgunde^^Dr"


@dataclass
class Exam:
    """One examination: a frontal image, for some a lateral one, and a report."""

    number: int
    person: tuple[str, str, str, str]
    files: list[Path] = field(default_factory=list)
    report: str = ""

    @property
    def accession(self) -> str:
        return f"ACC88{self.number:03d}417"

    @property
    def study_uid(self) -> str:
        return f"1.2.826.0.1.3680043.9.7433.1.{1000 + self.number}"

    @property
    def date(self) -> str:
        return f"20{15 + self.number % 6}0{1 + self.number % 9}1{self.number % 10}"


@dataclass
class Archive:
    """An archive on disk and the truth about it."""

    root: Path
    table: Path
    exams: list[Exam]
    rng: random.Random
    options: dict[str, Any] = field(default_factory=dict)
    delimiter: str = ","
    encoding: str = "utf-8"
    noise: int = 0
    """Numbers of files that damages add."""

    @property
    def secrets(self) -> set[str]:
        """Every word that must not stand in any output."""
        names = {part for name, *_ in PEOPLE for part in name.replace("-", "^").split("^")}
        doctor = {part for part in DOCTOR.split("^") if len(part) > 2}
        numbers = {mrn for _, mrn, *_ in PEOPLE} | {exam.accession for exam in self.exams}
        return names | doctor | numbers | {exam.study_uid for exam in self.exams}

    def rows(self) -> list[dict[str, str]]:
        """The rows of the report table."""
        return [row for _, row in self.lines()]

    def lines(self) -> list[tuple[int, dict[str, str]]]:
        """The rows with the lines that they begin in; rows of another width than the header are left out."""
        with self.table.open(encoding=self.encoding, newline="") as stream:
            reader = csv.DictReader(stream, delimiter=self.delimiter)
            line, found = 2, []
            for row in reader:
                if None not in row and None not in row.values():
                    found.append((line, row))
                line = reader.line_num + 1
            return found

    def write(self, rows: list[dict[str, str]]) -> None:
        """Write the report table anew."""
        text = io.StringIO(newline="")
        table = csv.DictWriter(text, list(rows[0]), delimiter=self.delimiter)
        table.writeheader()
        table.writerows(rows)
        self.table.write_bytes(text.getvalue().encode(self.encoding))

    def exam(self) -> Exam:
        """One of the examinations whose files are still there."""
        return self.rng.choice([exam for exam in self.exams if exam.files])

    def change(self, **fields: Any) -> Exam:
        """Set elements of the frontal image of one examination; None deletes."""
        exam = self.exam()
        edit(exam.files[0], **fields)
        return exam

    def added(self, name: str) -> Path:
        """A path for a new file."""
        self.noise += 1
        path = self.root / "EXTRA" / name.format(self.noise)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def edit(file: Path, **fields: Any) -> None:
    """Change elements of a DICOM file in place; None deletes one."""
    data = pydicom.dcmread(file)
    for keyword, value in fields.items():
        if value is None:
            if keyword in data:
                delattr(data, keyword)
        else:
            setattr(data, keyword, value)
    data.save_as(file, enforce_file_format=True)


def pixels_of(file: Path) -> np.ndarray[Any, Any]:
    return pydicom.dcmread(file).pixel_array


def put_pixels(file: Path, pixels: np.ndarray[Any, Any], **fields: Any) -> None:
    edit(file, PixelData=pixels.astype(np.uint16).tobytes(), **fields)


def dicom(exam: Exam, view: str, pixels: np.ndarray[Any, Any]) -> FileDataset:
    """A radiograph of an examination: 12 bits, with all of what names a patient."""
    name, mrn, born, sex = exam.person
    meta = FileMetaDataset()
    instance = f"{exam.study_uid}.{1 if view == 'PA' else 2}.1"
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CR, instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID, data.StudyInstanceUID = CR, instance, exam.study_uid
    data.SeriesInstanceUID = f"{exam.study_uid}.{1 if view == 'PA' else 2}"
    data.SpecificCharacterSet = "ISO_IR 192"
    data.PatientName, data.PatientID, data.PatientBirthDate, data.PatientSex = name, mrn, born, sex
    data.PatientAge = f"{int(exam.date[:4]) - int(born[:4]):03d}Y"
    data.StudyDate, data.AccessionNumber, data.ReferringPhysicianName = exam.date, exam.accession, DOCTOR
    data.Modality, data.ViewPosition, data.BodyPartExamined = "CR", view, "CHEST"
    data.SeriesDescription = "Chest PA" if view == "PA" else "Chest lateral"
    data.Manufacturer, data.ImageType = "Acme X-Ray", ["ORIGINAL", "PRIMARY"]
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.WindowCenter, data.WindowWidth = 2048, 4096
    data.PixelData = pixels.astype(np.uint16).tobytes()
    data["PixelData"].VR = "OW"
    return data


def clean(folder: Path, seed: int = 0, exams: int = 9) -> Archive:
    """An archive without a fault: `exams` frontal images, three lateral ones, a report for each examination."""
    made = []
    for number in range(exams):
        exam = Exam(number, PEOPLE[number % len(PEOPLE)])
        phantom = generate(number, seed=seed, size=SIZE)
        surname, _, first = exam.person[0].partition("^")
        place = folder / "archive" / f"{surname}_{first}_{exam.person[1]}" / exam.accession
        place.mkdir(parents=True, exist_ok=True)
        for view in ("PA", "LL") if number % 3 == 0 else ("PA",):
            pixels = phantom.pixels.astype(np.int64) * 16 if view == "PA" else phantom.pixels.T.astype(np.int64) * 16
            file = place / f"{surname}_{view}.dcm"
            dicom(exam, view, pixels).save_as(file, enforce_file_format=True)
            exam.files.append(file)
        exam.report = (
            f"Patient: {first} {surname}, MRN {exam.person[1]}, accession {exam.accession}.\n"
            f"FINDINGS: {phantom.report} Code K{number}. Seen with {first} {surname} by Dr. Adelgunde Pfannenstiel.\n"
            f"IMPRESSION: As above, {surname.upper()}."
        )
        made.append(exam)
    archive = Archive(folder / "archive", folder / "reports.csv", made, random.Random(seed))
    archive.write(
        [
            {
                "AccessionNumber": exam.accession,
                "PatientID": exam.person[1],
                "StudyInstanceUID": exam.study_uid,
                "StudyDate": f"{exam.date[:4]}-{exam.date[4:6]}-{exam.date[6:]}",
                "ReportText": exam.report,
            }
            for exam in made
        ]
    )
    archive.options = {"reports": str(archive.table)}
    return archive


Damage = Callable[[Archive], None]
DAMAGES: dict[str, Damage] = {}
"""Name -> what is done to an archive."""


def damage(change: Damage) -> Damage:
    DAMAGES[change.__name__] = change
    return change


def moved(archive: Archive, name: str) -> None:
    exam = archive.exam()
    target = exam.files[0].with_name(name.format(exam.number))
    exam.files[0].rename(target)
    exam.files[0] = target


@damage
def named_by_uid(archive: Archive) -> None:
    moved(archive, "1.2.840.113619.2.5.{}")


@damage
def named_by_uid_with_letters(archive: Archive) -> None:
    moved(archive, "CR.1.2.840.{}")


@damage
def without_suffix(archive: Archive) -> None:
    moved(archive, "IM00000{}")


@damage
def suffix_ima(archive: Archive) -> None:
    moved(archive, "{}.IMA")


@damage
def suffix_img(archive: Archive) -> None:
    moved(archive, "{}.img")


@damage
def suffix_txt(archive: Archive) -> None:
    moved(archive, "{}.txt")


@damage
def hidden_file(archive: Archive) -> None:
    moved(archive, ".{}.dcm")


@damage
def linked_folder(archive: Archive) -> None:
    exam = archive.exam()
    apart = archive.root.parent / f"apart{exam.number}"
    if exam.files[0].parent.is_symlink() or apart.exists():
        return
    folder = exam.files[0].parent
    shutil.move(folder, apart)
    folder.symlink_to(apart, target_is_directory=True)


@damage
def circle_of_links(archive: Archive) -> None:
    archive.added("circle{}").symlink_to(archive.root, target_is_directory=True)


@damage
def link_to_nowhere(archive: Archive) -> None:
    archive.added("gone{}").symlink_to(archive.root / "nothing")


@damage
def without_preamble(archive: Archive) -> None:
    file = archive.exam().files[0]
    data = pydicom.dcmread(file, force=True)
    buffer = io.BytesIO()
    plain = Dataset()
    plain.update({tag: data[tag] for tag in data.keys() if tag.group != 2})  # noqa: SIM118
    plain.save_as(buffer, implicit_vr=True, little_endian=True)
    file.write_bytes(buffer.getvalue())


@damage
def lateral_called_ll(archive: Archive) -> None:
    archive.change(ViewPosition="LL", SeriesDescription="Thorax")


@damage
def lateral_in_spanish(archive: Archive) -> None:
    archive.change(ViewPosition=None, SeriesDescription="Tórax perfil")


@damage
def view_missing(archive: Archive) -> None:
    archive.change(ViewPosition=None, SeriesDescription=None)


@damage
def view_contradictory(archive: Archive) -> None:
    archive.change(ViewPosition="PA", SeriesDescription="Thorax seitlich")


@damage
def patient_in_other_case_and_space(archive: Archive) -> None:
    exam = archive.exam()
    edit(exam.files[0], PatientID=f" {exam.person[1].lower()} ")


@damage
def patient_missing(archive: Archive) -> None:
    archive.change(PatientID=None)


@damage
def accession_missing(archive: Archive) -> None:
    archive.change(AccessionNumber=None)


@damage
def accession_of_two_studies(archive: Archive) -> None:
    other = archive.exam()
    archive.change(AccessionNumber=other.accession)


@damage
def study_uid_missing(archive: Archive) -> None:
    archive.change(StudyInstanceUID=None)


@damage
def instance_twice(archive: Archive) -> None:
    file = archive.exam().files[0]
    shutil.copy(file, archive.added("copy{}.dcm"))


@damage
def two_frontal_images(archive: Archive) -> None:
    file = archive.exam().files[0]
    copy = archive.added("second{}.dcm")
    shutil.copy(file, copy)
    uid = f"1.2.826.0.1.3680043.9.7433.7.{archive.noise}"
    data = pydicom.dcmread(copy)
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = uid
    data.save_as(copy, enforce_file_format=True)


def another_class(archive: Archive, uid: str, modality: str, **fields: Any) -> None:
    file = archive.exam().files[0]
    copy = archive.added(f"{modality}{{}}.dcm")
    data = pydicom.dcmread(file)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = uid
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.3680043.9.7433.8.{archive.noise}"
    data.Modality = modality
    for keyword, value in fields.items():
        setattr(data, keyword, value)
    data.save_as(copy, enforce_file_format=True)


@damage
def a_ct_slice(archive: Archive) -> None:
    another_class(archive, "1.2.840.10008.5.1.4.1.1.2", "CT")


@damage
def an_mr_slice(archive: Archive) -> None:
    another_class(archive, "1.2.840.10008.5.1.4.1.1.4", "MR")


@damage
def an_ultrasound(archive: Archive) -> None:
    another_class(archive, "1.2.840.10008.5.1.4.1.1.6.1", "US")


@damage
def a_segmentation(archive: Archive) -> None:
    another_class(archive, "1.2.840.10008.5.1.4.1.1.66.4", "SEG")


@damage
def a_dose(archive: Archive) -> None:
    another_class(archive, "1.2.840.10008.5.1.4.1.1.481.2", "RTDOSE")


@damage
def a_presentation_state(archive: Archive) -> None:
    another_class(archive, "1.2.840.10008.5.1.4.1.1.11.1", "PR")


@damage
def a_secondary_capture(archive: Archive) -> None:
    another_class(archive, "1.2.840.10008.5.1.4.1.1.7", "CR")


@damage
def another_body_part(archive: Archive) -> None:
    archive.change(BodyPartExamined="HAND")


@damage
def a_folder_of_masks(archive: Archive) -> None:
    file = archive.exam().files[0]
    copy = archive.added("masks/{}.dcm")
    shutil.copy(file, copy)
    edit(copy, SOPInstanceUID=f"1.2.826.0.1.3680043.9.7433.6.{archive.noise}")


@damage
def window_of_eight_bits(archive: Archive) -> None:
    archive.change(WindowCenter=128, WindowWidth=256)


@damage
def one_marker_of_65535(archive: Archive) -> None:
    file = archive.exam().files[0]
    pixels = pixels_of(file).copy()
    pixels[3, 3] = 65535
    put_pixels(file, pixels, WindowCenter=None, WindowWidth=None, BitsStored=16, HighBit=15)


@damage
def broken_voi_table(archive: Archive) -> None:
    item = Dataset()
    item.add_new(0x00283002, "US", [4096, 0, 16])
    item.add_new(0x00283006, "OW", b"\x01\x02\x03\x04")
    archive.change(VOILUTSequence=Sequence([item]))


@damage
def inverse_presentation_shape(archive: Archive) -> None:
    archive.change(PresentationLUTShape="INVERSE")


@damage
def inverted_pixels(archive: Archive) -> None:
    file = archive.exam().files[0]
    put_pixels(file, 4095 - pixels_of(file).astype(np.int64))


@damage
def black_picture(archive: Archive) -> None:
    file = archive.exam().files[0]
    put_pixels(file, np.zeros(pixels_of(file).shape))


@damage
def name_in_the_picture(archive: Archive) -> None:
    exam = archive.exam()
    page = Image.fromarray(pixels_of(exam.files[0]).astype(np.int32)).resize((512, 512))
    picture = Image.fromarray((np.asarray(page) // 16).clip(0, 200).astype(np.uint8))
    ImageDraw.Draw(picture).text((20, 20), exam.person[0].replace("^", " "), fill=255, font_size=20)
    pixels = np.asarray(picture).astype(np.int64) * 16
    put_pixels(exam.files[0], pixels, Rows=512, Columns=512)


@damage
def cut_pixels(archive: Archive) -> None:
    archive.change(PixelData=b"\0" * 100)


@damage
def cut_file(archive: Archive) -> None:
    file = archive.exam().files[0]
    file.write_bytes(file.read_bytes()[:300])


@damage
def empty_file(archive: Archive) -> None:
    archive.exam().files[0].write_bytes(b"")


@damage
def other_files(archive: Archive) -> None:
    for name in ("Thumbs{}.db", "viewer{}.exe", "read{}.pdf", "picture{}.png"):
        archive.added(name).write_bytes(b"\x89PNG not DICOM at all")


@damage
def odd_age(archive: Archive) -> None:
    archive.change(PatientAge="411Y")


@damage
def odd_date(archive: Archive) -> None:
    archive.change(StudyDate="20991399")


@damage
def implicit_syntax(archive: Archive) -> None:
    file = archive.exam().files[0]
    data = pydicom.dcmread(file)
    data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    data.save_as(file, implicit_vr=True, little_endian=True, enforce_file_format=True)


@damage
def report_missing(archive: Archive) -> None:
    rows = archive.rows()
    rows.remove(archive.rng.choice(rows))
    archive.write(rows)


@damage
def report_twice(archive: Archive) -> None:
    rows = archive.rows()
    archive.write([*rows, archive.rng.choice(rows)])


@damage
def report_with_addendum(archive: Archive) -> None:
    rows = archive.rows()
    row = archive.rng.choice(rows)
    archive.write([*rows, {**row, "ReportText": "ADDENDUM: The nodule is a nipple shadow."}])


@damage
def two_different_reports(archive: Archive) -> None:
    rows = archive.rows()
    row = archive.rng.choice(rows)
    archive.write([*rows, {**row, "ReportText": f"FINDINGS: Large left pneumothorax. Code Z{len(rows)}."}])


@damage
def report_of_another_patient(archive: Archive) -> None:
    rows = archive.rows()
    first, second = archive.rng.sample(rows, 2)
    first["PatientID"], second["PatientID"] = second["PatientID"], first["PatientID"]
    archive.write(rows)


@damage
def report_of_no_study(archive: Archive) -> None:
    rows = archive.rows()
    archive.write([*rows, {**rows[0], "AccessionNumber": "ACC00000000", "ReportText": "FINDINGS: Knee."}])


@damage
def report_empty(archive: Archive) -> None:
    rows = archive.rows()
    archive.rng.choice(rows)["ReportText"] = ""
    archive.write(rows)


@damage
def report_without_accession(archive: Archive) -> None:
    rows = archive.rows()
    archive.rng.choice(rows)["AccessionNumber"] = ""
    archive.write(rows)


@damage
def accessions_with_spaces(archive: Archive) -> None:
    rows = archive.rows()
    for row in rows:
        row["AccessionNumber"] = f"  {row['AccessionNumber'].lower()} "
    archive.write(rows)


@damage
def table_inside_the_tree(archive: Archive) -> None:
    target = archive.root / "reports.csv"
    archive.table.rename(target)
    archive.table = target
    archive.options["reports"] = str(target)


@damage
def table_with_semicolons(archive: Archive) -> None:
    rows, archive.delimiter = archive.rows(), ";"
    archive.write(rows)


@damage
def table_with_tabs_in_utf16(archive: Archive) -> None:
    rows, archive.delimiter, archive.encoding = archive.rows(), "\t", "utf-16"
    archive.write(rows)


@damage
def row_with_a_stray_cell(archive: Archive) -> None:
    line = archive.delimiter.join(("ACC88000417", "MRN7731904", "1.2", "2020-01-01", "Seen", "Ottoline", "Brzeczek"))
    archive.table.write_bytes(archive.table.read_bytes() + f"{line}\r\n".encode(archive.encoding).lstrip(b"\xff\xfe"))


@damage
def root_named_after_a_patient(archive: Archive) -> None:
    inside = archive.table.is_relative_to(archive.root)
    table = archive.table.relative_to(archive.root) if inside else archive.table
    target = archive.root.with_name("Quillfeather_Ottoline_MRN7731904")
    archive.root.rename(target)
    for exam in archive.exams:
        exam.files = [target / file.relative_to(archive.root) for file in exam.files]
    archive.root, archive.table = target, target / table
    archive.options["reports"] = str(archive.table)


@damage
def table_named_after_a_patient(archive: Archive) -> None:
    target = archive.table.with_name("Brzeczek_MRN4410278.csv")
    archive.table.rename(target)
    archive.table = target
    archive.options["reports"] = str(target)


@damage
def names_in_other_elements(archive: Archive) -> None:
    exam = archive.exam()
    name, mrn, *_ = exam.person
    edit(exam.files[0], StudyDescription=f"Chest PA {name} {mrn}", StationName=mrn)


def damaged(folder: Path, names: tuple[str, ...], seed: int = 0) -> Archive:
    """A clean archive to which damages are done, one after another."""
    archive = clean(folder, seed)
    for name in names:
        try:
            with warnings.catch_warnings(action="ignore"):  # pydicom warns of the values that are wrong on purpose
                DAMAGES[name](archive)
        except (InvalidDicomError, ValueError, AttributeError, OSError):
            if len(names) == 1:
                raise  # what an earlier damage spoilt cannot be spoilt again
    return archive


def readable(folder: Path) -> Iterator[tuple[str, str]]:
    """Every output of a preparation as text: Parquet cells and metadata, tables, card."""
    import pyarrow.parquet as pq

    for file in sorted(folder.iterdir()):
        if file.suffix == ".parquet":
            table = pq.read_table(file)
            yield file.name, f"{table.schema.metadata} {table.drop_columns(['image']).to_pylist()}"
            names = table.column("image").to_pylist()
            yield file.name, " ".join(str(cell and cell["path"]) for cell in names)
        yield file.name, file.read_bytes().decode("latin-1")
