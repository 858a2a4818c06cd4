"""A steady stream of numbered datagrams from several clients through a UDP listener to several hosts, each answered, for tests of what happens to
sessions: which are lost on the way there or back, and at which host and from which port each client's arrive ("homes")."""
import select
import socket
import struct
import threading
import time

SO_RCVBUFFORCE = 33
PAYLOAD = struct.Struct("!II")  # the client's number, and the datagram's
LONGEST_BURST = 0.05            # s of a stream's datagrams that are sent at once at most: what a receive buffer takes by default


def udp_socket(room=4 << 20):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("127.0.0.1", 0))
    try:
        s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, room)
    except OSError:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    return s


def dropped_by_kernel():
    """Datagrams that came to a full receive buffer, of all sockets of this network namespace since it began."""
    with open("/proc/net/snmp") as f:
        names, values = (line.split()[1:] for line in f if line.startswith("Udp:"))
    return int(values[names.index("RcvbufErrors")])


class Hosts:
    """Upstream hosts that answer with what they got. `homes[client]`: {(host, port it came from): datagrams}, in the order of their first."""

    def __init__(self, count):
        self.sockets = [udp_socket() for _ in range(count)]
        self.ports = [s.getsockname()[1] for s in self.sockets]
        self.homes, self.stop = {}, False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        number = {s.fileno(): i for i, s in enumerate(self.sockets)}
        poll = select.poll()
        for s in self.sockets:
            poll.register(s, select.POLLIN)
        while not self.stop:
            for fd, _ in poll.poll(50):
                s = self.sockets[number[fd]]
                data, where = s.recvfrom(2048)
                home = self.homes.setdefault(PAYLOAD.unpack(data)[0], {})
                home[(number[fd], where[1])] = home.get((number[fd], where[1]), 0) + 1
                s.sendto(data, where)

    def end(self):
        self.stop = True
        self.thread.join()
        for s in self.sockets:
            s.close()


class Stream:
    """Clients that send in turn, `rate` datagrams a second together, and take the answers. end() waits for those that are under way.

    After a stall of the machine what it kept from being sent is not made up for: that would be a burst which fills the proxy's receive buffers."""

    def __init__(self, port, clients, rate=1000):
        self.port, self.rate, self.stop = port, rate, False
        self.sockets, self.sent, self.answered = [], [], []
        self.lock = threading.Lock()
        self.add(clients)
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def add(self, clients):
        with self.lock:
            for _ in range(clients):
                s = udp_socket()
                s.connect(("127.0.0.1", self.port))
                s.setblocking(False)
                self.sockets.append(s)
                self.sent.append(0)
                self.answered.append(set())

    def take_answers(self):
        for number, s in enumerate(self.sockets):
            try:
                while True:
                    client, n = PAYLOAD.unpack(s.recv(2048))
                    assert client == number, f"client {number} got what is for {client}"
                    self.answered[number].add(n)
            except BlockingIOError:
                pass

    def run(self):
        last, due, client = time.monotonic(), 0.0, 0
        while not self.stop:
            now = time.monotonic()
            due, last = min(due + (now - last) * self.rate, self.rate * LONGEST_BURST), now
            with self.lock:
                while due >= 1:
                    client = (client + 1) % len(self.sockets)
                    self.sockets[client].send(PAYLOAD.pack(client, self.sent[client]))
                    self.sent[client] += 1
                    due -= 1
                self.take_answers()
            time.sleep(0.001)

    def lost(self):
        return [sorted(set(range(sent)) - answered) for sent, answered in zip(self.sent, self.answered)]

    def end(self):
        self.stop = True
        self.thread.join()
        until = time.monotonic() + 5
        while any(self.lost()) and time.monotonic() < until:
            self.take_answers()
            time.sleep(0.01)
        for s in self.sockets:
            s.close()


def udp_bootstrap(port, hosts, idle="60s"):
    """A cluster and a listener, as lists of static_resources. Envoy takes them too."""
    endpoints = ", ".join(f"{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {p}}}}}}}}}" for p in hosts)
    cluster = f"  - {{name: hosts, connect_timeout: 5s, lb_policy: ROUND_ROBIN, load_assignment: {{cluster_name: hosts, endpoints: [{{lb_endpoints: [{endpoints}]}}]}}}}\n"
    listener = f"""  - name: udp
    address: {{socket_address: {{protocol: UDP, address: 127.0.0.1, port_value: {port}}}}}
    listener_filters:
    - name: udp
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig
        stat_prefix: u
        matcher: {{on_no_match: {{action: {{name: route, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route, cluster: hosts}}}}}}}}
        idle_timeout: {idle}
"""
    return cluster, listener
