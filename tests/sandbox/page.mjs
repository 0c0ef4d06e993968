// Toss's SDKs on a merchant's page. node page.mjs <sandbox url> <sdk path>: prints {story: outcome} as JSON.
import { codeOf, opened, page, path, sandbox, tell } from "./dom.mjs";

const CLIENT = "test_ck_sandboxdemo", ANONYMOUS = "@@ANONYMOUS";
let orders = 0;
const asked = (more = {}) => ({
  method: "CARD", amount: { currency: "KRW", value: 9900 }, orderId: "browser-" + ++orders, orderName: "프롬프트",
  successUrl: "http://shop.example/return", failUrl: "http://shop.example/fail", ...more,
});
const promised = (more = {}) => asked({ successUrl: undefined, failUrl: undefined, ...more });
const keyOf = (here) => here.frame().src.split("/").pop();
const pay = (here, more) => here.TossPayments(CLIENT).payment({ customerKey: ANONYMOUS }).requestPayment(asked(more));

const v2 = {
  anonymous: () => page().TossPayments.ANONYMOUS,
  "malformed client key": () => codeOf(() => page().TossPayments("nonsense")),
  "secret as client key": () => codeOf(() => page().TossPayments("test_sk_sandboxdemo")),
  "no client key": () => codeOf(() => page().TossPayments()),
  "widget key": () => codeOf(() => page().TossPayments("test_gck_x1y2z3").payment({ customerKey: ANONYMOUS })),
  "widgets with an individual key": () => codeOf(() => page().TossPayments(CLIENT).widgets({})),
  "no customer key": () => codeOf(() => page().TossPayments(CLIENT).payment()),
  "bad customer key": () => codeOf(() => page().TossPayments(CLIENT).payment({ customerKey: "!" })),
  "secret as customer key": () => codeOf(() => page().TossPayments(CLIENT).payment({ customerKey: "test_sk_abc" })),
  "v1 call": () => codeOf(() => page().TossPayments(CLIENT).requestPayment("카드", {})),
  "no request": () => codeOf(() => page().TossPayments(CLIENT).payment({ customerKey: ANONYMOUS }).requestPayment()),
  "bare amount": () => codeOf(() => pay(page(), { amount: 9900 })),
  "NaN amount": () => codeOf(() => pay(page(), { amount: { currency: "KRW", value: NaN } })),
  "relative url": () => codeOf(() => pay(page(), { successUrl: "/return" })),
  "promise on a phone": () => {
    const here = page("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile");
    return codeOf(() => here.TossPayments(CLIENT).payment({ customerKey: ANONYMOUS }).requestPayment(promised()));
  },
  "phone leaves the page": async () => {
    const here = page("Mozilla/5.0 (Linux; Android 15) Mobile");
    await pay(here);
    return here.went[0].startsWith(sandbox + "/toss/_window/") && here.body.children.length === 0;
  },
  "success navigates the top page": async () => {
    const here = page(), done = pay(here);
    await opened(here);
    here.say({ tossPayments: keyOf(here), redirect: "http://shop.example/return?amount=9900" });
    const value = await done;
    return [value === undefined, here.went, here.body.children.length, here.listeners.size];
  },
  "closing rejects and stays": async () => {
    const here = page(), done = pay(here);
    await opened(here);
    here.say({ tossPayments: keyOf(here), error: { code: "USER_CANCEL", message: "취소되었습니다." } });
    return [await codeOf(() => done), here.went, here.body.children.length];
  },
  escape: async () => {
    const here = page(), done = pay(here);
    await opened(here);
    here.dialog().listeners.cancel({ preventDefault() {} });
    return codeOf(() => done);
  },
  "strangers are not heard": async () => {
    const here = page(), done = pay(here);
    await opened(here);
    const lie = { tossPayments: keyOf(here), redirect: "http://evil.example" };
    here.say(lie, "http://evil.example");
    here.say(lie, undefined, {});
    here.say({ ...lie, tossPayments: "another" });
    here.say("nonsense");
    const heard = here.went.length;
    here.say({ tossPayments: keyOf(here), error: { code: "USER_CANCEL", message: "" } });
    await codeOf(() => done);
    return heard;
  },
  "promise mode resolves": async () => {
    const here = page();
    const done = here.TossPayments(CLIENT).payment({ customerKey: ANONYMOUS }).requestPayment(promised());
    await opened(here);
    here.say({ tossPayments: keyOf(here), result: { paymentKey: "p", orderId: "o", amount: { currency: "KRW", value: 1 } } });
    return done;
  },
  "two at once": async () => {
    const here = page(), first = pay(here);
    await opened(here);
    const second = await codeOf(() => pay(here));
    here.dialog().listeners.cancel({ preventDefault() {} });
    await codeOf(() => first);
    const third = pay(here);
    await opened(here);
    here.dialog().listeners.cancel({ preventDefault() {} });
    return [second, await codeOf(() => third)];
  },
  destroy: async () => {
    const here = page(), payment = here.TossPayments(CLIENT).payment({ customerKey: ANONYMOUS });
    const idle = await codeOf(() => payment.destroy());
    const done = payment.requestPayment(asked());
    await opened(here);
    payment.destroy();
    try { await done; } catch (error) { return [idle, error.name, here.body.children.length]; }
  },
  "errors have a sentence": async () => {
    try { await pay(page(), { amount: 1 }); } catch (error) { return error instanceof Error && error.message.length > 5; }
  },
};

const v1 = {
  "navigates": async () => {
    const here = page();
    const done = here.TossPayments(CLIENT).requestPayment("카드", asked({ amount: 9900, method: undefined }));
    await opened(here);
    here.say({ tossPayments: keyOf(here), redirect: "http://shop.example/return" });
    await done;
    return here.went;
  },
  "promise amount is a number": async () => {
    const here = page();
    const done = here.TossPayments(CLIENT).requestPayment("카드", promised({ amount: 9900, method: undefined }));
    await opened(here);
    here.say({ tossPayments: keyOf(here), result: { paymentKey: "p", orderId: "o", amount: { currency: "KRW", value: 1 } } });
    return done;
  },
  "object amount": () => codeOf(() => page().TossPayments(CLIENT).requestPayment("카드", asked())),
};

await tell(path.includes("/v2/") ? v2 : v1);
