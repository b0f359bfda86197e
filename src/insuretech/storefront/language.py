"""The site's languages; its messages lie in ``locales`` on top of those of the shared components."""

from pathlib import Path

from insuretech.pages.language import wordings

WORDINGS = wordings(Path(__file__).parent / "locales")
