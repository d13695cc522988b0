// Files that the reader takes away; each says what it is for.

import { asFile } from "./viewer.js";

const NOTICE = "Research use only; not a medical device.";

function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// A cell that begins like a formula would be computed by a spreadsheet.
function cell(value) {
  const text = value === null || value === undefined ? "" : String(value);
  const safe = typeof value === "string" && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

const HEADER = ["film", "file", "sha256", "finding", "score", "probability", "percentile", "population", "population_films",
  "warning", "checkpoint", "prompts", "notice"];

export function saveScores(films, model) {
  const rows = films.filter(film => film.scores).flatMap((film, index) => film.scores.map(one => [
    index + 1, film.name, film.sha256, one.finding, one.score, one.probability, one.population?.percentile,
    one.population?.source, one.population?.films, film.warning, model.checkpoint, model.prompts, NOTICE]));
  const text = [HEADER, ...rows].map(row => row.map(cell).join(",")).join("\r\n");
  save(new Blob(["\ufeff", text, "\r\n"], { type: "text/csv" }), "xlip-scores.csv");
}

export function saveObjects(blob, film) {
  save(blob, `xlip-${film.sha256.slice(0, 16)}-dicom.zip`);
}

export async function savePicture(film, map, model) {
  const lines = [NOTICE, `film ${film.sha256.slice(0, 16)}, checkpoint ${model.checkpoint}`];
  if (map) lines.push(`${map.name}: score ${map.score.toFixed(3)}, ${map.found ? `map from ${map.low} to ${map.high} logits` : "not found"}`);
  save(await asFile(lines), "xlip-film.png");
}
