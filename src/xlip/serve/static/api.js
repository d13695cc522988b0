// The service: forms out, JSON or an image in; a busy service is asked again when it says so.

let token = "";

export function useToken(given) {
  token = given;
}

export class Fault extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

const pause = seconds => new Promise(done => setTimeout(done, 1000 * seconds));

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (token) headers.Authorization = `Bearer ${token}`;
  for (let tries = 0; ; tries++) {
    let response;
    try {
      response = await fetch(path, { ...options, headers });
    } catch {
      throw new Fault(0, "The service does not answer. Is it still running?");
    }
    if (response.ok) return response;
    if ((response.status === 429 || response.status === 503) && tries < 5) {
      const seconds = Number(response.headers.get("Retry-After"));
      if (seconds) {
        await pause(Math.min(seconds, 15));
        continue;
      }
    }
    const problem = await response.json().catch(() => ({}));
    throw new Fault(response.status, problem.detail ? `${problem.title}: ${problem.detail}` : `The service answered ${response.status}.`);
  }
}

// Names of files stay here: they often hold a patient's name.
function form(file, fields) {
  const made = new FormData();
  if (file) made.append("image", file, "film");
  for (const [name, values] of Object.entries(fields)) for (const value of [values].flat()) made.append(name, value);
  return { method: "POST", body: made };
}

export const describe = async () => (await ask("v1/kinds")).json();
export const picture = async file => {
  const response = await ask("v1/film", form(file, {}));
  return { blob: await response.blob(), sha256: response.headers.get("X-Input-Sha256") };
};
export const score = async (file, fields) => (await ask("v1/zeroshot", form(file, fields))).json();
export const explain = async (file, fields) => (await ask("v1/explain", form(file, fields))).json();
export const objects = async (file, fields) => (await ask("v1/dicom", form(file, fields))).blob();
export const searchLike = async file => (await ask("v1/search", form(file, {}))).json();
export const searchText = async text => (await ask("v1/search",
  { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ text }) })).json();
