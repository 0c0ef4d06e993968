"""What the JSON API takes and gives: the schemas of `openapi.json` and the answers themselves."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.forms import AccountForm, Form, Id, Phone, Text, Whole, Won
from app.models import Payment, Purchase, Refund, RefundStatus, Status
from app.render import masked_email, masked_name, masked_phone
from app.search import Listed


def _stated(value: Any) -> Any:
    """A number that is no whole won is another than ours, whatever ours is."""
    if isinstance(value, float):
        return int(value) if value.is_integer() else -1
    return value


Stated = Annotated[Whole, BeforeValidator(_stated)]


class PrepareBody(Form):
    prompt_id: Id
    payment_method: Annotated[Text, Field(min_length=1, max_length=30)]
    buyer_name: Annotated[Text, Field(min_length=1, max_length=50)] | None = None
    buyer_phone: Phone | None = None
    amount: Stated | None = Field(default=None, description="If sent, it must be the price; whole won.")
    sentences: ClassVar = {
        "prompt_id": "prompt_id는 1 이상의 정수여야 합니다.",
        "payment_method": "payment_method가 필요합니다.",
        "buyer_name": "buyer_name은 1자 이상 50자 이하여야 합니다.",
        "buyer_phone": "buyer_phone은 010-1234-5678 같은 번호여야 합니다.",
        "amount": "amount는 원 단위의 숫자여야 합니다.",
    }


class CompleteBody(Form):
    order_id: Annotated[Text, Field(min_length=1, max_length=100)]
    pg_transaction_id: Annotated[Text, Field(min_length=1, max_length=200)]
    amount: Stated | None = Field(default=None, description="If sent, it must be ours; whole won.")
    payment_token: Annotated[Text, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="PortOne's `paymentToken`, where its channel waits for our confirm."
    )
    sentences: ClassVar = {
        "order_id": "order_id는 prepare가 준 주문번호여야 합니다.",
        "pg_transaction_id": "pg_transaction_id는 200자 이하의 문자열이어야 합니다.",
        "payment_token": "payment_token은 200자 이하의 문자열이어야 합니다.",
        "amount": "amount는 원 단위의 숫자여야 합니다.",
    }


class RefundBody(Form):
    reason: Annotated[Text, Field(min_length=1, max_length=200)]
    amount: Won | None = Field(default=None, description="Whole won; without it, all that is left.")
    refund_account: AccountForm | None = Field(
        default=None, description="Where the money of a virtual account goes back to: needed there, refused elsewhere."
    )
    sentences: ClassVar = {
        "reason": "reason은 1자 이상 200자 이하여야 합니다.",
        "amount": "amount는 1 이상의 정수여야 합니다.",
        "refund_account": "refund_account에는 bank(은행 이름), number(숫자 6~20자), holder(예금주)가 모두 필요합니다.",
    }


class Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True, extra="forbid")


class PaymentOut(Answer):
    order_id: str
    gateway: str
    payment_method: str
    amount: int
    refunded_amount: int
    status: Status
    pg_transaction_id: str | None
    buyer_name: str
    buyer_email: str
    buyer_phone: str
    item_name: str
    prompt_id: int
    failure_code: str | None
    failure_message: str | None
    created_at: datetime
    completed_at: datetime | None
    refunded_at: datetime | None

    @classmethod
    def of(cls, payment: Payment | Listed) -> Self:
        return cls.model_validate(payment)

    def masked(self) -> Self:
        """As the pages show it to an admin who may not know who bought."""
        name, email = masked_name(self.buyer_name), masked_email(self.buyer_email)
        return self.model_copy(
            update={"buyer_name": name, "buyer_email": email, "buyer_phone": masked_phone(self.buyer_phone)}
        )


class PurchaseOut(Answer):
    prompt_id: int
    order_id: str
    title: str
    body: str | None = Field(description="The prompt's text; null once it was taken back.")
    created_at: datetime
    revoked_at: datetime | None

    @classmethod
    def of(cls, purchase: Purchase, payment: Payment, body: str | None) -> Self:
        return cls(
            prompt_id=purchase.prompt_id,
            order_id=payment.order_id,
            title=payment.item_name,
            body=body,
            created_at=purchase.created_at,
            revoked_at=purchase.revoked_at,
        )


class RefundOut(Answer):
    key: str
    amount: int
    reason: str
    status: RefundStatus
    requested_by: str
    pg_transaction_id: str | None
    failure_code: str | None
    failure_message: str | None
    created_at: datetime
    done_at: datetime | None

    @classmethod
    def of(cls, refund: Refund) -> Self:
        return cls.model_validate(refund)


class AccountOut(Answer):
    bank: str
    number: str
    holder: str
    due: datetime | None

    @classmethod
    def of(cls, payment: Payment) -> Self | None:
        if payment.status != Status.WAITING or payment.account_number is None:
            return None
        return cls(
            bank=payment.account_bank or "",
            number=payment.account_number,
            holder=payment.account_holder or "",
            due=payment.deposit_due_at,
        )


class RedirectOut(Answer):
    redirect: str


class WindowOut(Answer):
    script: str
    steps: list[list[Any]]


class PreparedOut(Answer):
    order_id: str
    amount: int
    item_name: str
    payment: PaymentOut
    next: RedirectOut | WindowOut


class CompletedOut(Answer):
    payment: PaymentOut
    purchase: PurchaseOut | None = None
    account: AccountOut | None = Field(default=None, description="The virtual account that waits for its deposit.")


class RefundedOut(Answer):
    payment: PaymentOut
    refund: RefundOut


class OnePaymentOut(Answer):
    payment: PaymentOut
    account: AccountOut | None = Field(default=None, description="The virtual account that waits for its deposit.")


class PaymentsOut(Answer):
    payments: list[PaymentOut]
    next: str | None


class Problem(Answer):
    """RFC 9457."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    code: str
    detail: str
