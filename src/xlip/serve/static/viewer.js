// The film on its canvas: window, map over it, boxes. All that is drawn is drawn here, for the screen and for a file.

import { find } from "./elements.js";

const GRID = 256; // values between the centres of a map's cells, per side

export const view = { film: null, map: null };

const setting = id => Number(find(id).value);

// Red a little above the lower end of the scale, yellow at the upper end: as the PNGs that the service draws.
const colour = strength => [255, Math.round(255 * strength), 0];

function windowed(film) {
  const [level, width, inverted] = [setting("level"), setting("width"), find("invert").checked];
  const table = new Uint32Array(256); // whole pixels: opaque, and the same in red, green and blue
  for (let gray = 0; gray < 256; gray++) {
    // DICOM PS3.3 C.11.2.1.2: level 128 and width 256 leave every value as it is.
    const shown = Math.round(Math.min(Math.max(255 * ((gray - level + 0.5) / (width - 1) + 0.5), 0), 255));
    table[gray] = 0xff000000 | (0x010101 * (inverted ? 255 - shown : shown));
  }
  const picture = new ImageData(film.size, film.size);
  const pixels = new Uint32Array(picture.data.buffer);
  for (let at = 0; at < pixels.length; at++) pixels[at] = table[film.gray[at]];
  return picture;
}

function coloured(map, opacity) {
  const [rows, columns] = [map.map.length, map.map[0].length];
  const picture = new ImageData(GRID, GRID);
  const place = (index, count) => {
    const at = Math.min(Math.max((index + 0.5) * count / GRID - 0.5, 0), count - 1);
    const low = Math.floor(at);
    return [low, Math.min(low + 1, count - 1), at - low];
  };
  for (let y = 0; y < GRID; y++) {
    const [top, bottom, down] = place(y, rows);
    for (let x = 0; x < GRID; x++) {
      const [left, right, across] = place(x, columns);
      const above = map.map[top][left] * (1 - across) + map.map[top][right] * across;
      const below = map.map[bottom][left] * (1 - across) + map.map[bottom][right] * across;
      const value = above * (1 - down) + below * down;
      const strength = Math.min(Math.max((value - map.low) / (map.high - map.low), 0), 1);
      picture.data.set([...colour(strength), Math.round(255 * opacity * strength)], 4 * (y * GRID + x));
    }
  }
  return picture;
}

function paint(context, size) {
  const { film, map } = view;
  const plain = new OffscreenCanvas(film.size, film.size);
  plain.getContext("2d").putImageData(windowed(film), 0, 0);
  context.imageSmoothingQuality = "high";
  context.drawImage(plain, 0, 0, size, size);
  if (!map || !map.found) return; // nothing is coloured for a finding that is not there
  const heat = new OffscreenCanvas(GRID, GRID);
  heat.getContext("2d").putImageData(coloured(map, setting("opacity") / 100), 0, 0);
  context.drawImage(heat, 0, 0, size, size);
  if (!find("boxes").checked) return;
  for (const box of map.boxes) {
    const sides = [box.x, box.y, box.width, box.height].map(side => side * size);
    context.lineWidth = Math.max(2, size / 200);
    context.strokeStyle = "#000";
    context.strokeRect(...sides);
    context.lineWidth /= 2;
    context.strokeStyle = "#ffd24d";
    context.strokeRect(...sides);
  }
}

function legend(map) {
  find("scale").hidden = !map || !map.found;
  if (!map) return;
  find("low").textContent = map.low;
  find("high").textContent = `${map.high} and more`;
  find("unit").textContent = "(logits; one scale for all films)";
  const context = find("legend").getContext("2d");
  for (let x = 0; x < 200; x++) {
    const [red, green, blue] = colour(x / 199);
    context.fillStyle = "#000";
    context.fillRect(x, 0, 1, 12);
    context.fillStyle = `rgb(${red} ${green} ${blue} / ${x / 199})`;
    context.fillRect(x, 0, 1, 12);
  }
}

function caption(map) {
  if (!map) return "";
  const said = `${map.name}: score ${map.score.toFixed(2)}`;
  return map.found ? `${said}, coloured where the model sees it` : `${said}, not found (below ${map.threshold.toFixed(2)}): nothing is coloured`;
}

export function draw() {
  const canvas = find("canvas");
  find("empty").hidden = view.film !== null;
  find("controls").disabled = view.film === null;
  legend(view.map);
  find("caption").textContent = caption(view.map);
  if (!view.film) {
    canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
    canvas.setAttribute("aria-label", "No film yet");
    return;
  }
  canvas.width = canvas.height = view.film.size;
  paint(canvas.getContext("2d"), view.film.size);
  canvas.setAttribute("aria-label", `${view.film.label}${view.map ? `; ${caption(view.map)}` : ""}`);
}

export async function filmOf(blob, label) {
  const bitmap = await createImageBitmap(blob);
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const data = context.getImageData(0, 0, bitmap.width, bitmap.height).data;
  const gray = new Uint8Array(data.length / 4);
  for (let at = 0; at < gray.length; at++) gray[at] = data[4 * at];
  return { size: bitmap.width, gray, label, bitmap };
}

export function reset() {
  for (const [id, value] of Object.entries({ opacity: 60, level: 128, width: 256 })) find(id).value = value;
  find("invert").checked = false;
  find("boxes").checked = true;
  told();
  draw();
}

function told() {
  for (const shown of find("controls").querySelectorAll(".value")) {
    const id = shown.dataset.of;
    shown.textContent = id === "opacity" ? `${find(id).value} %` : find(id).value;
  }
}

export function listen() {
  let waiting = 0;
  const soon = () => {
    told();
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(draw);
  };
  for (const id of ["opacity", "level", "width", "boxes", "invert"]) find(id).addEventListener("input", soon);
  find("reset").addEventListener("click", reset);
}

// The film with what lies over it, and under it what must not be parted from it.
export function asFile(lines) {
  const [size, row] = [Math.max(view.film.size, 512), 22];
  const canvas = new OffscreenCanvas(size, size + row * lines.length + 12);
  const context = canvas.getContext("2d");
  paint(context, size);
  context.fillStyle = "#000";
  context.fillRect(0, size, size, canvas.height - size);
  lines.forEach((line, index) => {
    context.fillStyle = index ? "#eaf0f4" : "#ffd24d";
    context.font = `${index ? "" : "bold "}14px system-ui, "DejaVu Sans", sans-serif`;
    context.fillText(line, 8, size + row * (index + 1), size - 16);
  });
  return canvas.convertToBlob({ type: "image/png" });
}
