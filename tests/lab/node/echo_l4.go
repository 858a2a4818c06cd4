package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"

	"golang.org/x/net/dns/dnsmessage"
)

const welcome = "Gateway API Test TCP Server\n"

type tcpFacts struct {
	identity
	TCPPort string      `json:"tcpport"`
	TLSPort string      `json:"tlsport,omitempty"`
	IsTLS   bool        `json:"isTLS"`
	TLS     *tcpSession `json:"tls,omitempty"`
}

type tcpSession struct {
	Version            string `json:"version"`
	ServerName         string `json:"serverName"`
	NegotiatedProtocol string `json:"negotiatedProtocol,omitempty"`
	Curves             string `json:"curves,omitempty"`
	CipherSuite        string `json:"cipherSuite"`
}

// tcpEcho serves a line protocol on TCP (TCP_PORT, 3000) and, with a certificate, on TLS (TLS_PORT, 8443): it greets, and answers TEST with
// who it is, IS_TLS with true or false, PING with PONG.
func (s *servers) tcpEcho(c *container) error {
	facts := tcpFacts{identity: c.identity(), TCPPort: c.get("TCP_PORT", "3000"), TLSPort: c.get("TLS_PORT", "8443")}
	if err := s.serveLines(c, facts.TCPPort, nil, facts); err != nil {
		return err
	}
	for _, key := range []string{"TLS_SERVER_PRIVKEY", "TLS_SERVER_PRIV_KEY"} {
		config, err := c.certificate("TLS_SERVER_CERT", key)
		if err != nil {
			return err
		}
		if config != nil {
			return s.serveLines(c, facts.TLSPort, config, facts)
		}
	}
	return nil
}

func (s *servers) serveLines(c *container, port string, config *tls.Config, facts tcpFacts) error {
	listener, err := c.listen(port)
	if err != nil {
		return err
	}
	connections := newConnections()
	s.add(listener)
	s.add(connections)
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connections.track(connection)()
				if config == nil {
					speakLines(c, connection, facts)
				} else if secured := tls.Server(connection, config); secured.Handshake() == nil {
					state := secured.ConnectionState()
					facts := facts
					facts.IsTLS = true
					facts.TLS = &tcpSession{tls.VersionName(state.Version), state.ServerName, state.NegotiatedProtocol, state.CurveID.String(),
						tls.CipherSuiteName(state.CipherSuite)}
					speakLines(c, secured, facts)
				}
			}()
		}
	}()
	c.logs.printf("listening on port %s (TCP)", port)
	return nil
}

func speakLines(c *container, connection net.Conn, facts tcpFacts) {
	c.logs.printf("connection from %v", connection.RemoteAddr())
	fmt.Fprint(connection, welcome)
	lines := bufio.NewScanner(connection)
	for lines.Scan() {
		switch lines.Text() {
		case "TEST":
			body, _ := json.Marshal(facts)
			fmt.Fprintf(connection, "%s\n", body)
		case "IS_TLS":
			fmt.Fprintf(connection, "%t\n", facts.IsTLS)
		case "PING":
			fmt.Fprintln(connection, "PONG")
		}
	}
}

// udpEcho answers each datagram (UDP_PORT, 8080) with what it held and who answers.
func (s *servers) udpEcho(c *container) error {
	who := c.identity()
	return s.serveDatagrams(c, c.get("UDP_PORT", "8080"), func(request []byte) []byte {
		body, _ := json.Marshal(struct {
			Request string `json:"request"`
			identity
		}{string(request), who})
		return body
	})
}

// whoami is a DNS server that knows one thing: the answer to any question is its own address.
func (s *servers) whoami(c *container) error {
	return s.serveDatagrams(c, "53", func(request []byte) []byte {
		return answerDNS(request, func(dnsmessage.Question) ([]dnsmessage.ResourceBody, dnsmessage.RCode) {
			return []dnsmessage.ResourceBody{&dnsmessage.AResource{A: c.ip.As4()}}, dnsmessage.RCodeSuccess
		})
	})
}

// serveDatagrams answers each datagram with what `answer` makes of it; nil is no answer.
func (s *servers) serveDatagrams(c *container, port string, answer func([]byte) []byte) error {
	socket, err := net.ListenPacket("udp", net.JoinHostPort(c.ip.String(), port))
	if err != nil {
		return err
	}
	s.add(socket)
	go func() {
		buffer := make([]byte, 65536)
		for {
			size, from, err := socket.ReadFrom(buffer)
			if err != nil {
				return
			}
			c.logs.printf("datagram of %d bytes from %v", size, from)
			if reply := answer(buffer[:size]); reply != nil {
				_, _ = socket.WriteTo(reply, from)
			}
		}
	}()
	c.logs.printf("listening on port %s (UDP)", port)
	return nil
}
