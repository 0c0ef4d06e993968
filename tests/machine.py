"""Draws the life of a payment from the table it obeys: `python -m tests.machine` writes docs/machine.md."""

from app.config import ROOT
from app.models import MOVES, Status

PAGE = ROOT / "docs" / "machine.md"

STATES = {
    Status.PENDING: "결제 대기",
    Status.CONFIRMING: "승인 중",
    Status.WAITING: "입금 대기",
    Status.IN_DOUBT: "확인 중",
    Status.COMPLETED: "결제 완료",
    Status.FAILED: "결제 실패",
    Status.CANCELED: "취소됨",
    Status.EXPIRED: "기한 만료",
    Status.REFUNDED: "환불 완료",
}
KINDS = {
    "claimed": ("승인 요청", "PG에 승인을 요청하기로 하고 그 사실을 먼저 저장했다"),
    "completed": ("돈 확인", "PG가 돈을 받았다고 한다. 닫은 결제라도 돈이 먼저다: 상품을 열거나 돌려준다"),
    "waiting": ("계좌 발급", "가상계좌가 발급되었고 아직 입금되지 않았다"),
    "doubted": ("답 없음", "PG에 요청했으나 쓸 수 있는 답이 없다. 실패가 아니다"),
    "declined": ("거절", "PG가 확실히 거절했다. 돈은 움직이지 않았다"),
    "canceled": ("취소", "구매자가 결제창을 닫았거나 PG에서 취소되었다"),
    "expired": ("만료", "PG에 물어 승인되지 않았음을 확인한 뒤 닫았다"),
    "refunded": ("전액 환불", "받은 돈을 모두 돌려주었다"),
    "returned": ("입금 취소", "은행이 가상계좌의 입금을 되가져갔다. 프롬프트를 다시 잠근다"),
}

INTRO = """# 결제의 일생

`app/models.py`의 `MOVES`에서 그린 것이다. 손으로 고치지 않는다: `python -m tests.machine`이 다시 쓰고,
`tests/test_machine.py`가 늘 같은지 본다. `python -m tests.proofs model`은 모든 (상태 × 사건)을 진짜 동사로 걷는다.

"일부 환불"은 상태가 아니다. `refunded_amount`에서 읽는다.
"""


def drawn() -> str:
    """The page, whole."""
    return "\n".join([INTRO, "```mermaid", *_diagram(), "```", "", *_kinds(), "", *_pairs(), ""])


def _diagram() -> list[str]:
    names = [f'  state "{caption}" as {status}' for status, caption in STATES.items()]
    arrows = [
        f"  {before} --> {after}: {KINDS[kind][0]}" for kind, ways in MOVES.items() for before, after in ways.items()
    ]
    return ["stateDiagram-v2", *names, "  [*] --> pending: 주문", *arrows]


def _kinds() -> list[str]:
    rows = [f"| `{kind}` | {KINDS[kind][0]} | {KINDS[kind][1]} |" for kind in MOVES]
    return ["| 사건 | 이름 | 뜻 |", "|---|---|---|", *rows]


def _pairs() -> list[str]:
    """Every state against every event; an empty field is impossible."""
    head = ["| 상태 | " + " | ".join(KINDS[kind][0] for kind in MOVES) + " |", "|---" * (len(MOVES) + 1) + "|"]
    rows = []
    for status, caption in STATES.items():
        fields = [STATES[ways[status]] if status in ways else "" for ways in MOVES.values()]
        rows.append(f"| {caption} `{status}` | " + " | ".join(fields) + " |")
    return [*head, *rows]


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(drawn(), encoding="utf-8")
    print(PAGE)
