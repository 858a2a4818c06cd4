#!/usr/bin/env python3
"""The command line as its users meet it: exit codes, output in three forms, errors, completion. Binaries in FAIRLEAD_BIN."""
import http.server
import json
import os
import pathlib
import pty
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import unittest
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/interop"))
import lab  # noqa: E402

CLI = lab.BIN / "fairlead"
QUICKSTART = ROOT / "examples/quickstart"


def run(*words, env=None):
    return subprocess.run([CLI, *map(str, words)], capture_output=True, text=True, env={**os.environ, **(env or {})})


class Files(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)

    def write(self, name, text):
        path = pathlib.Path(self.dir.name) / name
        path.write_text(text)
        return path

    def test_check_of_good_files_is_0(self):
        r = run("check", "-f", QUICKSTART)
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        self.assertEqual(r.stdout, "10 objects, 8 resources for 1 scopes: 0 errors, 0 warnings\n")

    def test_check_of_a_bad_file_is_1_and_names_the_place(self):
        path = self.write("bad.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: {ports: 7}\n")
        r = run("check", "-f", path)
        self.assertEqual(r.returncode, 1)
        self.assertIn(f"error: {path}:4: Service default/x: spec.ports: ", r.stdout)
        self.assertTrue(r.stdout.endswith("1 errors, 0 warnings\n"), r.stdout)

    def test_what_is_no_object_is_told_by_its_place_alone(self):
        binary, bare = self.write("binary.yaml", "\1"), self.write("bare.yaml", "kind: Service\n")
        r = run("check", "-f", binary, "-f", bare)
        self.assertEqual(r.returncode, 1)
        for line in (f"error: {binary}:1: Invalid: ", f"error: {bare}:1: Service: metadata: Invalid: is required\n"):
            self.assertIn(line, r.stdout)

    def test_check_of_nothing_is_2(self):
        r = run("check", "-f", "/nonexistent")
        self.assertEqual((r.returncode, r.stdout, r.stderr), (2, "", "fairlead: /nonexistent: does not exist\n"))
        self.write("notes.txt", "no object")
        r = run("check", "-f", self.dir.name)
        self.assertEqual((r.returncode, r.stdout, r.stderr), (2, "", f"fairlead: no objects in {self.dir.name}\n"))

    def test_warnings_are_errors_with_strict_alone(self):
        path = self.write("odd.yaml", "apiVersion: example.com/v1\nkind: Thing\nmetadata: {name: x}\n")
        self.assertEqual(run("check", "-f", path).returncode, 0)
        r = run("check", "--strict", "-f", path)
        self.assertEqual(r.returncode, 1)
        self.assertIn("warning: ", r.stdout)

    def test_check_as_json_and_yaml(self):
        path = self.write("bad.yaml", "kind: [\n")
        r = run("check", "-o", "json", "-f", path)
        findings = json.loads(r.stdout)["findings"]
        self.assertEqual((r.returncode, len(findings), findings[0]["severity"]), (1, 1, "error"))
        self.assertTrue(findings[0]["place"].startswith(str(path)), findings)
        self.assertIn("findings:\n- severity: error\n", run("check", "-f", path, "-o", "yaml").stdout)

    def test_several_paths_count_as_one(self):
        gateway = self.write("gateway.yaml", (QUICKSTART / "gateway.yaml").read_text())
        self.assertEqual(run("check", "-f", gateway, "-f", QUICKSTART / "backends.yaml").returncode, 0)

    def test_translate_prints_every_resource_with_its_origin(self):
        r = run("translate", "-f", QUICKSTART, "-o", "json")
        self.assertEqual(r.returncode, 0)
        scope, = json.loads(r.stdout)["scopes"]
        self.assertEqual(scope["scope"], "gateway:default/quickstart")
        self.assertEqual([x["type"] for x in scope["resources"]], ["cds"] * 3 + ["eds"] * 3 + ["lds", "rds"])
        for resource in scope["resources"]:
            self.assertRegex(resource["origins"][0]["place"], r"\.yaml:\d+$", resource["name"])
        self.assertIn("scopes:\n- scope: gateway:default/quickstart\n", run("translate", "-f", QUICKSTART).stdout)
        table = run("translate", "-f", QUICKSTART, "-o", "table").stdout.splitlines()
        self.assertEqual(table[0].split(), ["SCOPE", "TYPE", "NAME", "VERSION"])
        self.assertEqual(len(table), 9)

    def test_translate_is_the_same_every_time(self):
        self.assertEqual(run("translate", "-f", QUICKSTART).stdout, run("translate", "-f", QUICKSTART).stdout)

    def test_translate_of_one_scope(self):
        self.assertEqual(run("translate", "-f", QUICKSTART, "--scope", "default/quickstart").returncode, 0)
        r = run("translate", "-f", QUICKSTART, "--scope", "a/b")
        self.assertEqual((r.returncode, r.stderr), (2, 'fairlead: no scope "a/b" here; there are: gateway:default/quickstart\n'))

    def test_translate_of_a_bad_file_prints_the_rest_and_is_1(self):
        bad = self.write("bad.yaml", "kind: [\n")
        r = run("translate", "-f", QUICKSTART, "-f", bad, "-o", "table")
        self.assertEqual((r.returncode, len(r.stdout.splitlines())), (1, 9))
        self.assertIn(f"error: {bad}:", r.stderr)


class Words(unittest.TestCase):
    def test_help_fits_a_terminal_and_lists_every_command(self):
        r = run("--help")
        self.assertEqual(r.returncode, 0)
        for command in ("status", "config", "diff", "why", "route-test", "watch", "nacks", "conditions", "load", "ready", "bootstrap", "check", "translate", "completion"):
            self.assertIn(f"\n  {command} ", r.stdout)
            h = run(command, "--help")
            self.assertEqual(h.returncode, 0)
            self.assertIn(f"Usage: fairlead {command}", h.stdout)
        self.assertLessEqual(max(map(len, r.stdout.splitlines())), 140)
        self.assertRegex(run("--version").stdout, r"^fairlead \d+\.\d+\.\d+\n$")

    def test_wrong_words_are_2_and_say_what_is_wrong(self):
        for words, told in (((), "A subcommand is required"), (("statsu",), 'unknown command "statsu"; did you mean "status"?'),
                            (("status", "-o", "xml"), "xml"), (("diff",), "proxy is required"), (("completion", "tcsh"), "tcsh"),
                            (("check",), "--file is required"), (("check", "--strcit", "-f", "."), "--strcit")):
            r = run(*words)
            self.assertEqual((r.returncode, r.stdout), (2, ""), words)
            self.assertTrue(r.stderr.startswith("fairlead: "), r.stderr)
            self.assertIn(told, r.stderr)

    def test_every_binary_has_help_and_a_version_and_names_wrong_arguments(self):
        for name in ("fairlead", "fairlead-control", "fairlead-proxy"):
            asked = lambda *words: subprocess.run([lab.BIN / name, *words], capture_output=True, text=True)
            version, usage, wrong = asked("--version"), asked("--help"), asked("--nope")
            self.assertEqual((version.returncode, version.stderr, usage.returncode, usage.stderr), (0, "", 0, ""))
            self.assertRegex(version.stdout, rf"^{name} (version: )?\d+\.\d+\.\d+\n$")
            self.assertIn(f"Usage: {name} ", usage.stdout)
            self.assertLessEqual(max(map(len, usage.stdout.splitlines())), 140)
            self.assertEqual((wrong.returncode, wrong.stdout), (2 if name == "fairlead" else 1, ""))
            self.assertTrue(wrong.stderr.startswith(f"{name}: ") and "--nope" in wrong.stderr, wrong.stderr)
        for words, told in (((), "--source is required"), (("--source", "file:x", "--quarantine-after", "0"), "--quarantine-after"), (("--source",), "--source")):
            r = subprocess.run([lab.BIN / "fairlead-control", *words], capture_output=True, text=True)
            self.assertEqual((r.returncode, r.stdout), (1, ""))
            self.assertTrue(r.stderr.startswith("fairlead-control: ") and told in r.stderr, r.stderr)

    def test_a_server_that_is_not_there_is_2_and_named(self):
        port = lab.free_port()
        for words in (("status",), ("config",), ("diff", "x"), ("nacks",), ("conditions",), ("load",), ("ready",)):
            r = run("--server", f"127.0.0.1:{port}", *words)
            self.assertEqual((r.returncode, r.stdout), (2, ""))
            self.assertIn(f"no answer from fairlead-control at 127.0.0.1:{port}", r.stderr)
        self.assertIn("is not HOST:PORT", run("--server", "x y", "status").stderr)

    def test_a_server_that_is_something_else_is_told(self):
        class Other(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(500 if self.path == "/debug/nacks" else 200)
                self.end_headers()
                self.wfile.write(b"<html>hello</html>")

            def log_message(self, *_):
                pass

        with http.server.HTTPServer(("127.0.0.1", 0), Other) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            address = f"127.0.0.1:{server.server_address[1]}"
            r = run("--server", address, "conditions")
            self.assertEqual((r.returncode, r.stdout), (2, ""))
            self.assertIn(f"what answers at {address} is not fairlead-control: ", r.stderr)
            r = run("--server", address, "nacks")
            self.assertEqual((r.returncode, r.stderr), (1, f"fairlead: the server at {address} answered /debug/nacks with status 500\n"))
            server.shutdown()

    def test_completion_scripts_parse(self):
        script = run("completion", "bash").stdout
        self.assertEqual(subprocess.run(["bash", "-n"], input=script, text=True).returncode, 0)
        asked = script + "\nCOMP_LINE='fairlead co'; COMP_POINT=11; COMP_WORDS=(fairlead co); COMP_CWORD=1; _fairlead; echo ${COMPREPLY[@]}\n"
        r = subprocess.run(["bash"], input=asked, text=True, capture_output=True)
        self.assertEqual((r.stdout.split(), r.stderr), (["config", "conditions", "completion"], ""))
        self.assertIn("#compdef fairlead", run("completion", "zsh").stdout)
        self.assertIn("complete -c fairlead", run("completion", "fish").stdout)


    def complete(self, words):
        """What bash offers for the last of these words; `fairlead` is a stand-in that knows two proxies and names the server it is asked for."""
        script = run("completion", "bash").stdout
        stand_in = 'fairlead() { case $1 in --server|--context) ;; --server=*) set -- "" "${1#*=}";; *) set -- "" none;; esac; printf \'  "node": "edge-1",\\n  "node": "at-%s"\\n\' "$2"; }\n'
        split = [part for word in words for part in (re.split("(:)", word) if ":" in word else [word])]  # as bash does
        asked = f"{stand_in}{script}\nCOMP_LINE={shlex.quote(' '.join(words))}; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=({shlex.join(split)}); COMP_CWORD={len(split) - 1}; _fairlead; echo ${{COMPREPLY[@]}}\n"
        r = subprocess.run(["bash"], input=asked, text=True, capture_output=True, cwd=ROOT)
        self.assertEqual(r.stderr, "")
        return r.stdout.split()

    def test_bash_completes_words_where_they_belong(self):
        for words, offered in ((["config", "cl"], ["clusters"]), (["config", "clusters", ""], ["edge-1", "at-none"]), (["diff", "e"], ["edge-1"]),
                               (["--server", "127.0.0.1:7", "diff", "at"], ["at-127.0.0.1:7"]), (["diff", "--server=h:7", "at"], ["at-h:7"]), (["--context", "moon", "diff", "at"], ["at-moon"]),
                               (["status", "--ser"], ["--server"]), (["status", "--cont"], ["--context"]), (["nacks", "--sel"], ["--selector"]), (["nacks", "-o", "y"], ["yaml"]), (["-o", "json", "sta"], ["status"]),
                               (["check", "--st"], ["--strict"]), (["check", "-f", "examples/quick"], ["examples/quickstart"]), (["bootstrap", "--for", "g"], ["grpc"]),
                               (["completion", ""], ["bash", "zsh", "fish"]), (["status", ""], [])):
            self.assertEqual(self.complete(["fairlead", *words]), offered, words)

    def test_output_that_cannot_be_written_is_2(self):
        for words in (("bootstrap", "--cluster", "a"), ("check", "-f", QUICKSTART), ("translate", "-f", QUICKSTART), ("completion", "bash"), ("--help",)):
            with open("/dev/full", "w") as full:
                r = subprocess.run([CLI, *words], stdout=full, stderr=subprocess.PIPE, text=True)
            self.assertEqual((r.returncode, r.stderr), (2, "fairlead: the output could not be written\n"), words)


class Bootstrap(unittest.TestCase):
    def test_our_own_parser_takes_it_in_every_variant(self):
        with tempfile.TemporaryDirectory() as folder:
            for i, words in enumerate((("--cluster", "a"), ("--gateway", "ns/a", "--sotw"), ("--id", "n1", "--xds-address", "localhost:1"), ("--cluster", "a", "--xds-address", "unix:/tmp/x"),
                                       ("--cluster", "a", "--report-load"), ("--mesh", "shop"))):
                r = run("bootstrap", *words)
                self.assertEqual((r.returncode, r.stderr), (0, ""), words)
                self.assertEqual("load_stats_config" in r.stdout, "--report-load" in words)
                path = pathlib.Path(folder) / f"{i}.yaml"
                path.write_text(r.stdout)
                p = subprocess.run([lab.BIN / "fairlead-proxy", "--mode", "validate", "-c", path], capture_output=True, text=True)
                self.assertEqual(p.returncode, 0, p.stderr + p.stdout + r.stdout)

    def test_with_tls_the_server_is_known_by_its_name_and_the_client_shows_its_certificate(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=ca", "-days", "2", "-keyout", folder / "key.pem",
                            "-out", folder / "cert.pem"], check=True, capture_output=True)
            own = ("--xds-tls-ca", folder / "cert.pem", "--xds-tls-cert", folder / "cert.pem", "--xds-tls-key", folder / "key.pem")
            for i, words in enumerate((("--xds-address", "control.test:1", *own), ("--xds-address", "127.0.0.1:1", "--xds-tls-server-name", "control.test", *own), ("--xds-address", "control.test:1", *own[:2]))):
                r = run("bootstrap", "--cluster", "a", *words)
                self.assertEqual((r.returncode, r.stderr), (0, ""), words)
                self.assertIn("sni: control.test\n", r.stdout)
                self.assertIn("auto_sni_san_validation: true\n", r.stdout)
                self.assertEqual("private_key" in r.stdout, i < 2)
                path = folder / f"{i}.yaml"
                path.write_text(r.stdout)
                p = subprocess.run([lab.BIN / "fairlead-proxy", "--mode", "validate", "-c", path], capture_output=True, text=True)
                self.assertEqual(p.returncode, 0, p.stderr + p.stdout + r.stdout)
            b = json.loads(run("bootstrap", "--for", "grpc", "--cluster", "a", "--xds-address", "control.test:1", *own).stdout)
            self.assertEqual(b["xds_servers"][0]["channel_creds"], [{"type": "tls", "config": {"ca_certificate_file": str(own[1]), "certificate_file": str(own[3]), "private_key_file": str(own[5])}}])

    def test_names_are_resolved_even_those_of_hexadecimal_letters(self):
        for host, kind in (("cafe", "STRICT_DNS"), ("fe.ed", "STRICT_DNS"), ("10.0.0.1", "STATIC"), ("[fe80::1]", "STATIC"), ("localhost", "STRICT_DNS")):
            self.assertIn(f"    type: {kind}\n", run("bootstrap", "--cluster", "a", "--xds-address", f"{host}:18000").stdout, host)

    def test_for_grpc_it_is_json(self):
        b = json.loads(run("bootstrap", "--for", "grpc", "--cluster", "a", "--id", "n").stdout)
        self.assertEqual(b["xds_servers"][0]["server_uri"], "127.0.0.1:18000")
        self.assertEqual(b["node"], {"id": "n", "cluster": "a", "locality": {}})  # without one @grpc/grpc-js-xds takes no such file
        b = json.loads(run("bootstrap", "--for", "grpc", "--mesh", "shop", "--id", "n").stdout)
        self.assertEqual(b["node"], {"id": "n", "cluster": "shop", "locality": {}, "metadata": {"fairlead.io/mesh": "shop"}})
        b = json.loads(run("bootstrap", "--for", "grpc", "--cluster", "a", "--xds-address", "dns:///control:18000").stdout)
        self.assertEqual(b["xds_servers"][0]["server_uri"], "dns:///control:18000")

    def test_wrong_flags_are_named(self):
        for words, told in (((), "which configuration?"), (("--gateway", "a"), '--gateway "a" is not NAMESPACE/NAME'), (("--gateway", "a/b", "--mesh", "a"), "a Gateway's proxy is no client of the mesh"),
                            (("--cluster", "a", "--xds-address", "x"), '--xds-address "x" is not HOST:PORT'),
                            (("--for", "grpc", "--cluster", "a", "--xds-address", "x"), '--xds-address "x" is not HOST:PORT'),
                            (("--for", "grpc", "--cluster", "a", "--delta"), "a gRPC client has no delta xDS"),
                            (("--for", "grpc", "--cluster", "a", "--admin-address", "127.0.0.1:1"), "a gRPC client has no admin address"),
                            (("--for", "grpc", "--cluster", "a", "--report-load"), "leave out --report-load"),
                            (("--cluster", "a", "--xds-tls-ca", "ca"), "which name has the certificate of 127.0.0.1:18000? give --xds-tls-server-name"),
                            (("--cluster", "a", "--xds-tls-cert", "c", "--xds-tls-ca", "ca"), "--xds-tls-cert needs --xds-tls-key"),
                            (("--cluster", "a", "--xds-tls-server-name", "n"), "TLS needs --xds-tls-ca"),
                            (("--for", "grpc", "--cluster", "a", "--xds-tls-ca", "ca", "--xds-tls-server-name", "n"), "leave out --xds-tls-server-name"),
                            (("--cluster", "a", "--admin-address", "x:y"), '--admin-address "x:y" is not HOST:PORT')):
            r = run("bootstrap", *words)
            self.assertEqual((r.returncode, r.stdout), (2, ""))
            self.assertIn(told, r.stderr)


class Why(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.TemporaryDirectory()
        self.addCleanup(self.dir.cleanup)

    def write(self, name, text):
        path = pathlib.Path(self.dir.name) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def changed(self, old, new):
        """A folder with the quickstart, one text of its routes replaced."""
        for path in QUICKSTART.glob("*.yaml"):
            text = path.read_text()
            self.write(f"new/{path.name}", text.replace(old, new) if path.name == "routes.yaml" else text)
        return pathlib.Path(self.dir.name) / "new"

    def test_a_request_is_explained_step_by_step_with_places(self):
        r = subprocess.run([CLI, "why", "-f", "examples/quickstart", "GET", "http://127.0.0.1:8080/api/items"], capture_output=True, text=True, cwd=ROOT)
        self.assertEqual((r.returncode, r.stderr), (0, ""))
        lines = [re.sub(r" {2,}", " | ", line) for line in r.stdout.splitlines()]
        routes, backends = (ROOT / "examples/quickstart/routes.yaml").read_text(), (ROOT / "examples/quickstart/backends.yaml").read_text()
        line = lambda text, part: text[:text.index(part)].count("\n") + 1
        self.assertEqual(lines, [
            "GET http://127.0.0.1:8080/api/items",
            "STEP | WHAT | FROM",
            "listener | default/quickstart/0.0.0.0/8080 on 0.0.0.0:8080 | examples/quickstart/gateway.yaml:17 Gateway default/quickstart: spec.listeners[0]",
            "filter chain | number 0, takes every connection | examples/quickstart/gateway.yaml:17 Gateway default/quickstart: spec.listeners[0]",
            "virtual host | default/quickstart/0.0.0.0/8080/*, for *, in route table default/quickstart/0.0.0.0/8080 | examples/quickstart/gateway.yaml:17 Gateway default/quickstart: spec.listeners[0]",
            f"route | default/api/rule/0/match/0: separated prefix \"/api\" | examples/quickstart/routes.yaml:{line(routes, '- path: {type: PathPrefix, value: /api}')} HTTPRoute default/api: spec.rules[0].matches[0]",
            f"cluster | default/api/80, EDS, round robin | examples/quickstart/routes.yaml:{line(routes, '- path: {type: PathPrefix, value: /api}')} HTTPRoute default/api: spec.rules[0].matches[0]",
            f"endpoint | 127.0.0.1:9003, weight 1, healthy (not said otherwise) | examples/quickstart/backends.yaml:{backends[:backends.index('  name: api' + chr(10))].count(chr(10)) - 2} Service default/api",
            "answer | forwarded to default/api/80 as GET /items, timeout 5s",
            "",
            "NEARLY | LACKS | FROM",
            f"default/shop/rule/0/match/0: prefix \"/\" | nothing; it comes after the route that was taken | examples/quickstart/routes.yaml:{line(routes, '- path: {type: PathPrefix, value: /}')} HTTPRoute default/shop: spec.rules[0].matches[0]",
        ])

    def test_redirects_shares_and_misses_are_answers(self):
        ask = lambda *words: run("why", "-f", QUICKSTART, "-o", "json", *words)
        old = json.loads(ask("GET", "http://h:8080/old").stdout)
        self.assertEqual((old["kind"], old["status"], old["location"], old["scope"]), ("redirect", 301, "http://h:8080/api/new", "gateway:default/quickstart"))
        shop = json.loads(ask("quickstart", "POST", "http://h:8080/").stdout)
        self.assertEqual([(c["name"], c["weight"]) for c in shop["clusters"]], [("default/shop-v1/80", 90), ("default/shop-v2/80", 10)])
        r = ask("GET", "http://h:81/")
        self.assertEqual((r.returncode, json.loads(r.stdout)["answer"]), (1, "no listener on port 81 of h; there are: 0.0.0.0:8080"))
        self.assertIn("clusters:\n- name: default/shop-v1/80\n", run("why", "-f", QUICKSTART, "GET", "/", "-o", "yaml").stdout)

    def test_wrong_words_are_named(self):
        for words, code, told in ((("-f", QUICKSTART, "GET", "nonsense"), 2, 'URL "nonsense" is neither http'), (("-f", QUICKSTART, "GET", "/", "-H", "x"), 2, 'header "x" is not'),
                                  (("-f", QUICKSTART, "--gateway", "default/quikstart", "GET", "/"), 2, 'no Gateway "default/quikstart"'),
                                  (("-f", QUICKSTART, "other", "GET", "/"), 2, 'node id or cluster is "other" has no configuration here'), (("-f", "/nonexistent", "GET", "/"), 2, "does not exist"),
                                  (("GET",), 2, "[PROXY] METHOD URL")):
            r = run("why", *words)
            self.assertEqual((r.returncode, r.stdout), (code, ""), words)
            self.assertIn(told, r.stderr)

    def test_the_example_table_of_requests_passes(self):
        r = run("route-test", ROOT / "examples/route-tests.yaml", "-f", QUICKSTART)
        self.assertEqual((r.returncode, r.stdout, r.stderr), (0, "5 requests, 0 failed\n", ""))

    def test_a_request_that_goes_elsewhere_fails_with_its_place_and_the_why(self):
        table = self.write("t.yaml", "tests:\n- request: GET http://a:8080/old\n  expect: {status: 302}\n- request: GET http://a:8080/api\n  expect: {path: /}\n")
        junit = pathlib.Path(self.dir.name) / "junit.xml"
        r = run("route-test", table, "-f", QUICKSTART, "--junit", junit)
        self.assertEqual((r.returncode, r.stderr), (1, ""))
        self.assertIn(f"FAILED GET http://a:8080/old\n{table}:3: status: expected 302, got 301\n", r.stdout)
        self.assertIn("HTTPRoute default/api: spec.rules[1].matches[0]", r.stdout)
        self.assertTrue(r.stdout.endswith("2 requests, 1 failed\n"), r.stdout)
        suite = xml.etree.ElementTree.parse(junit).getroot()
        self.assertEqual((suite.get("tests"), suite.get("failures"), suite[0][0].get("message")), ("2", "1", "status: expected 302, got 301"))
        results = json.loads(run("route-test", table, "-f", QUICKSTART, "-o", "json").stdout)
        self.assertEqual((results["failed"], results["results"][0]["failures"][0]["place"]), (1, f"{table}:3"))
        table.write_text("tests:\n- request: GET /\n  expect: {clutser: a}\n")
        r = run("route-test", table, "-f", QUICKSTART)
        self.assertEqual((r.returncode, r.stdout), (2, ""))
        self.assertIn(f"{table}:3: tests[0].expect.clutser: unknown field; did you mean 'cluster'?", r.stderr)

    def test_a_change_of_files_is_told_as_fields_and_as_answers(self):
        new = self.changed("weight: 90", "weight: 50")
        log = self.write("access.json", '{"method": "GET", "path": "/cart", "authority": "a"}\n' * 3 + '{"method": "GET", "path": "/api/x", "authority": "a"}\nnot JSON\n')
        r = run("diff", "-f", new, "-f", QUICKSTART, "--access-log", log)
        self.assertEqual(r.returncode, 0)
        self.assertEqual(r.stderr, f"fairlead: 1 of 5 lines are left out; the first: {log}:5: is neither JSON nor a line of Envoy's default format\n")
        self.assertIn('~ rds default/quickstart/0.0.0.0/8080', r.stdout)
        self.assertIn('virtual_hosts["default/quickstart/0.0.0.0/8080/*"].routes["default/shop/rule/0/match/0"].route.weighted_clusters.clusters["default/shop-v1/80"].weight: 90 -> 50\n', r.stdout)
        self.assertIn("  GET http://a/cart (3 times)\n    was: forwarded to 90 % default/shop-v1/80, 10 % default/shop-v2/80 as GET /cart, timeout 15s\n    now: forwarded to 83.3 % ", r.stdout)
        self.assertIn("  3 of 4 requests get another answer\n", r.stdout)
        self.assertEqual(run("diff", "-f", new, "--old", QUICKSTART, "--exit-code").returncode, 1)
        r = run("diff", "-f", QUICKSTART, "-f", QUICKSTART, "--exit-code")
        self.assertEqual((r.returncode, r.stdout), (0, "nothing changes\n"))
        scopes = json.loads(run("diff", "-f", new, "-f", QUICKSTART, "--requests", ROOT / "examples/route-tests.yaml", "-o", "json").stdout)["scopes"]
        self.assertEqual([(s["scope"], s["requests"], s["requests_changed"]) for s in scopes], [("gateway:default/quickstart", 5, 3)])
        for words, told in ((("x", "-f", new), "a proxy or -f FILES, not both"), (("-f", "a", "-f", "b", "-f", "c"), "more than two -f")):
            r = run("diff", *words)
            self.assertEqual((r.returncode, r.stdout), (2, ""))
            self.assertIn(told, r.stderr)


class Online(unittest.TestCase):
    def test_the_same_is_asked_of_a_running_server(self):
        with lab.Lab() as l:
            source = l.dir / "source"
            source.mkdir()
            for path in QUICKSTART.glob("*.yaml"):
                (source / path.name).write_text(path.read_text())
            _, _, admin = l.control(source)
            at = ("--server", admin)
            live, offline = (json.loads(run("why", *words, "-H", "x-a: 1", "GET", "http://h:8080/api/items?x=%20", "-o", "json").stdout) for words in (at, ("-f", source)))
            self.assertEqual(live, offline)
            self.assertEqual(run(*at, "route-test", ROOT / "examples/route-tests.yaml").stdout, "5 requests, 0 failed\n")
            r = run(*at, "why", "egde", "GET", "/")
            self.assertEqual((r.returncode, r.stderr), (1, 'fairlead: no proxy "egde" is connected; there are: none\n'))
            self.assertEqual(run(*at, "diff", "-f", source).stdout, "nothing changes\n")
            text, weight = (QUICKSTART / "routes.yaml").read_text(), 90

            def first_line(*words):
                """The first event of a watcher; changes go on until it has seen one."""
                nonlocal weight
                told = []
                with subprocess.Popen([CLI, *at, "watch", *words], stdout=subprocess.PIPE, text=True) as watcher:
                    reader = threading.Thread(target=lambda: told.append(watcher.stdout.readline()))
                    reader.start()
                    while reader.is_alive():
                        weight = 50 if weight == 90 else 90
                        l.write("source/routes.yaml", text.replace("weight: 90", f"weight: {weight}"))
                        reader.join(0.5)
                    watcher.terminate()
                return told[0]

            event = json.loads(first_line("-o", "json", "change"))
            self.assertEqual((event["kind"], event["scope"], event["type"], event["set"]), ("change", "gateway:default/quickstart", "rds", ["default/quickstart/0.0.0.0/8080"]))
            self.assertRegex(first_line(), r"^\d\d:\d\d:\d\d\.\d{3}  change        gateway:default/quickstart  rds  1: default/quickstart/0\.0\.0\.0/8080  \S+\.yaml:\d+\n$")
            l.write("source/routes.yaml", text.replace("weight: 90", "weight: 70"))
            lab.await_true("diff tells it", lambda: "weight: 70 -> 90" in run(*at, "diff", "-f", QUICKSTART).stdout)
            r = run(*at, "watch", "pusches")
            self.assertEqual((r.returncode, r.stdout), (1, ""))
            self.assertIn('nothing of kind "pusches" ever happens; there are: change, connected', r.stderr)

    def test_what_the_proxy_would_refuse_is_a_condition_before_anyone_is_asked(self):
        with lab.Lab() as l:
            source = l.write("source/raw.yaml", "apiVersion: fairlead.io/v1alpha1\nkind: EnvoyResources\nmetadata: {name: mine}\nspec:\n  nodes: {clusters: [edge]}\n  resources:\n"
                             '  - {"@type": type.googleapis.com/envoy.config.route.v3.RouteConfiguration, name: odd, virtual_hosts: [{name: v, domains: ["*"], routes: [{match: {safe_regex: {regex: "("}}, route: {cluster: a}}]}]}\n').parent
            _, _, admin = l.control(source)
            shown = run("--server", admin, "conditions").stdout
            self.assertIn("NotSupportedByProxy", shown)
            self.assertRegex(shown, r"raw\.yaml:7")

    def test_everything_can_be_asked_of_a_running_server(self):
        with lab.Lab() as l:
            _, _, admin = l.control(QUICKSTART)
            at = ("--server", admin)
            r = run(*at, "status")
            self.assertEqual((r.returncode, r.stdout), (0, "no proxy is connected\n"))
            self.assertEqual(json.loads(run(*at, "status", "-o", "json").stdout)["sources"][0]["objects"], 10)
            table = run(*at, "config", "clusters").stdout.splitlines()
            self.assertEqual((len(table), table[0].split()), (4, ["SCOPE", "TYPE", "NAME", "VERSION", "FROM"]))
            self.assertRegex(table[1], r"routes\.yaml:\d+")
            self.assertEqual(len(run(*at, "config").stdout.splitlines()), 9)
            self.assertEqual(len(run(*at, "config", "rds", "--name", "none").stdout.splitlines()), 1)
            self.assertEqual(run(*at, "nacks").stdout, "nothing was refused\n")
            self.assertIn("no proxy of this scope is connected", run(*at, "conditions").stdout)
            self.assertIn("conditions:\n", run(*at, "conditions", "-o", "yaml").stdout)
            r = run(*at, "diff", "x")
            self.assertEqual((r.returncode, r.stderr), (1, 'fairlead: no proxy "x" is connected; there are: none\n'))
            r = run(*at, "config", "clustres")
            self.assertEqual(r.returncode, 1)
            self.assertIn('unknown type "clustres"; known are cds', r.stderr)
            r = run("status", env={"FAIRLEAD_SERVER": admin})
            self.assertEqual(r.returncode, 0)

    def test_a_source_that_vanishes_is_told_once(self):
        with lab.Lab() as l:
            folder = pathlib.Path(l.write("source/gateway.yaml", (QUICKSTART / "gateway.yaml").read_text())).parent
            _, _, admin = l.control(folder)
            folder.rename(folder.with_name("gone"))
            shown = lab.await_true("status tells it", lambda: [line for line in run("--server", admin, "status").stdout.splitlines() if "does not exist" in line])
            self.assertEqual(len(shown), 1, shown)
            self.assertRegex(shown[0], rf"^error: file:{folder}: {folder}: does not exist; what was read \d+ s ago stays in use$")

    def test_the_debug_address_only_reads_and_says_so_at_once(self):
        with lab.Lab() as l:
            _, _, admin = l.control(QUICKSTART)
            for method, length in ((b"POST", b""), (b"DELETE", b""), (b"PUT", b"content-length: 1000000\r\n")):
                answer, end = lab.raw(int(admin.rpartition(":")[2]), method + b" /debug/status HTTP/1.1\r\nhost: a\r\n" + length + b"\r\n")
                self.assertTrue(answer.startswith(b"HTTP/1.1 405 "), answer)
                self.assertIn(b"is not allowed here: everything is read only", answer)

    def test_colours_on_a_terminal_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            bad = pathlib.Path(folder) / "bad.yaml"
            bad.write_text("kind: [\n")
            self.assertNotIn("\033", run("check", "-f", bad).stdout)
            for env, coloured in (({}, True), ({"NO_COLOR": "1"}, False)):
                ours, theirs = pty.openpty()
                subprocess.run([CLI, "check", "-f", bad], stdout=theirs, env={**os.environ, **env})
                os.close(theirs)
                shown = b""
                try:
                    while part := os.read(ours, 65536):
                        shown += part
                except OSError:  # the end of a terminal
                    pass
                os.close(ours)
                self.assertEqual(b"\033[31merror" in shown, coloured)


if __name__ == "__main__":
    unittest.main()
