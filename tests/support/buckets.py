"""The storage settings of a bucket."""

from chassis.settings import StorageSettings
from tests.support.endpoints import Bucket


def storage_settings(bucket: Bucket) -> StorageSettings:
    """Return the settings of a service that uses the bucket."""
    return StorageSettings(
        s3_endpoint=bucket.endpoint,
        s3_access_key=bucket.access_key,
        s3_secret_key=bucket.secret_key,
        s3_bucket=bucket.name,
        s3_region=bucket.region,
    )
