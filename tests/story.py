"""The people and things that every test knows. They are in the database before a test begins."""

from sqlalchemy.orm import Session

from app import auth
from app.models import Prompt, User
from app.roles import Role

PASSWORD = "correct horse battery"
BUYER = "buyer@example.com"
MEMBER = "member@example.com"  # pays the member price
OTHER = "other@example.com"  # a buyer too, and a stranger to the buyer's things
ADMIN = "admin@example.com"

PROMPT = 1  # ₩10,000, no member price
DISCOUNTED = 2  # ₩9,900, ₩7,900 for members
BODY = "당신은 10년 차 편집자입니다. [주제]로 초안을 씁니다."


def tell(session: Session, /) -> None:
    """Ids follow the order: prompts 1 and 2, people 1 to 4."""
    password_hash = auth.hash_password(PASSWORD)
    for email, name in ((BUYER, "김찐"), (MEMBER, "이회원"), (OTHER, "박남"), (ADMIN, "최관리")):
        person = User(email=email, name=name, phone="01012345678", password_hash=password_hash)
        person.is_member, person.is_admin = email == MEMBER, email == ADMIN
        person.role = Role.OWNER if person.is_admin else Role.VIEWER
        session.add(person)
        session.flush()
    for title, category, price, member_price in (
        ("블로그 초안 쓰기", "글쓰기", 10_000, None),
        ("광고 문구 열 개", "마케팅", 9_900, 7_900),
    ):
        session.add(
            Prompt(
                title=title,
                category=category,
                summary=f"{title}, 한 번에",
                preview="당신은 10년 차 편집자입니다.",
                body=BODY,
                price=price,
                member_price=member_price,
            )
        )
        session.flush()
