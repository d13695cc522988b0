// Elements of the page. Text is always set as text: nothing that came from a file or a server becomes markup.

export const find = id => document.getElementById(id);

export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && key !== "list") element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children.filter(child => child !== null));
  return element;
}

export function drawing(name, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

export function say(words) {
  find("status").textContent = words;
}

export function complain(words) {
  const message = make("div", { className: "message" }, make("span", {}, words),
    make("button", { type: "button", onclick: () => message.remove() }, "Dismiss"));
  const messages = find("messages");
  while (messages.children.length > 3) messages.firstChild.remove();
  messages.append(message);
}

export const percent = share => `${(100 * share).toFixed(share < 0.1 || share > 0.9 ? 1 : 0)} %`;
