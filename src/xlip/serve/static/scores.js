// The table of scores: each beside those of other films.

import { drawing, find, make, percent } from "./elements.js";

function strip(score, population) {
  const [least, lower, middle, upper, most] = population.quantiles;
  const [from, to] = [Math.min(least, score), Math.max(most, score)];
  const at = value => 6 + 124 * (to > from ? (value - from) / (to - from) : 0.5);
  const line = (kind, x1, x2, y1, y2) => drawing("line", { class: kind, x1, x2, y1, y2 });
  return drawing("svg", { class: "strip", viewBox: "0 0 136 20", "aria-hidden": "true" },
    line("whisker", at(least), at(most), 10, 10),
    drawing("rect", { class: "box", x: at(lower), width: Math.max(at(upper) - at(lower), 1), y: 4, height: 12 }),
    line("median", at(middle), at(middle), 4, 16),
    drawing("circle", { class: "film", cx: at(score), cy: 10, r: 5 }));
}

function beside(one) {
  if (!one.population) return make("td", {}, make("span", { className: "quiet" }, "no films to compare with"));
  const { percentile, films, quantiles } = one.population;
  const words = `higher than ${percentile.toFixed(0)} % of ${films} films`;
  const title = `scores of these films at 5, 25, 50, 75 and 95 %: ${quantiles.map(value => value.toFixed(3)).join(", ")}`;
  return make("td", { title }, strip(one.score, one.population), make("small", {}, words));
}

function row(one, shown, onMap) {
  const name = one.finding === "No_Finding" // it is nowhere
    ? make("span", {}, one.name)
    : make("button", { type: "button", onclick: () => onMap(one.finding), title: "Show where", ariaPressed: String(shown) }, one.name);
  const probability = one.probability === null ? make("span", { className: "quiet" }, "not calibrated") : percent(one.probability);
  return make("tr", { className: shown ? "shown" : "" }, make("th", { scope: "row" }, name),
    make("td", { className: "number" }, one.score.toFixed(3)), beside(one), make("td", { className: "number" }, probability));
}

const rank = one => one.population ? one.population.percentile / 100 : one.score;

export function showScores(scores, shown, onMap) {
  const sorted = [...scores].sort((one, other) => rank(other) - rank(one));
  find("scores").tBodies[0].replaceChildren(...sorted.map(one => row(one, one.finding === shown, onMap)));
  find("scores").hidden = !scores.length;
  // A column in which nothing stands is left out; the sentence above the table says why.
  find("scores").classList.toggle("without-2", scores.every(one => one.population === null));
  find("scores").classList.toggle("without-3", scores.every(one => one.probability === null));
}

export function sayCalibration(about) {
  const calibrated = about.kinds.filter(kind => kind.calibrated).length;
  const words = calibrated
    ? `Probabilities are calibrated for ${calibrated} kinds on labelled films.`
    : "Scores are not calibrated: they rank films and are no probabilities (start the service with --calibration).";
  const lacking = about.index === null ? "There are no films to compare with (--population or --index)."
    : "This model adds a share of its map to each score, which films of the index lack: name an evaluation to compare with (--population).";
  const compared = about.index_compares || about.kinds.some(kind => kind.population);
  find("calibration").textContent = compared ? words : `${words} ${lacking}`;
}
