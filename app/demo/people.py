"""Made-up Korean buyers: names as frequent as they are, with addresses and numbers that belong to nobody."""

from random import Random

SURNAMES = """
    김 kim 215 이 lee 147 박 park 84 최 choi 47 정 jung 43 강 kang 24 조 cho 21 윤 yoon 21 장 jang 20 임 lim 17
    한 han 15 오 oh 15 서 seo 15 신 shin 15 권 kwon 14 황 hwang 14 안 ahn 14 송 song 14 전 jeon 11 홍 hong 11
    유 yoo 13 고 ko 9
    문 moon 9 양 yang 9 손 son 9 배 bae 8 백 baek 7 허 heo 6 남 nam 5 심 shim 5 노 noh 5 하 ha 4 곽 kwak 4 성 sung 4
    차 cha 4 주 joo 4 우 woo 4 구 koo 4 민 min 3 류 ryu 3 나 na 3 진 jin 3 지 ji 3 엄 eom 3 채 chae 3 원 won 2
"""
GIVEN_NAMES = """
    민수 minsu 지훈 jihoon 성민 sungmin 현우 hyunwoo 준호 junho 영호 youngho 상우 sangwoo 진우 jinwoo 동현 donghyun
    민준 minjun 서준 seojun 도윤 doyoon 예준 yejun 시우 siwoo 하준 hajun 주원 joowon 지호 jiho 건우 gunwoo 우진 woojin
    선우 sunwoo 현준 hyunjun 정우 jungwoo 승현 seunghyun 승민 seungmin 재현 jaehyun 태영 taeyoung 경수 kyungsu
    성호 sungho 병철 byungchul 영수 youngsu 정훈 junghoon 상훈 sanghoon 종현 jonghyun 기범 kibum 태호 taeho 규현 kyuhyun
    찬영 chanyoung 인호 inho 용준 yongjun 대현 daehyun 은호 eunho 한결 hangyeol 지민 jimin 수빈 soobin 지원 jiwon
    민지 minji 서연 seoyeon 지은 jieun 혜진 hyejin 은정 eunjung 미영 miyoung 유진 yujin 수진 sujin 지영 jiyoung
    서윤 seoyoon 하은 haeun 지우 jiwoo 서현 seohyun 민서 minseo 하윤 hayoon 채원 chaewon 수아 sua 지아 jia 다은 daeun
    예은 yeeun 소연 soyeon 예진 yejin 은지 eunji 현정 hyunjung 선영 sunyoung 정은 jungeun 경희 kyunghee 영미 youngmi
    미경 mikyung 보람 boram 아름 areum 슬기 seulgi 나연 nayeon 가은 gaeun 윤아 yoona 유나 yuna 혜원 hyewon 주희 juhee
    소영 soyoung 은주 eunju 정희 junghee 희진 heejin 다영 dayoung 세영 seyoung 하늘 haneul 가영 gayoung 연우 yeonwoo
    진아 jina 효진 hyojin 민정 minjung 소희 sohee 은영 eunyoung 명숙 myungsook 순자 soonja 영순 youngsoon 해인 haein
"""
MAIL_HOSTS = ("example.com", "example.com", "example.com", "example.net", "example.org")


class People:
    """Makes up one person after the other; no e-mail address twice, and none that is in `taken`."""

    def __init__(self, chance: Random, taken: set[str]) -> None:
        self.random, self.taken = chance.random, taken
        words = SURNAMES.split()
        surnames = zip(words[::3], words[1::3], map(int, words[2::3]), strict=True)
        self.surnames = [(hangul, latin) for hangul, latin, weight in surnames for _ in range(weight)]
        words = GIVEN_NAMES.split()
        self.given = list(zip(words[::2], words[1::2], strict=True))

    def make(self) -> tuple[str, str, str]:
        """Name, e-mail address, and a phone number that begins as no number in Korea does."""
        random = self.random
        surname, last = self.surnames[int(random() * len(self.surnames))]
        given, first = self.given[int(random() * len(self.given))]
        local = (f"{first}.{last}", f"{first}{last}", f"{last}{first}", f"{last}.{first}")[int(random() * 4)]
        host = MAIL_HOSTS[int(random() * len(MAIL_HOSTS))]
        email = f"{local}{int(66 + 42 * random()) % 100:02}@{host}"
        while email in self.taken:
            email = f"{local}{int(random() * 10_000):04}@{host}"
        self.taken.add(email)
        return surname + given, email, f"0101{int(random() * 10_000_000):07}"
