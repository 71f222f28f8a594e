"""What Docker asks inside a container: is the process of this image ready?  healthcheck.py PREFIX PORT

Follows the process's settings: HTTPS where PREFIX_TLS_CERT is set, another port than PORT where the environment says so."""

import os
import ssl
import sys
import urllib.request


def main(prefix: str, default_port: str) -> None:
    variable = f"{prefix}_HTTP_PORT" if prefix == "TWOHOP_EMBEDDING" else f"{prefix}_PORT"
    port = os.environ.get(variable, default_port)
    scheme = "https" if os.environ.get(f"{prefix}_TLS_CERT") else "http"
    # The certificate names the service and not this loopback address; nothing secret is sent, and only the status is read.
    context = ssl._create_unverified_context()
    handlers = [urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)]
    urllib.request.build_opener(*handlers).open(f"{scheme}://127.0.0.1:{port}/readyz", timeout=4)


if __name__ == "__main__":
    main(*sys.argv[1:])
