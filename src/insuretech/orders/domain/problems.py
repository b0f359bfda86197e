"""What can stand against a buyer's wish, each with its own address to read about it."""

from uuid import UUID

from insuretech.contracts.money import Money
from insuretech.kit.problems import Conflict, FieldError, Invalid, Unavailable


class OfferExpired(Conflict):
    """The insurer no longer stands by the offer, or the time to pay it is over; ask for offers again."""

    slug = "offer-expired"
    title = "The offer has expired"


class OfferTaken(Conflict):
    """There is a live order for this offer already; ``Location`` leads to it."""

    slug = "offer-taken"
    title = "This offer already has an order"

    def __init__(self, order_id: UUID | None) -> None:
        headers = {"Location": f"/api/v1/orders/{order_id}"} if order_id is not None else {}
        super().__init__("An offer can have one live order; go on with that one or cancel it first.", headers=headers)


class ConsentsNotGiven(Invalid):
    """A required consent is missing, or was given to another version of its text than the one in force."""

    slug = "consents-not-given"
    title = "The consents are not complete"


class CustomerInvalid(Invalid):
    """The policyholder's data do not hold together."""

    slug = "customer-invalid"
    title = "The policyholder's data are not right"


class ReturnUrlInvalid(Invalid):
    """The address to come back to after paying cannot be used."""

    slug = "return-url-invalid"
    title = "The return address is not right"

    def __init__(self) -> None:
        detail = "Give an absolute http or https address of at most 2,000 characters."
        super().__init__(errors=[FieldError(pointer="/return_url", code="url", detail=detail)])


class PriceNotConfirmed(Conflict):
    """The insurer is still confirming the price; repeat in a moment."""

    slug = "price-not-confirmed"
    title = "The insurer has not confirmed the price yet"

    def __init__(self) -> None:
        super().__init__("Repeat the request in a moment, or follow the order's status.", headers={"Retry-After": "2"})


class PriceConsentNeeded(Conflict):
    """The insurer changed the price; the buyer must agree before paying."""

    slug = "price-consent-needed"
    title = "The insurer changed the price; agree to it first"


class PriceNotAsked(Conflict):
    """No change of price waits for consent."""

    slug = "price-not-asked"
    title = "No new price waits for consent"


class PriceDiffers(Conflict):
    """The consent names another price than the insurer's."""

    slug = "price-differs"
    title = "The price agreed to is not the one asked for"

    def __init__(self, premium: Money) -> None:
        super().__init__(f"The insurer asks for {premium.amount} {premium.currency}.")


class NothingToPay(Conflict):
    """The order is not waiting for a payment."""

    slug = "nothing-to-pay"
    title = "This order does not wait for a payment"

    def __init__(self, status: str) -> None:
        super().__init__(f"The order is {status}.")


class PaymentClosed(Conflict):
    """The order ended while its payment was being opened; nothing can be paid."""

    slug = "payment-closed"
    title = "The order ended before its payment was opened"


class PaymentProviderAway(Unavailable):
    """The payment provider does not answer; nothing was charged, repeat with the same key."""

    slug = "payment-provider-away"
    title = "The payment provider does not answer for the moment"

    def __init__(self) -> None:
        super().__init__("Nothing was charged. Repeat the request with the same key.", headers={"Retry-After": "3"})


class PaymentNotOpened(Conflict):
    """The payment provider will not open this payment; another method may work."""

    slug = "payment-not-opened"
    title = "The payment provider refused to open this payment"


class CannotCancelNow(Conflict):
    """The order is in a state in which it can neither be given up nor its policy be ended."""

    slug = "cannot-cancel-now"
    title = "This cannot be cancelled in its present state"

    def __init__(self, status: str) -> None:
        super().__init__(f"The order is {status}.")


class CancellationWindowPassed(Conflict):
    """The days in which this policy may be ended with a refund are over."""

    slug = "cancellation-window-passed"
    title = "The time for ending this policy with a refund is over"


class NothingToRefund(Conflict):
    """The cover has run out: no day is left to be refunded."""

    slug = "nothing-to-refund"
    title = "No unused day of cover is left"


class PreviewExpired(Conflict):
    """The preview is too old or no longer true; ask for a fresh one."""

    slug = "preview-expired"
    title = "The preview has expired; ask for a new one"


class ProductNotKnownYet(Unavailable):
    """The product's consents have not reached this service yet."""

    slug = "product-not-known-yet"
    title = "The product is only just being published"

    def __init__(self) -> None:
        super().__init__(headers={"Retry-After": "1"})
