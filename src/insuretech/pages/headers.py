"""The headers that every page carries."""


def security_headers(*form_targets: str) -> dict[str, str]:
    """Nothing from elsewhere, nothing inline, no framing; forms lead to us or to ``form_targets``."""
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self'",
        "font-src": "'self'",
        "connect-src": "'self'",
        # Browsers hold the redirect after a form to this, too.
        "form-action": " ".join(("'self'", *form_targets)),
        "base-uri": "'none'",
        "frame-ancestors": "'none'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        # Addresses of orders and personal links stay with us.
        "Referrer-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "private, no-store",
        "Vary": "Cookie, Accept-Language, HX-Request",
    }
