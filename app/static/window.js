// Loads a PG's SDK and walks the steps the server has written down: [["TossPayments", key], ["payment", {…}], …].
// Each step calls a function of the thing the last one gave. A rejected promise goes to the return URL as a code.
const page = document.getElementById("window");
const reopen = document.getElementById("reopen");

function giveUp(code) {
  const url = new URL(page.dataset.return);
  url.searchParams.set("code", code);
  location.replace(url);
}

function load(source) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = source;
    script.onload = resolve;
    script.onerror = () => reject(Object.assign(new Error("SDK"), { code: "SDK_NOT_LOADED" }));
    document.head.append(script);
  });
}

async function open() {
  try {
    await load(page.dataset.script);
    let thing = window;
    for (const [name, ...words] of JSON.parse(page.dataset.steps)) thing = await thing[name](...words);
  } catch (error) {
    giveUp(/^[A-Z0-9_]{1,64}$/.test(error?.code) ? error.code : "UNKNOWN");
  }
}

reopen.addEventListener("click", () => location.reload());
setTimeout(() => { reopen.hidden = false; }, 8000);
open();
