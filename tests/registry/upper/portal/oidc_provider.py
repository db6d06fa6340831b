"""A provider of OpenID Connect on loopback, for tests: Authlib's server, which insists on PKCE (S256), a nonce, the client's secret and its redirect address.

`python -W ignore oidc_provider.py` prints its address and serves until it is ended. Who signs in is what the form of `/authorize` names. `POST /another-key`
makes it sign with a key that it does not publish, under the name of the one it does.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from typing import Any

import flask
from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import UserInfo
from authlib.oidc.core.grants import OpenIDCode
from joserfc import jwk
from werkzeug.serving import make_server

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"  # loopback
CLIENT, KEPT = "myelin", "a secret between two"
published = jwk.RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
other = jwk.RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
signing: dict[str, Any] = {"key": published}
codes: dict[str, Code] = {}
seen: set[str] = set()
app = flask.Flask(__name__)


class Client(ClientMixin):  # type: ignore[misc]
    def get_client_id(self) -> str:
        return CLIENT

    def get_default_redirect_uri(self) -> str | None:
        return None

    def get_allowed_scope(self, scope: str) -> str:
        return "openid"

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == "http://testserver/sign-in/provider/back"

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == KEPT

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in ("client_secret_basic", "client_secret_post")

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "authorization_code"


@dataclass
class Code(AuthorizationCodeMixin):  # type: ignore[misc]
    code: str
    user: UserInfo
    redirect_uri: str
    nonce: str
    code_challenge: str
    code_challenge_method: str
    auth_time: int

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return "openid"

    def get_nonce(self) -> str:
        return self.nonce

    def get_auth_time(self) -> int:
        return self.auth_time

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


class Codes(AuthorizationCodeGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]

    def save_authorization_code(self, code: str, request: Any) -> None:
        data = request.payload.data
        seen.add(data["nonce"])
        told = (data["nonce"], data.get("code_challenge", ""), data.get("code_challenge_method", ""))
        codes[code] = Code(code, request.user, request.payload.redirect_uri, *told, int(time.time()))

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        return codes.get(code)

    def delete_authorization_code(self, authorization_code: Code) -> None:
        codes.pop(authorization_code.code)

    def authenticate_user(self, authorization_code: Code) -> UserInfo:
        return authorization_code.user


class Told(OpenIDCode):  # type: ignore[misc]
    def exists_nonce(self, nonce: str, request: Any) -> bool:
        return nonce in seen

    def get_jwt_config(self, grant: Any, client: Any = None) -> dict[str, Any]:
        return {"key": signing["key"].as_dict(private=True), "alg": "RS256", "kid": "one", "iss": issuer(), "exp": 300}

    def generate_user_info(self, user: UserInfo, scope: str) -> UserInfo:
        return user


class OnlyWithChallenge(CodeChallenge):  # type: ignore[misc]
    """Without a challenge there is no code, to whoever asks."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ["S256"]

    def validate_code_challenge(self, grant: Any, redirect_uri: str) -> None:
        if not grant.request.payload.data.get("code_challenge"):
            flask.abort(400)
        super().validate_code_challenge(grant, redirect_uri)


def issuer() -> str:
    return flask.request.host_url.rstrip("/")


server = AuthorizationServer(app, query_client=lambda id: Client() if id == CLIENT else None, save_token=lambda token, request: None)
server.register_grant(Codes, [Told(require_nonce=True), OnlyWithChallenge(required=True)])


@app.get("/.well-known/openid-configuration")
def discovery() -> Any:
    ends = {name: f"{issuer()}/{path}" for name, path in (("authorization_endpoint", "authorize"), ("token_endpoint", "token"), ("jwks_uri", "jwks"))}
    return {"issuer": issuer(), **ends, "token_endpoint_auth_methods_supported": ["client_secret_post"]}


@app.get("/jwks")
def jwks() -> Any:
    return {"keys": [published.as_dict(private=False)]}


@app.post("/another-key")
def another_key() -> Any:
    signing["key"] = other
    return ""


@app.route("/authorize", methods=["GET", "POST"])
def authorize() -> Any:
    try:
        grant = server.get_consent_grant()
    except OAuth2Error as error:
        return {"error": error.error, "about": error.description}, 400
    if flask.request.method == "GET":
        return '<form method="post"><input name="sub"><input name="email"><button>Sign in</button></form>'
    told = {key: flask.request.form[key] for key in ("sub", "email") if flask.request.form.get(key)}
    return server.create_authorization_response(grant_user=UserInfo(told) if told else None, grant=grant)


@app.post("/token")
def token() -> Any:
    return server.create_token_response()


if __name__ == "__main__":
    serving = make_server("127.0.0.1", 0, app, threaded=True)
    print(json.dumps(f"http://127.0.0.1:{serving.server_port}"), flush=True)
    serving.serve_forever()
