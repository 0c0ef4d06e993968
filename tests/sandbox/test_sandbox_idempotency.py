from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.sandbox.shop import SECRET, Shop, refusal, until

TRACE = "x-tosspayments-trace-id"


def test_the_same_key_replays_the_first_answer_byte_for_byte(shop: Shop) -> None:
    key = shop.authenticated()
    first, again = shop.confirm(key, idem="k1"), shop.confirm(key, idem="k1")
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["idempotency-key"] == "k1"
    new, original = again.headers[TRACE].split(", ")
    assert original == first.headers[TRACE] != new
    assert shop.ledger()["confirms"] == 1


def test_errors_are_bound_to_the_key_too(shop: Shop) -> None:
    key = shop.authenticated()
    first = shop.confirm(key, idem="k1", amount=1)
    repaired = shop.confirm(key, idem="k1")
    assert (repaired.status_code, repaired.content) == (400, first.content)
    assert shop.confirm(key, idem="k2").status_code == 200


def test_a_cancel_is_replayed_and_not_repeated(shop: Shop) -> None:
    key = shop.paid()
    first = shop.cancel(key, idem="k1", cancelAmount=900)
    other_body = shop.cancel(key, idem="k1", cancelAmount=5000)
    assert other_body.content == first.content
    assert shop.ledger()["refunded"] == 900


def test_the_key_counts_for_one_url_and_one_secret(shop: Shop) -> None:
    key = shop.authenticated()
    assert shop.confirm(key, idem="k1").status_code == 200
    assert refusal(shop.confirm(key, idem="k1", secret="test_sk_second")) == (400, "ALREADY_PROCESSED_PAYMENT")
    assert shop.cancel(key, idem="k1").json()["status"] == "CANCELED"


def test_a_get_ignores_the_key(shop: Shop) -> None:
    key = shop.authenticated()
    path, headers = f"/toss/v1/payments/{key}", {"idempotency-key": "k1"}
    before = shop.http.get(path, headers=headers, auth=(SECRET, "")).json()
    shop.confirm(key)
    after = shop.http.get(path, headers=headers, auth=(SECRET, "")).json()
    assert (before["status"], after["status"]) == ("IN_PROGRESS", "DONE")


def test_a_key_is_at_most_300_long(shop: Shop) -> None:
    key = shop.authenticated()
    assert refusal(shop.confirm(key, idem="k" * 301)) == (400, "INVALID_IDEMPOTENCY_KEY")
    assert shop.confirm(key, idem="k" * 300).status_code == 200


def test_a_key_is_forgotten_after_15_days(shop: Shop) -> None:
    key = shop.paid()
    shop.cancel(key, idem="k1", cancelAmount=900)
    shop.wait(15 * 24 * 3600 - 60)
    shop.cancel(key, idem="k1", cancelAmount=900)
    assert shop.ledger()["refunded"] == 900
    shop.wait(120)
    shop.cancel(key, idem="k1", cancelAmount=900)
    assert shop.ledger()["refunded"] == 1800


def test_a_bad_secret_binds_nothing(shop: Shop) -> None:
    key = shop.authenticated()
    assert shop.confirm(key, idem="k1", secret="wrong").status_code == 401
    assert shop.confirm(key, idem="k1").status_code == 200


def test_the_same_key_while_the_first_runs_is_409(live: Shop) -> None:
    key = live.authenticated()
    live.put("/_faults/toss/confirm", {"kind": "delay", "seconds": 0.4})
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(live.confirm, key, idem="k1")
        until(lambda: live.ledger()["confirm_calls"])
        assert refusal(live.confirm(key, idem="k1")) == (409, "IDEMPOTENT_REQUEST_PROCESSING")
        assert first.result().status_code == 200
    assert live.confirm(key, idem="k1").content == first.result().content


def together(count: int, call: Any) -> list[Any]:
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(call, range(count)))


def test_64_confirms_at_once_charge_once(live: Shop) -> None:
    key = live.authenticated()
    answers = together(64, lambda number: live.confirm(key, idem=f"k{number}"))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 63
    assert (live.ledger()["confirms"], live.ledger()["charged"]) == (1, 9900)


def test_64_confirms_with_one_key_all_hear_the_same(live: Shop) -> None:
    key = live.authenticated()
    answers = together(64, lambda _: live.confirm(key, idem="k1"))
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert len({answer.content for answer in answers if answer.status_code == 200}) == 1
    assert live.ledger()["confirms"] == 1


def test_cancels_at_once_never_give_back_too_much(live: Shop) -> None:
    key = live.paid()
    answers = together(32, lambda _: live.cancel(key, cancelAmount=1000))
    assert sorted(answer.status_code for answer in answers) == [200] * 9 + [403] * 23
    assert live.ledger()["refunded"] == 9000
