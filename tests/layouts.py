"""Small copies of the public layouts of every data set, made here; names, columns, folders as in the originals."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import bad_archives
from xlip.images.files import encode
from xlip.sources.pseudonyms import Private

CHEXPERT = (
    "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,Consolidation,Pneumonia,"
    "Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,Support Devices"
)
MIMIC_REPORT = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___ year old man with cough.

 FINDINGS:

 Small left effusion.  No pneumothorax.

 IMPRESSION:

 Left effusion.
"""
PADCHEST = (
    ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,Projection,"
    "SpatialResolution_DICOM,Rows_DICOM,Columns_DICOM,ReportID,Report,MethodLabel,Labels,Localizations,"
    "LabelsLocalizationsBySentence"
)
VINDR = "Aortic enlargement,Cardiomegaly,Pleural effusion,Nodule/Mass,COPD,No finding"
NIH_HEAD = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
)


def picture(path: Path, shape: tuple[int, int] = (8, 9)) -> None:
    """An image file in the format that its suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.arange(shape[0] * shape[1], dtype=np.uint8).reshape(shape)
    path.write_bytes(encode(pixels, lossless=path.suffix == ".png"))


def deep_picture(path: Path) -> None:
    """A 16-bit PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.arange(99, dtype=np.uint16) * 500).reshape(9, 11)).save(path)


def dicom(path: Path, shape: tuple[int, int] = (40, 50)) -> None:
    """A DICOM file with a name in it."""
    import pydicom
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3"
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID, data.PatientName = SecondaryCaptureImageStorage, "1.2.3", "Secret^Name"
    data.Rows, data.Columns, data.SamplesPerPixel = *shape, 1
    data.PhotometricInterpretation, data.PixelSpacing = "MONOCHROME2", [0.2, 0.25]
    data.BitsAllocated = data.BitsStored = 16
    data.HighBit, data.PixelRepresentation = 15, 0
    data.PixelData = np.arange(shape[0] * shape[1], dtype=np.uint16).tobytes()
    data["PixelData"].VR = "OW"
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, data, enforce_file_format=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())


def write(path: Path, text: str) -> None:
    """A text file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def mimic(root: Path) -> dict[str, Any]:
    head = "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate\n"
    rows = ["aa,10000032,50414267,CHEST,PA,3056,2544,21800506", "bb,10000032,50414267,CHEST,LATERAL,3056,2544,21800506"]
    rows += ["cc,11000011,50000002,CHEST,AP,2048,2048,21800507", "dd,11000011,50000003,CHEST,AP,2048,2048,21800508"]
    write(root / "mimic-cxr-2.0.0-metadata.csv", head + "\n".join(rows) + "\n")
    split = "dicom_id,study_id,subject_id,split\naa,50414267,10000032,train\nbb,50414267,10000032,train\n"
    write(root / "mimic-cxr-2.0.0-split.csv", split + "cc,50000002,11000011,validate\ndd,50000003,11000011,test\n")
    columns = ",".join(sorted(CHEXPERT.split(",")))
    labels = ["1.0" if c == "Pleural Effusion" else "-1.0" if c == "Pneumonia" else "" for c in columns.split(",")]
    table = f"subject_id,study_id,{columns}\n10000032,50414267,{','.join(labels)}\n"
    write(root / "mimic-cxr-2.0.0-chexpert.csv", table)
    for name in ("p10/p10000032/s50414267/aa", "p10/p10000032/s50414267/bb", "p11/p11000011/s50000002/cc"):
        picture(root / "files" / f"{name}.jpg")
    write(root / "files/p10/p10000032/s50414267.txt", MIMIC_REPORT)
    write(root / "files/p11/p11000011/s50000002.txt", " FINAL REPORT\n FINDINGS: ___\n")
    return {}


def chexpert(root: Path) -> dict[str, Any]:
    head = f"Path,Sex,Age,Frontal/Lateral,AP/PA,{CHEXPERT}\n"
    prefix = "CheXpert-v1.0-small"
    train = [
        f"{prefix}/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,1.0" + "," * 12 + ",1.0",
        f"{prefix}/train/patient00001/study1/view2_lateral.jpg,Female,68,Lateral,,1.0" + "," * 12 + ",1.0",
        f"{prefix}/train/patient00002/study2/view1_frontal.jpg,Male,87,Frontal,PA,,,-1.0,1.0,,0.0,,,,,,,1.0,",
        f"{prefix}/train/patient00003/study1/view1_frontal.jpg,Male,41,Frontal,AP" + ",0.0" * 13 + ",7",
    ]
    write(root / "train.csv", head + "\n".join(train) + "\n")
    valid = f"{prefix}/valid/patient64541/study1/view1_frontal.jpg,Male,73,Frontal,AP" + ",0.0" * 14
    write(root / "valid.csv", head + valid + "\n")
    write(root / "groundtruth.csv", f"Study,{CHEXPERT}\nCheXpert-v1.0/test/patient64741/study1{',1' * 14}\n")
    names = ["train/patient00001/study1/view1_frontal", "train/patient00001/study1/view2_lateral"]
    names += ["train/patient00002/study2/view1_frontal", "train/patient00003/study1/view1_frontal"]
    names += ["valid/patient64541/study1/view1_frontal", "test/patient64741/study1/view1_frontal"]
    names += ["test/patient64741/study1/view2_lateral"]
    for name in names:
        picture(root / f"{name}.jpg")
    return {}


def openi(root: Path) -> dict[str, Any]:
    write(
        root / "indiana_reports.csv",
        "uid,MeSH,Problems,image,indication,comparison,findings,impression\n"
        "1,Cardiomegaly/mild;Effusion,x,Xray Chest PA,XXXX-year-old,None.,Big heart.,Large XXXX heart.\n2,,,,,,,\n",
    )
    write(root / "indiana_projections.csv", "uid,filename,projection\n1,1_IM-0001-4001.dcm.png,Frontal\n")
    picture(root / "images/images_normalized/1_IM-0001-4001.dcm.png")
    return {}


def nih(root: Path) -> dict[str, Any]:
    rows = "00000001_000.png,Cardiomegaly|Effusion,0,1,57,M,PA,2682,2749,0.143,0.139,\n"
    rows += "00000002_000.png,No Finding,0,2,411,F,AP,2500,2048,0.168,0.168,\n"
    rows += "00000003_000.png,Efusion,0,3,1,M,PA,1,1,1,1,\n"
    write(root / "Data_Entry_2017_v2020.csv", NIH_HEAD + rows)
    write(
        root / "BBox_List_2017.csv",
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00000001_000.png,Effusion,512,256,128,64\n",
    )
    write(root / "test_list.txt", "00000002_000.png\n")
    for number in (1, 2, 3):
        picture(root / f"images_00{number}/images/0000000{number}_000.png")
    return {}


def rsna(root: Path) -> dict[str, Any]:
    rows = "a1,10.0,5.0,20.0,8.0,1\na1,30.0,5.0,100.0,8.0,1\nb2,,,,,0\nc3,,,,,0\nd4,,,,,0\n"
    write(root / "stage_2_train_labels.csv", "patientId,x,y,width,height,Target\n" + rows)
    classes = "a1,Lung Opacity\nb2,Normal\nc3,No Lung Opacity / Not Normal\n"
    write(root / "stage_2_detailed_class_info.csv", "patientId,class\n" + classes)
    for name in (
        "stage_2_train_images/a1",
        "stage_2_train_images/b2",
        "stage_2_train_images/c3",
        "stage_2_test_images/e5",
    ):
        dicom(root / f"{name}.dcm")
    return {}


def siim(root: Path) -> dict[str, Any]:
    rows = "1.2.a, 2048 3 1021 2\n1.2.a, 9000 4\n1.2.b, -1\n1.2.c, -1\n"
    write(root / "train-rle.csv", "ImageId, EncodedPixels\n" + rows)
    for part, name in (("train", "1.2.a"), ("train", "1.2.b"), ("test", "1.2.t")):
        dicom(root / f"dicom-images-{part}/1.2.x/1.2.y/{name}.dcm", (32, 32))
    return {}


def covidx(root: Path) -> dict[str, Any]:
    write(root / "train.txt", "1 a.png positive cohen\nCOVID 19 (7) b.png negative rsna\nbroken line\n")
    write(root / "test.txt", "9 c.jpg positive sirm\n8 gone.jpg negative rsna\n")
    for name in ("train/a.png", "train/b.png", "test/c.jpg"):
        picture(root / name)
    return {}


def padchest(root: Path) -> dict[str, Any]:
    name = "216840111366964012819207061112010307142602253_04-014-084.png"
    rows = [
        "0,1_a.png,0,20140915,s1,p1,1930.0,F,POSTEROANTERIOR,PA,0.143,2500,2000,r1,derrame pleural izquierd .,"
        "Physician,\"['pleural effusion', 'costophrenic angle blunting']\",\"['loc left']\","
        "\"[['pleural effusion', 'loc left']]\"",
        "1,1_b.png,0,20140915,s1,p1,1930.0,F,LATERAL,L,0.143,2500,2000,r1,normal .,Physician,['normal'],[],",
        "2,1_c.png,1,20140915,s2,p2,,M,,COSTAL,,,,r2,x,Physician,['normal'],[],",
        "3,1_d.png,1,20140915,s3,p3,,M,,AP_horizontal,,,,r3,sin cambio .,Physician,['unchanged'],[],",
        f"4,{name},1,20140915,s4,p4,,M,,PA,,,,r4,x,Physician,['normal'],[],",
    ]
    write(root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv", PADCHEST + "\n" + "\n".join(rows) + "\n")
    for path in ("0/1_a.png", "0/1_b.png", "1/1_c.png", "1/1_d.png"):
        deep_picture(root / path)
    return {}


def vindr(root: Path) -> dict[str, Any]:
    rows = ["u1,R1,1,0,1,1,0,0", "u1,R2,0,0,1,0,0,0", "u1,R3,0,0,1,0,0,0", "u2,R1,0,0,0,0,0,1", "u2,R2,0,0,0,0,0,1"]
    write(
        root / "annotations/image_labels_train.csv",
        f"image_id,rad_id,{VINDR}\n" + "\n".join(rows) + "\nu2,R4,0,0,0,0,1,0\n",
    )
    write(root / "annotations/image_labels_test.csv", f"image_id,{VINDR}\nt1,0,1,0,0,0,0\ngone,0,0,0,0,0,1\n")
    boxes = "u1,Pleural effusion,R1,5,10,25,30\nu1,Nodule/Mass,R1,1,1,2,2\nu2,No finding,R1,,,,\n"
    write(root / "annotations/annotations_train.csv", "image_id,class_name,rad_id,x_min,y_min,x_max,y_max\n" + boxes)
    for name in ("train/u1", "train/u2", "test/t1"):
        dicom(root / f"{name}.dicom")
    return {}


def brax(root: Path) -> dict[str, Any]:
    head = f"DicomPath,PngPath,PatientID,PatientSex,PatientAge,ViewPosition,{CHEXPERT}\n"
    rows = "x.dcm,images/id_1/Study_1/image-1.png,id_1,F,45,PA,,,1.0,,,,,,,,-1.0,,,\n"
    rows += "x.dcm,images/id_1/Study_1/image-2.png,id_1,F,85 or more,L" + "," * 14 + "\n"
    rows += "x.dcm,images/id_2/Study_1/image-1.png,id_2,M,50,AP" + "," * 14 + "\n"
    write(root / "master_spreadsheet_update.csv", head + rows)
    for name in ("image-1", "image-2"):
        picture(root / f"images/id_1/Study_1/{name}.png")
    return {}


def chestxdet10(root: Path) -> dict[str, Any]:
    train = [
        {"file_name": "36199.png", "syms": ["Effusion", "Calcification"], "boxes": [[0, 512, 256, 1024], [5, 5, 9, 9]]}
    ]
    train += [
        {"file_name": "gone.png", "syms": [], "boxes": []},
        {"file_name": "36200.png", "syms": ["Mass"], "boxes": []},
    ]
    write(root / "train.json", json.dumps(train))
    write(root / "test.json", json.dumps([{"file_name": "1.png", "syms": [], "boxes": []}]))
    picture(root / "train_data/36199.png", (64, 64))
    picture(root / "test_data/1.png", (64, 64))
    return {}


def padchest_gr(root: Path) -> dict[str, Any]:
    finding = {"sentence_en": "Left pleural effusion.", "sentence_es": "Derrame pleural izquierdo.", "abnormal": True}
    finding |= {"labels": ["pleural effusion"], "boxes": [[0.5, 0.25, 0.75, 1.2]], "locations": ["left"]}
    items = [{"StudyID": "s1", "ImageID": "1_a.png", "findings": [finding]}]
    items += [{"StudyID": "s2", "ImageID": "2_b.png", "findings": [{"sentence_en": "Clear.", "abnormal": False}]}]
    items += [{"StudyID": "s3", "ImageID": "gone.png", "findings": []}]
    write(root / "grounded_reports_20240819.json", json.dumps(items))
    write(
        root / "master_table.csv",
        "StudyID,ImageID,PatientID,split\ns1,1_a.png,p1,validation\ns1,1_a.png,p1,validation\n",
    )
    for name in ("1_a", "2_b"):
        picture(root / f"PadChest_GR/{name}.png")
    return {}


def rexgradient(root: Path) -> dict[str, Any]:
    paths = "\"['../deid_png/P1/a.png', '../deid_png/P1/b.png']\""
    head = "id,PatientID,PatientSex,PatientAge,Indication,Findings,Impression,ImagePath,ImageViewPosition\n"
    row = f"st1,P1,F,057Y,Cough.,Clear lungs.,Normal.,{paths},\"['PA', 'LATERAL']\"\n"
    write(root / "metadata/train_metadata_view_position.csv", head + row)
    write(root / "metadata/valid_metadata_view_position.csv", head + "st2,P2,M,,,x,y,['../deid_png/P2/c.png'],['AP']\n")
    for name in "ab":
        picture(root / f"deid_png/P1/{name}.png")
    return {}


def covid_chestxray(root: Path) -> dict[str, Any]:
    head = "patientid,offset,sex,age,finding,view,modality,folder,filename,clinical_notes\n"
    rows = "2,0,M,65,Pneumonia/Viral/COVID-19,PA,X-ray,images,a.jpg,Fever and cough.\n"
    rows += "3,,F,,todo,Axial,CT,volumes,b.nii.gz,\n"
    write(root / "metadata.csv", head + rows)
    picture(root / "images/a.jpg")
    return {}


def hannover(root: Path) -> dict[str, Any]:
    rows = "b0f73b8c,006f3a8a,m,57,,,-13,,,,DX,pa\n189daebe,00870a9c,f,,,,-22,,,,CR,ap\nx,gone,f,,,,,,,,CR,ap\n"
    head = "patient_id,image_id,sex,age,size,weight,admission_offset,icu_admission_offset,icu_release_offset,"
    write(root / "data.csv", head + "death_offset,modality,projection\n" + rows)
    for name in ("006f3a8a", "00870a9c"):
        picture(root / f"png/{name}.png")
    return {}


def kermany(root: Path) -> dict[str, Any]:
    names = ("train/NORMAL/IM-0115-0001", "train/PNEUMONIA/person1_bacteria_1", "test/PNEUMONIA/person1_virus_6")
    for name in names:
        picture(root / f"chest_xray/{name}.jpeg")
    return {}


def tuberculosis(root: Path) -> dict[str, Any]:
    for name in ("ChinaSet_AllFiles/CXR_png/CHNCXR_0001_0", "ChinaSet_AllFiles/CXR_png/CHNCXR_0327_1"):
        picture(root / f"{name}.png")
    picture(root / "MontgomerySet/CXR_png/MCUCXR_0104_1.png")
    picture(root / "MontgomerySet/CXR_png/notes.png")
    readings = "ClinicalReadings"
    write(root / f"ChinaSet_AllFiles/{readings}/CHNCXR_0001_0.txt", "male 45yrs\r\nnormal")
    write(root / f"ChinaSet_AllFiles/{readings}/CHNCXR_0327_1.txt", "female 24yrs\r\nleft upper PTB")
    text = "Patient's Sex: F\nPatient's Age: 026Y\ninfiltrates in the right upper lobe\n"
    write(root / f"MontgomerySet/{readings}/MCUCXR_0104_1.txt", text)
    return {}


def medmnist(root: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for split, count in (("train", 3), ("val", 1), ("test", 2)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count) % 2).astype(np.uint8)[:, None]
    root.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(root / "pneumoniamnist.npz", **arrays)
    many = {name: np.zeros((len(a), 14), np.uint8) if "labels" in name else a for name, a in arrays.items()}
    many["train_labels"][0, 12] = 1
    np.savez_compressed(root / "chestmnist_64.npz", **many)
    return {}


def roco(root: Path) -> dict[str, Any]:
    text = (
        "ROCO_00001\tChest X-ray with a left effusion.\nROCO_00002\tMRI of the brain.\nROCO_00003\tLung radiograph.\n"
    )
    write(root / "data/train/radiology/captions.txt", text)
    picture(root / "data/train/radiology/images/ROCO_00001.jpg")
    return {}


def csv(root: Path) -> dict[str, Any]:
    write(root / "mine.csv", "file,text,Mass\na.png,Clear lungs.,0\n,Large mass.,1\ngone.png,,1\n")
    picture(root / "a.png")
    return {"image_column": "file", "report_column": "text"}


def folder(root: Path) -> dict[str, Any]:
    for name in ("train/normal/p1_a.png", "train/Pneumonia/p2_a.png", "test/Pneumonia/p3_a.jpg"):
        picture(root / name)
    dicom(root / "test/normal/p4_b")
    write(root / "train/Pneumonia/p2_a.txt", "FINDINGS: Consolidation.\nIMPRESSION: Pneumonia.")
    write(root / "train/normal/p1_a.txt", "Clear lungs.")
    return {"patient_pattern": r"/(p\d+)_"}


def dicom_tree(root: Path) -> dict[str, Any]:
    archive = bad_archives.clean(root)
    (root / "key").write_text("5a" * 32)
    return {"reports": str(archive.table), "private": Private(root / "key")}


def phantom(root: Path) -> dict[str, Any]:
    return {"count": 3, "size": 64}


def r2gen(root: Path) -> None:
    """The second layout of Open-i."""
    item = {"id": "CXR7_IM-1", "report": "Clear.", "image_path": ["CXR7_IM-1/0.png", "CXR7_IM-1/1.png"]}
    write(root / "annotation.json", json.dumps({"train": [], "test": [item]}))
    picture(root / "images/CXR7_IM-1/0.png")


Layout = tuple[Callable[[Path], dict[str, Any]], int, int, int]
LAYOUTS: dict[str, Layout] = {
    "phantom": (phantom, 3, 3, 0),
    "mimic-cxr": (mimic, 2, 2, 2),
    "chexpert": (chexpert, 6, 6, 1),
    "openi": (openi, 1, 1, 1),
    "nih": (nih, 2, 2, 1),
    "rsna": (rsna, 4, 4, 1),
    "siim": (siim, 3, 3, 1),
    "covidx": (covidx, 3, 3, 2),
    "chestxdet10": (chestxdet10, 2, 2, 2),
    "padchest": (padchest, 3, 3, 2),
    "padchest-gr": (padchest_gr, 2, 2, 1),
    "brax": (brax, 2, 2, 1),
    "rexgradient": (rexgradient, 2, 2, 1),
    "vindr": (vindr, 3, 3, 1),
    "covid-chestxray": (covid_chestxray, 1, 1, 1),
    "hannover": (hannover, 2, 2, 1),
    "kermany": (kermany, 3, 3, 0),
    "tuberculosis": (tuberculosis, 3, 3, 1),
    "medmnist": (medmnist, 12, 12, 0),
    "roco": (roco, 2, 1, 1),
    "csv": (csv, 2, 1, 1),
    "folder": (folder, 4, 4, 0),
    "dicom": (dicom_tree, 9, 9, 4),
}
"""Source -> its layout, and how many studies, images and drops it must give."""
