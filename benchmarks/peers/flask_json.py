"""The design this product replaces: Flask, Flask-SQLAlchemy and requests; prepare, complete, refund, list."""

import os
import secrets
from datetime import UTC, datetime

import requests
from flask import Flask, abort, jsonify, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import insert

app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["BENCH_DATABASE"].replace("postgresql:", "postgresql+psycopg2:")
app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"pool_size": 20, "max_overflow": 44}
if app.config["SQLALCHEMY_DATABASE_URI"].startswith("sqlite"):
    app.config["SQLALCHEMY_ENGINE_OPTIONS"]["connect_args"] = {"timeout": 30}
PG = os.environ["BENCH_PG"]
db = SQLAlchemy(app)


class Account(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    token = db.Column(db.String(64), unique=True, nullable=False)


class Payment(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    order_id = db.Column(db.String(64), unique=True, nullable=False)
    account_id = db.Column(db.Integer, db.ForeignKey("account.id"), nullable=False)
    prompt_id = db.Column(db.Integer, nullable=False)
    amount = db.Column(db.Integer, nullable=False)
    refunded_amount = db.Column(db.Integer, default=0, nullable=False)
    payment_method = db.Column(db.String(20), nullable=False)
    status = db.Column(db.String(20), default="pending", nullable=False)
    pg_transaction_id = db.Column(db.String(200))
    buyer_name = db.Column(db.String(50), nullable=False)
    buyer_email = db.Column(db.String(254), nullable=False)
    item_name = db.Column(db.String(100), nullable=False)
    created_at = db.Column(db.DateTime, default=lambda: datetime.now(UTC).replace(tzinfo=None), nullable=False)
    completed_at = db.Column(db.DateTime)

    def to_dict(self) -> dict[str, object]:
        return {column.name: getattr(self, column.name) for column in self.__table__.columns}


def account() -> Account:
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return Account.query.filter_by(token=token).first() or abort(401)


@app.get("/health")
def health():
    return "ok"


@app.post("/api/payment/prepare")
def prepare():
    buyer, body = account(), request.get_json()
    payment = Payment(
        order_id=secrets.token_hex(12),
        account_id=buyer.id,
        prompt_id=body["prompt_id"],
        amount=9_900,
        payment_method=body["payment_method"],
        buyer_name="김찐",
        buyer_email="buyer@example.com",
        item_name="블로그 초안 쓰기",
    )
    db.session.add(payment)
    db.session.commit()
    return jsonify(order_id=payment.order_id, amount=payment.amount), 201


@app.post("/api/payment/complete")
def complete():
    account()
    body = request.get_json()
    payment = Payment.query.filter_by(order_id=body["order_id"]).first() or abort(404)
    asked = {"paymentKey": body["pg_transaction_id"], "orderId": payment.order_id, "amount": payment.amount}
    answer = requests.post(f"{PG}/v1/payments/confirm", json=asked, auth=("test_sk_bench", ""), timeout=20)
    if answer.status_code != 200:
        payment.status = "failed"
        db.session.commit()
        return jsonify(answer.json()), 402
    payment.status, payment.pg_transaction_id = "completed", body["pg_transaction_id"]
    payment.completed_at = datetime.now(UTC).replace(tzinfo=None)
    db.session.commit()
    return jsonify(payment.to_dict())


@app.post("/api/payment/<order_id>/refund")
def refund(order_id):
    account()
    payment = Payment.query.filter_by(order_id=order_id).first() or abort(404)
    requests.post(f"{PG}/v1/payments/{payment.pg_transaction_id}/cancel", json=request.get_json(), timeout=20)
    payment.status, payment.refunded_amount = "refunded", payment.amount
    db.session.commit()
    return jsonify(payment.to_dict())


@app.get("/api/payments")
def index():
    account()
    return jsonify([payment.to_dict() for payment in Payment.query.order_by(Payment.created_at.desc()).all()])


if __name__ == "__main__":
    with app.app_context():
        db.create_all()
        db.session.add_all(Account(token=f"token-{number}") for number in range(400))
        db.session.commit()
        paid = {"account_id": 1, "prompt_id": 1, "amount": 9_900, "payment_method": "card", "status": "completed"}
        told = {"buyer_name": "김찐", "buyer_email": "buyer@example.com", "item_name": "블로그 초안 쓰기"}
        count = int(os.environ.get("BENCH_PAYMENTS", "0"))
        rows = [{"order_id": secrets.token_hex(12), **paid, **told} for _ in range(count)]
        if rows:
            db.session.execute(insert(Payment), rows)
            db.session.commit()
