"""What a person is told about an order: what happened, and what happens to the money."""

import msgspec

from insuretech.contracts.text import Text
from insuretech.orders.domain.lifecycle import (
    OPEN_PAYMENT,
    CancellationStatus,
    OrderStatus,
    PaymentStatus,
    PolicyStatus,
    Reason,
)
from insuretech.orders.domain.purchase import Payment, Purchase


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The state of an order in words; ``code`` is stable, ``detail`` the insurer's own sentence as it came.

    ``text`` is ``what`` happened followed by what becomes of the ``money``, for those who show one sentence.
    """

    code: str
    text: Text
    what: Text
    money: Text
    detail: str | None = None


def explanation(purchase: Purchase) -> Explanation:
    """What happened and what becomes of the money, as of now."""
    code = _what(purchase)
    what, money = _WHAT[code], _MONEY[_money(purchase)]
    text = Text(f"{what.ru} {money.ru}".strip(), f"{what.en} {money.en}".strip())
    return Explanation(code=code, text=text, what=what, money=money, detail=purchase.order.detail)


def _what(purchase: Purchase) -> str:
    order = purchase.order
    match order.status:
        case OrderStatus.CREATED | OrderStatus.CONFIRMING_PRICE:
            return "insurer_slow" if order.attempts > 2 else "confirming_price"
        case OrderStatus.AWAITING_PAYMENT:
            return _while_awaiting(purchase.payment)
        case OrderStatus.PAID_OR_HELD | OrderStatus.ISSUING:
            return "collecting" if purchase.policy is not None else "issuing"
        case OrderStatus.ISSUE_UNKNOWN:
            return "collecting" if purchase.policy is not None else "issue_unknown"
        case OrderStatus.ISSUED:
            return _since_issued(purchase)
        case OrderStatus.CANCELLED | OrderStatus.PRICE_CHANGED:
            return order.status.value
        case _:
            expired = order.status is OrderStatus.EXPIRED
            return (order.reason or (Reason.OFFER_EXPIRED if expired else Reason.ISSUE_REFUSED)).value


def _while_awaiting(payment: Payment | None) -> str:
    if payment is None or (payment.status is PaymentStatus.CANCELLED and payment.provider_id is None):
        return "awaiting_payment"
    return "payment_open" if payment.status in OPEN_PAYMENT else "payment_declined"


def _since_issued(purchase: Purchase) -> str:
    policy, cancellation = purchase.policy, purchase.cancellation
    if policy is not None and policy.status is PolicyStatus.CANCELLED:
        return "policy_cancelled"
    if cancellation is not None and cancellation.status is CancellationStatus.ENDED:
        return "refund_coming"
    if policy is not None and policy.status is PolicyStatus.CANCEL_REQUESTED:
        return "cancellation_requested"
    return "issued" if purchase.order.reason is None else purchase.order.reason.value


def _money(purchase: Purchase) -> str:
    payment, order = purchase.payment, purchase.order
    if order.status in {OrderStatus.CREATED, OrderStatus.CONFIRMING_PRICE, OrderStatus.PRICE_CHANGED}:
        return "none"
    if payment is None or payment.status is PaymentStatus.CANCELLED:
        return "none"
    if order.status is OrderStatus.ISSUED:
        return _money_of_policy(purchase, payment)
    ending = order.status not in {
        OrderStatus.AWAITING_PAYMENT,
        OrderStatus.PAID_OR_HELD,
        OrderStatus.ISSUING,
        OrderStatus.ISSUE_UNKNOWN,
    }
    match payment.status:
        case PaymentStatus.OPENING | PaymentStatus.PENDING:
            return "watched" if ending else "none"
        case PaymentStatus.HELD:
            return "releasing" if ending else "held"
        case PaymentStatus.CAPTURED:
            return "refunding" if ending else "charged"
        case PaymentStatus.VOIDED:
            return "released"
        case _:
            return "refunded"


def _money_of_policy(purchase: Purchase, payment: Payment) -> str:
    if payment.status is PaymentStatus.VOIDED:
        return "none"
    if payment.refunded:
        return "part_refunded"
    ended = purchase.cancellation is not None and purchase.cancellation.status is CancellationStatus.ENDED
    return "refunding_part" if ended else "taken"


_WHAT = {
    "confirming_price": Text(
        "Страховщик подтверждает цену, обычно это секунды.",
        "The insurer is confirming the price; this usually takes seconds.",
    ),
    "insurer_slow": Text(
        "Страховщик пока не отвечает. Мы спрашиваем его снова и снова.",
        "The insurer is not answering yet. We keep asking.",
    ),
    "price_changed": Text(
        "Страховщик изменил цену. Сравните старую и новую и решите, согласны ли вы.",
        "The insurer has changed the price. Compare the old and the new one and decide whether you agree.",
    ),
    "awaiting_payment": Text(
        "Цена подтверждена, предложение закреплено за вами. Осталось оплатить.",
        "The price is confirmed and the offer is reserved for you. All that is left is to pay.",
    ),
    "payment_open": Text(
        "Ждём оплату на странице платёжного сервиса.",
        "We are waiting for the payment on the payment provider's page.",
    ),
    "payment_declined": Text(
        "Платёж не прошёл. Можно попробовать ещё раз, другой картой или через СБП.",
        "The payment did not go through. You can try again, with another card or by SBP.",
    ),
    "issuing": Text("Оплата получена, страховщик оформляет полис.", "Paid. The insurer is issuing the policy."),
    "issue_unknown": Text(
        "Страховщик не ответил, оформлен ли полис. Второй раз мы ничего не отправляем, а выясняем, что случилось, "
        "и будем спрашивать, пока не узнаем.",
        "The insurer did not say whether the policy was issued. We send nothing twice; we are finding out what "
        "happened and keep asking until we know.",
    ),
    "collecting": Text(
        "Полис оформлен, завершаем оплату.",
        "The policy is issued; the payment is being completed.",
    ),
    "issued": Text("Полис оформлен.", "The policy is issued."),
    "uncollected": Text(
        "Полис оформлен, но банк снял блокировку раньше, чем мы списали деньги. Полис действует; "
        "мы свяжемся с вами, чтобы принять оплату.",
        "The policy is issued, but the bank released the hold before the money was taken. The policy stands; "
        "we will contact you about the payment.",
    ),
    "cancellation_requested": Text(
        "Отправили страховщику ваш отказ от полиса, ждём подтверждения.",
        "Your cancellation has been sent to the insurer; we are waiting for its confirmation.",
    ),
    "refund_coming": Text("Страховщик прекратил полис.", "The insurer has ended the policy."),
    "policy_cancelled": Text("Полис прекращён по вашему заявлению.", "The policy was ended at your request."),
    "cancellation_refused": Text(
        "Страховщик отказался прекратить полис, он продолжает действовать.",
        "The insurer refused to end the policy; it stays in force.",
    ),
    "issue_refused": Text("Страховщик отказался оформить полис.", "The insurer refused to issue the policy."),
    "hold_lost": Text(
        "Полис не оформлен: банк снял блокировку денег раньше, чем ответил страховщик.",
        "No policy was issued: the bank released the hold before the insurer answered.",
    ),
    "insurer_unreachable": Text(
        "До страховщика не удалось достучаться, полис не оформлен. Выберите другое предложение.",
        "The insurer could not be reached and no policy was issued. Please choose another offer.",
    ),
    "payment_deadline": Text(
        "Время на оплату истекло. Запросите предложения ещё раз: ответы сохранились.",
        "The time to pay has passed. Ask for offers again; your answers are kept.",
    ),
    "offer_expired": Text(
        "Срок предложения истёк. Запросите предложения ещё раз: ответы сохранились.",
        "The offer has expired. Ask for offers again; your answers are kept.",
    ),
    "offer_withdrawn": Text(
        "Страховщик больше не подтверждает это предложение. Выберите другое.",
        "The insurer no longer stands by this offer. Please choose another one.",
    ),
    "cancelled": Text("Вы закрыли заказ до оформления полиса.", "You closed the order before a policy was issued."),
}

_MONEY = {
    "none": Text("Деньги не списаны.", "No money has been taken."),
    "watched": Text(
        "Деньги не списаны; если оплата всё же придёт, мы сразу её вернём.",
        "No money has been taken; should a payment still come in, it goes back at once.",
    ),
    "held": Text(
        "Деньги на карте заблокированы и спишутся только после оформления.",
        "The money is held on your card and will be taken only once the policy is issued.",
    ),
    "charged": Text(
        "Деньги списаны; если полис не оформят, мы вернём их полностью.",
        "The money has been taken; if no policy is issued, all of it goes back.",
    ),
    "releasing": Text(
        "Деньги не списаны, снимаем блокировку с карты.", "No money has been taken; the hold is being released."
    ),
    "released": Text(
        "Деньги не списаны, блокировка снята; банк покажет это в течение нескольких дней.",
        "No money has been taken and the hold is released; the bank may take a few days to show it.",
    ),
    "refunding": Text("Возвращаем деньги полностью.", "All the money is being returned."),
    "refunded": Text(
        "Деньги возвращены полностью; банк зачислит их в течение нескольких дней.",
        "All the money has been returned; the bank may take a few days to show it.",
    ),
    "taken": Text("Оплата списана.", "The payment has been taken."),
    "refunding_part": Text(
        "Возвращаем деньги за неиспользованный срок.", "The money for the unused days is being returned."
    ),
    "part_refunded": Text(
        "Деньги возвращены; банк зачислит их в течение нескольких дней.",
        "The money has been returned; the bank may take a few days to show it.",
    ),
}
