// Similar cases, and the report of one of them.

import { find, make } from "./elements.js";

const facts = columns => make("dl", {}, ...Object.entries(columns).filter(([, value]) => value !== null && value !== "")
  .flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, String(value))]));

const picture = (one, alt) => one.thumbnail
  ? make("img", { src: `data:${one.thumbnail.startsWith("iVBOR") ? "image/png" : "image/jpeg"};base64,${one.thumbnail}`, alt })
  : make("div", { className: "none" }, "no picture");

function openReport(one) {
  find("report-title").textContent = `Case ${one.id}`;
  find("report-body").replaceChildren(facts(one.columns), make("h3", {}, "Report"), make("p", { className: "text" }, one.report));
  find("report").showModal();
}

function card(one) {
  const few = Object.fromEntries(Object.entries(one.columns).slice(0, 5));
  return make("li", {}, make("article", {}, picture(one, `Film of case ${one.id}`), make("h3", {}, one.id),
    make("p", { className: "quiet" }, `similarity ${one.similarity.toFixed(3)}`), facts(few),
    one.report ? make("button", { type: "button", onclick: () => openReport(one), ariaLabel: `Report of case ${one.id}` }, "Report")
      : make("p", { className: "quiet" }, "no report")));
}

export function showCases(cases) {
  find("cases").replaceChildren(...cases.map(card));
}
