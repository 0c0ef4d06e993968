"""Names and numbers of institutions (pg/toss.md §1.2, §3.1)."""

# Code in answers: Korean name, English code of the SDK
CARDS = {
    "41": ("신한", "SHINHAN"),
    "11": ("국민", "KOOKMIN"),
    "61": ("현대", "HYUNDAI"),
    "51": ("삼성", "SAMSUNG"),
    "71": ("롯데", "LOTTE"),
    "21": ("하나", "HANA"),
    "W1": ("우리", "WOORI"),
    "31": ("비씨", "BC"),
    "91": ("농협", "NONGHYEOP"),
    "15": ("카카오뱅크", "KAKAOBANK"),
    "24": ("토스뱅크", "TOSSBANK"),
    "3A": ("케이뱅크", "KBANK"),
    "3K": ("기업비씨", "IBK_BC"),
    "46": ("광주", "GWANGJUBANK"),
    "30": ("산업", "KDBBANK"),
    "38": ("새마을", "SAEMAUL"),
    "62": ("신협", "SHINHYEOP"),
    "36": ("씨티", "CITI"),
    "33": ("우리", "WOORI_BC"),
    "37": ("우체국", "POST"),
    "39": ("저축", "SAVINGBANK"),
    "35": ("전북", "JEONBUKBANK"),
    "42": ("제주", "JEJUBANK"),
    "34": ("수협", "SUHYEOP"),
    "6D": ("다이너스", "DINERS"),
    "4M": ("마스터", "MASTER"),
    "3C": ("유니온페이", "UNIONPAY"),
    "7A": ("아멕스", "AMEX"),
    "4J": ("JCB", "JCB"),
    "4V": ("비자", "VISA"),
}
SHOWN_CARDS = ("41", "11", "61", "51", "71", "21", "W1", "31", "91")

EASY_PAYS = {
    "TOSSPAY": "토스페이",
    "NAVERPAY": "네이버페이",
    "KAKAOPAY": "카카오페이",
    "SAMSUNGPAY": "삼성페이",
    "APPLEPAY": "애플페이",
    "LPAY": "엘페이",
    "PAYCO": "페이코",
    "SSG": "SSG페이",
    "PINPAY": "핀페이",
}
SHOWN_EASY_PAYS = ("토스페이", "네이버페이", "카카오페이")

BANKS = {
    "06": ("국민", "KOOKMIN"),
    "88": ("신한", "SHINHAN"),
    "20": ("우리", "WOORI"),
    "81": ("하나", "HANA"),
    "11": ("농협", "NONGHYEOP"),
    "03": ("기업", "IBK"),
    "90": ("카카오뱅크", "KAKAOBANK"),
    "92": ("토스뱅크", "TOSSBANK"),
    "89": ("케이뱅크", "KBANK"),
    "02": ("산업", "KDBBANK"),
    "07": ("수협", "SUHYEOP"),
    "12": ("단위농협", "LOCALNONGHYEOP"),
    "23": ("SC제일", "SC"),
    "27": ("씨티", "CITI"),
    "31": ("대구", "DAEGUBANK"),
    "32": ("부산", "BUSANBANK"),
    "34": ("광주", "GWANGJUBANK"),
    "35": ("제주", "JEJUBANK"),
    "37": ("전북", "JEONBUKBANK"),
    "39": ("경남", "KYONGNAMBANK"),
    "45": ("새마을", "SAEMAUL"),
    "48": ("신협", "SHINHYEOP"),
    "50": ("저축", "SAVINGBANK"),
    "54": ("홍콩상하이", "HSBC"),
    "64": ("산림", "SANLIM"),
    "71": ("우체국", "POST"),
}
SHOWN_BANKS = ("06", "88", "20", "81", "11", "03", "90", "92")

CARRIERS = {"SKT": "SKT", "KT": "KT", "LGU": "LG U+", "HELLO": "헬로모바일", "KCT": "티플러스", "SK7": "SK 7mobile"}

# The SDK's method: what the Payment object calls it. The v1 SDK asks by the Korean name.
METHODS = {
    "CARD": "카드",
    "VIRTUAL_ACCOUNT": "가상계좌",
    "TRANSFER": "계좌이체",
    "MOBILE_PHONE": "휴대폰",
    "CULTURE_GIFT_CERTIFICATE": "문화상품권",
    "BOOK_GIFT_CERTIFICATE": "도서문화상품권",
    "GAME_GIFT_CERTIFICATE": "게임문화상품권",
}
KOREAN_METHODS = {korean: method for method, korean in METHODS.items()}


def code_of(name: str, table: dict[str, tuple[str, str]]) -> str | None:
    """Toss takes the number, the Korean name or the English one."""
    return next((code for code, names in table.items() if name in (code, *names)), None)
