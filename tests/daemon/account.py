"""An account that looks registered, in signal-cli's own files (accounts.json version 2, account file version 10)."""

from __future__ import annotations

import base64
import json
import secrets
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

_FILE = "100001"


@dataclass(frozen=True)
class Account:
    """Who the account is, as the service's ``whoami`` tells it."""

    number: str
    uuid: str
    pni: str

    def whoami(self) -> dict[str, str]:
        return asdict(self)


def write_account(config: Path, number: str) -> Account:
    """Create signal-cli's config folder with one account."""
    account = Account(number, str(uuid.uuid4()), str(uuid.uuid4()))
    data = config / "data"
    data.mkdir(parents=True, mode=0o700)
    file = data / _FILE
    file.touch(0o600)
    file.write_text(json.dumps(_details(account)))
    list_account(config, account)
    return account


def list_account(config: Path, account: Account | None) -> None:
    """Have signal-cli know this account alone when it starts the next time; or none."""
    accounts = []
    if account is not None:
        accounts.append({"path": _FILE, "environment": "LIVE", "number": account.number, "uuid": account.uuid})
    (config / "data" / "accounts.json").write_text(json.dumps({"accounts": accounts, "version": 2}))


def _details(account: Account) -> dict[str, Any]:
    return {
        "version": 10,
        "timestamp": 0,
        "serviceEnvironment": "LIVE",
        "registered": True,
        "number": account.number,
        "username": None,
        "encryptedDeviceName": None,
        "deviceId": 1,
        "isMultiDevice": False,
        "password": _secret(18),
        "aciAccountData": _keys(account.uuid),
        "pniAccountData": _keys(f"PNI:{account.pni}"),
        "registrationLockPin": None,
        "pinMasterKey": _secret(32),
        "storageKey": None,
        "accountEntropyPool": None,
        "mediaRootBackupKey": None,
        "profileKey": _secret(32),
        "usernameLinkEntropy": None,
        "usernameLinkServerId": None,
    }


def _keys(service_id: str) -> dict[str, Any]:
    private = X25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    return {
        "serviceId": service_id,
        "registrationId": secrets.randbelow(16380) + 1,
        "identityPrivateKey": base64.b64encode(private.private_bytes_raw()).decode(),
        "identityPublicKey": base64.b64encode(b"\x05" + public).decode(),  # 5: the type of the key, Curve25519
        "nextPreKeyId": _key_id(),
        "nextSignedPreKeyId": _key_id(),
        "activeSignedPreKeyId": -1,
        "nextKyberPreKeyId": _key_id(),
        "activeLastResortKyberPreKeyId": -1,
    }


def _secret(size: int) -> str:
    return base64.b64encode(secrets.token_bytes(size)).decode()


def _key_id() -> int:
    return secrets.randbelow(2**24 - 2) + 1
