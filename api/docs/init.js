// Swagger UI over /openapi.json. Requests go out with the session's cookie, if there is one, or with the token that was
// entered under "Authorize".
"use strict";

const base = new URL(".", document.baseURI);

// What a cookie's request that changes something must say besides; "" when nobody is logged in.
async function csrfToken() {
  const answer = await fetch(new URL("api/me", base), { credentials: "same-origin" });
  return answer.ok ? (await answer.json()).csrf_token || "" : "";
}

async function prepare(request) {
  const method = (request.method || "GET").toUpperCase();
  const isLogin = new URL(request.url, base).pathname.endsWith("/api/login");
  const headers = new Headers(request.headers);
  if (request.loadSpec || method === "GET" || method === "HEAD" || isLogin || headers.has("Authorization")) {
    return request;
  }
  const token = await csrfToken();
  if (token) {
    request.headers = { ...request.headers, "X-CSRF-Token": token };
  }
  return request;
}

SwaggerUIBundle({
  url: new URL("openapi.json", base).href,
  dom_id: "#page",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  docExpansion: "none",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  filter: true,
  tryItOutEnabled: true,
  validatorUrl: null, // would ask another host
  requestInterceptor: prepare,
});
