"""A thousand updates of a listener under load: 500 keep-alive connections and 100 WebSockets; no request fails, no WebSocket is closed."""
import asyncio
import json
import time

from lab import BIN, await_http, await_true, free_port, free_ports, get, require

UPDATES, KEEP_ALIVE, WEB_SOCKETS = 1000, 500, 100
TYPE = "type.googleapis.com/envoy."
UPGRADE = b"GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"


def chain(port, route, **more):
    hcm = {"@type": TYPE + "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": f"p{port}",
           "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, **route}]}]},
           "http_filters": [{"name": "r", "typed_config": {"@type": TYPE + "extensions.filters.http.router.v3.Router"}}], **more}
    return {"name": f"c{port}", "filter_chain_match": {"destination_port": port}, "filters": [{"name": "hcm", "typed_config": hcm}]}


def listener(ports, update):
    """Its first chain has other routes each time, and every tenth time other limits, so that its connections must go; the second stays."""
    at = lambda port: {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    return {"@type": TYPE + "config.listener.v3.Listener", "name": "l", "address": at(ports[0]), "additional_addresses": [{"address": at(ports[1])}],
            "filter_chains": [chain(ports[0], {"direct_response": {"status": 200, "body": {"inline_string": f"{update}"}}}, max_request_headers_kb=60 + update // 10 % 2),
                              chain(ports[1], {"route": {"cluster": "up", "timeout": "0s"}}, upgrade_configs=[{"upgrade_type": "websocket"}])]}


async def upstream(reader, writer):
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        while data := await reader.read(1000):
            writer.write(data)
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        pass
    finally:
        writer.close()


class Load:
    def __init__(self, ports):
        self.ports, self.stopping = ports, False
        self.answers = self.reopened = self.echoes = 0
        self.failed = []

    async def keep_alive(self):
        reader = writer = None
        while not self.stopping:
            try:
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[0])
                writer.write(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)).lower()
                body = await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
                if not head.startswith(b"http/1.1 200") or not body.isdigit():
                    self.failed.append(f"answer {head!r}")
                self.answers += 1
                if b"connection: close" in head:
                    writer.close()
                    writer, self.reopened = None, self.reopened + 1
                await asyncio.sleep(0.1)
            except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
                self.failed.append(f"request: {error!r}")
                writer = None

    async def web_socket(self):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.ports[1])
            writer.write(UPGRADE)
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 101 " not in head:
                raise OSError(head)
            while not self.stopping:
                writer.write(b"ping")
                await asyncio.wait_for(reader.readexactly(4), 10)
                self.echoes += 1
                await asyncio.sleep(0.2)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
            self.failed.append(f"WebSocket: {error!r}")


async def under_load(lab, lds, ports, admin):
    load = Load(ports)
    clients = [asyncio.create_task(load.keep_alive()) for _ in range(KEEP_ALIVE)] + [asyncio.create_task(load.web_socket()) for _ in range(WEB_SOCKETS)]
    await asyncio.sleep(1)
    began = time.monotonic()

    def updates():
        for update in range(1, UPDATES + 1):
            lab.write("lds.json", json.dumps({"version_info": str(update), "resources": [listener(ports, update)]}))
            await_true(f"update {update}", lambda: int(get(admin, "/stats?filter=^listener_manager.listener_in_place_updated$").body.split()[-1]) >= update)

    await asyncio.to_thread(updates)
    took = time.monotonic() - began
    await asyncio.sleep(1)
    load.stopping = True
    await asyncio.gather(*clients)
    return load, took


def run(lab):
    ports = list(free_ports(["a", "b"]).values())
    admin = f"127.0.0.1:{free_port()}"

    async def all_of_it():
        server = await asyncio.start_server(upstream, "127.0.0.1", 0)
        cluster = {"name": "up", "type": "STATIC", "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": server.sockets[0].getsockname()[1]}}}}]}]}}
        lds = lab.write("lds.json", json.dumps({"version_info": "0", "resources": [listener(ports, 0)]}))
        config = lab.write("config.json", json.dumps({
            "node": {"id": "n", "cluster": "c"}, "static_resources": {"clusters": [cluster]},
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": int(admin.split(":")[1])}}},
            "dynamic_resources": {"lds_config": {"path_config_source": {"path": str(lds)}, "resource_api_version": "V3"}}}))
        await_http(admin, "/ready", lab.start("fairlead-proxy", [BIN / "fairlead-proxy", "-c", config, "--concurrency", "1", "--drain-time-s", "20"]))
        return await under_load(lab, lds, ports, admin)

    load, took = asyncio.run(all_of_it())
    print(f"{UPDATES} updates in {took:.1f} s; {load.answers} answers, {load.reopened} of them the last of their connection; {load.echoes} echoes on {WEB_SOCKETS} WebSockets; {len(load.failed)} failures")
    require(not load.failed, "\n".join(load.failed[:10]))
    require(load.answers > 10 * KEEP_ALIVE and load.echoes > 10 * WEB_SOCKETS, "too little load")
