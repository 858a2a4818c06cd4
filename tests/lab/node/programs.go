package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// container is what a program sees of the world: its pod, its environment, the files that are mounted.
type container struct {
	pod   *corev1.Pod
	name  string
	image string
	ip    netip.Addr
	args  []string
	env   map[string]string
	ports []corev1.ContainerPort
	files map[string][]byte
	logs  *book
}

// get returns a variable of the environment, or what the program takes without it.
func (c *container) get(name, otherwise string) string {
	if value := c.env[name]; value != "" {
		return value
	}
	return otherwise
}

// identity is who answers: every echo server says it.
type identity struct {
	Namespace string `json:"namespace"`
	Ingress   string `json:"ingress"`
	Service   string `json:"service"`
	Pod       string `json:"pod"`
}

func (c *container) identity() identity {
	return identity{c.get("NAMESPACE", c.pod.Namespace), c.env["INGRESS_NAME"], c.env["SERVICE_NAME"], c.get("POD_NAME", c.pod.Name)}
}

// listen listens on the pod's own address, so that who was asked is who answers, and a pod that is gone refuses connections.
func (c *container) listen(port string) (net.Listener, error) {
	return net.Listen("tcp", net.JoinHostPort(c.ip.String(), port))
}

// certificate is the pair of files that two variables name; nil when they are not set.
func (c *container) certificate(certificate, key string) (*tls.Config, error) {
	if c.env[certificate] == "" || c.env[key] == "" {
		return nil, nil
	}
	chain, private := c.files[c.env[certificate]], c.files[c.env[key]]
	if chain == nil || private == nil {
		return nil, fmt.Errorf("%s=%s, %s=%s: no such files are mounted", certificate, c.env[certificate], key, c.env[key])
	}
	pair, err := tls.X509KeyPair(chain, private)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.env[certificate], err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}, nil
}

// servers is what a container's program has open; closing it ends listeners and connections, as the end of a process does.
type servers struct{ open []io.Closer }

func (s *servers) add(c io.Closer) { s.open = append(s.open, c) }
func (s *servers) close() {
	for _, c := range s.open {
		c.Close()
	}
}

type closer func()

func (c closer) Close() error { c(); return nil }

// startProgram starts what stands for the image: a DNS server for coredns, nothing for pause, an echo server for every other.
// Which echo server the environment says, as it does to the conformance suite's own.
func startProgram(c *container) (*servers, error) {
	s := &servers{}
	image, _, _ := strings.Cut(path.Base(c.image), ":")
	var err error
	switch {
	case image == "pause":
	case image == "coredns":
		err = s.whoami(c)
	case c.env["GRPC_ECHO_SERVER"] != "":
		err = s.grpcEcho(c)
	case c.env["TCP_ECHO_SERVER"] != "":
		err = s.tcpEcho(c)
	case c.env["UDP_ECHO_SERVER"] != "":
		err = s.udpEcho(c)
	default:
		err = s.httpEcho(c)
	}
	return s, err
}
