// Loads a PG's SDK and walks the steps the server has written down: [["TossPayments", key], ["payment", {…}], …].
// Each step calls a function of the thing the last one gave; a name with a dot ("PortOne.requestPayment") begins anew.
// A rejected promise goes to the return URL as a code; what an SDK tells the callback "@return" goes there as it is.
const page = document.getElementById("window");
const reopen = document.getElementById("reopen");

function comeBack(told) {
  const url = new URL(page.dataset.return);
  for (const [name, value] of Object.entries(told)) if (value != null) url.searchParams.set(name, value);
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
    for (const [name, ...words] of JSON.parse(page.dataset.steps)) {
      const path = name.split(".");
      const verb = path.pop();
      const owner = path.length ? path.reduce((it, part) => it[part], window) : thing;
      thing = await owner[verb](...words.map((word) => (word === "@return" ? comeBack : word)));
    }
  } catch (error) {
    comeBack({ code: /^\w{1,64}$/.test(error?.code) ? error.code : "UNKNOWN" });
  }
}

reopen.addEventListener("click", () => location.reload());
setTimeout(() => { reopen.hidden = false; }, 8000);
open();
