"""``insuretech cdn-purge``: the CDN's points follow the products."""

from insuretech.kit.logging import configure_logging
from insuretech.kit.settings import load_settings


def cdn_purge() -> None:
    """Purge the CDN's points as products change, until Ctrl-C.

    Needs INSURETECH_KAFKA, INSURETECH_CDN_POINTS (https://host,…) and INSURETECH_CDN_PURGE_TOKEN_FILE. Several of it
    share the work. Private authorities are told by SSL_CERT_FILE.
    """
    settings = load_settings()
    configure_logging(settings.log_level)
    from insuretech.compose.cdn_purge import serve_purges

    serve_purges(settings)
