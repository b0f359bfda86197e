"""Where a process keeps its files: in S3 when the settings name one, else in a folder of the home."""

from insuretech.connectors.object_storage import FolderStorage, S3Storage
from insuretech.kit.files import LargeObjects
from insuretech.kit.settings import Settings, SettingsInvalid


def open_storage(settings: Settings) -> LargeObjects:
    """The storage of all services' files; nothing is opened yet, and a storage that is away does not stop a start.

    ``s3_url`` may name several addresses of the same service with commas between them, the nearest first.
    """
    addresses = [address.strip() for address in settings.s3_url.split(",") if address.strip()]
    if not addresses:
        return FolderStorage(settings.home / "documents")
    for address in addresses:
        if not address.startswith(("http://", "https://")):
            raise SettingsInvalid(f"INSURETECH_S3_URL is wrong: {address} is not an address such as http://host:3900.")
    if not (settings.s3_access_key and settings.s3_secret_key):
        raise SettingsInvalid("INSURETECH_S3_URL is set: INSURETECH_S3_ACCESS_KEY and _S3_SECRET_KEY are needed too.")
    return S3Storage(
        addresses,
        bucket=settings.s3_bucket,
        region=settings.s3_region,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key,
    )
