"""What a person is asked for, where a credential is more than one plain key.

`keys.py` decides what is right; this says how to ask, and shows what the JSON looks like.
"""

from __future__ import annotations

from typing import Final

from api.providers.keys import AWS_REGIONS, KeyField, KeyForm

_REGION: Final = KeyField(
    name="region",
    label="Region",
    example="us-east-1",
    choices=tuple(sorted(AWS_REGIONS)),
    hint="Requests go to Bedrock in this region, and nowhere else.",
)
AWS: Final = (
    KeyForm(
        name="access-key",
        title="Access key",
        fields=(
            KeyField(name="accessKeyId", label="Access key id", example="AKIA…"),
            KeyField(name="secretAccessKey", label="Secret access key", example="…", secret=True),
            _REGION,
            KeyField(
                name="sessionToken",
                label="Session token",
                example="…",
                secret=True,
                required=False,
                hint="Only for temporary keys, whose id begins with ASIA.",
            ),
        ),
    ),
    KeyForm(
        name="bedrock-key",
        title="Bedrock API key",
        fields=(
            KeyField(name="apiKey", label="Bedrock API key", example="ABSK…", secret=True),
            _REGION,
        ),
    ),
)

_ENDPOINT: Final = KeyField(
    name="endpoint",
    label="Endpoint",
    example="https://my-resource.openai.azure.com",
    hint="As the Azure portal shows it. Of a longer URL only the host is kept.",
)
_AZURE_KEY: Final = KeyField(name="apiKey", label="API key", example="…", secret=True)
AZURE: Final = (
    KeyForm(
        name="deployment",
        title="Deployment",
        fields=(
            _ENDPOINT,
            _AZURE_KEY,
            KeyField(
                name="deploymentName",
                label="Deployment",
                example="gpt-4o-mini",
                hint="The name that you gave the deployment.",
            ),
            KeyField(
                name="apiVersion",
                label="API version",
                example="2024-10-21",
                hint="A date as Azure writes it, or v1.",
            ),
        ),
    ),
)
AZURE_RESPONSES: Final = (
    KeyForm(
        name="resource",
        title="Resource",
        fields=(
            _ENDPOINT,
            _AZURE_KEY,
            KeyField(
                name="apiVersion",
                label="API version",
                example="2025-04-01-preview",
                hint="A date as Azure writes it, or v1. A call's model names the deployment.",
            ),
        ),
    ),
)
