"""What people type: checked by field, answered with one sentence beside the field. Nothing typed is lost."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError
from starlette.requests import Request

MAX_ID = 2**31 - 1


def _clean(value: Any) -> Any:
    """One form for every letter, no blanks around it; control characters and what is no character are nobody's name."""
    if not isinstance(value, str):
        return value
    value = unicodedata.normalize("NFC", value).strip()
    if any(unicodedata.category(letter) in ("Cc", "Cs") or _no_character(letter) for letter in value):
        raise PydanticCustomError("letters", "쓸 수 없는 문자가 들어 있습니다.")
    return value


def _no_character(letter: str) -> bool:
    """What Unicode never gives a meaning (§23.7): XML, and so a spreadsheet, may not hold it."""
    return ord(letter) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(letter) <= 0xFDEF


def _digits(value: str) -> str:
    digits = re.sub(r"[\s().-]", "", unicodedata.normalize("NFKC", value))
    digits = re.sub(r"^\+820?", "0", digits)
    if not re.fullmatch(r"0[0-9]{8,10}", digits):
        raise PydanticCustomError("phone", "휴대폰 번호를 숫자로 입력해 주세요. 예: 010-1234-5678")
    return digits


def _email(value: str) -> str:
    if not re.fullmatch(r"[^@\s,;<>()\"]{1,64}@[^@\s,;<>()\"]+\.[^@\s.,;<>()\"]{2,}", value):
        raise PydanticCustomError("email", "이메일 주소를 확인해 주세요. 예: name@example.com")
    lower = value.lower()
    if len(lower) > 254:  # some letters become two
        raise PydanticCustomError("email", "이메일 주소를 확인해 주세요. 예: name@example.com")
    return lower


def empty_as_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _whole(value: Any) -> Any:
    """A number, or its digits, as a form has them; neither `true` nor 1.000 is one."""
    if isinstance(value, bool) or (isinstance(value, str) and not re.fullmatch(r"\s*[0-9]+\s*", value)):
        raise ValueError("not a whole number")
    return value


def _won(value: Any) -> Any:
    """People write ₩10,000."""
    return re.sub(r"[₩,\s원]", "", unicodedata.normalize("NFKC", value)) if isinstance(value, str) else value


def _account_number(value: Any) -> Any:
    """People write 110-123-456789."""
    return re.sub(r"[\s-]", "", unicodedata.normalize("NFKC", value)) if isinstance(value, str) else value


Text = Annotated[str, BeforeValidator(_clean)]
Phone = Annotated[Text, Field(max_length=20), AfterValidator(_digits)]
Email = Annotated[Text, Field(max_length=254), AfterValidator(_email)]
Whole = Annotated[int, BeforeValidator(_whole)]
Won = Annotated[Whole, BeforeValidator(_won), Field(ge=1, le=MAX_ID)]
Id = Annotated[Whole, Field(ge=1, le=MAX_ID)]


class Form(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)
    sentences: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def read(cls, typed: Mapping[str, Any]) -> tuple[Self | None, dict[str, str]]:
        """The form, or a sentence for every field that is wrong."""
        try:
            return cls.model_validate(dict(typed)), {}
        except ValidationError as wrong:
            return None, {_field(error): cls._sentence(error) for error in reversed(wrong.errors())}

    @classmethod
    def _sentence(cls, error: Any) -> str:
        own = error["type"] in ("letters", "phone", "email", "agree", "password", "dates")
        return str(error["msg"]) if own else cls.sentences.get(_field(error), "입력한 값을 확인해 주세요.")


def _field(error: Any) -> str:
    """The field an error stands beside; one about the form as a whole stands beside the first."""
    return str(error["loc"][0]) if error["loc"] else "from"


class WrongFields(Exception):
    """For programs: a sentence for every wrong field."""

    def __init__(self, errors: Mapping[str, str]) -> None:
        super().__init__(next(iter(errors.values())))
        self.errors = errors


class LoginForm(Form):
    email: Annotated[Text, Field(min_length=1, max_length=254), AfterValidator(str.lower)]
    password: Annotated[str, Field(min_length=1, max_length=200)]
    sentences = {"email": "이메일을 입력해 주세요.", "password": "비밀번호를 입력해 주세요."}


def _uncommon(value: str) -> str:
    if len(set(value)) < 4 or value.lower() in ("password", "qwertyui", "12345678", "123456789", "1234567890"):
        raise PydanticCustomError("password", "너무 쉬운 비밀번호입니다. 다른 비밀번호를 정해 주세요.")
    return value


class RegisterForm(Form):
    email: Email
    password: Annotated[str, Field(min_length=8, max_length=200), AfterValidator(_uncommon)]
    name: Annotated[Text, Field(min_length=1, max_length=50)]
    phone: Annotated[Phone | None, BeforeValidator(empty_as_none)] = None
    sentences = {
        "email": "이메일 주소를 확인해 주세요. 예: name@example.com",
        "password": "비밀번호는 8자 이상 200자 이하로 정해 주세요.",
        "name": "이름을 50자 이하로 입력해 주세요.",
        "phone": "휴대폰 번호를 숫자로 입력해 주세요. 예: 010-1234-5678",
    }


def _agreed(value: str) -> str:
    if value != "on":
        raise PydanticCustomError("agree", "주문 내용을 확인하고 동의해 주세요.")
    return value


class OrderForm(Form):
    prompt_id: Id
    payment_method: Annotated[Text, Field(min_length=1, max_length=30)]
    buyer_name: Annotated[Text, Field(min_length=1, max_length=50)]
    buyer_phone: Phone
    agree: Annotated[str, Field(validate_default=True), AfterValidator(_agreed)] = ""
    amount: Annotated[Won | None, BeforeValidator(empty_as_none)] = None
    sentences = {
        "prompt_id": "주문할 프롬프트를 찾을 수 없습니다.",
        "payment_method": "결제수단을 골라 주세요.",
        "buyer_name": "이름을 50자 이하로 입력해 주세요.",
        "buyer_phone": "휴대폰 번호를 숫자로 입력해 주세요. 예: 010-1234-5678",
        "amount": "금액을 확인해 주세요.",
    }


class RefundForm(Form):
    amount: Annotated[Won | None, BeforeValidator(empty_as_none)] = None
    reason: Annotated[Text, Field(min_length=1, max_length=200)]
    key: Annotated[Text, Field(min_length=1, max_length=100)]
    remaining: Annotated[Annotated[Whole, Field(ge=0, le=MAX_ID)] | None, BeforeValidator(empty_as_none)] = None
    sentences = {
        "remaining": "환불 화면을 다시 열어 주세요.",
        "amount": "환불 금액을 1원 이상의 숫자로 입력해 주세요. 비워 두면 남은 금액을 모두 환불합니다.",
        "reason": "환불 사유를 200자 이하로 입력해 주세요.",
        "key": "환불 화면을 다시 열어 주세요.",
    }


class PleaForm(Form):
    reason: Annotated[Text, Field(min_length=1, max_length=200)]
    sentences = {"reason": "환불을 요청하는 이유를 200자 이하로 입력해 주세요."}


class AnswerForm(Form):
    answer: Annotated[Text, Field(min_length=1, max_length=200)]
    sentences = {"answer": "환불하지 않는 이유를 200자 이하로 입력해 주세요. 구매자가 읽습니다."}


class NoteForm(Form):
    note: Annotated[Text, Field(min_length=1, max_length=500)]
    sentences = {"note": "메모를 500자 이하로 입력해 주세요."}


class ViewForm(Form):
    view: Annotated[Text, Field(min_length=1, max_length=30)]
    query: Annotated[str, Field(max_length=1000)]
    sentences = {"view": "보기의 이름을 30자 이하로 입력해 주세요.", "query": "목록에서 조건을 다시 골라 주세요."}


class RevealForm(Form):
    purpose: Annotated[Text, Field(min_length=1, max_length=200)]
    sentences = {"purpose": "구매자 정보를 보는 까닭을 200자 이하로 입력해 주세요. 기록에 남습니다."}


class BulkForm(Form):
    """Why, and the sum that was looked over, in won."""

    reason: Annotated[Text, Field(min_length=1, max_length=200)]
    total: Won
    sentences = {"reason": "환불 사유를 200자 이하로 입력해 주세요.", "total": "화면을 다시 열어 확인해 주세요."}


class DecisionForm(Form):
    """What was agreed to, to the won; or a refusal."""

    decision: Literal["grant", "refuse"]
    amount: Won


class AccountForm(Form):
    """Where a deposit goes back to."""

    bank: Annotated[Text, Field(min_length=1, max_length=30)]
    number: Annotated[str, BeforeValidator(_account_number), Field(pattern=r"^[0-9]{6,20}$")]
    holder: Annotated[Text, Field(min_length=1, max_length=60)]
    sentences = {
        "bank": "환불받을 은행을 골라 주세요.",
        "number": "계좌번호를 숫자로 입력해 주세요. 예: 110-123-456789",
        "holder": "예금주 이름을 60자 이하로 입력해 주세요.",
    }


async def typed(request: Request) -> dict[str, str]:
    """The fields of a posted form; no form of ours takes files. Raises HTTPException 400 for a body that is no form."""
    async with request.form(max_files=0) as form:
        return {name: value for name, value in form.items() if isinstance(value, str)}


def cleaned(value: str | None) -> str:
    """A search word from a URL; one with letters that cannot be searched for finds nothing, and harms nothing."""
    letters = (letter for letter in value or "" if unicodedata.category(letter) != "Cc")
    return unicodedata.normalize("NFC", "".join(letters)).strip()[:100]
