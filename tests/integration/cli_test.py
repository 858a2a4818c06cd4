#!/usr/bin/env python3
"""The command line as its users meet it: exit codes, output in three forms, errors, completion. Binaries in FAIRLEAD_BIN."""
import http.server
import json
import os
import pathlib
import pty
import subprocess
import sys
import tempfile
import threading
import unittest

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

    def test_check_of_nothing_is_2(self):
        r = run("check", "-f", "/nonexistent")
        self.assertEqual((r.returncode, r.stdout, r.stderr), (2, "", "fairlead: /nonexistent: does not exist\n"))

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
        for command in ("status", "config", "diff", "nacks", "conditions", "bootstrap", "check", "translate", "completion"):
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

    def test_a_server_that_is_not_there_is_2_and_named(self):
        port = lab.free_port()
        for words in (("status",), ("config",), ("diff", "x"), ("nacks",), ("conditions",)):
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
        asked = script + "\nCOMP_WORDS=(fairlead co); COMP_CWORD=1; _fairlead; echo ${COMPREPLY[@]}\n"
        r = subprocess.run(["bash"], input=asked, text=True, capture_output=True)
        self.assertEqual((r.stdout.split(), r.stderr), (["config", "conditions", "completion"], ""))
        self.assertIn("#compdef fairlead", run("completion", "zsh").stdout)
        self.assertIn("complete -c fairlead", run("completion", "fish").stdout)


class Bootstrap(unittest.TestCase):
    def test_our_own_parser_takes_it_in_every_variant(self):
        with tempfile.TemporaryDirectory() as folder:
            for i, words in enumerate((("--cluster", "a"), ("--gateway", "ns/a", "--sotw"), ("--id", "n1", "--xds-address", "localhost:1"), ("--cluster", "a", "--xds-address", "unix:/tmp/x"))):
                r = run("bootstrap", *words)
                self.assertEqual((r.returncode, r.stderr), (0, ""), words)
                path = pathlib.Path(folder) / f"{i}.yaml"
                path.write_text(r.stdout)
                p = subprocess.run([lab.BIN / "fairlead-proxy", "--mode", "validate", "-c", path], capture_output=True, text=True)
                self.assertEqual(p.returncode, 0, p.stderr + p.stdout + r.stdout)

    def test_for_grpc_it_is_json(self):
        b = json.loads(run("bootstrap", "--for", "grpc", "--cluster", "a", "--id", "n").stdout)
        self.assertEqual(b["xds_servers"][0]["server_uri"], "127.0.0.1:18000")
        self.assertEqual(b["node"], {"id": "n", "cluster": "a"})

    def test_wrong_flags_are_named(self):
        for words, told in (((), "which configuration?"), (("--gateway", "a"), '--gateway "a" is not NAMESPACE/NAME'),
                            (("--cluster", "a", "--xds-address", "x"), '--xds-address "x" is not HOST:PORT'),
                            (("--cluster", "a", "--admin-address", "x:y"), '--admin-address "x:y" is not HOST:PORT')):
            r = run("bootstrap", *words)
            self.assertEqual((r.returncode, r.stdout), (2, ""))
            self.assertIn(told, r.stderr)


class Online(unittest.TestCase):
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
