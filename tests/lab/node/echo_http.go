package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/websocket"
)

// echoed is what an HTTP echo server answers: the request as it came, who answered, and what TLS says of the client.
type echoed struct {
	Path     string              `json:"path"`
	Host     string              `json:"host"`
	Method   string              `json:"method"`
	Proto    string              `json:"proto"`
	Headers  map[string][]string `json:"headers"`
	HTTPPort string              `json:"httpPort"`
	identity
	TLS *sessionFacts `json:"tls,omitempty"`
}

type sessionFacts struct {
	Version            string   `json:"version"`
	PeerCertificates   []string `json:"peerCertificates,omitempty"`
	ServerName         string   `json:"serverName"`
	NegotiatedProtocol string   `json:"negotiatedProtocol,omitempty"`
	CipherSuite        string   `json:"cipherSuite"`
}

var versionNames = map[uint16]string{tls.VersionTLS10: "TLSv1.0", tls.VersionTLS11: "TLSv1.1", tls.VersionTLS12: "TLSv1.2", tls.VersionTLS13: "TLSv1.3"}

func factsOf(state *tls.ConnectionState) *sessionFacts {
	if state == nil {
		return nil
	}
	facts := &sessionFacts{Version: versionNames[state.Version], ServerName: state.ServerName, NegotiatedProtocol: state.NegotiatedProtocol,
		CipherSuite: tls.CipherSuiteName(state.CipherSuite)}
	for _, peer := range state.PeerCertificates {
		facts.PeerCertificates = append(facts.PeerCertificates, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: peer.Raw})))
	}
	return facts
}

// httpEcho serves HTTP/1.1 (HTTP_PORT, 3000), HTTP/2 in plain text (H2C_PORT, 3001) and, with a certificate, HTTPS (HTTPS_PORT, 8443).
func (s *servers) httpEcho(c *container) error {
	port := c.get("HTTP_PORT", "3000")
	echo := echoHandler(c, port)
	mux := http.NewServeMux()
	mux.Handle("/", echo)
	mux.HandleFunc("/health", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "OK") })
	mux.HandleFunc("/status/", answerStatus)
	mux.Handle("/retry/", newRetries(echo))
	mux.Handle("/ws", websocket.Handler(func(ws *websocket.Conn) {
		c.logs.printf("established websocket connection %v", ws.RemoteAddr())
		_, _ = io.Copy(ws, ws)
	}))
	// paths with several slashes are answered as they are: the mux would redirect them
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = strings.ReplaceAll(r.URL.Path, "//", "/")
		mux.ServeHTTP(w, r)
	})
	plain, h2c := &http.Protocols{}, &http.Protocols{}
	plain.SetHTTP1(true)
	h2c.SetHTTP1(true) // to say that it is wrong here
	h2c.SetUnencryptedHTTP2(true)
	only2 := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			http.Error(w, "Expected h2c request", http.StatusBadRequest)
			return
		}
		echo.ServeHTTP(w, r)
	})
	if err := s.serveHTTP(c, port, &http.Server{Handler: handler, Protocols: plain}); err != nil {
		return err
	}
	if err := s.serveHTTP(c, c.get("H2C_PORT", "3001"), &http.Server{Handler: only2, Protocols: h2c}); err != nil {
		return err
	}
	config, err := c.certificate("TLS_SERVER_CERT", "TLS_SERVER_PRIVKEY")
	if config == nil || err != nil {
		return err
	}
	if name := c.env["TLS_CLIENT_CACERTS"]; name != "" {
		config.ClientCAs = x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM(c.files[name]) {
			return fmt.Errorf("TLS_CLIENT_CACERTS=%s: no certificate is mounted there", name)
		}
		config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return s.serveHTTP(c, c.get("HTTPS_PORT", "8443"), &http.Server{Handler: handler, TLSConfig: config})
}

func (s *servers) serveHTTP(c *container, port string, server *http.Server) error {
	listener, err := c.listen(port)
	if err != nil {
		return err
	}
	s.add(server)
	go func() {
		serve := server.Serve
		if server.TLSConfig != nil {
			serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
		}
		if err := serve(listener); !errors.Is(err, http.ErrServerClosed) {
			c.logs.printf("port %s: %v", port, err)
		}
	}()
	c.logs.printf("listening on port %s", port)
	return nil
}

func echoHandler(c *container, port string) http.Handler {
	who := c.identity()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// the conformance suite looks for this line where mirrored requests should have gone
		c.logs.printf("Echoing back request made to %s to client (%s)", r.RequestURI, r.RemoteAddr)
		if delay := r.FormValue("delay"); delay != "" {
			d, err := time.ParseDuration(delay)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			select {
			case <-time.After(d):
			case <-r.Context().Done():
				return
			}
		}
		body, err := json.MarshalIndent(echoed{r.RequestURI, r.Host, r.Method, r.Proto, r.Header, port, who, factsOf(r.TLS)}, "", " ")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		setWantedHeaders(w.Header(), r.Header["X-Echo-Set-Header"])
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		_, _ = w.Write(body)
	})
}

// setWantedHeaders sets what `X-Echo-Set-Header: name:value,name:value` asks for, with names as they are written.
func setWantedHeaders(headers http.Header, wanted []string) {
	for _, list := range wanted {
		for _, pair := range strings.Split(list, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(pair), ":")
			if old := headers[name]; len(old) > 0 {
				value = old[0] + "," + strings.TrimSpace(value)
			}
			headers[name] = []string{value}
		}
	}
}

func answerStatus(w http.ResponseWriter, r *http.Request) {
	code, err := strconv.Atoi(strings.TrimPrefix(r.RequestURI, "/status/"))
	if err != nil || code < 100 || code > 999 {
		code = http.StatusBadRequest
	}
	w.WriteHeader(code)
}
