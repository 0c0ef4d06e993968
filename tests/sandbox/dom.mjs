// A merchant's page without a browser: just enough DOM to run an SDK, refusing what a strict CSP refuses.
import vm from "node:vm";

export const [sandbox, path] = process.argv.slice(2);
const source = await (await fetch(sandbox + path)).text();

class Element {
  constructor(tag) {
    this.tag = tag;
    this.children = [];
    this.listeners = {};
    this.style = {
      values: {},
      setProperty: (name, value) => { this.style.values[name] = value; },
      getPropertyValue: (name) => this.style.values[name] ?? "",
    };
    if (tag === "iframe") this.contentWindow = { iframe: true };
  }
  setAttribute(name, value) {
    if (name === "style" || name.startsWith("on")) throw new Error("refused by CSP: " + name);
    this[name] = value;
  }
  set innerHTML(_) { throw new Error("no markup strings"); }
  addEventListener(name, listener) { this.listeners[name] = listener; }
  append(child) { this.children.push(child); child.parent = this; }
  remove() { this.parent.children = this.parent.children.filter((child) => child !== this); }
  showModal() { this.open = true; }
  close() { this.open = false; }
  focus() {}
}

export function page(userAgent = "Mozilla/5.0 (X11; Linux x86_64)") {
  const body = new Element("body"), root = new Element("html"), listeners = new Set(), went = [];
  const window = {
    location: { assign: (url) => went.push(url) },
    addEventListener: (_, listener) => listeners.add(listener),
    removeEventListener: (_, listener) => listeners.delete(listener),
  };
  const document = {
    currentScript: { src: sandbox + path },
    body, documentElement: root,
    createElement: (tag) => new Element(tag),
    querySelector: () => null,
  };
  vm.runInNewContext(source, { window, document, navigator: { userAgent }, fetch, URL, Error, Promise });
  return {
    ...window, body, went, listeners,
    dialog: () => body.children[0],
    frame: () => body.children[0].children[0],
    say(data, origin = new URL(sandbox).origin, source = body.children[0].children[0].contentWindow) {
      for (const listener of [...listeners]) listener({ data, origin, source });
    },
  };
}

export const codeOf = async (act) => { try { await act(); return null; } catch (error) { return error.code ?? String(error); } };
export const opened = async (here) => { while (!here.dialog()) await new Promise((done) => setTimeout(done, 2)); };

export async function tell(stories) {
  const outcomes = {};
  for (const [story, play] of Object.entries(stories)) outcomes[story] = await play();
  console.log(JSON.stringify(outcomes));
}
