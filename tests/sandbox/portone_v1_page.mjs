// IMP on a merchant's page. node portone_v1_page.mjs <sandbox url> <sdk path>: prints {story: outcome} as JSON.
import { opened, page, sandbox, tell } from "./dom.mjs";

let orders = 0;
const asked = (more = {}) => ({
  channelKey: "channel-key-140a124d", pay_method: "card", merchant_uid: "browser" + ++orders, name: "프롬프트", amount: 9900,
  buyer_tel: "01012345678", m_redirect_url: "http://shop.example/return", ...more,
});
const pay = (here, request) => new Promise((resolve) => {
  here.IMP.init("imp00000000");
  here.IMP.request_pay(request, resolve);
});
const keyOf = (here) => here.frame().src.split("/").pop();

await tell({
  "before init": () => new Promise((resolve) => page().IMP.request_pay(asked(), (told) => resolve(told.error_code))),
  "a wrong amount": async () => {
    const told = await pay(page(), asked({ amount: "9900" }));
    return [told.imp_uid, told.merchant_uid, told.error_code];
  },
  "no telephone": async () => (await pay(page(), asked({ buyer_tel: undefined }))).error_code,
  "a phone leaves the page": async () => {
    const here = page("Mozilla/5.0 (Linux; Android 15) Mobile");
    pay(here, asked());
    while (!here.went.length) await new Promise((done) => setTimeout(done, 2));
    return here.went[0].startsWith(sandbox + "/portone_v1/_window/imp_");
  },
  "the callback is told": async () => {
    const here = page(), done = pay(here, asked());
    await opened(here);
    here.say({ portone: keyOf(here), result: { imp_uid: "imp_1", merchant_uid: "m" } });
    return [await done, here.went, here.body.children.length];
  },
  "escape is told too": async () => {
    const here = page(), done = pay(here, asked());
    await opened(here);
    here.dialog().listeners.cancel({ preventDefault() {} });
    return (await done).error_code;
  },
});
