"""The sandbox's HTML: templates, and the headers under which a page is shown. No page needs a script."""

from importlib.resources import files

import jinja2
from litestar import Response, get

_templates = jinja2.Environment(
    loader=jinja2.PackageLoader("insuretech.sandbox", "templates"),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
    undefined=jinja2.StrictUndefined,
)


def page(name: str, *, status: int = 200, form_target: str = "", **context: object) -> Response[bytes]:
    """A page under a policy that allows our own stylesheet and forms, and nothing else.

    A browser holds a form's redirect against ``form-action`` too, hence ``form_target``.
    """
    body = _templates.get_template(name).render(context).encode()
    policy = (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
        f"form-action 'self' {form_target}"
    )
    headers = {
        "Content-Security-Policy": policy.strip(),
        "Cache-Control": "no-store",
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(body, status_code=status, media_type="text/html", headers=headers)


def see_other(address: str) -> Response[bytes]:
    """After a form, go and look there."""
    return Response(b"", status_code=303, media_type="text/plain", headers={"Location": address})


@get("/sandbox/static/sandbox.css", include_in_schema=False, sync_to_thread=False)
def stylesheet() -> Response[bytes]:
    """The one stylesheet."""
    return Response(_STYLE, media_type="text/css", headers={"Cache-Control": "max-age=300"})


_STYLE = (files("insuretech.sandbox") / "static" / "sandbox.css").read_bytes()
