// What the reader does, and what follows from it.

import { describe, explain, Fault, objects, picture, score, searchLike, searchText, useToken } from "./api.js";
import { complain, find, make, say } from "./elements.js";
import { saveObjects, savePicture, saveScores } from "./export.js";
import { sayCalibration, showScores } from "./scores.js";
import { showCases } from "./similar.js";
import { draw, filmOf, listen, view } from "./viewer.js";

const state = { about: null, films: [], current: null, findings: [], names: new Map(), round: 0 };

function report(error, what) {
  if (!(error instanceof Fault)) throw error;
  if (error.status === 401) return askForToken();
  complain(what ? `${what}: ${error.message}` : error.message);
}

// Begin

function askForToken() {
  find("key").hidden = false;
  find("work").hidden = true;
  say("A token is needed.");
  find("token").focus();
}

async function begin() {
  try {
    state.about = await describe();
  } catch (error) {
    say("");
    return report(error, "");
  }
  const { about } = state;
  find("key").hidden = true;
  find("work").hidden = false;
  const warning = about.model.warning ? `; ${about.model.warning}` : "";
  find("model").textContent = `model ${about.model.checkpoint}, prompts ${about.model.prompts}, ${about.model.preprocessing}${warning}`;
  for (const kind of about.kinds) for (const word of [kind.id, kind.name, ...kind.aliases]) state.names.set(key(word), kind.id);
  find("kinds").replaceChildren(...about.kinds.map(kind => make("option", { value: kind.name })));
  find("how").replaceChildren(...about.maps.map(way =>
    make("option", { value: way }, way === "response" ? "the model's own response" : "occlusion (slower)")));
  sayCalibration(about);
  find("search").hidden = about.index === null;
  if (about.index !== null) find("index").textContent = `${about.index} cases in the index.`;
  find("chosen").open = matchMedia("(min-width: 46rem)").matches;
  usual();
  showScores([], "", showMap);
  say("Ready. Choose a film.");
}

// Findings: a known name is a kind, anything else a sentence.

const key = word => word.toLowerCase().replaceAll(/[\s_-]+/g, "");
const isKind = finding => state.about.kinds.some(kind => kind.id === finding);
const nameOf = finding => state.about.kinds.find(kind => kind.id === finding)?.name ?? finding;

function usual() {
  state.findings = state.about.kinds.filter(kind => kind.default).map(kind => kind.id);
  changed();
}

function add(event) {
  event.preventDefault();
  const words = find("finding").value.trim().replaceAll(/\s+/g, " ");
  if (!words) return;
  const finding = state.names.get(key(words)) ?? words;
  if (!state.findings.includes(finding)) state.findings.push(finding);
  find("finding").value = "";
  changed();
  say(`${nameOf(finding)} added.`);
}

function remove(finding) {
  state.findings = state.findings.filter(one => one !== finding);
  changed();
  find("finding").focus();
  say(`${nameOf(finding)} removed.`);
}

function changed() {
  find("findings").replaceChildren(...state.findings.map(finding => make("li", {}, make("span", {}, nameOf(finding)),
    make("button", { type: "button", ariaLabel: `Remove ${nameOf(finding)}`, onclick: () => remove(finding) }, "×"))));
  find("count").textContent = `${state.findings.length} ${state.findings.length === 1 ? "finding is" : "findings are"} scored`;
  const chosen = find("map").value;
  find("map").replaceChildren(make("option", { value: "" }, "No map"), ...state.findings.filter(one => one !== "No_Finding")
    .map(finding => make("option", { value: finding }, nameOf(finding))));
  find("map").value = state.findings.includes(chosen) ? chosen : "";
  offerObjects();
  scoreAll();
}

function fields(findings) {
  return { kinds: findings.filter(isKind), texts: findings.filter(finding => !isKind(finding)) };
}

// Films

function listFilms() {
  find("films").replaceChildren(...state.films.map((film, index) => {
    const thumbnail = make("canvas", { width: 64, height: 64 });
    if (film.film) thumbnail.getContext("2d").drawImage(film.film.bitmap, 0, 0, 64, 64);
    const note = film.fault ? "cannot be used" : film.scores ? film.warning ? "scored, with a warning" : "scored" : "waiting";
    return make("li", { className: film.fault ? "bad" : "" }, make("button",
      { type: "button", onclick: () => choose(film), "aria-current": String(film === state.current) },
      thumbnail, make("span", {}, `${index + 1}. ${film.name}`, make("small", {}, note))));
  }));
  find("export-csv").disabled = !state.films.some(film => film.scores);
  find("export-png").disabled = !state.current?.film;
  find("like-film").disabled = !state.current?.film;
  offerObjects();
}

// DICOM objects stand in a film's study: they are offered for films that have one, where the service can make them.
function offerObjects() {
  const film = state.current?.film ? state.current : null;
  const reason = state.about.no_dicom || (!film ? "" : !film.dicom ? "this film did not come as DICOM"
    : film.warning ? "the model cannot judge this film" : "");
  find("export-dicom").hidden = !film || reason !== "";
  find("export-dicom").disabled = !state.findings.some(finding => finding !== "No_Finding");
  find("no-dicom").hidden = reason === "";
  find("no-dicom").textContent = reason && `No export as DICOM: ${reason}.`;
}

async function takeObjects() {
  const film = state.current;
  say("Making DICOM objects…");
  try {
    const found = state.findings.filter(finding => finding !== "No_Finding");
    saveObjects(await objects(film.file, { ...fields(found), how: find("how").value }), film);
    say("DICOM objects saved: overlay, map, regions and scores.");
  } catch (error) {
    report(error, "DICOM objects");
  }
}

async function addFilms(files) {
  if (!state.about) return complain("The service has not answered yet. Add the films once it has.");
  const most = state.about.max_mb * 1024 * 1024;
  for (const file of files) {
    const film = { file, name: file.name, film: null, scores: null, fault: "", warning: "", sha256: "", dicom: false };
    if (file.size > most) {
      complain(`${file.name}: larger than the ${state.about.max_mb} MiB that this service accepts.`);
      continue;
    }
    state.films.push(film);
  }
  listFilms();
  await scoreAll();
}

async function load(film) {
  if (film.film || film.fault) return;
  try {
    film.dicom = await film.file.slice(128, 132).text() === "DICM";
    const { blob, sha256 } = await picture(film.file);
    film.sha256 = sha256;
    film.film = await filmOf(blob, `Film ${state.films.indexOf(film) + 1}`);
  } catch (error) {
    film.fault = error.message;
    report(error, film.name);
  }
  if (!state.current && film.film) choose(film);
  listFilms();
}

async function scoreOne(film, round) {
  await load(film);
  if (film.fault || round !== state.round) return;
  if (!state.findings.length) {
    film.scores = [];
  } else {
    try {
      const [found] = (await score(film.file, fields(state.findings))).films;
      if (round !== state.round) return; // the findings have changed in the meantime
      film.scores = found.scores;
      film.warning = found.warning;
    } catch (error) {
      return report(error, film.name);
    }
  }
  if (film === state.current) show();
  listFilms();
}

async function scoreAll() {
  const round = ++state.round;
  const waiting = [...state.films];
  waiting.sort((one, other) => (other === state.current) - (one === state.current));
  const count = waiting.length;
  if (count) say(`Scoring ${count} ${count === 1 ? "film" : "films"}…`);
  const worker = async () => {
    while (waiting.length) await scoreOne(waiting.shift(), round);
  };
  await Promise.all([worker(), worker()]);
  if (count && round === state.round) say(`${state.films.filter(film => film.scores).length} of ${state.films.length} films scored.`);
}

// What is shown

function choose(film) {
  state.current = film;
  view.film = film.film;
  view.map = null;
  if (film.fault) complain(`${film.name}: ${film.fault}`);
  show();
  listFilms();
  if (find("map").value && film.film) showMap(find("map").value);
}

function show() {
  const film = state.current;
  find("view-title").textContent = film ? `Film ${state.films.indexOf(film) + 1}` : "Film";
  find("warning").hidden = !film?.warning;
  find("warning").textContent = film?.warning ? `This film may not be one the model can judge: ${film.warning}` : "";
  showScores(film?.scores ?? [], find("map").value, showMap);
  draw();
}

async function showMap(finding) {
  const film = state.current;
  find("map").value = finding;
  view.map = null;
  show();
  if (!finding || !film?.film) return;
  say(`Looking for ${nameOf(finding)}…`);
  try {
    const { maps: [map] } = await explain(film.file, { ...fields([finding]), how: find("how").value });
    if (film !== state.current || find("map").value !== finding) return;
    view.map = map;
    draw();
    say(map.found ? `Map of ${map.name}.` : `${map.name} is not found: nothing is coloured.`);
  } catch (error) {
    report(error, nameOf(finding));
  }
}

async function search(asked, words) {
  say(`Searching for ${words}…`);
  try {
    const { cases } = await asked;
    showCases(cases);
    say(`${cases.length} cases ${words}.`);
  } catch (error) {
    report(error, "Search");
  }
}

// Listen

function dropped(event) {
  event.preventDefault();
  document.body.classList.remove("over");
  addFilms([...event.dataTransfer.files]);
}

function start() {
  find("key").addEventListener("submit", event => {
    event.preventDefault();
    useToken(find("token").value.trim());
    find("token").value = "";
    begin();
  });
  find("files").addEventListener("change", event => {
    addFilms([...event.target.files]);
    event.target.value = "";
  });
  document.addEventListener("dragover", event => {
    event.preventDefault();
    document.body.classList.add("over");
  });
  document.addEventListener("dragleave", event => event.relatedTarget ?? document.body.classList.remove("over"));
  document.addEventListener("drop", dropped);
  find("ask").addEventListener("submit", add);
  find("usual").addEventListener("click", usual);
  find("map").addEventListener("change", event => showMap(event.target.value));
  find("how").addEventListener("change", () => showMap(find("map").value));
  find("like-film").addEventListener("click", () => search(searchLike(state.current.file), "like this film"));
  find("like-text").addEventListener("submit", event => {
    event.preventDefault();
    const words = find("sentence").value.trim();
    if (words) search(searchText(words), `that fit "${words}"`);
  });
  find("export-csv").addEventListener("click", () => saveScores(state.films, state.about.model));
  find("export-png").addEventListener("click", () => savePicture(state.current, view.map, state.about.model));
  find("export-dicom").addEventListener("click", takeObjects);
  listen();
  begin();
}

start();
