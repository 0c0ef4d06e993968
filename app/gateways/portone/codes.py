"""PortOne's words: what an error type proves, what a buyer is told, what banks are called (pg/portone.md §5, §8)."""

from app.gateways import NOT_APPROVED, SELLER_AT_FAULT, WINDOW_CLOSED

# Definite: nothing was taken, nothing given back. Everything that stands in neither list is "don't know", also what may
# be a success of before: PAYMENT_ALREADY_CANCELLED, CANCELLABLE_AMOUNT_CONSISTENCY_BROKEN, PG_PROVIDER.
DECLINED = set(
    """
    PAYMENT_NOT_FOUND PAYMENT_NOT_PAID ALREADY_PAID INVALID_PAYMENT_TOKEN INFORMATION_MISMATCH
    CANCEL_AMOUNT_EXCEEDS_CANCELLABLE_AMOUNT CANCEL_TAX_FREE_AMOUNT_EXCEEDS_CANCELLABLE_TAX_FREE_AMOUNT
    CANCEL_TAX_AMOUNT_EXCEEDS_CANCELLABLE_TAX_AMOUNT SUM_OF_PARTS_EXCEEDS_CANCEL_AMOUNT MAX_CANCEL_COUNT_REACHED
    NEGATIVE_PROMOTION_ADJUSTED_CANCEL_AMOUNT PROMOTION_DISCOUNT_RETAIN_OPTION_SHOULD_NOT_BE_CHANGED
    PAYMENT_NOT_WAITING_FOR_DEPOSIT MAX_TRANSACTION_COUNT_REACHED
    """.split()
)
CONFIGURATION = set("INVALID_REQUEST UNAUTHORIZED FORBIDDEN CHANNEL_NOT_FOUND".split())
AT_WORK = "IDEMPOTENCY_OUTSTANDING_REQUEST"  # the first request will have its own answer

CANCELED = frozenset({"PAY_PROCESS_CANCELED", "USER_CANCEL"})
AGAIN = "결제창을 열지 못했습니다. 결제되지 않았으니 잠시 뒤 다시 결제해 주세요."
SENTENCES = {
    WINDOW_CLOSED: "PAY_PROCESS_CANCELED USER_CANCEL",
    "결제가 중단되었습니다. 결제되지 않았으니 다시 결제해 주세요.": "PAY_PROCESS_ABORTED",
    "카드 한도를 넘었거나 잔액이 부족합니다. 다른 카드나 결제수단으로 결제해 주세요.": "REJECT_CARD_PAYMENT",
    "계좌 잔액이 부족합니다. 잔액을 확인하거나 다른 결제수단으로 결제해 주세요.": "REJECT_ACCOUNT_PAYMENT",
    "사용이 정지된 카드입니다. 다른 카드로 결제해 주세요.": "INVALID_STOPPED_CARD",
    "카드사가 결제를 승인하지 않았습니다. 다른 카드로 결제하거나 카드사에 문의해 주세요.": "REJECT_CARD_COMPANY",
    "이미 결제를 마친 주문입니다. 결제 내역에서 결과를 확인해 주세요.": "ALREADY_PAID PaymentAlreadyPaid",
    "결제 금액이 주문과 달라 결제하지 않았습니다. 처음부터 다시 결제해 주세요.": """
        INFORMATION_MISMATCH AmountNotEqualToPredefined""",
    "결제 시간이 지났습니다. 결제되지 않았으니 처음부터 다시 결제해 주세요.": "INVALID_PAYMENT_TOKEN PAYMENT_NOT_FOUND",
    AGAIN: "SDK_NOT_LOADED UNKNOWN UnknownError DeadlineExceeded PGProviderError PORTONE_ERROR FAILURE_TYPE_PG",
    SELLER_AT_FAULT: """
        INVALID_REQUEST UNAUTHORIZED FORBIDDEN CHANNEL_NOT_FOUND TEST_CHANNEL BadRequest InvalidArgument
        ParseChannelFailed RequestParseFailed StoreNotFound ChannelNotFound ConfirmUrlRequired
        AllChannelsNotSatisfied""",
}
SENTENCE_OF = {code: sentence for sentence, codes in SENTENCES.items() for code in codes.split()}


def sentence(code: str) -> str:
    return SENTENCE_OF.get(code, NOT_APPROVED)


BANKS = dict(
    pair.split("=")
    for pair in """
        KOOKMIN=국민은행 SHINHAN=신한은행 WOORI=우리은행 HANA=하나은행 NONGHYUP=농협은행 IBK=기업은행 KDB=산업은행
        SUHYUP=수협은행 DAEGU=iM뱅크 BUSAN=부산은행 KWANGJU=광주은행 JEJU=제주은행 JEONBUK=전북은행 KYONGNAM=경남은행
        KFCC=새마을금고 SHINHYUP=신협 POST=우체국 K_BANK=케이뱅크 KAKAO=카카오뱅크 TOSS=토스뱅크
        STANDARD_CHARTERED=SC제일은행 CITI=씨티은행 SAVINGS_BANK=저축은행
    """.split()
)
BANK_OF = {korean: bank for bank, korean in BANKS.items()}
