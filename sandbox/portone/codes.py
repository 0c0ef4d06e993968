"""Names of institutions as PortOne spells them (pg/portone.md §6, §8)."""

METHODS = {
    "CARD": "카드",
    "EASY_PAY": "간편결제",
    "TRANSFER": "계좌이체",
    "VIRTUAL_ACCOUNT": "가상계좌",
    "MOBILE": "휴대폰",
}
CARDS = {
    "SHINHAN_CARD": "신한",
    "KOOKMIN_CARD": "국민",
    "HYUNDAI_CARD": "현대",
    "SAMSUNG_CARD": "삼성",
    "LOTTE_CARD": "롯데",
    "HANA_CARD": "하나",
    "WOORI_CARD": "우리",
    "BC_CARD": "비씨",
}
EASY_PAYS = {"KAKAOPAY": "카카오페이", "NAVERPAY": "네이버페이", "TOSSPAY": "토스페이", "PAYCO": "페이코"}
BANKS = {
    "KOOKMIN": "국민",
    "SHINHAN": "신한",
    "WOORI": "우리",
    "HANA": "하나",
    "NONGHYUP": "농협",
    "IBK": "기업",
    "KAKAO": "카카오뱅크",
    "TOSS": "토스뱅크",
    "K_BANK": "케이뱅크",
    "KDB": "산업",
    "SUHYUP": "수협",
    "DAEGU": "대구",
    "BUSAN": "부산",
    "KWANGJU": "광주",
    "JEJU": "제주",
    "JEONBUK": "전북",
    "KYONGNAM": "경남",
    "KFCC": "새마을",
    "SHINHYUP": "신협",
    "POST": "우체국",
    "STANDARD_CHARTERED": "SC제일",
    "CITI": "씨티",
    "SAVINGS_BANK": "저축",
}
SHOWN_BANKS = ("KOOKMIN", "SHINHAN", "WOORI", "HANA", "NONGHYUP", "IBK", "KAKAO", "TOSS")
