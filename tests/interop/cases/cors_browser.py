"""A real browser's fetch across origins: what the cors filter lets it do and read is the same through Envoy and through Fairlead."""
import http.server
import json
import re
import shutil
import subprocess
import threading

import lab
from echo import Echo
from lb_config import TYPE

BROWSER = ("chromium-headless-shell", "chromium")
# Each: what, path, options of fetch. A page tries them in turn and writes down what it could read.
FETCHES = [
    ("simple", "/open/a", {}),
    ("read a header", "/open/a", {"read": ["x-shown", "x-hidden"]}),
    ("custom header", "/open/a", {"headers": {"x-asked": "1"}}),
    ("header that is not allowed", "/open/a", {"headers": {"x-other": "1"}}),
    ("PUT", "/open/a", {"method": "PUT", "body": "x"}),
    ("DELETE", "/open/a", {"method": "DELETE"}),
    ("JSON body", "/open/a", {"method": "POST", "body": "{}", "headers": {"content-type": "application/json"}}),
    ("form body", "/open/a", {"method": "POST", "body": "a=b", "headers": {"content-type": "application/x-www-form-urlencoded"}}),
    ("credentials", "/open/a", {"credentials": "include"}),
    ("no credentials allowed", "/plain/a", {"credentials": "include"}),
    ("without them", "/plain/a", {}),
    ("origin not listed", "/closed/a", {}),
    ("preflight of an origin not listed", "/closed/a", {"method": "PUT", "body": "x"}),
    ("no policy", "/none/a", {}),
    ("no policy, not for reading", "/none/a", {"mode": "no-cors"}),
]
PAGE = """<!doctype html><title>running</title><pre id=out></pre><script>
(async () => {
  const results = {};
  for (const [what, path, options] of FETCHES) {
    const {read = [], ...init} = options;
    try {
      const answer = await fetch('http://127.0.0.1:PORT' + path, {cache: 'no-store', ...init});
      const body = await answer.text();
      results[what] = [answer.type, answer.status, body.length > 0 ? JSON.parse(body).method : '', ...read.map(name => answer.headers.get(name))];
    } catch (error) { results[what] = [error.name]; }
  }
  document.getElementById('out').textContent = 'RESULTS' + JSON.stringify(results) + 'END';
})();
</script>"""


class Pages(http.server.ThreadingHTTPServer):
    """Serves the page that fetches from `port`: an origin of its own."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Pages.Handler)
        self.port = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = PAGE.replace("PORT", str(self.server.port)).replace("FETCHES", json.dumps(FETCHES)).encode()
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass


def config(port, admin, echo, origin):
    address = lambda p: {"socket_address": {"address": "127.0.0.1", "port_value": p}}
    filters = f"{TYPE}.filters.http"
    policy = lambda origin, **more: {"envoy.filters.http.cors": {"@type": f"{filters}.cors.v3.CorsPolicy", "allow_origin_string_match": [{"exact": origin}], **more}}
    more = {"allow_methods": "GET, POST, PUT", "allow_headers": "x-asked, content-type", "expose_headers": "x-shown", "max_age": "0"}
    route = lambda prefix, config: {"match": {"prefix": prefix}, "route": {"cluster": "up"}, "typed_per_filter_config": config,
                                    "response_headers_to_add": [{"header": {"key": key, "value": "seen"}} for key in ("x-shown", "x-hidden")]}
    return {"admin": {"address": address(admin)}, "static_resources": {
        "listeners": [{"name": "main", "address": address(port), "filter_chains": [{"filters": [{"name": "hcm", "typed_config": {
            "@type": f"{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "main",
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                route("/open", policy(origin, allow_credentials=True, **more)), route("/plain", policy(origin, **more)), route("/closed", policy("http://elsewhere.test", **more)), route("/", {})]}]},
            "http_filters": [{"name": "envoy.filters.http.cors", "typed_config": {"@type": f"{filters}.cors.v3.Cors"}}, {"name": "router", "typed_config": {"@type": f"{filters}.router.v3.Router"}}]}}]}]}],
        "clusters": [{"name": "up", "type": "STATIC", "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(echo.port)}}]}]}}]}}


def through(l, browser, kind, echo, pages):
    port, admin = lab.free_port(), lab.free_port()
    origin = f"http://127.0.0.1:{pages.server_port}"
    process = l.proxy(kind, l.write(f"{kind}.json", json.dumps(config(port, admin, echo, origin))), f"127.0.0.1:{admin}")
    pages.port = port
    done = subprocess.run([browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={l.dir / kind}", "--virtual-time-budget=20000", "--dump-dom", origin],
                          capture_output=True, text=True, timeout=120)
    l.stop(process)
    found = re.search(r"RESULTS(\{.*\})END", done.stdout)
    lab.require(found, f"{kind}: the page wrote no results: {done.stdout[-1000:]}\n{done.stderr[-1000:]}")
    return json.loads(found[1])


def run(l):
    browser = next((path for path in map(shutil.which, BROWSER) if path), None)
    lab.require(browser, f"none of {', '.join(BROWSER)} is installed")
    echo, pages = Echo(), Pages()
    theirs, ours = through(l, browser, "envoy", echo, pages), through(l, browser, "fairlead-proxy", echo, pages)
    pages.shutdown()
    echo.close()
    lab.same("what the browser could do", ours, theirs)
    read = {what for what, result in ours.items() if result[0] == "cors" and result[1] == 200}
    lab.same("what it may read", sorted(read), sorted({"simple", "read a header", "custom header", "PUT", "JSON body", "form body", "credentials", "without them"}))
    lab.same("headers it sees", ours["read a header"][3:], ["seen", None])
    print(f"        {len(ours)} fetches alike, {len(read)} of them readable")
