// PortOne's SDK on a merchant's page. node portone_page.mjs <sandbox url> <sdk path>: prints {story: outcome} as JSON.
import { codeOf, opened, page, sandbox, tell } from "./dom.mjs";

const PHONE = "Mozilla/5.0 (Linux; Android 15) Mobile";
let orders = 0;
const asked = (more = {}) => ({
  storeId: "store-5c0c7a07", channelKey: "channel-key-140a124d", paymentId: "browser-" + ++orders, orderName: "프롬프트",
  totalAmount: 9900, currency: "KRW", payMethod: "CARD", ...more,
});
const redirected = (more = {}) => asked({ redirectUrl: "http://shop.example/return", forceRedirect: true, ...more });
const pay = (here, request) => here.PortOne.requestPayment(request);
const keyOf = (here) => here.frame().src.split("/").pop();

await tell({
  "no request": () => codeOf(() => pay(page())),
  "no such store": () => codeOf(() => pay(page(), asked({ storeId: "s" }))),
  "no such channel": () => codeOf(() => pay(page(), asked({ channelKey: "c" }))),
  "a method it does not know": () => codeOf(() => pay(page(), asked({ payMethod: "CASH" }))),
  "thrown errors say what they are": async () => {
    try { await pay(page(), redirected({ totalAmount: 1.5, paymentId: "mine-0001" })); } catch (error) {
      return [error.code, error.paymentId, error.transactionType, error.__portOneErrorType, error.message.length > 5];
    }
  },
  "thrown errors are never redirected": async () => {
    const here = page();
    await codeOf(() => pay(here, redirected({ totalAmount: 0 })));
    return here.went;
  },
  "a phone leaves the page": async () => {
    const here = page(PHONE);
    await pay(here, redirected());
    return here.went[0].startsWith(sandbox + "/portone/_window/") && here.body.children.length === 0;
  },
  "forceRedirect navigates the top page": async () => {
    const here = page(), done = pay(here, redirected());
    await opened(here);
    here.say({ portone: keyOf(here), redirect: "http://shop.example/return?paymentId=p" });
    return [(await done) === undefined, here.went, here.body.children.length, here.listeners.size];
  },
  "the promise answers": async () => {
    const here = page(), done = pay(here, asked());
    await opened(here);
    here.say({ portone: "of-another-window", result: { paymentId: "lie" } });
    here.say({ portone: keyOf(here), result: { paymentId: "p", transactionType: "PAYMENT" } });
    return done;
  },
  "escape tells PortOne": async () => {
    const here = page(), done = pay(here, asked());
    await opened(here);
    here.dialog().listeners.cancel({ preventDefault() {} });
    return (await done).pgCode;
  },
});
