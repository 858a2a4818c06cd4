"""A wire between a client and the API server that can be cut: relays bytes, TLS and all, from an address of its own."""
import socket
import threading

import cluster


class Wire:
    def __init__(self, lab, kubeconfig):
        self.mutex, self.pairs = threading.Lock(), set()
        self.listener = socket.create_server((cluster.NODE, 0))
        port = self.listener.getsockname()[1]
        self.kubeconfig = lab.folder / f"wire-{port}.kubeconfig"
        self.kubeconfig.write_text(kubeconfig.read_text().replace(cluster.API, f"https://{cluster.NODE}:{port}"))
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.relay, args=(client,), daemon=True).start()

    def relay(self, client):
        try:
            server = socket.create_connection((cluster.NODE, 6443), timeout=5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        pair = (client, server)
        with self.mutex:
            self.pairs.add(pair)
        back = threading.Thread(target=self.copy, args=(server, client), daemon=True)
        back.start()
        self.copy(client, server)
        back.join()
        with self.mutex:
            self.pairs.discard(pair)
        client.close()
        server.close()

    @staticmethod
    def copy(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def cut(self):
        """Ends every connection, in the middle of whatever it says; returns how many there were."""
        with self.mutex:
            pairs = list(self.pairs)
        for pair in pairs:
            for end in pair:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        return len(pairs)

    def close(self):
        self.listener.close()
        self.cut()
