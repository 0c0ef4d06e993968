// What every pretend SDK shares: ask the sandbox for a payment, show its window over the page.
// Runs on the merchant's page under a strict CSP: no markup strings, no style attributes, only properties.

const MOBILE = /Mobi|Android|iPhone|iPad|iPod/i;

function failure(code, message, name) {
  const error = new Error(message);
  error.code = code;
  if (name) error.name = name;
  return error;
}

function style(element, properties) {
  for (const [name, value] of Object.entries(properties)) element.style.setProperty(name, value);
}

// Every argument is checked by the sandbox, which answers with the SDK's own codes.
async function ask(url, request) {
  let answer, body;
  try {
    answer = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(request),
      credentials: "omit",
    });
    body = await answer.json();
  } catch {
    throw failure("UNKNOWN", "결제창을 열지 못했습니다. 잠시 후 다시 시도해주세요.");
  }
  if (!answer.ok) throw failure(body.code, body.message);
  return body;
}

// Lays a PG's window over the page; answers how to take it away.
function show(title, url, hear, escape) {
  const origin = new URL(url).origin;
  const dialog = document.createElement("dialog");
  const frame = document.createElement("iframe");
  const before = document.documentElement.style.getPropertyValue("overflow");
  dialog.setAttribute("aria-label", title);
  frame.title = title;
  frame.src = url;
  frame.allow = "payment";
  style(dialog, {
    width: "100vw", height: "100vh", "max-width": "none", "max-height": "none", margin: "0", padding: "0",
    border: "0", inset: "0", overflow: "hidden", background: "rgb(15 20 30 / 55%)", "z-index": "2147483647",
  });
  style(frame, {
    position: "absolute", inset: "0", margin: "auto", border: "0", "border-radius": "16px", background: "Canvas",
    width: "min(100%, 480px)", height: "min(100%, 760px)", "color-scheme": "light dark",
  });

  function listen(event) {
    if (event.source === frame.contentWindow && event.origin === origin && event.data) hear(event.data);
  }
  function cancel(event) {
    event.preventDefault();
    escape();
  }

  window.addEventListener("message", listen);
  dialog.addEventListener("cancel", cancel); // the Escape key
  frame.addEventListener("load", () => frame.focus());
  dialog.append(frame);
  document.body.append(dialog);
  document.documentElement.style.setProperty("overflow", "hidden");
  dialog.showModal();

  return () => {
    window.removeEventListener("message", listen);
    document.documentElement.style.setProperty("overflow", before);
    dialog.close();
    dialog.remove();
  };
}
