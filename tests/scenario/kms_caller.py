# SPDX-License-Identifier: Apache-2.0
"""What whoever holds the parent's credentials can always do: a call of his own to the development KMS."""
import datetime
import hashlib
import hmac
import http.client
import json
import ssl


def canonical(path, headers, body):
    """The request as it is signed, and the names of its headers."""
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    return f"POST\n{path}\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}", names


def authorization_huawei(keys, path, headers, date, body):
    request, names = canonical(path + "/", headers, body)
    text = f"SDK-HMAC-SHA256\n{date}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.new(keys["secret_key"].encode(), text.encode(), hashlib.sha256).hexdigest()
    return f"SDK-HMAC-SHA256 Access={keys['access_key']}, SignedHeaders={names}, Signature={signature}"


def authorization_aws(keys, path, headers, date, body, region, service):
    request, names = canonical(path, headers, body)
    scope = [date[:8], region, service, "aws4_request"]
    key = b"AWS4" + keys["secret_key"].encode()
    for part in scope:
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    text = f"AWS4-HMAC-SHA256\n{date}\n{'/'.join(scope)}\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    return (f"AWS4-HMAC-SHA256 Credential={keys['access_key']}/{'/'.join(scope)}, SignedHeaders={names}, "
            f"Signature={signature}")


def call_kms(rig, port, body, operation="decrypt-data", scheme=None, region="local-1", service="kms"):
    """The status and the answer to a signed call; AWS's operations begin with a capital. scheme: of the other cloud."""
    keys = json.loads((rig.home / "credentials.json").read_text())
    data = json.dumps(body).encode()
    provider = "aws" if operation[0].isupper() else "huawei"
    date = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    path = "/" if provider == "aws" else f"/v1.0/p1/kms/{operation}"
    headers = {"host": f"localhost:{port}"}
    headers |= {"x-amz-date": date, "x-amz-target": f"TrentService.{operation}"} if provider == "aws" else {"x-sdk-date": date}
    if (scheme or provider) == "aws":
        authorization = authorization_aws(keys, path, headers, date, data, region, service)
    else:
        authorization = authorization_huawei(keys, path, headers, date, data)
    connection = http.client.HTTPSConnection("localhost", port, timeout=60,
                                             context=ssl.create_default_context(cafile=rig.home / "tls.pem"))
    connection.request("POST", path, data, {**headers, "Content-Type": "application/json", "Authorization": authorization})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())
